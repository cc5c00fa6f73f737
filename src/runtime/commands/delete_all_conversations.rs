//! `delete_all_conversations`: takes all conversations out of the list, and leaves their messages.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::parts::Parts;
use crate::store::Store;
use peerd_core::delete::delete_conversation;
use peerd_protocol::api::Empty;
use peerd_protocol::failure::CallError;

/// Removes all conversations from the list; their messages stay.
pub struct DeleteAllConversations;

/// No fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {}

impl Command for DeleteAllConversations {
    const NAME: &'static str = "delete_all_conversations";
    const SUMMARY: &'static str = "Removes all conversations from the list; their messages stay.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"config":{}}"#];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request {}: Request,
        Call { parts: Parts { entries, .. }, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        entries
            .commit(cell, deadline, |user, keys| {
                let key = keys.change(user);
                let write = |(other, known)| {
                    let settings = delete_conversation(known, key)?;
                    Some((other, Write::settings(other, known, settings)))
                };
                let mut writes: Vec<_> = user.conversations.iter().filter_map(write).collect();
                writes.sort_unstable_by_key(|(other, _)| *other);
                let writes = writes.into_iter().map(|(_, write)| write).collect();
                Ok(Some(Change { writes, events: Events::ConversationsDeleted { key } }))
            })
            .await?;
        Ok(Empty {})
    }
}
