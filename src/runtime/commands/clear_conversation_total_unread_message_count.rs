//! `clear_conversation_total_unread_message_count`: marks all conversations as read.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::parts::Parts;
use crate::store::Store;
use peerd_core::clear::clear_unread;
use peerd_core::id::UserId;
use peerd_protocol::api::Empty;
use peerd_protocol::failure::CallError;

/// Marks all conversations as read.
pub struct ClearConversationTotalUnreadMessageCount;

/// No fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {}

impl Command for ClearConversationTotalUnreadMessageCount {
    const NAME: &'static str = "clear_conversation_total_unread_message_count";
    const SUMMARY: &'static str = "Marks all conversations as read.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &["{}"];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request {}: Request,
        Call { parts: Parts { entries, .. }, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        entries
            .commit(cell, deadline, |user, keys| {
                let key = keys.change(user);
                let write = |other: UserId| {
                    let known = user.conversations.get(&other)?;
                    let expected_seq = known.settings_seq;
                    let settings = clear_unread(known, key)?;
                    Some(Write::entry(other, settings, expected_seq))
                };
                let writes = user.unread_conversations().into_iter().filter_map(write).collect();
                Ok(Some(Change { writes, events: Events::Conversations { key, first: None } }))
            })
            .await?;
        Ok(Empty {})
    }
}
