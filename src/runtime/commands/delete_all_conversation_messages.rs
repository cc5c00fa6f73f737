//! `delete_all_conversation_messages`: deletes all messages of all conversations, for the caller
//! only.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::commit::{Change, Events, Write};
use crate::runtime::tuning::DELETE_ALL_READS_CONCURRENT;
use crate::store::Store;
use peerd_core::conversation::Conversation;
use peerd_core::delete::delete_all;
use peerd_core::event::Event;
use peerd_core::id::{OrderKey, UserId};
use peerd_protocol::api::Empty;
use peerd_protocol::failure::{CallError, Failure};

/// Deletes all messages of all conversations, for the caller only.
pub struct DeleteAllConversationMessages;

/// No fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {}

impl Command for DeleteAllConversationMessages {
    const NAME: &'static str = "delete_all_conversation_messages";
    const SUMMARY: &'static str = "Deletes all messages of all conversations, for the caller only.";
    const KIND: Kind = Kind::Change;
    const EXAMPLES: &'static [&'static str] = &[r#"{"config":{}}"#];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request {}: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        let decide = async {
            let mut due: Vec<(UserId, Conversation)> = {
                let user = cell.lock();
                let has_any = |known: &Conversation| delete_all(known, OrderKey::ZERO).is_some();
                let known = user.conversations.iter().filter(|(_, known)| has_any(known));
                known.map(|(other, known)| (other.clone(), known.clone())).collect()
            };
            due.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
            let mut others = Vec::with_capacity(due.len());
            for batch in due.chunks(DELETE_ALL_READS_CONCURRENT) {
                let previews = parts.conversations.previews(cell, batch, deadline).await;
                let previews = previews.map_err(Failure::from)?;
                // If all messages were deleted one by one, nothing is left to delete.
                let visible =
                    batch.iter().zip(previews).filter(|(_, it)| it.last_message.is_some());
                others.extend(visible.map(|((other, _), _)| other));
            }
            let key = parts.entries.next_key(cell);
            let writes: Vec<Write> = {
                let user = cell.lock();
                let write = |other: &UserId| {
                    let known = user.conversations.get(other)?;
                    Some(Write::settings(other, known, delete_all(known, key)?))
                };
                others.into_iter().filter_map(write).collect()
            };
            let first = Some(Event::AllMessagesDeleted);
            let events = Events::Conversations { key, first };
            Ok(((!writes.is_empty()).then_some(Change { writes, events }), ()))
        };
        parts.entries.commit_reading(cell, deadline, decide).await?;
        Ok(Empty {})
    }
}
