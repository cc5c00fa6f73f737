//! A conversation entry: what a user decided about the messages with one other, and marks to count
//! on from. Key: `peer.state.<p>.<user>.conversation.<other>`. A load takes the newer one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Kind, borrowed_bytes, read_newest};
use crate::domain::conversation::{Cleared, Mark, NotificationStatus, Settings};
use crate::domain::deletions::{Bitmap, Deletions, PageId};
use crate::domain::id::{OrderKey, Partition};
use crate::domain::message::Direction;
use crate::wire::block;
use crate::wire::packed::{EncodeError, RecordError, check_numbers};
use crate::wire::subject::{Subjects, Token};

const KIND: &str = Kind::Conversation.name();

/// What `user` decided about the conversation with `other`.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token, other: &Token) -> String {
    format!("{}{user}.conversation.{other}", subjects.state_prefix(partition))
}

/// All that `user` decided about conversations.
#[must_use]
pub fn all(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.conversation.*", subjects.state_prefix(partition))
}

#[derive(Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the array's fields, one by one")]
struct SettingsV1<'a> {
    version: u8,
    changed: u64,
    kept: bool,
    muted: bool,
    pinned_ms: u64,
    /// Marks are `(seq, counted)`.
    read: (u64, u64),
    deleted_unread: u64,
    /// `(seq, order key)`.
    cleared_received: (u64, u64),
    cleared_sent: (u64, u64),
    received_mark: (u64, u64),
    sent_mark: (u64, u64),
    spilled_received: bool,
    spilled_sent: bool,
    #[serde(borrow)]
    deleted: Vec<PageV1<'a>>,
}

/// Received or not, the page's number, its bits.
#[derive(Serialize, Deserialize)]
struct PageV1<'a>(bool, u64, #[serde(borrow, with = "borrowed_bytes")] &'a [u8]);

const fn pair(mark: Mark) -> (u64, u64) {
    (mark.seq, mark.counted)
}

const fn mark((seq, counted): (u64, u64)) -> Mark {
    Mark { seq, counted }
}

const fn cleared((seq, key): (u64, u64)) -> Cleared {
    Cleared { seq, key: OrderKey(key) }
}

/// Writes what a user decided about a conversation.
pub fn encode(settings: &Settings) -> Result<Bytes, EncodeError> {
    let page = |(page, bits): (&PageId, &'_ Bitmap)| {
        (page.direction == Direction::Receive, page.number, bits.as_bytes().to_vec())
    };
    let pages: Vec<(bool, u64, Vec<u8>)> = settings.deleted.pages().map(page).collect();
    let entry = SettingsV1 {
        version: 1,
        changed: settings.changed.0,
        kept: settings.kept,
        muted: settings.notification == NotificationStatus::DoNotDisturb,
        pinned_ms: settings.pinned_ms,
        read: pair(settings.read),
        deleted_unread: settings.deleted_unread,
        cleared_received: (settings.cleared_received.seq, settings.cleared_received.key.0),
        cleared_sent: (settings.cleared_sent.seq, settings.cleared_sent.key.0),
        received_mark: pair(settings.received_mark),
        sent_mark: pair(settings.sent_mark),
        spilled_received: settings.deleted.has_spilled(Direction::Receive),
        spilled_sent: settings.deleted.has_spilled(Direction::Send),
        deleted: pages
            .iter()
            .map(|(received, number, bits)| PageV1(*received, *number, bits))
            .collect(),
    };
    block::written(|out| rmp_serde::encode::write(out, &entry))
}

/// Reads what a user decided about a conversation.
pub fn decode(bytes: &[u8]) -> Result<Settings, RecordError> {
    let entry: SettingsV1<'_> = read_newest(bytes, KIND, 1)?;
    check_numbers(KIND, &[entry.changed, entry.pinned_ms, entry.deleted_unread])?;
    for (one, other) in [
        entry.read,
        entry.cleared_received,
        entry.cleared_sent,
        entry.received_mark,
        entry.sent_mark,
    ] {
        check_numbers(KIND, &[one, other])?;
    }
    let page = |PageV1(received, number, bits): &PageV1<'_>| {
        let direction = if *received { Direction::Receive } else { Direction::Send };
        (PageId { direction, number: *number }, Bitmap::from_bytes(bits))
    };
    let pages = entry.deleted.iter().map(page);
    Ok(Settings {
        changed: OrderKey(entry.changed),
        kept: entry.kept,
        notification: if entry.muted {
            NotificationStatus::DoNotDisturb
        } else {
            NotificationStatus::Notify
        },
        pinned_ms: entry.pinned_ms,
        read: mark(entry.read),
        deleted_unread: entry.deleted_unread,
        cleared_received: cleared(entry.cleared_received),
        cleared_sent: cleared(entry.cleared_sent),
        deleted: Deletions::new(pages, entry.spilled_sent, entry.spilled_received),
        received_mark: mark(entry.received_mark),
        sent_mark: mark(entry.sent_mark),
    })
}
