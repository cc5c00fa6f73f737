//! Replies to messages: notes at a message that it has some, and finds them when it changes.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Amending, Call, WithPeer, target};
use crate::bus::Bus;
use crate::runtime::history::{Replied, original_of};
use crate::runtime::users::UserCell;
use crate::storage::reads::Found;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_core::conversation::Conversation;
use peerd_core::event::Messages;
use peerd_core::id::{Direction, UserId};
use peerd_core::message::Message;
use peerd_core::reply::RepliedPages;
use peerd_protocol::failure::{CallError, Failure};

/// Whether the replies to a message show its change.
pub(super) fn in_replies(before: &Message, after: &Message) -> bool {
    (before.message_type(), &before.content) != (after.message_type(), &after.content)
}

impl<S: Store, B: Bus> Amending<'_, S, B> {
    /// The replies to messages that were changed, each with the pages that may have replies to it.
    pub(super) async fn replies_to(
        &self,
        cell: &UserCell,
        seen: (&UserId, &Conversation),
        changed: &[(Arc<Message>, RepliedPages)],
        deadline: Instant,
    ) -> Result<Messages, Failure> {
        let changed = changed.iter().map(|(message, pages)| {
            let original = original_of(message);
            Replied { message, pages, original }
        });
        Ok(self.history.replies_to(cell, seen, changed.collect(), deadline).await?)
    }

    /// Notes at a message of the caller's conversation that a reply of the caller may be stored after
    /// the caller's message `after`; at a root, with the number of replies of the caller so far.
    /// Refuses what the message, or the other user, does not permit.
    pub(in crate::runtime) async fn note_reply<C>(
        &self,
        call: &Call<'_, S, B>,
        (other, known): (&UserId, &Conversation),
        (direction, found): (Direction, Found),
        (after, to_original): (u64, bool),
    ) -> Result<(), CallError>
    where
        C: WithPeer<Part = AmendPart, Answer = AmendAnswer>,
    {
        let mut operation = Operation::NoteReply { after, to_original, counted: None };
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        let decided = operation.decide(&call.cell.id, target(&found), None, now_ms, limits)?;
        let Some(decided) = decided else { return Ok(()) };
        let message = &found.stored.message;
        if message.reply().is_none() {
            let counted = decided.replied.of(direction, Direction::Send).counted;
            let (root, deadline) = ((Direction::Send, message.key), call.deadline);
            let counting =
                self.history.count_up_to(call.cell, (other, known), root, counted, deadline);
            let counted = Some(counting.await.map_err(Failure::from)?);
            operation = Operation::NoteReply { after, to_original, counted };
        }
        let noted = match direction {
            Direction::Send => self.amend_sent::<C>(call, other, found, &operation).await.map(drop),
            Direction::Receive => {
                let found = vec![found];
                self.amend_received::<C>(call, other, found, &operation).await.map(drop)
            }
        };
        noted.map_err(|error| match error {
            // The note may be stored, but the reply is not.
            CallError::Failed(Failure::OutcomeUnknown) => Failure::StoreUnavailable.into(),
            error @ (CallError::Rejected(_) | CallError::Failed(_)) => error,
        })
    }
}
