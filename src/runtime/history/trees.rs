//! Trees of replies: how many replies a root has, and the replies in order.
//!
//! A root notes in its amendment the pages that may have replies of its tree, and how many there are
//! up to a place before the last two pages. So a count is one read for each of the two users,
//! whatever the size of the tree, and is derived from the records alone
//! ([0045](../../../docs/decisions/0045-a-reply-refers-to-its-original.md)).

use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::Instant;

use super::direction::{DirectionView, TWO_PAGES};
use super::{History, Reader};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::{ORIGINALS_CONCURRENT_MAX, TREE_READS_MAX};
use crate::runtime::users::{LoadError, UserCell};
use crate::storage::reads::{Found, Slot};
use crate::store::{Start, Store};
use peerd_core::conversation::Conversation;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::message::Message;
use peerd_core::pages::{AmendedPages, first_of_page, page_number};
use peerd_core::reply::{Reference, RepliedPages, RepliesOf, RepliesUpTo};

/// The most records after those that are counted: two pages, and one for a carrier.
const UNCOUNTED_MAX: usize = TWO_PAGES + 1;

/// The root of a tree, as it is stored, with its direction for the user.
pub(in crate::runtime) struct Root {
    pub(in crate::runtime) direction: Direction,
    pub(in crate::runtime) found: Found,
    /// Where the replies are.
    pub(in crate::runtime) replied: RepliedPages,
    /// Whether the user deleted it.
    pub(in crate::runtime) is_hidden: bool,
}

impl Root {
    /// Whether the user sees it with its content.
    pub(in crate::runtime) fn is_shown(&self) -> bool {
        !self.is_hidden && self.found.stored.message.revoked().is_none()
    }
}

/// Replies of a tree.
pub(in crate::runtime) struct Replies {
    /// Those that the user sees, oldest first.
    pub(in crate::runtime) messages: Vec<Arc<Message>>,
    /// All replies up to this key were read; `None`: to the end.
    pub(in crate::runtime) up_to: Option<OrderKey>,
}

impl<S: Store, B: Bus> History<S, B> {
    /// The root of a tree; `None` if it is not there.
    pub(in crate::runtime) async fn root(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        (direction, root): (Direction, &Reference),
        deadline: Instant,
    ) -> Result<Option<Root>, LoadError> {
        let slot = self.read_at(cell, (other, known), direction, root, deadline).await?;
        let pair = self.pair(cell, other, direction);
        let removed = match &slot {
            Some(Slot::Removed(removed)) => Some((removed.seq(), removed.key())),
            Some(Slot::Message(_)) | None => None,
        };
        let Some(mut found) = slot.and_then(|slot| slot.shown(&pair)) else { return Ok(None) };
        if let Some((seq, key)) = removed {
            let storage = self.env.storage(deadline);
            let (page, _) = storage.amendments(&pair, page_number(seq)).await?;
            let replied = page.get(seq, key).map(|amendment| amendment.replied.clone());
            let annotations = found.stored.message.annotations.get_or_insert_default();
            annotations.replied = replied.unwrap_or_default();
        }
        let at = (direction, root.seq);
        let is_hidden = self.users.is_hidden(cell, (other, known), at, deadline).await?;
        let replied = found.stored.message.replied().cloned().unwrap_or_default();
        Ok(Some(Root { direction, found, replied, is_hidden }))
    }

    /// How many replies the tree of a root has, as far as the user's state counts them.
    pub(in crate::runtime) async fn count_replies(
        &self,
        cell: &UserCell,
        seen: (&UserId, &Conversation),
        (direction, root, replied): (Direction, OrderKey, &RepliedPages),
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let mut count = 0;
        for way in [Direction::Receive, Direction::Send] {
            let RepliesOf { pages, counted } = replied.of(direction, way);
            if !pages.is_empty() {
                let up_to = self.count_up_to(cell, seen, (way, root), *counted, deadline).await?;
                count += up_to.count;
            }
        }
        Ok(count)
    }

    /// Continues a count of replies of one direction up to the newest message of the user's state.
    pub(in crate::runtime) async fn count_up_to(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        (way, root): (Direction, OrderKey),
        counted: RepliesUpTo,
        deadline: Instant,
    ) -> Result<RepliesUpTo, LoadError> {
        let Some(head) = known.head(way).filter(|head| head.mark.seq > counted.seq) else {
            return Ok(counted);
        };
        let (pair, amended) = (self.pair(cell, other, way), known.settings.amended(way));
        let start = Start::Seq(counted.stream_seq + 1);
        let storage = self.env.storage(deadline);
        let read = storage.messages(&pair, amended, start, UNCOUNTED_MAX).await?;
        let new = counted.seq + 1..=head.mark.seq;
        let is_reply = |slot: &&Slot| new.contains(&slot.seq()) && root_of(slot) == Some(root);
        let mut count = counted.count + read.iter().filter(is_reply).count() as u64;
        if failpoint::is(Fault::UncountedReply) {
            count = counted.count;
        }
        Ok(RepliesUpTo { seq: head.mark.seq, stream_seq: head.stream_seq, count })
    }

    /// Counts the replies of those of these messages that are roots.
    pub(super) async fn show_counts(
        &self,
        cell: &UserCell,
        seen: (&UserId, &Conversation),
        messages: &mut [Arc<Message>],
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let mut roots: Vec<_> = messages.iter_mut().filter(|message| message.is_root()).collect();
        for chunk in roots.chunks_mut(ORIGINALS_CONCURRENT_MAX) {
            let counts = chunk.iter().map(|message| self.count_of(cell, seen, message, deadline));
            let counts = try_join_all(counts).await?;
            for (message, count) in chunk.iter_mut().zip(counts) {
                set_count(Arc::make_mut(message), count);
            }
        }
        Ok(())
    }

    /// As [`Self::show_counts`], for one message.
    pub(super) async fn show_count(
        &self,
        cell: &UserCell,
        seen: (&UserId, &Conversation),
        message: &mut Message,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        if message.is_root() {
            let count = Box::pin(self.count_of(cell, seen, message, deadline)).await?;
            set_count(message, count);
        }
        Ok(())
    }

    async fn count_of(
        &self,
        cell: &UserCell,
        seen: (&UserId, &Conversation),
        message: &Message,
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let Some(replied) = message.replied() else { return Ok(0) };
        let root = (message.direction(&cell.id), message.key, replied);
        self.count_replies(cell, seen, root, deadline).await
    }
}

impl<S: Store, B: Bus> Reader<'_, S, B> {
    /// Replies of a tree after a key, oldest first: those of a bounded number of pages.
    pub(in crate::runtime) async fn replies(
        &mut self,
        root: &Root,
        after: OrderKey,
    ) -> Result<Replies, LoadError> {
        let mut replies = Replies { messages: Vec::new(), up_to: None };
        for view in self.views.clone() {
            let pages = &root.replied.of(root.direction, view.direction).pages;
            let key = root.found.key();
            let (messages, up_to) = self.replies_of(&view, pages, key, after).await?;
            replies.messages.extend(messages);
            let ends = [replies.up_to, up_to];
            replies.up_to = ends.into_iter().flatten().min();
        }
        let Replies { messages, up_to } = &mut replies;
        messages.retain(|message| up_to.is_none_or(|up_to| message.key <= up_to));
        messages.sort_unstable_by_key(|message| message.key);
        if failpoint::is(Fault::UnlistedReply) && !messages.is_empty() {
            messages.remove(0);
        }
        self.show_pins(messages).await?;
        Ok(replies)
    }

    /// The root as the user sees it.
    pub(in crate::runtime) async fn show_root(
        &self,
        root: Root,
    ) -> Result<Arc<Message>, LoadError> {
        let mut message = root.found.stored.message;
        for view in self.views.iter().filter(|view| view.direction == root.direction) {
            view.receipts.show(view.direction, &mut message);
        }
        let mut shown = [Arc::new(message)];
        self.show_pins(&mut shown).await?;
        let [shown] = shown;
        Ok(shown)
    }

    /// As [`Self::replies`], of one direction.
    async fn replies_of(
        &mut self,
        view: &DirectionView,
        pages: &AmendedPages,
        root: OrderKey,
        after: OrderKey,
    ) -> Result<(Vec<Arc<Message>>, Option<OrderKey>), LoadError> {
        let (mut messages, mut next, mut up_to) = (Vec::new(), None, None);
        if pages.is_empty() || after >= view.head.key {
            return Ok((messages, None));
        }
        if let Some(page) = self.reads().seek(view, after.max(root)).await? {
            next = Some(self.reads().read(view, Start::Seq(page.first), TWO_PAGES).await?);
        }
        for _ in 0..TREE_READS_MAX {
            let Some(slots) = next.take() else { break };
            let Some(last) = slots.last() else { return Ok((messages, None)) };
            let (reached, at, end) = (last.key(), last.stream_seq(), last.seq());
            up_to = Some(reached);
            let is_reply = |slot: &Slot| slot.key() > after && root_of(slot) == Some(root);
            let found = slots.into_iter().filter(is_reply);
            let found = found.filter_map(|slot| slot.shown(&view.pair)).collect();
            let visible = self.visible(view, found).await?.into_iter();
            messages.extend(visible.map(|found| view.shown(found.stored.message)));
            let Some(seq) = next_reply(pages, end).filter(|seq| *seq <= view.head.mark.seq) else {
                return Ok((messages, None));
            };
            let slots = if seq == end + 1 {
                self.reads().read(view, Start::Seq(at + 1), TWO_PAGES).await?
            } else {
                self.with_number(view, seq).await?
            };
            if slots.last().is_none_or(|last| last.key() <= reached) {
                return Ok((messages, None));
            }
            next = Some(slots);
        }
        Ok((messages, up_to))
    }
}

/// The next `messageSeq` after one at which a reply can be.
fn next_reply(pages: &AmendedPages, end: u64) -> Option<u64> {
    let next = end + 1;
    let page = pages.within(page_number(next)..=u64::MAX).next()?;
    Some(first_of_page(page).max(next))
}

/// The root of a reply, also of a removed one.
fn root_of(slot: &Slot) -> Option<OrderKey> {
    match slot {
        Slot::Message(found) => found.stored.message.reply().map(|reply| reply.root().key),
        Slot::Removed(removed) => removed.stub.root,
    }
}

fn set_count(message: &mut Message, count: u64) {
    message.annotations.get_or_insert_default().replied_count = count;
}
