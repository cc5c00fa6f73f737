//! A conversation entry: a user's settings, read mark and deletions of the conversation with one
//! other user, and marks from which counting continues. Key:
//! `peer.state.<p>.<user>.conversation.<other>`. A load takes the newer one.
//!
//! It is written at first contact by the sender, and whenever its user changes something; never per
//! message. It has the order key of the change, whether the user ever made a setting, the
//! notification status, the read mark, how many unread messages were deleted singly, the mark up to
//! which each direction is deleted, bitmaps of single deletions (1,024 messages each, up to 8;
//! older ones have entries of their own), the pages that may have amendments, and the *marks*: how
//! far each direction had come when the entry was written.
//!
//! If messages age, the newest record of a silent pair may be dropped too. In memory numbering
//! continues. After both users were loaded again, counting continues above the larger of the
//! `received` mark in the receiver's entry and the `sent` mark in the sender's, or from 1 if
//! neither exists. So `messageSeq` may repeat numbers above the marks, and only those; deletions
//! and read marks are never above them. Message IDs and order keys never repeat.

use std::sync::Arc;

use bytes::Bytes;
use serde::ser::SerializeTuple as _;
use serde::{Deserialize, Serialize};
use serde_bytes::Bytes as ByteSlice;

use super::fields::{self, FieldsIn, FieldsOut};
use super::{Kind, read};
use crate::wire::packed::{EncodeError, RecordError, check_numbers, version};
use peerd_core::conversation::{
    Cleared, Delisted, Mark, MarkedUnread, NotificationStatus, Removing, Settings,
};
use peerd_core::deletions::{Bitmap, Deletions, PageId};
use peerd_core::id::{Direction, OrderKey, Partition};
use peerd_core::later::LaterFields;
use peerd_core::marks::ConversationMarks;
use peerd_core::pages::AmendedPages;
use peerd_core::pins::{Pin, PinnedId, Pins};
use peerd_core::receipt::ReceiptMarks;
use peerd_protocol::subject::{Subjects, Token};

const KIND: &str = Kind::Conversation.name();

/// The subject of `user`'s entry of the conversation with `other`.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token, other: &Token) -> String {
    format!("{}{user}.conversation.{other}", subjects.state_prefix(partition))
}

/// The subjects of all conversation entries of `user`.
#[must_use]
pub fn all(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.conversation.*", subjects.state_prefix(partition))
}

#[derive(Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "the array's fields, one by one")]
struct SettingsV1<'a> {
    #[serde(rename = "version")]
    _version: u8,
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
    deleted: Vec<Page<'a>>,
}

/// Received or not, the page's number, its bits; and, if there are any, the number and the bytes of
/// unknown fields, which version 1 does not have.
#[derive(Deserialize)]
struct Page<'a>(
    bool,
    u64,
    #[serde(borrow, deserialize_with = "serde_bytes::deserialize")] &'a [u8],
    #[serde(default)] u32,
    #[serde(default, borrow, deserialize_with = "serde_bytes::deserialize")] &'a [u8],
);

impl Serialize for Page<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(received, number, bits, count, later) = self;
        let mut array = serializer.serialize_tuple(if *count > 0 { 5 } else { 3 })?;
        array.serialize_element(received)?;
        array.serialize_element(number)?;
        array.serialize_element(ByteSlice::new(bits))?;
        if *count > 0 {
            array.serialize_element(count)?;
            array.serialize_element(ByteSlice::new(later))?;
        }
        array.end()
    }
}

/// The fields of version 2. Marks are `(seq, counted)`, cleared ones `(seq, order key)`.
const CHANGED: u8 = 1;
const KEPT: u8 = 2;
const MUTED: u8 = 3;
const PINNED_MS: u8 = 4;
const READ: u8 = 5;
const DELETED_UNREAD: u8 = 6;
const CLEARED_RECEIVED: u8 = 7;
const CLEARED_SENT: u8 = 8;
const RECEIVED_MARK: u8 = 9;
const SENT_MARK: u8 = 10;
const SPILLED_RECEIVED: u8 = 11;
const SPILLED_SENT: u8 = 12;
const DELETED: u8 = 13;
/// First and last of each range of pages.
const AMENDED_RECEIVED: u8 = 14;
const AMENDED_SENT: u8 = 15;
const DRAFT: u8 = 16;
/// A bit for each mark.
const MARKS: u8 = 17;
/// `(sent, read)` when it was marked.
const MARKED_UNREAD: u8 = 18;
/// `(received, sent)` when it was deleted.
const DELISTED: u8 = 19;
/// `(seq, order key)`; `(0, 0)` if no removal is in progress.
const REMOVING: u8 = 20;
/// The order keys of [`ReceiptMarks`].
const RECEIPTS_SENT: u8 = 21;
/// Left out unless it is beyond `RECEIPTS_SENT`.
const RECEIPTS_BEGUN: u8 = 22;
const RECEIPTS_RECEIVED: u8 = 23;
/// A list of pins, in the order in which the messages were pinned.
const PINS: u8 = 24;
/// An order key.
const PINNED_UP_TO: u8 = 25;
/// The order key of [`ReceiptMarks::delivered`].
const RECEIPTS_DELIVERED: u8 = 26;

/// A pin: the order key of the message, whether the keeper sent it, whether the keeper pinned it,
/// and when.
#[derive(PartialEq, Serialize, Deserialize)]
struct PinV1(u64, bool, bool, u64);

const fn pair(mark: Mark) -> (u64, u64) {
    (mark.seq, mark.counted)
}

const fn mark((seq, counted): (u64, u64)) -> Mark {
    Mark { seq, counted }
}

const fn cleared((seq, key): (u64, u64)) -> Cleared {
    Cleared { seq, key: OrderKey(key) }
}

fn page<'b>((page, bitmap): (&PageId, &'b Bitmap)) -> Page<'b> {
    let (is_received, later) = (page.direction == Direction::Receive, &bitmap.later);
    Page(is_received, page.number, bitmap.as_bytes(), later.count(), later.as_bytes())
}

/// Writes a conversation entry.
pub fn encode(settings: &Settings) -> Result<Bytes, EncodeError> {
    let cleared = |cleared: Cleared| (cleared.seq, cleared.key.0);
    let mut fields = FieldsOut::default();
    fields.put(CHANGED, &settings.changed.0)?;
    fields.put(KEPT, &settings.kept)?;
    fields.put(MUTED, &(settings.notification == NotificationStatus::DoNotDisturb))?;
    fields.put(PINNED_MS, &settings.pinned_ms)?;
    fields.put(READ, &pair(settings.read))?;
    fields.put(DELETED_UNREAD, &settings.deleted_unread)?;
    fields.put(CLEARED_RECEIVED, &cleared(settings.cleared_received))?;
    fields.put(CLEARED_SENT, &cleared(settings.cleared_sent))?;
    fields.put(RECEIVED_MARK, &pair(settings.received_mark))?;
    fields.put(SENT_MARK, &pair(settings.sent_mark))?;
    fields.put(SPILLED_RECEIVED, &settings.deleted.has_spilled(Direction::Receive))?;
    fields.put(SPILLED_SENT, &settings.deleted.has_spilled(Direction::Send))?;
    let pages = settings.deleted.pages();
    if pages.len() > 0 {
        fields.put_always(DELETED, &pages.map(page).collect::<Vec<_>>())?;
    }
    fields.put(AMENDED_RECEIVED, &settings.amended_received.ranges())?;
    fields.put(AMENDED_SENT, &settings.amended_sent.ranges())?;
    fields.put(DRAFT, &settings.draft.as_deref().unwrap_or_default())?;
    fields.put(MARKS, &settings.marks.bits())?;
    let unread = settings.marked_unread.map(|MarkedUnread { sent, read }| (sent, read));
    fields.put(MARKED_UNREAD, &unread)?;
    let delisted = settings.delisted.map(|Delisted { received, sent }| (received, sent));
    fields.put(DELISTED, &delisted)?;
    let removing = settings.removing.map(|removing| (removing.seq, removing.key.0));
    fields.put(REMOVING, &removing.unwrap_or_default())?;
    let ReceiptMarks { sent, received, delivered, .. } = settings.receipts;
    fields.put(RECEIPTS_SENT, &sent.0)?;
    fields.put(RECEIPTS_BEGUN, &settings.receipts.unfinished().unwrap_or_default().0)?;
    fields.put(RECEIPTS_RECEIVED, &received.0)?;
    let pins = settings.pins.list().iter();
    let pins = pins.map(|Pin { message, by_keeper, at_ms }| {
        PinV1(message.key.0, message.from_keeper, *by_keeper, *at_ms)
    });
    fields.put(PINS, &pins.collect::<Vec<_>>())?;
    fields.put(PINNED_UP_TO, &settings.pinned_up_to.0)?;
    fields.put(RECEIPTS_DELIVERED, &delivered.0)?;
    fields.entry(2, &settings.later)
}

/// Reads a conversation entry.
pub fn decode(bytes: &[u8]) -> Result<Settings, RecordError> {
    if version(bytes, KIND)? == 1 {
        let entry: SettingsV1<'_> = read(bytes, KIND, 1)?;
        return settings(&entry, LaterFields::default());
    }
    let fields = FieldsIn::read(bytes, KIND, 2, RECEIPTS_DELIVERED)?;
    let entry = SettingsV1 {
        _version: 2,
        changed: fields.get(CHANGED)?,
        kept: fields.get(KEPT)?,
        muted: fields.get(MUTED)?,
        pinned_ms: fields.get(PINNED_MS)?,
        read: fields.get(READ)?,
        deleted_unread: fields.get(DELETED_UNREAD)?,
        cleared_received: fields.get(CLEARED_RECEIVED)?,
        cleared_sent: fields.get(CLEARED_SENT)?,
        received_mark: fields.get(RECEIVED_MARK)?,
        sent_mark: fields.get(SENT_MARK)?,
        spilled_received: fields.get(SPILLED_RECEIVED)?,
        spilled_sent: fields.get(SPILLED_SENT)?,
        deleted: fields.get(DELETED)?,
    };
    let amended = |number| amended(fields.get(number)?);
    let (received, sent) = (amended(AMENDED_RECEIVED)?, amended(AMENDED_SENT)?);
    let draft: &str = fields.get(DRAFT)?;
    let draft = (!draft.is_empty()).then(|| Arc::from(draft));
    let marks = ConversationMarks::from_bits(fields.get(MARKS)?);
    let two = |number| {
        let two: Option<(u64, u64)> = fields.get(number)?;
        if let Some((one, other)) = two {
            check_numbers(KIND, &[one, other])?;
        }
        Ok::<_, RecordError>(two)
    };
    let marked_unread = two(MARKED_UNREAD)?.map(|(sent, read)| MarkedUnread { sent, read });
    let delisted = two(DELISTED)?.map(|(received, sent)| Delisted { received, sent });
    let removing: (u64, u64) = fields.get(REMOVING)?;
    check_numbers(KIND, &[removing.0, removing.1])?;
    let removing = Some(Removing { seq: removing.0, key: OrderKey(removing.1) });
    let removing = removing.filter(|removing| removing.seq > 0);
    let receipts = receipts(&fields)?;
    let (pins, pinned_up_to) = pins(&fields)?;
    let settings =
        Settings { draft, marks, removing, receipts, ..settings(&entry, fields.later())? };
    let settings = Settings { marked_unread, delisted, pins, pinned_up_to, ..settings };
    Ok(Settings { amended_received: received, amended_sent: sent, ..settings })
}

fn receipts(fields: &FieldsIn<'_>) -> Result<ReceiptMarks, RecordError> {
    let key = |number| {
        let key = fields.get(number)?;
        check_numbers(KIND, &[key])?;
        Ok::<_, RecordError>(OrderKey(key))
    };
    let (sent, received) = (key(RECEIPTS_SENT)?, key(RECEIPTS_RECEIVED)?);
    let delivered = key(RECEIPTS_DELIVERED)?;
    Ok(ReceiptMarks { sent, begun: key(RECEIPTS_BEGUN)?.max(sent), received, delivered })
}

fn pins(fields: &FieldsIn<'_>) -> Result<(Pins, OrderKey), RecordError> {
    let (pins, up_to): (Vec<PinV1>, u64) = (fields.get(PINS)?, fields.get(PINNED_UP_TO)?);
    check_numbers(KIND, &[up_to])?;
    for PinV1(key, _, _, at_ms) in &pins {
        check_numbers(KIND, &[*key, *at_ms])?;
    }
    let pin = |PinV1(key, from_keeper, by_keeper, at_ms)| {
        let message = PinnedId { key: OrderKey(key), from_keeper };
        Pin { message, by_keeper, at_ms }
    };
    Ok((Pins::new(pins.into_iter().map(pin).collect()), OrderKey(up_to)))
}

fn amended(ranges: Vec<(u64, u64)>) -> Result<AmendedPages, RecordError> {
    for (first, last) in &ranges {
        check_numbers(KIND, &[*first, *last])?;
    }
    Ok(AmendedPages::new(ranges))
}

fn settings(entry: &SettingsV1<'_>, later: LaterFields) -> Result<Settings, RecordError> {
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
    let page = |Page(received, number, bits, count, later): &Page<'_>| {
        let direction = if *received { Direction::Receive } else { Direction::Send };
        let later = fields::later(KIND, *count, later)?;
        let bitmap = Bitmap::from_bytes(bits).with_later(later);
        Ok::<_, RecordError>((PageId { direction, number: *number }, bitmap))
    };
    let pages = entry.deleted.iter().map(page).collect::<Result<Vec<_>, _>>()?;
    Ok(Settings {
        changed: OrderKey(entry.changed),
        kept: entry.kept,
        notification: if entry.muted {
            NotificationStatus::DoNotDisturb
        } else {
            NotificationStatus::Notify
        },
        pinned_ms: entry.pinned_ms,
        draft: None,
        marks: ConversationMarks::default(),
        read: mark(entry.read),
        deleted_unread: entry.deleted_unread,
        marked_unread: None,
        delisted: None,
        cleared_received: cleared(entry.cleared_received),
        cleared_sent: cleared(entry.cleared_sent),
        deleted: Deletions::new(pages, entry.spilled_sent, entry.spilled_received),
        received_mark: mark(entry.received_mark),
        sent_mark: mark(entry.sent_mark),
        amended_received: AmendedPages::default(),
        amended_sent: AmendedPages::default(),
        removing: None,
        receipts: ReceiptMarks::default(),
        pins: Pins::default(),
        pinned_up_to: OrderKey::ZERO,
        later,
    })
}
