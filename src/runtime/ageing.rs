//! Counts that follow what the store no longer has: messages that aged out.
//!
//! Where messages age, each user in memory has the time at which the oldest unread message was stored.
//! When that may be gone, the conversation is looked at anew: its oldest message that is left tells
//! how many of those that counted are gone. That is done before a call or a delivery uses the user,
//! and by itself for users who have nothing to do. Without ageing nothing of it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::try_join_all;
use tokio::time::{Instant, sleep};

use super::cell::UserCell;
use super::commit::chunks;
use super::conversations::Preview;
use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::storage::reads::{Item, Slot};
use crate::store::{ReadError, Start, Store};
use peerd_core::conversation::{Conversation, ConversationEvent, ConversationView, Gone};
use peerd_core::event::{Event, Totals};
use peerd_core::id::UserId;
use peerd_core::message::Direction;
use peerd_protocol::failure::Failure;

/// Messages that one look reads: with the oldest that is unread among them, the next look is when that
/// ages.
const LOOK: usize = 16;
/// Messages that one read asks for where all that are left are counted.
const BATCH: usize = 256;
/// Conversations that are looked at at the same time.
const CONCURRENT: usize = 16;
/// How often users in memory are looked at by themselves.
const ROUND: Duration = Duration::from_millis(500);
/// How often conversations that are due are gathered in one go: some may become due meanwhile.
const PASSES: usize = 4;

/// After how long messages age.
#[derive(Debug, Default)]
pub(super) struct Ageing {
    max_age_ms: AtomicU64,
}

impl Ageing {
    /// The age, in milliseconds; `None`: messages do not age.
    fn max_age_ms(&self) -> Option<u64> {
        Some(self.max_age_ms.load(Ordering::Relaxed)).filter(|age_ms| *age_ms > 0)
    }
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Says after how long messages age; zero: never.
    pub fn set_max_age(&self, max_age: Duration) {
        let age_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        self.ageing.max_age_ms.store(age_ms, Ordering::Relaxed);
    }

    /// Has the counts of users in memory follow what ages, and tells them. Runs until it is dropped.
    pub async fn follow_ageing_of_all(self: Arc<Self>) {
        loop {
            sleep(ROUND).await;
            for ownership in self.ownerships() {
                for cell in ownership.cells() {
                    if cell.was_ever_loaded() {
                        self.follow_ageing(&cell, self.deadline()).await;
                    }
                }
            }
        }
    }

    /// Has the counts of a user follow what aged out, and tells the user of those that changed.
    pub(super) async fn follow_ageing(&self, cell: &UserCell, deadline: Instant) {
        if self.oldest_ms(cell).is_none() {
            return;
        }
        let followed = async {
            let _one = cell.ageing_gate(deadline).await?;
            let totals = cell.lock().totals;
            let changed = self.look_at_oldest(cell, deadline).await?;
            self.publish_counts(cell, &changed, totals, deadline).await
        };
        if let Err(error) = followed.await {
            tracing::debug!(%error, "what aged out is not known yet");
        }
    }

    /// Whether a message that is unread may have aged out.
    pub(super) fn is_ageing_due(&self, cell: &UserCell) -> bool {
        self.oldest_ms(cell).is_some()
    }

    /// Up to when messages may be gone, where one that is unread may be; by the server's clock.
    fn oldest_ms(&self, cell: &UserCell) -> Option<u64> {
        let gone_ms = self.server_ms().checked_sub(self.ageing.max_age_ms()?)?;
        (cell.lock().oldest_unread_ms <= gone_ms).then_some(gone_ms)
    }

    /// Looks at the conversations whose oldest unread message may be gone. Answers in which there is
    /// another count now.
    pub(super) async fn look_at_oldest(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<Vec<UserId>, LoadError> {
        let mut changed = Vec::new();
        for _ in 0..PASSES {
            let Some(gone_ms) = self.oldest_ms(cell) else { break };
            let due = cell.lock().unread_before(gone_ms);
            if due.is_empty() {
                break;
            }
            for chunk in due.chunks(CONCURRENT) {
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
                // The store is about to drop them.
                break;
            }
        }
        Ok(changed)
    }

    /// What the store no longer has of a conversation; `None`: it has nothing of it.
    async fn gone(
        &self,
        cell: &UserCell,
        other: &UserId,
        seen: &Conversation,
        deadline: Instant,
    ) -> Result<Option<Gone>, LoadError> {
        let batch = self.read_received(cell, other, seen, (1, LOOK), deadline).await?;
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(None) };
        let counted = first.head().mark.counted.saturating_sub(u64::from(first.counts()));
        let (read, newest) = (seen.settings.read.counted, seen.counted());
        let oldest = batch.iter().find(|slot| slot.head().mark.counted > read);
        let oldest_ms = oldest.unwrap_or(last).stored_ms();
        let deleted = if seen.settings.deleted_unread > 0 && counted > read {
            let unread = self.unread_left(cell, other, seen, deadline).await?;
            // Of those that are left, some were deleted, and others may have been removed.
            let left = newest.saturating_sub(counted + unread);
            seen.settings.deleted_unread.saturating_sub(left)
        } else {
            0
        };
        Ok(Some(Gone { counted, deleted, oldest_ms }))
    }

    /// How many of the messages that are left are unread.
    async fn unread_left(
        &self,
        cell: &UserCell,
        other: &UserId,
        seen: &Conversation,
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let seen = self.with_all_deletions(cell, other, seen, deadline).await?;
        let newest = seen.received.map_or(0, |head| head.stream_seq);
        let (mut left, mut next) = (0, 1);
        loop {
            let batch = self.read_received(cell, other, &seen, (next, BATCH), deadline).await?;
            for slot in batch.iter().filter(|slot| slot.stream_seq() <= newest) {
                let is_deleted = seen.hides(Direction::Receive, slot.seq());
                let is_unread = slot.seq() > seen.settings.read.seq && !is_deleted;
                left += u64::from(is_unread && slot.counts());
            }
            match batch.last() {
                Some(last) if batch.len() == BATCH && last.stream_seq() < newest => {
                    next = last.stream_seq() + 1;
                }
                _ => return Ok(left),
            }
        }
    }

    /// Up to `limit` messages that `other` sent to the user, from a place on; removed ones, too.
    async fn read_received(
        &self,
        cell: &UserCell,
        other: &UserId,
        seen: &Conversation,
        (from, limit): (u64, usize),
        deadline: Instant,
    ) -> Result<Vec<Slot>, LoadError> {
        let (pair, amended) = (self.pair(other, &cell.id), &seen.settings.amended_received);
        let page = self.storage(deadline).page(&pair, amended, Start::Seq(from), limit).await?;
        page.items.into_iter().map(Item::required).collect()
    }

    /// Tells a user of conversations in which there is another count now, though nothing came and the
    /// user did nothing. No change belongs to these events.
    pub(super) async fn publish_counts(
        &self,
        cell: &UserCell,
        changed: &[UserId],
        before: Totals,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        if changed.is_empty() {
            return Ok(());
        }
        let page: Vec<(UserId, Conversation)> = {
            let user = cell.lock();
            let known = |other: &UserId| {
                user.conversations.get(other).map(|known| (other.clone(), known.clone()))
            };
            changed.iter().filter_map(known).collect()
        };
        let previews = self.previews(cell, &page, deadline).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "an event goes without its conversation's last message");
            vec![Preview::default(); page.len()]
        });
        self.wait_for_room_beyond(page.len() + 1).await;
        let user = cell.lock();
        let views = page.iter().zip(&previews).filter_map(|((other, seen), preview)| {
            let known = user.conversations.get(other)?;
            let is_current = known.received == seen.received && known.sent == seen.sent;
            let last = preview.last_message.clone();
            let view = ConversationView::new(other, &preview.name, known, last);
            // What has moved on meanwhile was told meanwhile, with its count.
            is_current.then_some((ConversationEvent::Updated, view))
        });
        let views: Vec<_> = views.collect();
        let mut events: Vec<Event> = chunks(views).map(Event::ConversationChanged).collect();
        if user.totals.unmuted != before.unmuted {
            events.push(Event::TotalChanged(user.totals));
        }
        let told = user.tell(events);
        self.tell(cell, &user, &told);
        Ok(())
    }
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        Self::Read(ReadError(failure.to_string()))
    }
}
