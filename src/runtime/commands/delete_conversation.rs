//! `delete_conversation`: takes a conversation out of the list, and leaves its messages.

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::delete::delete_conversation;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{OfConversation, User};
use peerd_protocol::reply::Changed;

/// Removes a conversation from the list; its messages stay.
pub struct DeleteConversation;

impl Command for DeleteConversation {
    const NAME: &'static str = "delete_conversation";
    const SUMMARY: &'static str = "Removes a conversation from the list; its messages stay.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"conversationID":"bob","conversationType":0,"config":{}}"#];
    type Request = OfConversation;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        request: OfConversation,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        let User(other) = request.conversation_id;
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, None, deadline, |_, known, key| {
                Ok(delete_conversation(known, key))
            })
            .await?;
        Ok(Changed(other))
    }
}
