//! Compares the heads of a conversation with the ends of its logs.

use tokio::time::Instant;

use super::{LoadError, UserCell, Users};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::{Direction, UserId};

impl<S: Store, B: Bus> Users<S, B> {
    /// Called if the log has nothing newer than the head. It should end with the head, unless it
    /// lost acknowledged messages: then appends continue from its end, and counts from the head.
    /// Returns whether that is so.
    pub(in crate::runtime) async fn compare_end(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        deadline: Instant,
    ) -> Result<bool, LoadError> {
        let end = self.env.storage(deadline).end(&self.env.pair(sender, &receiver.id)).await?;
        let mut user = receiver.lock();
        Ok(user.update(sender, |known| {
            if !known.move_end_back(Direction::Receive, end) {
                return false;
            }
            // Retention does this too, with the last message of a silent pair.
            tracing::warn!("the log ends before what is known of it");
            known.published_seq = end.map_or(0, |end| end.stream_seq);
            // Other messages may get the sequences of the lost ones.
            known.repeats.forget();
            true
        }))
    }

    /// As `compare_end`, for the messages that the user sent.
    pub(in crate::runtime) async fn compare_sent_end(
        &self,
        cell: &UserCell,
        other: &UserId,
        deadline: Instant,
    ) -> Result<bool, LoadError> {
        let known = cell.lock().conversations.get(other).and_then(|known| known.sent);
        let end = self.env.storage(deadline).end(&self.env.pair(&cell.id, other)).await?;
        let mut user = cell.lock();
        Ok(user.update(other, |conversation| {
            // A message that was published meanwhile may be missing from what was read.
            conversation.sent == known && conversation.move_end_back(Direction::Send, end)
        }))
    }
}
