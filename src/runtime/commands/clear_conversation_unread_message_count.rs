//! `clear_conversation_unread_message_count`: marks a conversation as read.

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::clear::clear_unread;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{OfConversation, User};
use peerd_protocol::reply::Changed;

/// Marks a conversation as read.
pub struct ClearConversationUnreadMessageCount;

impl Command for ClearConversationUnreadMessageCount {
    const NAME: &'static str = "clear_conversation_unread_message_count";
    const SUMMARY: &'static str = "Marks a conversation as read.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"conversationID":"bob"}"#];
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
                Ok(clear_unread(known, key))
            })
            .await?;
        Ok(Changed(other))
    }
}
