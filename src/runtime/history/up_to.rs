//! Finds how far a conversation is read after reading up to a message.

use super::Reader;
use super::direction::DirectionView;
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::DELETED_MESSAGES_PER_READ;
use crate::runtime::users::LoadError;
use crate::storage::reads::Slot;
use crate::store::{Start, Store};
use peerd_core::clear::ReadUpTo;
use peerd_core::deletions::PageId;
use peerd_core::id::{Direction, MessageId, OrderKey};
use peerd_core::limits::PAGE_MESSAGES;

impl<S: Store, B: Bus> Reader<'_, S, B> {
    /// The other user's mark at a message of the conversation, and the number of later messages
    /// that count and are deleted, of `deleted` in all. `None`: there is no such message.
    pub(in crate::runtime) async fn up_to(
        &mut self,
        message: MessageId,
        deleted: u64,
    ) -> Result<Option<ReadUpTo>, LoadError> {
        if !self.has(message).await? {
            return Ok(None);
        }
        let received = self.views.iter().find(|view| view.direction == Direction::Receive).cloned();
        let Some(view) = received else { return Ok(Some(ReadUpTo::default())) };
        let last = if message.key() >= view.head.key || failpoint::is(Fault::ReadTooFar) {
            Some(view.head)
        } else {
            self.last_at(&view, message.key()).await?.map(|slot| slot.head())
        };
        let Some(last) = last else { return Ok(Some(ReadUpTo::default())) };
        let deleted_after = self.deleted_after(&view, last.stream_seq, deleted).await?;
        Ok(Some(ReadUpTo { mark: last.mark, deleted_after }))
    }

    /// Whether a message is in the conversation, deleted or not.
    async fn has(&self, message: MessageId) -> Result<bool, LoadError> {
        for view in &self.views {
            if view.pair.partition != message.partition() || message.key() > view.head.key {
                continue;
            }
            let last = self.last_at(view, message.key()).await?;
            if last.is_some_and(|last| last.key() == message.key()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last message of a direction at or before a key.
    pub(super) async fn last_at(
        &self,
        view: &DirectionView,
        key: OrderKey,
    ) -> Result<Option<Slot>, LoadError> {
        let Some(page) = self.reads().seek(view, key).await? else { return Ok(None) };
        let found = self.reads().read(view, Start::Seq(page.first), 2 * PAGE_MESSAGES).await?;
        let last = found.into_iter().take_while(|slot| slot.key() <= key).last();
        if last.is_some() || page.previous == 0 {
            return Ok(last);
        }
        // The key lies between two pages.
        let found = self.reads().read(view, Start::Seq(page.previous), PAGE_MESSAGES).await?;
        Ok(found.into_iter().take_while(|slot| slot.key() <= key).last())
    }

    /// The number of messages after a sequence that count and are deleted. The search ends at
    /// `most`.
    async fn deleted_after(
        &mut self,
        view: &DirectionView,
        stream_seq: u64,
        most: u64,
    ) -> Result<u64, LoadError> {
        let (mut next, mut deleted) = (Some(stream_seq + 1), 0);
        while let (Some(start), true) = (next, deleted < most) {
            let found =
                self.reads().read(view, Start::Seq(start), DELETED_MESSAGES_PER_READ).await?;
            next = found
                .last()
                .filter(|_| found.len() == DELETED_MESSAGES_PER_READ)
                .map(|last| last.stream_seq() + 1);
            let pages = found.iter().map(|slot| PageId::of(Direction::Receive, slot.seq()));
            let pages = pages.collect();
            self.load_deletions(pages).await?;
            // A removed message is counted like a deleted one.
            let is_deleted = |slot: &&Slot| {
                slot.counts()
                    && slot.seq() <= view.head.mark.seq
                    && (slot.counted().is_removed
                        || self.deletions.contains(Direction::Receive, slot.seq()))
            };
            deleted += found.iter().filter(is_deleted).count() as u64;
        }
        Ok(deleted.min(most))
    }
}
