//! `query_messages`: reads messages by their `messageSeq`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::history::Reader;
use crate::store::Store;
use peerd_core::id::Direction;
use peerd_core::limits::MESSAGE_SEQS_MAX;
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{List, PeerType, User};
use peerd_protocol::reply::History;

/// Reads messages by their `messageSeq`.
pub struct QueryMessages;

/// The messages to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Their numbers; duplicates count once.
    pub message_seqs: List<u64, MESSAGE_SEQS_MAX>,
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// Only those of this sender: numbers count per sender.
    #[serde(rename = "senderUserID")]
    pub sender_user_id: Option<User>,
}

impl Command for QueryMessages {
    const NAME: &'static str = "query_messages";
    const SUMMARY: &'static str = "Reads messages by their messageSeq.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"messageSeqs":[1,9007199254740991],"conversationID":"bob","conversationType":0,"senderUserID":"bob"}"#,
    ];
    type Request = Request;
    type Reply = History;

    async fn run<S: Store, B: Bus>(
        Request { message_seqs, conversation_id: User(other), sender_user_id, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<History, CallError> {
        let only = match sender_user_id {
            None => None,
            Some(User(sender)) if sender == cell.id => Some(Direction::Send),
            Some(User(sender)) if sender == other => Some(Direction::Receive),
            Some(_) => {
                let problem = "must be one of the two users of the conversation";
                return Err(Rejection::invalid("senderUserID", problem).into());
            }
        };
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let mut reader = Reader::new(&parts.history, cell, &other, &known, deadline);
        let seqs = message_seqs.each_once();
        let mut messages = reader.numbered(&seqs, only).await.map_err(Failure::from)?;
        let (history, list) = (&parts.history, &mut messages[..]);
        let shown = history.show_originals(cell, (&other, &known), list, deadline).await;
        shown.map_err(Failure::from)?;
        Ok(History { other, messages, backwards: false })
    }
}
