//! The position in a direction of a conversation: marks, and its newest message.

use crate::id::{Direction, OrderKey};
use crate::limits::PAGE_MESSAGES;

/// A mark: a position in the messages of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// `messageSeq` of the last message.
    pub seq: u64,
    /// How many of the messages up to there count as unread until read.
    pub counted: u64,
}

/// The position up to which a user deleted all messages of one direction. There is one for each
/// direction, since a message of the other direction may be in flight with a lower order key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// `messageSeq` of the last deleted message.
    pub seq: u64,
    /// Its order key, after which history begins.
    pub key: OrderKey,
}

/// The page pointers of a message, by which a page of history is one read: the stream sequences of
/// the first message of its own page and of the page before (0: there is none). They are never
/// given to callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagePointers {
    /// The first message of the own page.
    pub first: u64,
    /// The first message of the page before.
    pub previous: u64,
}

/// A head: the newest message of one direction, with everything that is needed to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its mark.
    pub mark: Mark,
    /// Its order key.
    pub key: OrderKey,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Its stream sequence; 0 if the store no longer has any message of this direction.
    pub stream_seq: u64,
    /// Its page pointers.
    pub page: PagePointers,
}

impl Head {
    /// The head before the first message of a direction, at which reading begins.
    pub const BEFORE_FIRST: Self = Self {
        mark: Mark { seq: 0, counted: 0 },
        key: OrderKey::ZERO,
        timestamp_ms: 0,
        stream_seq: 1,
        page: PagePointers { first: 1, previous: 0 },
    };

    /// Whether a message is shown if this is the newest known head. A received message without its
    /// acknowledgement is not shown: it is counted and published with that. A sent message may have
    /// been answered by a former owner, and becomes known here a moment later.
    #[must_use]
    pub const fn shows(&self, direction: Direction, seq: u64) -> bool {
        matches!(direction, Direction::Send) || seq <= self.mark.seq
    }

    /// The number of messages of its page up to this one. If retention had emptied the log and
    /// counting continued above it, the page may begin later and have fewer.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 fits")]
    pub const fn in_page(&self) -> usize {
        (self.mark.seq.saturating_sub(1) % PAGE_MESSAGES as u64) as usize + 1
    }

    /// The head after `count` unreadable records that follow `before`, the last at `stream_seq`.
    /// Each may have been a message, so their `messageSeq` are not assigned again. None counts.
    #[must_use]
    pub fn past(before: Option<Self>, count: u64, stream_seq: u64) -> Self {
        let before = before.unwrap_or(Self {
            mark: Mark::default(),
            key: OrderKey::ZERO,
            timestamp_ms: 0,
            stream_seq: 0,
            page: PagePointers::default(),
        });
        let Mark { seq, counted } = before.mark;
        Self { mark: Mark { seq: seq + count, counted }, stream_seq, ..before }
    }

    /// Whether it is the head of a message, and not of unreadable records only.
    pub(super) const fn is_message(&self) -> bool {
        self.key.0 > OrderKey::ZERO.0
    }

    /// The page pointers of the next message. 0 as `first` means "this message": a record that
    /// begins a page cannot know its own sequence before it is stored.
    #[must_use]
    pub const fn next_pointers(&self) -> PagePointers {
        if self.mark.seq.is_multiple_of(PAGE_MESSAGES as u64) {
            PagePointers { first: 0, previous: self.page.first }
        } else {
            self.page
        }
    }
}

/// The head that a message with this key makes, removed or not.
pub(crate) const fn head_at(
    key: OrderKey,
    timestamp_ms: u64,
    mark: Mark,
    page: PagePointers,
    stream_seq: u64,
) -> Head {
    let first = if page.first == 0 { stream_seq } else { page.first };
    Head {
        mark,
        key,
        timestamp_ms,
        stream_seq,
        page: PagePointers { first, previous: page.previous },
    }
}
