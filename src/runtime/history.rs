//! Reads conversations: two subjects, one for each direction, merged by order key.
//!
//! A page costs the same however long the history is:
//!
//! 1. The anchor of a request is a message ID. It contains the order key, and that contains the
//!    time.
//! 2. The two directions are often in two partitions. A `Reader` has a cursor on each.
//! 3. If the anchor is the end of a page that the user has read before, the page cache has the
//!    cursors, with messages that were read beyond that page or ahead (`page_cache.rs`,
//!    [0020](../../docs/decisions/0020-messages-read-are-kept-for-the-next-page.md)).
//!    Otherwise `Reads::seek` finds the place (`direction.rs`): one read finds the first record stored
//!    at or after that time, and a second one the page that it belongs to. If the clocks differ,
//!    the difference is measured and the read repeated, and then the search walks from page to
//!    page.
//! 4. Each record points to the first record of its page and of the page before. So reading
//!    backwards is one batched read of two pages, or of the newest page only if that has enough
//!    messages. Further back, three and more pages are read at once: their beginning is guessed
//!    from the density of the messages, and a wrong guess costs a second read. Reading forwards
//!    needs no pointers.
//! 5. The cursors are merged by order key. Deleted messages are left out: those up to a mark, and
//!    single ones by bitmap.
//! 6. If no message can be stored before the page any more, the cursors are kept; from the second
//!    page on, the next page is read ahead. The cache is bounded by `limits.history_bytes`, and
//!    messages are read again after a minute.

mod direction;
mod numbered;
mod originals;
mod page_cache;
mod receipts;
mod trees;
mod up_to;

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use self::direction::{Backward, DirectionView, Reads, TWO_PAGES};
pub(super) use self::originals::{Replied, original_of, reference_to};
use self::page_cache::{PageCache, PageEnd, Rest};
pub(super) use self::trees::{Replies, Root};
use super::env::Env;
use super::tuning::REPLY_BYTES_PER_BYTE_MAX;
use super::users::{LoadError, UserCell, Users};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::storage::reads::{Found, Pair, Slot};
use crate::store::{Start, Store};
use peerd_core::conversation::{Conversation, Head};
use peerd_core::deletions::{Deletions, PageId};
use peerd_core::id::{Direction, OrderKey, Partition, UserId};
use peerd_core::limits::PAGE_MESSAGES;
use peerd_core::message::Message;
use peerd_protocol::subject::Token;

/// Reads conversations, and keeps the page cache.
pub(super) struct History<S, B> {
    env: Arc<Env<S, B>>,
    users: Arc<Users<S, B>>,
    page_cache: PageCache,
}

impl<S: Store, B: Bus> History<S, B> {
    pub(super) fn new(env: Arc<Env<S, B>>, users: Arc<Users<S, B>>) -> Self {
        let options = &env.options;
        let page_cache = PageCache::new(options.history_bytes, options.call_deadline);
        Self { env, users, page_cache }
    }

    pub(super) fn env(&self) -> &Env<S, B> {
        &self.env
    }

    /// The messages of one direction.
    fn pair(&self, cell: &UserCell, other: &UserId, direction: Direction) -> Pair {
        match direction {
            Direction::Receive => self.env.pair(other, &cell.id),
            Direction::Send => self.env.pair(&cell.id, other),
        }
    }

    /// Whether what was accepted at that time (milliseconds since 1970) is stored and acknowledged, or
    /// never will be.
    pub(super) fn has_settled(&self, accepted_ms: u64) -> bool {
        accepted_ms.saturating_add(self.env.settles_ms()) <= self.env.clock.wall_ms()
    }
}

/// Reads one conversation as its user sees it at one moment.
pub(super) struct Reader<'n, S, B> {
    history: &'n History<S, B>,
    cell: &'n UserCell,
    other: UserId,
    other_token: Token,
    views: Vec<DirectionView>,
    deletions: Deletions,
    looked_up: HashSet<PageId>,
    /// The number of the load from which the state came.
    load: u64,
    /// Whether all messages that were read are counted.
    is_counted: bool,
    deadline: Instant,
}

/// A page of a history.
pub(super) struct Page {
    /// Oldest first.
    pub(super) messages: Vec<Arc<Message>>,
    /// The place at which reading continues before them, if it stays valid.
    pub(super) rest: Option<(PageEnd, Rest)>,
}

/// Reads one direction towards newer messages.
struct Forward {
    view: DirectionView,
    /// Visible messages, the oldest at the front.
    buffer: VecDeque<Found>,
    /// Messages up to here were taken already, or were not requested.
    above: OrderKey,
    /// The next record to read.
    next: Option<u64>,
}

impl<'n, S: Store, B: Bus> Reader<'n, S, B> {
    pub(super) fn new(
        history: &'n History<S, B>,
        cell: &'n UserCell,
        other: &UserId,
        conversation: &Conversation,
        deadline: Instant,
    ) -> Self {
        Self::with_sent_ahead(history, cell, (other, conversation), false, deadline)
    }

    /// As [`Reader::new`]; `is_sent_ahead`: the user may have sent messages that are stored without
    /// an acknowledgement yet.
    pub(super) fn with_sent_ahead(
        history: &'n History<S, B>,
        cell: &'n UserCell,
        (other, conversation): (&UserId, &Conversation),
        is_sent_ahead: bool,
        deadline: Instant,
    ) -> Self {
        let other_token = Token::of(other);
        let view = |direction| {
            let head = conversation.head(direction).filter(|head| head.stream_seq > 0).copied();
            let is_ahead = is_sent_ahead && direction == Direction::Send;
            let head = head.or_else(|| is_ahead.then_some(Head::BEFORE_FIRST))?;
            let pair = history.pair(cell, other, direction);
            let cleared = conversation.settings.cleared(direction);
            Some(DirectionView {
                direction,
                pair,
                amended: conversation.settings.amended(direction).clone(),
                head,
                cleared: cleared.seq,
                cleared_key: cleared.key,
                receipts: conversation.settings.receipts,
                is_ahead,
            })
        };
        let views = [Direction::Receive, Direction::Send].into_iter().filter_map(view).collect();
        Self {
            history,
            cell,
            other: other.clone(),
            other_token,
            views,
            deletions: conversation.settings.deleted.clone(),
            looked_up: HashSet::new(),
            // With a number of its own, it neither uses cached pages nor leaves any.
            load: if cell.may_have_changed() { history.users.next_load() } else { cell.load() },
            is_counted: true,
            deadline,
        }
    }

    /// Up to `count` messages before `before` (or the newest), oldest first, and where reading
    /// continues before them.
    pub(super) async fn back(
        &mut self,
        before: Option<OrderKey>,
        count: usize,
    ) -> Result<Page, LoadError> {
        let mut cursors = self.start_back(before).await?;
        let (mut messages, mut bytes) = (Vec::with_capacity(count), 0);
        while messages.len() < count {
            for cursor in &mut cursors {
                while cursor.buffer.is_empty() && cursor.next.is_some() {
                    self.reads().read_back(cursor, count - messages.len()).await?;
                    self.leave_out_hidden(cursor).await?;
                }
            }
            let newest = cursors
                .iter_mut()
                .filter(|cursor| !cursor.buffer.is_empty())
                .max_by_key(|cursor| cursor.buffer.front().map(Found::key));
            let Some(cursor) = newest else { break };
            let Some(found) = cursor.buffer.pop_front() else { break };
            bytes += found.bytes;
            messages.push(cursor.view.shown(found.stored.message));
        }
        let stays = messages.len() == count
            && messages.last().is_some_and(|oldest| self.is_settled(oldest.key))
            // Messages that are not counted yet were left out, but will be shown later.
            && self.is_counted
            // A larger reply may be cut, and then ends with another message.
            && bytes <= self.history.env.bus.max_message_bytes() / REPLY_BYTES_PER_BYTE_MAX;
        let oldest = messages.last().filter(|_| stays).map(|oldest| oldest.key);
        let rest = oldest.map(|oldest| (self.page_end(oldest), Rest(cursors)));
        messages.reverse();
        self.show_pins(&mut messages).await?;
        Ok(Page { messages, rest })
    }

    /// Starts before `before`: if a page ended there, with the messages that were read beyond it.
    async fn start_back(&mut self, before: Option<OrderKey>) -> Result<Vec<Backward>, LoadError> {
        let mut kept = match before {
            Some(before) => self.history.page_cache.rest(&self.page_end(before)).await,
            None => Vec::new(),
        };
        let below = before.unwrap_or(OrderKey(u64::MAX));
        let reads = &self.reads();
        let starts = self.views.iter().map(|view| {
            let found = kept.iter().position(|kept| kept.view.direction == view.direction);
            let kept = found.map(|found| kept.swap_remove(found));
            async move {
                match kept {
                    Some(mut kept) => {
                        kept.view = view.clone();
                        Ok(kept)
                    }
                    None => reads.start_back(view, below).await,
                }
            }
        });
        let mut cursors = futures::future::try_join_all(starts).await?;
        for cursor in &mut cursors {
            self.leave_out_hidden(cursor).await?;
        }
        Ok(cursors)
    }

    /// The end of a page whose oldest message has this key.
    fn page_end(&self, before: OrderKey) -> PageEnd {
        PageEnd { load: self.load, other: self.other.clone(), before }
    }

    /// Whether no message can be stored before this key any more.
    fn is_settled(&self, key: OrderKey) -> bool {
        self.history.has_settled(key.unix_ms())
    }

    fn reads(&self) -> Reads<'n, S> {
        Reads { storage: self.history.env.storage(self.deadline) }
    }

    /// Up to `count` messages after `after` (or from the oldest), oldest first.
    pub(super) async fn forth(
        &mut self,
        after: Option<OrderKey>,
        count: usize,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let starts = self.views.iter().map(|view| self.start_forward(view, after));
        let mut cursors = futures::future::try_join_all(starts).await?;
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            for cursor in &mut cursors {
                while cursor.buffer.is_empty() && cursor.next.is_some() {
                    self.fill_forward(cursor, count).await?;
                }
            }
            let oldest = cursors
                .iter_mut()
                .filter(|cursor| !cursor.buffer.is_empty())
                .min_by_key(|cursor| cursor.buffer.front().map(Found::key));
            let Some(cursor) = oldest else { break };
            let Some(found) = cursor.buffer.pop_front() else { break };
            messages.push(cursor.view.shown(found.stored.message));
        }
        self.show_pins(&mut messages).await?;
        Ok(messages)
    }

    /// Shows which of these messages are pinned.
    async fn show_pins(&self, messages: &mut [Arc<Message>]) -> Result<(), LoadError> {
        let Self { history, cell, other, deadline, .. } = self;
        history.env.show_pins(cell, other, messages, *deadline).await
    }

    /// The newest message that the user still sees.
    pub(super) async fn newest(&mut self) -> Result<Option<Arc<Message>>, LoadError> {
        Ok(self.back(None, 1).await?.messages.pop())
    }

    async fn start_forward(
        &self,
        view: &DirectionView,
        after: Option<OrderKey>,
    ) -> Result<Forward, LoadError> {
        let above = after.unwrap_or_default().max(view.cleared_key);
        let next = if above == OrderKey::ZERO {
            Some(1)
        } else if above >= view.head.key {
            view.is_ahead.then_some(view.head.stream_seq + 1)
        } else {
            self.reads().seek(view, above).await?.map(|page| page.first)
        };
        Ok(Forward { view: view.clone(), buffer: VecDeque::new(), above, next })
    }

    async fn fill_forward(&mut self, cursor: &mut Forward, count: usize) -> Result<(), LoadError> {
        let Some(start) = cursor.next.take() else { return Ok(()) };
        // The page of that place may contain earlier messages.
        let limit = count + PAGE_MESSAGES;
        let mut found = self.reads().read(&cursor.view, Start::Seq(start), limit).await?;
        if found.len() == limit {
            cursor.next = found.last().map(|last| last.stream_seq() + 1);
        }
        found.retain(|found| found.key() > cursor.above);
        let pair = &cursor.view.pair;
        let found = found.into_iter().filter_map(|slot| slot.shown(pair)).collect();
        cursor.buffer.extend(self.visible(&cursor.view, found).await?);
        Ok(())
    }

    /// Removes messages that the user does not see from the buffer.
    async fn leave_out_hidden(&mut self, cursor: &mut Backward) -> Result<(), LoadError> {
        let found = std::mem::take(&mut cursor.buffer);
        cursor.buffer = self.visible(&cursor.view, found.into()).await?.into();
        Ok(())
    }

    /// Leaves out messages that the user deleted, and messages that the user's state does not count
    /// yet: after deleting all shown messages, the user would see those again.
    async fn visible(
        &mut self,
        view: &DirectionView,
        mut found: Vec<Found>,
    ) -> Result<Vec<Found>, LoadError> {
        found.retain(|found| found.seq() > view.cleared);
        let read = found.len();
        found.retain(|found| view.head.shows(view.direction, found.seq()));
        self.is_counted &= found.len() == read;
        let pages = found.iter().map(|found| PageId::of(view.direction, found.seq()));
        let pages: HashSet<PageId> = pages.collect();
        self.load_deletions(pages).await?;
        if !failpoint::is(Fault::DeletedShown) {
            found.retain(|found| !self.deletions.contains(view.direction, found.seq()));
        }
        Ok(found)
    }

    async fn load_deletions(&mut self, mut pages: HashSet<PageId>) -> Result<(), LoadError> {
        pages.retain(|page| {
            self.deletions.has_spilled(page.direction)
                && !self.deletions.has_page(*page)
                && self.looked_up.insert(*page)
        });
        let read =
            self.history.users.read_deletions(self.cell, &self.other_token, pages, self.deadline);
        for (page, bitmap, _) in read.await? {
            self.deletions.add_page(page, bitmap);
        }
        Ok(())
    }

    /// The messages with these keys, as far as they are in the conversation, with their directions.
    /// `wanted` ascends.
    pub(super) async fn find(
        &self,
        wanted: &[(OrderKey, Partition)],
    ) -> Result<Vec<(Direction, Arc<Message>)>, LoadError> {
        let found = self.find_stored(wanted).await?.into_iter();
        let found = found.filter_map(|(way, found)| {
            let view = self.views.iter().find(|view| view.direction == way)?;
            Some((way, view.shown(found.stored.message)))
        });
        Ok(found.collect())
    }

    /// As [`Self::find`], with the stream sequences of the messages. For a removed message, its
    /// revocation is found.
    pub(super) async fn find_stored(
        &self,
        wanted: &[(OrderKey, Partition)],
    ) -> Result<Vec<(Direction, Found)>, LoadError> {
        let mut messages = Vec::with_capacity(wanted.len());
        for view in &self.views {
            let here = wanted.iter().filter(|(_, partition)| *partition == view.pair.partition);
            let mut left: VecDeque<OrderKey> = here.map(|(key, _)| *key).collect();
            while let Some(key) = left.front().copied().filter(|key| *key <= view.head.key) {
                let Some(page) = self.reads().seek(view, key).await? else { break };
                let found = self.reads().read(view, Start::Seq(page.first), TWO_PAGES).await?;
                let reached = found.last().map_or(key, Slot::key).max(key);
                let keys: HashSet<OrderKey> =
                    left.iter().copied().take_while(|key| *key <= reached).collect();
                left.drain(..keys.len());
                let found = found.into_iter().filter_map(|slot| slot.shown(&view.pair));
                let wanted = found.filter(|found| keys.contains(&found.key()));
                messages.extend(wanted.map(|found| (view.direction, found)));
            }
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests;
