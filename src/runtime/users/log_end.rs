//! Comparing what is known of a conversation with where its logs end.

use tokio::time::Instant;

use super::{LoadError, UserCell, Users};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::UserId;
use peerd_core::message::Direction;

impl<S: Store, B: Bus> Users<S, B> {
    /// The log has nothing newer than what is known. It should end with what is known, unless it
    /// lost what it had acknowledged: then appends go on from its end, and counts from ours. Answers
    /// whether that is so.
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
            // Retention does this too, to the last message of a silent pair.
            tracing::warn!("the log ends before what is known of it");
            known.published_seq = end.map_or(0, |end| end.stream_seq);
            // Other messages may come to where those were that are gone.
            known.repeats.forget();
            true
        }))
    }

    /// As `compare_end`, of what the user sent.
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
            // What was published meanwhile may not be in what was read.
            conversation.sent == known && conversation.move_end_back(Direction::Send, end)
        }))
    }
}
