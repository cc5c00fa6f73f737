//! One direction of a conversation in the store.
//!
//! JetStream reads forwards only. So each record points to the first record of its page and of the
//! page before, and reading backwards is a walk over pages with one batched read each. A place is
//! found from the time in an order key, with two or three more reads.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::time::Instant;

use crate::failpoint::{self, Fault};
use crate::runtime::tuning::{
    GUESSED_PAGES, HISTORY_CLOCK_SLACK_MS, READ_AHEAD_TTL, SEEK_TRIES_MAX,
};
use crate::runtime::users::LoadError;
use crate::storage::reads::{Found, Pair, Slot, Storage};
use crate::store::{Start, Store};
use peerd_core::conversation::{Head, PagePointers};
use peerd_core::id::{Direction, OrderKey};
use peerd_core::limits::PAGE_MESSAGES;
use peerd_core::message::Message;
use peerd_core::pages::AmendedPages;
use peerd_core::receipt::ReceiptMarks;

/// Records read at once: a page and the one before.
pub(super) const TWO_PAGES: usize = 2 * PAGE_MESSAGES;

/// One direction of a conversation.
#[derive(Clone)]
pub(super) struct DirectionView {
    pub(super) direction: Direction,
    pub(super) pair: Pair,
    /// Which of its pages may have amendments.
    pub(super) amended: AmendedPages,
    pub(super) head: Head,
    /// Every message up to here is cleared.
    pub(super) cleared: u64,
    /// The key of the last cleared message.
    pub(super) cleared_key: OrderKey,
    /// Which of its messages are confirmed as read.
    pub(super) receipts: ReceiptMarks,
    /// Whether the store may have messages newer than the newest known one, which are shown.
    pub(super) is_ahead: bool,
}

impl DirectionView {
    /// A message of this direction as the user sees it.
    pub(super) fn shown(&self, mut message: Message) -> Arc<Message> {
        self.receipts.show(self.direction, &mut message);
        Arc::new(message)
    }
}

/// The next pages to read towards older messages.
#[derive(Clone, Copy)]
pub(super) struct Next {
    /// The known pointers to a page and to the page before.
    pages: PagePointers,
    /// The likely distance to the beginning of further pages, in stream sequences; 0: unknown.
    reach: u64,
}

impl Next {
    const fn of(pages: PagePointers) -> Self {
        Self { pages, reach: 0 }
    }

    /// The pages before these records, which ascend.
    fn before(found: &[Slot]) -> Option<Self> {
        let (oldest, newest) = (found.first()?, found.last()?);
        let mut pages = oldest.head().page;
        if oldest.stream_seq() <= pages.first {
            pages = PagePointers { first: pages.previous, previous: 0 };
        }
        // Assumes the same density as that of these records.
        let (span, gaps) = (newest.stream_seq() - oldest.stream_seq(), found.len() as u64 - 1);
        let guessed = (GUESSED_PAGES * PAGE_MESSAGES) as u64;
        let reach = span.saturating_mul(guessed).checked_div(gaps).unwrap_or(0);
        (pages.first > 0).then_some(Self { pages, reach })
    }
}

/// Reads one direction towards older messages.
pub(super) struct Backward {
    pub(super) view: DirectionView,
    /// Messages that were read and not taken, the newest at the front.
    pub(super) buffer: VecDeque<Found>,
    /// When the first of them was read.
    read_at: Instant,
    /// Messages from here on were read already, or were not requested.
    below: OrderKey,
    /// The next pages to read.
    pub(super) next: Option<Next>,
    /// The number of messages of the first of these pages, if known: if they are enough, the page
    /// before is not read.
    in_first: usize,
}

impl Backward {
    /// Forgets messages that were read too long ago and not taken.
    pub(super) fn refresh(&mut self) {
        if self.read_at.elapsed() > READ_AHEAD_TTL {
            self.strip();
        }
    }

    /// Forgets messages that were read and not taken.
    pub(super) fn strip(&mut self) {
        if let Some(newest) = self.buffer.front() {
            self.next = Some(Next::of(newest.head().page));
            self.below = OrderKey(newest.key().0 + 1);
        }
        self.buffer = VecDeque::new();
    }

    /// Whether these records, which ascend, reach the messages that were read already.
    fn joins(&self, found: &[Slot]) -> bool {
        let DirectionView { head, is_ahead, .. } = &self.view;
        let is_end = |last: &Slot| !is_ahead && last.stream_seq() >= head.stream_seq;
        let reaches = |last: &Slot| last.key() >= self.below || is_end(last);
        found.last().is_some_and(reaches)
    }

    /// Its approximate memory.
    pub(super) fn bytes(&self) -> usize {
        let found = self.buffer.iter().map(|found| found.bytes);
        size_of::<Self>() + found.sum::<usize>()
    }
}

/// Reads directions of conversations.
pub(super) struct Reads<'s, S> {
    pub(super) storage: Storage<'s, S>,
}

impl<S: Store> Reads<'_, S> {
    /// Starts to read a direction towards messages before `below`.
    pub(super) async fn start_back(
        &self,
        view: &DirectionView,
        below: OrderKey,
    ) -> Result<Backward, LoadError> {
        let (next, in_first) = if below > view.head.key {
            (Some(view.head.page), view.head.in_page())
        } else {
            (self.seek(view, below).await?, 0)
        };
        let next = next.map(Next::of);
        let (view, buffer, read_at) = (view.clone(), VecDeque::new(), Instant::now());
        Ok(Backward { view, buffer, read_at, below, next, in_first })
    }

    /// Reads the next pages of a direction, for `count` messages. An error loses nothing of the
    /// cursor.
    pub(super) async fn read_back(
        &self,
        cursor: &mut Backward,
        wanted: usize,
    ) -> Result<(), LoadError> {
        let Some(next) = cursor.next else { return Ok(()) };
        let (start, mut found) = self.read_next(cursor, next, wanted).await?;
        (cursor.next, cursor.in_first) = (None, 0);
        let Some(oldest) = found.first() else { return Ok(()) };
        let is_progress = oldest.key() < cursor.below || oldest.stream_seq() == start;
        if is_progress && oldest.seq() > cursor.view.cleared + 1 {
            cursor.next = Next::before(&found);
        }
        let below = cursor.below;
        cursor.below = below.min(oldest.key());
        let overlaps = |key| key == below && failpoint::is(Fault::PageOverlaps);
        found.retain(|found| found.key() < below || overlaps(found.key()));
        if cursor.buffer.is_empty() {
            cursor.read_at = Instant::now();
        }
        let pair = &cursor.view.pair;
        cursor.buffer.extend(found.into_iter().rev().filter_map(|slot| slot.shown(pair)));
        Ok(())
    }

    /// The messages of the next pages, and where the read began.
    async fn read_next(
        &self,
        cursor: &Backward,
        Next { pages, reach }: Next,
        wanted: usize,
    ) -> Result<(u64, Vec<Slot>), LoadError> {
        let is_enough = cursor.in_first >= wanted;
        let exact = if pages.previous > 0 && !is_enough { pages.previous } else { pages.first };
        let guess = exact.saturating_sub(reach).max(1);
        if guess < exact {
            // Half a page more, because the guess is inexact.
            let limit = (GUESSED_PAGES + 2) * PAGE_MESSAGES + PAGE_MESSAGES / 2;
            let found = self.read(&cursor.view, Start::Seq(guess), limit).await?;
            // If messages are denser there, the read ended before the next known ones.
            let is_joined = found.len() < limit || cursor.joins(&found);
            if is_joined && !found.is_empty() {
                return Ok((guess, found));
            }
        }
        let mut found = self.read(&cursor.view, Start::Seq(exact), TWO_PAGES).await?;
        // After a log lost its end, a page may have more messages than usual.
        let mut is_all = found.len() < TWO_PAGES;
        while let (false, false, Some(last)) = (is_all, cursor.joins(&found), found.last()) {
            let from = Start::Seq(last.stream_seq() + 1);
            let more = self.read(&cursor.view, from, TWO_PAGES).await?;
            is_all = more.len() < TWO_PAGES;
            found.extend(more);
        }
        Ok((exact, found))
    }

    /// The page to read from to meet every message from `key` on, and through its pointers every
    /// message before.
    pub(super) async fn seek(
        &self,
        view: &DirectionView,
        key: OrderKey,
    ) -> Result<Option<PagePointers>, LoadError> {
        let mut at_ms = key.unix_ms().saturating_sub(HISTORY_CLOCK_SLACK_MS);
        for tries in 1.. {
            let found = self.read(view, Start::TimeMs(at_ms), 1).await?;
            let Some(found) = found.into_iter().next() else { break };
            if found.key() >= key {
                return self.walk_back(view, found, key).await.map(Some);
            }
            // If the server's clock lagged when it stored this record, it probably lagged for the
            // wanted one too. If the pair was silent, the same record is found again.
            let behind_ms = key.unix_ms().saturating_sub(found.key().unix_ms());
            let next_ms = (found.stored_ms() + behind_ms).saturating_sub(HISTORY_CLOCK_SLACK_MS);
            if behind_ms <= 2 * HISTORY_CLOCK_SLACK_MS
                || next_ms <= at_ms
                || tries == SEEK_TRIES_MAX
            {
                return self.walk_forth(view, found, key).await.map(Some);
            }
            at_ms = next_ms;
        }
        // By the server's clock every message is older than the key.
        match self.read(view, Start::Seq(view.head.stream_seq), 1).await?.into_iter().next() {
            Some(head) if head.key() >= key => self.walk_back(view, head, key).await.map(Some),
            Some(head) => Ok(Some(head.head().page)),
            None => Ok(None),
        }
    }

    /// Walks from a message at or after `key` to the page whose first message is at or before it.
    async fn walk_back(
        &self,
        view: &DirectionView,
        mut found: Slot,
        key: OrderKey,
    ) -> Result<PagePointers, LoadError> {
        loop {
            let page = found.head().page;
            let opening = self.read(view, Start::Seq(page.first), 1).await?.into_iter().next();
            let Some(opening) = opening.filter(|opening| opening.key() > key) else {
                return Ok(page);
            };
            if page.previous == 0 {
                return Ok(page);
            }
            let before = self.read(view, Start::Seq(page.previous), 1).await?.into_iter().next();
            // Retention may have removed the page before.
            match before.filter(|before| before.stream_seq() < opening.stream_seq()) {
                Some(before) => found = before,
                None => return Ok(page),
            }
        }
    }

    /// Walks from a message before `key` to the page of the first message at or after it, or to the
    /// last page.
    async fn walk_forth(
        &self,
        view: &DirectionView,
        mut found: Slot,
        key: OrderKey,
    ) -> Result<PagePointers, LoadError> {
        loop {
            let next = self.read(view, Start::Seq(found.stream_seq() + 1), TWO_PAGES).await?;
            if let Some(reached) = next.iter().find(|next| next.key() >= key) {
                return Ok(reached.head().page);
            }
            match next.into_iter().next_back() {
                Some(last) => found = last,
                None => return Ok(found.head().page),
            }
        }
    }

    /// Up to `limit` messages and stubs of a direction; fewer only at its end. Unreadable records
    /// are skipped.
    pub(super) async fn read(
        &self,
        view: &DirectionView,
        from: Start,
        limit: usize,
    ) -> Result<Vec<Slot>, LoadError> {
        Ok(self.storage.messages(&view.pair, &view.amended, from, limit).await?)
    }
}
