//! `clear_conversation_unread_message_count`: marks a conversation as read, whole or up to a
//! message.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::Change;
use crate::runtime::history::Reader;
use crate::runtime::parts::Parts;
use crate::runtime::users::UserCell;
use crate::store::Store;
use peerd_core::clear::{clear_unread, read_up_to};
use peerd_core::id::{MessageId, UserId};
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{MessageIdText, NamedMessage, PeerType, User};
use peerd_protocol::reply::Changed;

/// Marks a conversation as read, whole or up to a message.
pub struct ClearConversationUnreadMessageCount;

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The last message that was read; all of them if it is left out.
    pub up_to_message: Option<NamedMessage>,
}

impl Command for ClearConversationUnreadMessageCount {
    const NAME: &'static str = "clear_conversation_unread_message_count";
    const SUMMARY: &'static str = "Marks a conversation as read, whole or up to a message.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"conversationID":"bob"}"#,
        r#"{"conversationID":"bob","conversationType":0,"upToMessage":{"messageID":"118106327250633732"}}"#,
    ];
    type Request = Request;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), up_to_message, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        if let Some(NamedMessage { message_id: MessageIdText(message) }) = up_to_message {
            clear_up_to(parts, cell, (&other, message), deadline).await?;
            return Ok(Changed(other));
        }
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, None, deadline, |_, known, key| {
                Ok(clear_unread(known, key))
            })
            .await?;
        Ok(Changed(other))
    }
}

async fn clear_up_to<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    cell: &Arc<UserCell>,
    (other, message): (&UserId, MessageId),
    deadline: Instant,
) -> Result<(), CallError> {
    let known = || cell.lock().conversations.get(other).cloned().unwrap_or_default();
    let decide = async {
        let before = known();
        let deleted = before.settings.deleted_unread.saturating_sub(before.gone.deleted);
        let mut reader = Reader::new(&parts.history, cell, other, &before, deadline);
        let Some(up_to) = reader.up_to(message, deleted).await.map_err(Failure::from)? else {
            let problem = "is not in the conversation";
            return Err(Rejection::invalid("upToMessage.messageID", problem).into());
        };
        let key = parts.entries.next_key(cell);
        // Messages that arrived meanwhile are after the message.
        let known = known();
        let settings = read_up_to(&known, up_to, key);
        let change = |settings| Change::of_settings(other, &known, settings, (key, None));
        Ok((settings.map(change), ()))
    };
    parts.entries.commit_reading(cell, deadline, decide).await
}
