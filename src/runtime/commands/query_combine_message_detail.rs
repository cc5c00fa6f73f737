//! `query_combine_message_detail`: reads a Combine message with the messages inside it.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind, not_in_conversation};
use crate::bus::Bus;
use crate::runtime::history::Reader;
use crate::store::Store;
use peerd_core::content::Content;
use peerd_core::message::Message;
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{MessageOfConversation, PeerType, User};
use peerd_protocol::reply::Sent;

/// Reads a Combine message with the messages inside it.
pub struct QueryCombineMessageDetail;

/// The message to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The message.
    pub message: MessageOfConversation,
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
}

impl Command for QueryCombineMessageDetail {
    const NAME: &'static str = "query_combine_message_detail";
    const SUMMARY: &'static str = "Reads a Combine message with the messages inside it.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"118106327250633732","conversationID":"bob","conversationType":0}}"#,
        r#"{"message":{"messageID":"118106327250633732"},"conversationID":"bob","conversationType":0}"#,
    ];
    type Request = Request;
    type Reply = Sent;

    async fn run<S: Store, B: Bus>(
        Request { message, conversation_id, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Sent, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let mut reader = Reader::new(&parts.history, cell, &other, &known, deadline);
        let found = reader.one(id).await.map_err(Failure::from)?;
        let is_combine =
            |message: &Arc<Message>| matches!(message.content, Content::Combine { .. });
        match found {
            Some(mut message) if is_combine(&message) => {
                let (history, list) = (&parts.history, std::slice::from_mut(&mut message));
                let shown = history.show_originals(cell, (&other, &known), list, deadline).await;
                shown.map_err(Failure::from)?;
                Ok(Sent { message, is_duplicate: false })
            }
            Some(_) => {
                Err(Rejection::invalid("message.messageID", "names no Combine message").into())
            }
            None => Err(not_in_conversation("message.messageID").into()),
        }
    }
}
