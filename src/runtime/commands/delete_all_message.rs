//! `delete_all_message`: deletes all messages of a conversation, for the caller only.

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::history::Reader;
use crate::store::Store;
use peerd_core::delete::delete_all;
use peerd_core::event::{DeleteType, Event, Messages};
use peerd_protocol::api::Empty;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{OfConversation, User};

/// Deletes all messages of a conversation, for the caller only.
pub struct DeleteAllMessage;

impl Command for DeleteAllMessage {
    const NAME: &'static str = "delete_all_message";
    const SUMMARY: &'static str = "Deletes all messages of a conversation, for the caller only.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"conversationID":"bob","conversationType":0,"config":{}}"#];
    type Request = OfConversation;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        request: OfConversation,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        let User(other) = request.conversation_id;
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let mut reader = Reader::new(&parts.history, cell, &other, &known, deadline);
        if reader.newest().await.map_err(Failure::from)?.is_none() {
            return Ok(Empty {});
        }
        let deleted = Event::MessageDeleted {
            other: other.clone(),
            delete_type: DeleteType::Conversation,
            messages: Messages::new(),
        };
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, Some(deleted), deadline, |_, known, key| {
                Ok(delete_all(known, key))
            })
            .await?;
        Ok(Empty {})
    }
}
