//! The results of reads of messages.

use crate::storage::message::{self, Recorded, StoredMessage};
use crate::storage::reads::LoadError;
use crate::store::Record;
use crate::wire::packed::RecordError;
use peerd_core::amendment::{Amendment, Removed};
use peerd_core::audit::Counted;
use peerd_core::content::Excerpt;
use peerd_core::conversation::Head;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::message::Message;
use peerd_protocol::subject::{Subjects, Token};

/// One direction of a conversation: a subject of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The sender.
    pub sender: UserId,
    /// The receiver.
    pub receiver: UserId,
    /// The receiver's partition, whose log has it.
    pub partition: Partition,
    /// The subject.
    pub subject: String,
}

impl Pair {
    /// The messages that `sender` sent to `receiver`.
    #[must_use]
    pub fn new(subjects: &Subjects, sender: &UserId, receiver: &UserId) -> Self {
        let to = Token::of(receiver);
        let partition = subjects.partition(&to);
        let subject = message::key(subjects, partition, &to, &Token::of(sender));
        Self { sender: sender.clone(), receiver: receiver.clone(), partition, subject }
    }
}

/// A stored message and its place.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// When it was stored, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
    /// Its approximate memory.
    pub bytes: usize,
    /// The message.
    pub stored: StoredMessage,
}

impl Found {
    fn new(record: &Record, stored: StoredMessage) -> Self {
        let &Record { stream_seq, stored_ms, .. } = record;
        let bytes = Self::memory(&stored.message, record.payload.len());
        Self { stream_seq, stored_ms, bytes, stored }
    }

    fn memory(message: &Message, content_bytes: usize) -> usize {
        size_of::<Self>() + message.content.parts() * size_of::<Excerpt>() + content_bytes
    }

    /// The same with the amendment applied, which must not be a removal.
    pub(super) fn amended(mut self, amendment: &Amendment) -> Self {
        amendment.apply(&mut self.stored.message);
        let message = &self.stored.message;
        self.bytes = self.bytes.max(Self::memory(message, message.size_bytes()));
        self
    }

    /// Its order key.
    #[must_use]
    pub const fn key(&self) -> OrderKey {
        self.stored.message.key
    }

    /// Its `messageSeq`.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.stored.message.seq
    }

    /// The head that it makes.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.stored.head(self.stream_seq)
    }
}

/// A place in the sequence of a pair's messages.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages")]
pub enum Slot {
    /// A message.
    Message(Found),
    /// A removed message: its carrier, or the hole of its record.
    Removed(Removed),
}

impl Slot {
    /// Its sequence in the stream.
    #[must_use]
    pub const fn stream_seq(&self) -> u64 {
        match self {
            Self::Message(found) => found.stream_seq,
            Self::Removed(removed) => removed.stream_seq,
        }
    }

    /// When it was stored, by the server's clock, in milliseconds since 1970.
    #[must_use]
    pub const fn stored_ms(&self) -> u64 {
        match self {
            Self::Message(found) => found.stored_ms,
            Self::Removed(removed) => removed.stored_ms,
        }
    }

    /// Its order key.
    #[must_use]
    pub const fn key(&self) -> OrderKey {
        match self {
            Self::Message(found) => found.key(),
            Self::Removed(removed) => removed.key(),
        }
    }

    /// Its `messageSeq`.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        match self {
            Self::Message(found) => found.seq(),
            Self::Removed(removed) => removed.seq(),
        }
    }

    /// The head that it makes.
    #[must_use]
    pub const fn head(&self) -> Head {
        match self {
            Self::Message(found) => found.head(),
            Self::Removed(removed) => removed.head(),
        }
    }

    /// Whether it counts as unread until read. A removal does not change that.
    #[must_use]
    pub const fn counts(&self) -> bool {
        match self {
            Self::Message(found) => found.stored.message.counts,
            Self::Removed(removed) => removed.stub.counts,
        }
    }

    /// The part that the audit recounts.
    #[must_use]
    pub const fn counted(&self) -> Counted {
        let is_removed = matches!(self, Self::Removed(_));
        Counted { head: self.head(), counts: self.counts(), is_removed }
    }

    /// The message that histories show: itself, or its revocation; `None` if there is none.
    #[must_use]
    pub fn shown(self, pair: &Pair) -> Option<Found> {
        let removed = match self {
            Self::Message(found) => return Some(found),
            Self::Removed(removed) => removed,
        };
        let message = removed.shown(&pair.sender, &pair.receiver, pair.partition)?;
        let Removed { stream_seq, stored_ms, stub, .. } = removed;
        let bytes = Found::memory(&message, 0);
        let stored = StoredMessage { message, mark: stub.mark, page: stub.page, push: None };
        Some(Found { stream_seq, stored_ms, bytes, stored })
    }

    /// The message, if it was not removed.
    #[must_use]
    pub fn message(self) -> Option<Found> {
        match self {
            Self::Message(found) => Some(found),
            Self::Removed(_) => None,
        }
    }
}

/// A record of a log, or a hole in it.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages, and none is kept")]
pub enum Item {
    /// A message, or a stub.
    Slot(Slot),
    /// An unreadable record, which was counted and logged.
    Unreadable {
        /// Its sequence in the stream.
        stream_seq: u64,
        /// When it was stored, by the server's clock, in milliseconds since 1970.
        stored_ms: u64,
        /// Why.
        error: RecordError,
    },
}

impl Item {
    /// Its sequence in the stream.
    #[must_use]
    pub const fn stream_seq(&self) -> u64 {
        match self {
            Self::Slot(slot) => slot.stream_seq(),
            Self::Unreadable { stream_seq, .. } => *stream_seq,
        }
    }

    /// When it was stored, by the server's clock, in milliseconds since 1970.
    #[must_use]
    pub const fn stored_ms(&self) -> u64 {
        match self {
            Self::Slot(slot) => slot.stored_ms(),
            Self::Unreadable { stored_ms, .. } => *stored_ms,
        }
    }

    /// The order key, if it is readable.
    #[must_use]
    pub const fn key(&self) -> Option<OrderKey> {
        match self {
            Self::Slot(slot) => Some(slot.key()),
            Self::Unreadable { .. } => None,
        }
    }

    /// The message or stub; an error for an unreadable record.
    pub fn required(self) -> Result<Slot, LoadError> {
        match self {
            Self::Slot(slot) => Ok(slot),
            Self::Unreadable { error, .. } => Err(error.into()),
        }
    }

    /// The message or stub, if it is readable.
    #[must_use]
    pub fn slot(self) -> Option<Slot> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Unreadable { .. } => None,
        }
    }

    /// The message, if it is readable and not removed.
    #[must_use]
    pub fn message(self) -> Option<Found> {
        self.slot().and_then(Slot::message)
    }
}

/// A record of a log as it was stored, without its amendments, which only [`super::Storage`]
/// applies.
#[derive(Clone, Debug)]
pub struct Raw(pub(super) Item);

impl Raw {
    /// Reads a record. Records are decoded here only.
    pub fn read(
        record: &Record,
        (sender, receiver): (&UserId, &UserId),
        partition: Partition,
    ) -> Result<Self, RecordError> {
        let &Record { stream_seq, stored_ms, .. } = record;
        let slot = match message::decode(&record.payload, sender, receiver, partition)? {
            Recorded::Message(stored) => Slot::Message(Found::new(record, stored)),
            Recorded::Carrier(stub) => {
                Slot::Removed(Removed { stream_seq, stored_ms, stub, revocation: None })
            }
        };
        Ok(Self(Item::Slot(slot)))
    }

    /// Its sequence in the stream.
    #[must_use]
    pub const fn stream_seq(&self) -> u64 {
        self.0.stream_seq()
    }

    /// The stub, if it is a carrier.
    #[must_use]
    pub const fn carrier(&self) -> Option<&Removed> {
        match &self.0 {
            Item::Slot(Slot::Removed(removed)) => Some(removed),
            Item::Slot(Slot::Message(_)) | Item::Unreadable { .. } => None,
        }
    }

    /// Whether it cannot be read.
    #[must_use]
    pub const fn is_unreadable(&self) -> bool {
        matches!(self.0, Item::Unreadable { .. })
    }
}

/// A part of a log.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its records, in the log's order.
    pub items: Vec<Item>,
    /// The number of records from its beginning to the end of the log, including sentinels.
    pub count: u64,
    /// The sequence of the next record after it, if there are more.
    pub next: Option<u64>,
}

/// A record of a partition's log with its two users.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The receiver.
    pub receiver: UserId,
    /// The sender.
    pub sender: UserId,
    /// The record.
    pub record: Raw,
}
