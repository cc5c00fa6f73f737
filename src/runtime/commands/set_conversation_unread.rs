//! `set_conversation_unread`: marks a conversation as unread, or removes that mark.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind, not_own};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::preferences::set_marked_unread;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{PeerType, User};
use peerd_protocol::reply::Changed;

/// Marks a conversation as unread, or removes that mark.
pub struct SetConversationUnread;

/// Whether to mark it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// Whether it is marked.
    pub is_marked_unread: bool,
}

impl Command for SetConversationUnread {
    const NAME: &'static str = "set_conversation_unread";
    const SUMMARY: &'static str = "Marks a conversation as unread, or removes that mark.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"conversationID":"bob","conversationType":0,"isMarkedUnread":true}"#];
    type Request = Request;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), is_marked_unread, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        not_own(&other, cell)?;
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, None, deadline, |_, known, key| {
                Ok(set_marked_unread(known, is_marked_unread, key))
            })
            .await?;
        Ok(Changed(other))
    }
}
