//! How far a direction of a conversation has come: marks, and the newest message of it.

use crate::id::OrderKey;
use crate::limits::PAGE_MESSAGES;
use crate::message::Direction;

/// How far into the messages of one direction something reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// `messageSeq` of the last message.
    pub seq: u64,
    /// How many of the messages up to there count as unread until read.
    pub counted: u64,
}

/// How far a user deleted all messages of one direction. By direction, since a message of the other
/// direction may be on its way with a lower order key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// `messageSeq` of the last message that is gone.
    pub seq: u64,
    /// Its order key: from here on history is read.
    pub key: OrderKey,
}

/// Stream sequences that make a page of history one read: of the first message of a message's own
/// page, and of the page before (0: there is none). Never handed out to callers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PagePointers {
    /// First message of the own page.
    pub first: u64,
    /// First message of the page before.
    pub previous: u64,
}

/// The newest message of one direction. It carries all that is needed to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its sequence, and how many so far count as unread until read.
    pub mark: Mark,
    /// Its order key.
    pub key: OrderKey,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Where the store has it. 0 when the store no longer has any message of this direction.
    pub stream_seq: u64,
    /// Its page.
    pub page: PagePointers,
}

impl Head {
    /// Stands before the first message of a direction: reading begins at the start.
    pub const BEFORE_FIRST: Self = Self {
        mark: Mark { seq: 0, counted: 0 },
        key: OrderKey::ZERO,
        timestamp_ms: 0,
        stream_seq: 1,
        page: PagePointers { first: 1, previous: 0 },
    };

    /// Whether a message is shown where this is the newest that is known. One that the user receives
    /// is not, while its acknowledgement is on its way: it is counted and published with that. One that the
    /// user sent may have been answered by an owner before, and be known here a moment later.
    #[must_use]
    pub const fn shows(&self, direction: Direction, seq: u64) -> bool {
        matches!(direction, Direction::Send) || seq <= self.mark.seq
    }

    /// How many messages its page has up to this one. Where retention had emptied the log, and
    /// counting went on above it, the page may begin later, and have fewer.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "a remainder of 32 fits")]
    pub const fn in_page(&self) -> usize {
        (self.mark.seq.saturating_sub(1) % PAGE_MESSAGES as u64) as usize + 1
    }

    /// The head where `count` records after `before` cannot be read, the last of them at `stream_seq`:
    /// each may have been a message, so that none of their `messageSeq` is given again. None counts.
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

    /// Whether it stands for a message, as opposed to what cannot be read alone.
    pub(super) const fn is_message(&self) -> bool {
        self.key.0 > OrderKey::ZERO.0
    }

    /// The pointers that the message after this one carries. 0 as `first` means "this message":
    /// a record that opens a page cannot know its own place before it is stored.
    #[must_use]
    pub const fn next_pointers(&self) -> PagePointers {
        if self.mark.seq.is_multiple_of(PAGE_MESSAGES as u64) {
            PagePointers { first: 0, previous: self.page.first }
        } else {
            self.page
        }
    }
}
