//! Reading a conversation: two subjects, one each way, merged by order key.
//!
//! JetStream reads forwards only. So each record points to the first record of its page and of the
//! page before, and reading backwards is a walk over pages, each one batched read. A place is found
//! from an order key by its time, in two or three reads more; where the page before ended, it is
//! known. Whatever the length of the history, a page costs the same.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use super::cell::{STRAGGLER, UserCell};
use super::load::LoadError;
use super::node::Node;
use super::places;
use crate::bus::Bus;
use crate::deliberate::{self, Fault};
use crate::domain::conversation::{Conversation, Head, PagePointers};
use crate::domain::deletions::{Deletions, PageId};
use crate::domain::id::{OrderKey, Partition, UserId};
use crate::domain::limits::PAGE_MESSAGES;
use crate::domain::message::{Direction, Message};
use crate::store::{Record, Start, Store, StreamId};
use crate::wire::record::{self, StoredMessage};
use crate::wire::subject::Token;

/// How far the server's clock may be behind an order key before a place is found the long way.
const CLOCK_SLACK_MS: u64 = 100;
/// How often the clocks' difference is measured anew before a place is looked for page by page.
const SEEK_TRIES: u32 = 3;
/// Records read at once: a page and the one before.
const TWO_PAGES: usize = 2 * PAGE_MESSAGES;

/// One direction of a conversation.
#[derive(Clone)]
struct Side {
    direction: Direction,
    partition: Partition,
    subject: String,
    sender: UserId,
    receiver: UserId,
    head: Head,
    /// Everything up to here is gone.
    cleared: u64,
    /// The key of the last message that is gone.
    cleared_key: OrderKey,
}

/// A stored message and where it is.
#[derive(Clone)]
struct Found {
    stream_seq: u64,
    stored_ms: u64,
    stored: StoredMessage,
}

impl Found {
    const fn key(&self) -> OrderKey {
        self.stored.message.key
    }

    const fn seq(&self) -> u64 {
        self.stored.message.seq
    }

    const fn page(&self) -> PagePointers {
        self.stored.head(self.stream_seq).page
    }
}

/// Reads one conversation as its user sees it at one moment.
pub(super) struct Reader<'n, S, B> {
    node: &'n Node<S, B>,
    cell: &'n UserCell,
    other: UserId,
    other_token: Token,
    sides: Vec<Side>,
    deletions: Deletions,
    looked_up: HashSet<PageId>,
    deadline: Instant,
}

/// Reading one side towards older messages.
struct Backward {
    side: Side,
    /// Visible messages, the newest at the front.
    buffer: VecDeque<Found>,
    /// Messages from here on are taken already, or were not asked for.
    below: OrderKey,
    /// The next pages to read.
    next: Option<PagePointers>,
    /// How many messages the first of these has, if that is known: where they are enough, the page
    /// before it is not read.
    in_first: usize,
}

/// Reading one side towards newer messages.
struct Forward {
    side: Side,
    /// Visible messages, the oldest at the front.
    buffer: VecDeque<Found>,
    /// Messages up to here are taken already, or were not asked for.
    above: OrderKey,
    /// The next record to read.
    next: Option<u64>,
}

impl<'n, S: Store, B: Bus> Reader<'n, S, B> {
    pub(super) fn new(
        node: &'n Node<S, B>,
        cell: &'n UserCell,
        other: &UserId,
        conversation: &Conversation,
        deadline: Instant,
    ) -> Self {
        let other_token = Token::of(other);
        let side = |direction| {
            let head = *conversation.head(direction).filter(|head| head.stream_seq > 0)?;
            let (receiver_token, sender_token, receiver, sender) = match direction {
                Direction::Receive => (&cell.token, &other_token, &cell.id, other),
                Direction::Send => (&other_token, &cell.token, other, &cell.id),
            };
            let partition = node.subjects.partition(receiver_token);
            let cleared = conversation.settings.cleared(direction);
            Some(Side {
                direction,
                partition,
                subject: node.subjects.log(partition, receiver_token, sender_token),
                sender: sender.clone(),
                receiver: receiver.clone(),
                head,
                cleared: cleared.seq,
                cleared_key: cleared.key,
            })
        };
        let sides = [Direction::Receive, Direction::Send].into_iter().filter_map(side).collect();
        Self {
            node,
            cell,
            other: other.clone(),
            other_token,
            sides,
            deletions: conversation.settings.deleted.clone(),
            looked_up: HashSet::new(),
            deadline,
        }
    }

    /// Up to `count` messages before `before` (or the newest), oldest first.
    pub(super) async fn back(
        &mut self,
        before: Option<OrderKey>,
        count: usize,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let known = before.map(|before| self.cell.places().find(&self.other, before));
        let known = known.unwrap_or_default();
        let starts = self.sides.iter().map(|side| self.start_backward(side, before, &known));
        let mut cursors = futures::future::try_join_all(starts).await?;
        let mut messages = Vec::with_capacity(count);
        while messages.len() < count {
            for cursor in &mut cursors {
                while cursor.buffer.is_empty() && cursor.next.is_some() {
                    self.fill_backward(cursor, count - messages.len()).await?;
                }
            }
            let newest = cursors
                .iter_mut()
                .filter(|cursor| !cursor.buffer.is_empty())
                .max_by_key(|cursor| cursor.buffer.front().map(Found::key));
            let Some(found) = newest.and_then(|cursor| cursor.buffer.pop_front()) else { break };
            messages.push(Arc::new(found.stored.message));
        }
        if let (true, Some(oldest)) = (messages.len() == count, messages.last()) {
            self.note_place(oldest.key, &cursors);
        }
        messages.reverse();
        Ok(messages)
    }

    /// Notes where the page before `before` begins, if that is sure to stay so: nothing is stored
    /// there any more.
    fn note_place(&self, before: OrderKey, cursors: &[Backward]) {
        let settles = self.node.options.call_deadline + STRAGGLER;
        let settles_ms = u64::try_from(settles.as_millis()).unwrap_or(u64::MAX);
        if before.unix_ms().saturating_add(settles_ms) > self.node.clock.wall_ms() {
            return;
        }
        let start = |cursor: &Backward| {
            let next = cursor.buffer.front().map(Found::page).or(cursor.next);
            (cursor.side.direction, next)
        };
        let starts = cursors.iter().map(start).collect();
        self.cell.places().note(self.other.clone(), before, starts);
    }

    /// Up to `count` messages after `after` (or from the oldest), oldest first.
    pub(super) async fn forth(
        &mut self,
        after: Option<OrderKey>,
        count: usize,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let starts = self.sides.iter().map(|side| self.start_forward(side, after));
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
            let Some(found) = oldest.and_then(|cursor| cursor.buffer.pop_front()) else { break };
            messages.push(Arc::new(found.stored.message));
        }
        Ok(messages)
    }

    /// The newest message that the user still sees.
    pub(super) async fn newest(&mut self) -> Result<Option<Arc<Message>>, LoadError> {
        Ok(self.back(None, 1).await?.pop())
    }

    async fn start_backward(
        &self,
        side: &Side,
        before: Option<OrderKey>,
        known: &[places::Start],
    ) -> Result<Backward, LoadError> {
        let below = before.unwrap_or(OrderKey(u64::MAX));
        let known = known.iter().find(|(direction, _)| *direction == side.direction);
        let (next, in_first) = if below > side.head.key {
            (Some(side.head.page), side.head.in_page())
        } else if let Some((_, next)) = known {
            (*next, 0)
        } else {
            (self.seek(side, below).await?, 0)
        };
        Ok(Backward { side: side.clone(), buffer: VecDeque::new(), below, next, in_first })
    }

    /// Reads the next pages, for so many messages.
    async fn fill_backward(
        &mut self,
        cursor: &mut Backward,
        wanted: usize,
    ) -> Result<(), LoadError> {
        let Some(page) = cursor.next.take() else { return Ok(()) };
        let is_enough = std::mem::take(&mut cursor.in_first) >= wanted;
        let start = if page.previous > 0 && !is_enough { page.previous } else { page.first };
        let mut found = self.read(&cursor.side, Start::Seq(start), TWO_PAGES).await?;
        let Some(oldest) = found.first() else { return Ok(()) };
        let is_progress = oldest.key() < cursor.below || oldest.stream_seq == start;
        if is_progress && oldest.page().previous > 0 && oldest.seq() > cursor.side.cleared + 1 {
            cursor.next = Some(PagePointers { first: oldest.page().previous, previous: 0 });
        }
        let below = cursor.below;
        cursor.below = below.min(oldest.key());
        let overlaps = |key| key == below && deliberate::is(Fault::PageOverlaps);
        found.retain(|found| found.key() < below || overlaps(found.key()));
        let visible = self.visible(&cursor.side, found).await?;
        cursor.buffer.extend(visible.into_iter().rev());
        Ok(())
    }

    async fn start_forward(
        &self,
        side: &Side,
        after: Option<OrderKey>,
    ) -> Result<Forward, LoadError> {
        let above = after.unwrap_or_default().max(side.cleared_key);
        let next = if above == OrderKey::ZERO {
            Some(1)
        } else if above >= side.head.key {
            None
        } else {
            self.seek(side, above).await?.map(|page| page.first)
        };
        Ok(Forward { side: side.clone(), buffer: VecDeque::new(), above, next })
    }

    async fn fill_forward(&mut self, cursor: &mut Forward, count: usize) -> Result<(), LoadError> {
        let Some(start) = cursor.next.take() else { return Ok(()) };
        // The page in which the place was found may hold messages before it.
        let limit = count + PAGE_MESSAGES;
        let mut found = self.read(&cursor.side, Start::Seq(start), limit).await?;
        if found.len() == limit {
            cursor.next = found.last().map(|last| last.stream_seq + 1);
        }
        found.retain(|found| found.key() > cursor.above);
        cursor.buffer.extend(self.visible(&cursor.side, found).await?);
        Ok(())
    }

    /// The page to read from to meet every message from `key` on, and through its pointers every
    /// message before.
    async fn seek(&self, side: &Side, key: OrderKey) -> Result<Option<PagePointers>, LoadError> {
        let mut at_ms = key.unix_ms().saturating_sub(CLOCK_SLACK_MS);
        for tries in 1.. {
            let found = self.read(side, Start::TimeMs(at_ms), 1).await?;
            let Some(found) = found.into_iter().next() else { break };
            if found.key() >= key {
                return self.walk_back(side, found, key).await.map(Some);
            }
            // Where the server's clock was behind when it stored this, it will have been behind
            // for the one we look for. Where the pair was silent, the same is found again.
            let behind_ms = key.unix_ms().saturating_sub(found.key().unix_ms());
            let next_ms = (found.stored_ms + behind_ms).saturating_sub(CLOCK_SLACK_MS);
            if behind_ms <= 2 * CLOCK_SLACK_MS || next_ms <= at_ms || tries == SEEK_TRIES {
                return self.walk_forth(side, found, key).await.map(Some);
            }
            at_ms = next_ms;
        }
        // By the server's clock everything is older than the key.
        match self.read(side, Start::Seq(side.head.stream_seq), 1).await?.into_iter().next() {
            Some(head) if head.key() >= key => self.walk_back(side, head, key).await.map(Some),
            Some(head) => Ok(Some(head.page())),
            None => Ok(None),
        }
    }

    /// From a message at or after `key`, the page whose first message is at or before it.
    async fn walk_back(
        &self,
        side: &Side,
        mut found: Found,
        key: OrderKey,
    ) -> Result<PagePointers, LoadError> {
        loop {
            let page = found.page();
            let opening = self.read(side, Start::Seq(page.first), 1).await?.into_iter().next();
            let Some(opening) = opening.filter(|opening| opening.key() > key) else {
                return Ok(page);
            };
            if page.previous == 0 {
                return Ok(page);
            }
            let before = self.read(side, Start::Seq(page.previous), 1).await?.into_iter().next();
            // Retention may have taken the page before.
            match before.filter(|before| before.stream_seq < opening.stream_seq) {
                Some(before) => found = before,
                None => return Ok(page),
            }
        }
    }

    /// From a message before `key`, the page of the first message at or after it, or the last.
    async fn walk_forth(
        &self,
        side: &Side,
        mut found: Found,
        key: OrderKey,
    ) -> Result<PagePointers, LoadError> {
        loop {
            let next = self.read(side, Start::Seq(found.stream_seq + 1), TWO_PAGES).await?;
            if let Some(reached) = next.iter().find(|next| next.key() >= key) {
                return Ok(reached.page());
            }
            match next.into_iter().next_back() {
                Some(last) => found = last,
                None => return Ok(found.page()),
            }
        }
    }

    async fn read(&self, side: &Side, from: Start, limit: usize) -> Result<Vec<Found>, LoadError> {
        let stream = StreamId::Log(side.partition);
        let read = self.node.store.read(stream, side.subject.clone(), from, limit, self.deadline);
        let decode = |record: Record| {
            let (sender, receiver) = (&side.sender, &side.receiver);
            let stored = record::decode(&record.payload, sender, receiver, side.partition)?;
            Ok(Found { stream_seq: record.stream_seq, stored_ms: record.stored_ms, stored })
        };
        read.await?.records.into_iter().map(decode).collect()
    }

    /// Leaves out what the user deleted, and what the user's state does not count yet: whoever deletes
    /// all that is shown would see that again.
    async fn visible(
        &mut self,
        side: &Side,
        mut found: Vec<Found>,
    ) -> Result<Vec<Found>, LoadError> {
        found.retain(|found| {
            found.seq() > side.cleared && side.head.shows(side.direction, found.seq())
        });
        let pages = found.iter().map(|found| PageId::of(side.direction, found.seq()));
        let pages: HashSet<PageId> = pages.collect();
        self.load_deletions(pages).await?;
        if !deliberate::is(Fault::DeletedShown) {
            found.retain(|found| !self.deletions.contains(side.direction, found.seq()));
        }
        Ok(found)
    }

    async fn load_deletions(&mut self, mut pages: HashSet<PageId>) -> Result<(), LoadError> {
        pages.retain(|page| {
            self.deletions.has_spilled(page.direction)
                && !self.deletions.has_page(*page)
                && self.looked_up.insert(*page)
        });
        let read = self.node.read_deletions(self.cell, &self.other_token, pages, self.deadline);
        for (page, bitmap, _) in read.await? {
            self.deletions.add_page(page, bitmap);
        }
        Ok(())
    }

    /// The messages with these keys, as far as they are in the conversation, and which way they
    /// went. `wanted` ascends.
    pub(super) async fn find(
        &self,
        wanted: &[(OrderKey, Partition)],
    ) -> Result<Vec<(Direction, Arc<Message>)>, LoadError> {
        let mut messages = Vec::with_capacity(wanted.len());
        for side in &self.sides {
            let here = wanted.iter().filter(|(_, partition)| *partition == side.partition);
            let mut left: VecDeque<OrderKey> = here.map(|(key, _)| *key).collect();
            while let Some(key) = left.front().copied().filter(|key| *key <= side.head.key) {
                let Some(page) = self.seek(side, key).await? else { break };
                let found = self.read(side, Start::Seq(page.first), TWO_PAGES).await?;
                let reached = found.last().map_or(key, Found::key).max(key);
                let keys: HashSet<OrderKey> =
                    left.iter().copied().take_while(|key| *key <= reached).collect();
                left.drain(..keys.len());
                let wanted = found.into_iter().filter(|found| keys.contains(&found.key()));
                messages
                    .extend(wanted.map(|found| (side.direction, Arc::new(found.stored.message))));
            }
        }
        Ok(messages)
    }
}

#[cfg(test)]
mod tests;
