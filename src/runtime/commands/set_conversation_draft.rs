//! `set_conversation_draft`: keeps the text that a user has begun to write.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind, not_own};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::limits::DRAFT_MAX_BYTES;
use peerd_core::preferences::set_draft;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{PeerType, ShortText, User};
use peerd_protocol::reply::Changed;

/// Keeps the text that a user has begun to write.
pub struct SetConversationDraft;

/// The draft.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The text; empty for none.
    pub draft: ShortText<DRAFT_MAX_BYTES>,
}

impl Command for SetConversationDraft {
    const NAME: &'static str = "set_conversation_draft";
    const SUMMARY: &'static str = "Keeps the text that a user has begun to write.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"conversationID":"bob","conversationType":0,"draft":"Dear Bob,\n"}"#];
    type Request = Request;
    type Reply = Changed;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), draft: ShortText(draft), .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Changed, CallError> {
        not_own(&other, cell)?;
        parts.env.room().check_text("draft", &draft)?;
        let entries = &parts.entries;
        entries
            .commit_settings(cell, &other, None, deadline, |_, known, key| {
                Ok(set_draft(known, &draft, key))
            })
            .await?;
        Ok(Changed(other))
    }
}
