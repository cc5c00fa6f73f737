//! The entries of the state streams: MessagePack arrays, their version first. As with records, a
//! new version is added beside the old ones, which stay readable.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::block;
use super::record::{RecordError, check_numbers, from_slice, version};
use crate::domain::blocklist::BlockNumber;
use crate::domain::conversation::{Cleared, Mark, NotificationStatus, Settings};
use crate::domain::deletions::{Bitmap, Deletions, PageId};
use crate::domain::encoding::Encoding;
use crate::domain::id::OrderKey;
use crate::domain::message::Direction;
use crate::domain::user::{Account, Session};

#[cfg(test)]
mod tests;

const ACCOUNT: &str = "account";
const SETTINGS: &str = "conversation entry";
const PAGE: &str = "page of deletions";
const BLOCK: &str = "block";

/// An error of the encoder.
pub type EncodeError = rmp_serde::encode::Error;

/// Reads an entry of the newest version of its kind, which is `newest`.
fn decode<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    kind: &'static str,
    newest: u8,
) -> Result<T, RecordError> {
    match version(bytes, kind)? {
        known if known == newest => read(bytes, kind, newest),
        other => Err(RecordError::new(kind, format!("its version {other} is unknown"))),
    }
}

/// Reads an entry of a version.
fn read<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
    kind: &'static str,
    version: u8,
) -> Result<T, RecordError> {
    let problem = || RecordError::new(kind, format!("it is not a version {version} entry"));
    from_slice(bytes).map_err(|_| problem())
}

#[derive(Deserialize)]
struct AccountV1 {
    #[serde(rename = "version")]
    _version: u8,
    name: String,
    /// ID, since (ms since 1970), platform, device ID.
    sessions: Vec<(String, u64, String, String)>,
    heard_ms: Option<u64>,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct AccountV2 {
    version: u8,
    name: String,
    sessions: Vec<SessionV2>,
    heard_ms: Option<u64>,
    revision: u64,
}

/// ID, since (ms since 1970), platform, device ID, whether it logged in with JSON; nil where that is
/// not known.
#[derive(Serialize, Deserialize)]
struct SessionV2(String, u64, String, String, Option<bool>);

impl From<AccountV1> for AccountV2 {
    fn from(entry: AccountV1) -> Self {
        let AccountV1 { name, sessions, heard_ms, revision, .. } = entry;
        let session =
            |(id, since_ms, platform, device)| SessionV2(id, since_ms, platform, device, None);
        let sessions = sessions.into_iter().map(session).collect();
        Self { version: 2, name, sessions, heard_ms, revision }
    }
}

/// Writes an account.
pub fn encode_account(account: &Account) -> Result<Bytes, EncodeError> {
    let session = |session: &Session| {
        let Session { id, since_ms, platform, device_id, encoding } = session.clone();
        let is_json = encoding.map(|encoding| encoding == Encoding::Json);
        SessionV2(id, since_ms, platform, device_id, is_json)
    };
    let entry = AccountV2 {
        version: 2,
        name: account.name.clone(),
        sessions: account.sessions.iter().map(session).collect(),
        heard_ms: account.heard_ms,
        revision: account.revision,
    };
    block::written(|out| rmp_serde::encode::write(out, &entry))
}

/// Reads an account.
pub fn decode_account(bytes: &[u8]) -> Result<Account, RecordError> {
    let entry = if version(bytes, ACCOUNT)? == 1 {
        read::<AccountV1>(bytes, ACCOUNT, 1)?.into()
    } else {
        decode(bytes, ACCOUNT, 2)?
    };
    let AccountV2 { name, sessions, heard_ms, revision, .. } = entry;
    check_numbers(ACCOUNT, &[revision, heard_ms.unwrap_or_default()])?;
    let session = |SessionV2(id, since_ms, platform, device_id, is_json)| {
        let encoding = |is_json| if is_json { Encoding::Json } else { Encoding::MessagePack };
        Session { id, since_ms, platform, device_id, encoding: is_json.map(encoding) }
    };
    Ok(Account { name, sessions: sessions.into_iter().map(session).collect(), heard_ms, revision })
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
struct PageV1<'a>(bool, u64, #[serde(borrow, with = "serde_bytes")] &'a [u8]);

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
pub fn encode_settings(settings: &Settings) -> Result<Bytes, EncodeError> {
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
pub fn decode_settings(bytes: &[u8]) -> Result<Settings, RecordError> {
    let entry: SettingsV1<'_> = decode(bytes, SETTINGS, 1)?;
    check_numbers(SETTINGS, &[entry.changed, entry.pinned_ms, entry.deleted_unread])?;
    for (one, other) in [
        entry.read,
        entry.cleared_received,
        entry.cleared_sent,
        entry.received_mark,
        entry.sent_mark,
    ] {
        check_numbers(SETTINGS, &[one, other])?;
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

#[derive(Serialize, Deserialize)]
struct PageEntryV1<'a>(u8, #[serde(borrow, with = "serde_bytes")] &'a [u8]);

/// Writes a page of deletions that is stored on its own.
pub fn encode_page(bitmap: &Bitmap) -> Result<Bytes, EncodeError> {
    block::written(|out| rmp_serde::encode::write(out, &PageEntryV1(1, bitmap.as_bytes())))
}

/// Reads a page of deletions that is stored on its own.
pub fn decode_page(bytes: &[u8]) -> Result<Bitmap, RecordError> {
    let PageEntryV1(_, bits) = decode(bytes, PAGE, 1)?;
    Ok(Bitmap::from_bytes(bits))
}

#[derive(Deserialize)]
struct BlockV1 {
    #[serde(rename = "version")]
    _version: u8,
}

#[derive(Serialize, Deserialize)]
struct BlockV2 {
    version: u8,
    number: u64,
}

/// Writes a block: an entry with its number, or nothing at all where there is none any more.
pub fn encode_block(block: Option<BlockNumber>) -> Result<Bytes, EncodeError> {
    let Some(BlockNumber(number)) = block else { return Ok(Bytes::new()) };
    block::written(|out| rmp_serde::encode::write(out, &BlockV2 { version: 2, number }))
}

/// Reads a block.
pub fn decode_block(bytes: &[u8]) -> Result<Option<BlockNumber>, RecordError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if version(bytes, BLOCK)? == 1 {
        return read::<BlockV1>(bytes, BLOCK, 1).map(|_| Some(BlockNumber::UNKNOWN));
    }
    let BlockV2 { number, .. } = decode(bytes, BLOCK, 2)?;
    check_numbers(BLOCK, &[number])?;
    Ok(Some(BlockNumber(number)))
}
