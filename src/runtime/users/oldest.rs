//! Finds which of the messages counted as unread have aged out of the store.

use futures::future::try_join_all;
use tokio::time::Instant;

use super::{LoadError, UserCell, Users, unread_pages};
use crate::bus::Bus;
use crate::runtime::tuning::{
    DELETION_PAGES_PER_READ, DELETION_READ_TIMEOUT, OLDEST_BATCH_MESSAGES, OLDEST_CONCURRENT_MAX,
    OLDEST_LOOK_MESSAGES, OLDEST_PASSES_MAX,
};
use crate::storage::reads::{Item, Slot};
use crate::store::{ReadError, Start, Store};
use peerd_core::conversation::{Conversation, Gone};
use peerd_core::id::{Direction, UserId};

impl<S: Store, B: Bus> Users<S, B> {
    /// Whether an unread message may have aged out.
    pub(in crate::runtime) fn is_ageing_due(&self, cell: &UserCell) -> bool {
        self.oldest_ms(cell).is_some()
    }

    /// The time up to which messages may be gone, if an unread one may be; by the server's clock.
    fn oldest_ms(&self, cell: &UserCell) -> Option<u64> {
        let gone_ms = self.env.aged_ms()?;
        (cell.oldest_unread_ms() <= gone_ms).then_some(gone_ms)
    }

    /// Examines the conversations whose oldest unread message may be gone. Returns those whose
    /// count changed.
    pub(in crate::runtime) async fn look_at_oldest(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<Vec<UserId>, LoadError> {
        let mut changed = Vec::new();
        for _ in 0..OLDEST_PASSES_MAX {
            let Some(gone_ms) = self.oldest_ms(cell) else { break };
            let due = cell.lock().unread_before(gone_ms);
            if due.is_empty() {
                break;
            }
            for chunk in due.chunks(OLDEST_CONCURRENT_MAX) {
                let looks =
                    chunk.iter().map(|(other, seen)| self.gone(cell, other, seen, deadline));
                let gone = try_join_all(looks).await?;
                let mut user = cell.lock();
                for ((other, seen), gone) in chunk.iter().zip(gone) {
                    if user.take_gone(other, seen, gone) {
                        changed.push(other.clone());
                    }
                }
            }
            let is_still = |(other, seen): &(UserId, Conversation)| {
                let user = cell.lock();
                user.conversations.get(other).is_some_and(|known| known.gone == seen.gone)
            };
            if due.iter().all(is_still) {
                // The store is about to drop these messages.
                break;
            }
        }
        Ok(changed)
    }

    /// The messages of a conversation that the store no longer has; `None`: it has no message of
    /// it.
    async fn gone(
        &self,
        cell: &UserCell,
        other: &UserId,
        seen: &Conversation,
        deadline: Instant,
    ) -> Result<Option<Gone>, LoadError> {
        let batch =
            self.read_received(cell, other, seen, (1, OLDEST_LOOK_MESSAGES), deadline).await?;
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(None) };
        let counted = first.head().mark.counted.saturating_sub(u64::from(first.counts()));
        let (read, newest) = (seen.settings.read.counted, seen.counted());
        let oldest = batch.iter().find(|slot| slot.head().mark.counted > read);
        let oldest_ms = oldest.unwrap_or(last).stored_ms();
        let deleted = if seen.settings.deleted_unread > 0 && counted > read {
            let unread = self.unread_left(cell, other, seen, deadline).await?;
            // Some of the remaining messages were deleted, others may have been removed.
            let left = newest.saturating_sub(counted + unread);
            seen.settings.deleted_unread.saturating_sub(left)
        } else {
            0
        };
        Ok(Some(Gone { counted, deleted, oldest_ms }))
    }

    /// The number of remaining messages that are unread.
    async fn unread_left(
        &self,
        cell: &UserCell,
        other: &UserId,
        seen: &Conversation,
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let mut seen = seen.clone();
        for pages in unread_pages(&seen, DELETION_PAGES_PER_READ) {
            if !cell.ownership.may_act() {
                return Err(ReadError("the partition has another owner now".to_owned()).into());
            }
            let deadline = Instant::now() + DELETION_READ_TIMEOUT;
            self.add_deletions(cell, other, &mut seen, pages, deadline).await?;
        }
        let newest = seen.received.map_or(0, |head| head.stream_seq);
        let (mut left, mut next) = (0, 1);
        loop {
            let batch = self
                .read_received(cell, other, &seen, (next, OLDEST_BATCH_MESSAGES), deadline)
                .await?;
            for slot in batch.iter().filter(|slot| slot.stream_seq() <= newest) {
                let is_removed = matches!(slot, Slot::Removed(_));
                let is_deleted = is_removed || seen.hides(Direction::Receive, slot.seq());
                let is_unread = slot.seq() > seen.settings.read.seq && !is_deleted;
                left += u64::from(is_unread && slot.counts());
            }
            match batch.last() {
                Some(last)
                    if batch.len() == OLDEST_BATCH_MESSAGES && last.stream_seq() < newest =>
                {
                    next = last.stream_seq() + 1;
                }
                _ => return Ok(left),
            }
        }
    }

    /// Up to `limit` messages from `other` to the user, from a sequence on, including stubs.
    async fn read_received(
        &self,
        cell: &UserCell,
        other: &UserId,
        seen: &Conversation,
        (from, limit): (u64, usize),
        deadline: Instant,
    ) -> Result<Vec<Slot>, LoadError> {
        let (pair, amended) = (self.env.pair(other, &cell.id), &seen.settings.amended_received);
        let page = self.env.storage(deadline).page(&pair, amended, Start::Seq(from), limit).await?;
        page.items.into_iter().map(Item::required).collect()
    }
}
