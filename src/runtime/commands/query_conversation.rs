//! `query_conversation`: reads one conversation.

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{OfConversation, User};
use peerd_protocol::reply::OneConversation;

/// Reads one conversation.
pub struct QueryConversation;

impl Command for QueryConversation {
    const NAME: &'static str = "query_conversation";
    const SUMMARY: &'static str = "Reads one conversation.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[r#"{"conversationID":"bob"}"#];
    type Request = OfConversation;
    type Reply = OneConversation;

    async fn run<S: Store, B: Bus>(
        request: OfConversation,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<OneConversation, CallError> {
        let User(other) = request.conversation_id;
        let known = cell.lock().conversation(&other).cloned();
        let page = [(other, known.ok_or(Rejection::ConversationNotFound)?)];
        let mut views =
            parts.conversations.views(cell, &page, deadline).await.map_err(Failure::from)?;
        Ok(OneConversation(views.pop().ok_or(Failure::Internal)?))
    }
}
