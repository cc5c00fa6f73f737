//! `update_conversation_pinned_state`: pins a conversation or unpins it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind, not_own};
use crate::bus::Bus;
use crate::store::Store;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{PeerType, User};
use peerd_protocol::reply::Changed;

/// Pins a conversation or unpins it.
pub struct UpdateConversationPinnedState;

/// Whether to pin.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// Whether it is pinned.
    pub is_pinned: bool,
}

impl Command for UpdateConversationPinnedState {
    const NAME: &'static str = "update_conversation_pinned_state";
    const SUMMARY: &'static str = "Pins a conversation or unpins it.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"conversationID":"bob","conversationType":0,"isPinned":true}"#];
    type Request = Request;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), is_pinned, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        not_own(&other, cell)?;
        let now_ms = parts.env.clock.wall_ms();
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, None, deadline, |user, known, key| {
                user.set_pinned(known, is_pinned, key, now_ms)
            })
            .await?;
        Ok(Changed(other))
    }
}
