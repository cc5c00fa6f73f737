//! Stored bytes: records of messages and the entries of the state streams. The first byte chooses
//! the kind, the rest are the bytes.

use std::fmt::Debug;
use std::sync::Arc;

use bytes::Bytes;
use peerd::storage::account;
use peerd::storage::amendments;
use peerd::storage::block;
use peerd::storage::conversation;
use peerd::storage::deletions;
use peerd::storage::message::{self, RecordError, Recorded, StoredMessage};
use peerd::storage::subscriptions;
use peerd_core::amendment::{AmendmentPage, Receipt, Stub};
use peerd_core::content::Content;
use peerd_core::conversation::{Conversation, Settings};
use peerd_core::id::{Direction, OrderKey, Partition, UserId};
use peerd_core::limits::{PAGE_MESSAGES, SUBSCRIPTIONS_MAX};
use peerd_core::message::ReceiptStatus;
use peerd_core::pages::page_number;
use peerd_core::receive::Placed;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::reply::{Reply, Sent, Shown};

use super::corpus::named;

const PARTITION: Partition = Partition(7);
/// Numbers of the protocol are below this, so that every JSON reader represents them exactly.
pub(super) const NUMBER_END: u64 = 1 << 53;
/// An error names the kind and the problem, and quotes nothing.
const ERROR_MAX_BYTES: usize = 64;

/// See [`super::Target::check`].
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some((kind, bytes)) = data.split_first() else { return };
    match kind % super::KINDS {
        0 => match survives(bytes, 3, read_record, write_record) {
            Some(Recorded::Message(stored)) => message(&stored, bytes),
            Some(Recorded::Carrier(stub)) => carrier(&stub),
            None => {}
        },
        1 => {
            if let Some(account) = survives(bytes, 3, account::decode, |account| {
                account::encode(account).expect("writable")
            }) {
                assert!(account.revision < NUMBER_END);
            }
        }
        2 => {
            if let Some(settings) = survives(bytes, 2, conversation::decode, |settings| {
                conversation::encode(settings).expect("writable")
            }) {
                conversation(settings);
            }
        }
        3 => {
            let page = survives(bytes, 2, deletions::decode, |page| {
                deletions::encode(page).expect("writable")
            });
            if let Some(page) = page {
                assert!(page.as_bytes().len() <= 1024 / 8, "more than a page");
            }
        }
        4 if bytes.is_empty() => assert_eq!(block::decode(bytes), Ok(None)),
        4 => {
            let block =
                survives(bytes, 3, block::decode, |block| block::encode(*block).expect("writable"));
            assert_ne!(block, Some(None), "only nothing says that nobody is blocked");
        }
        5 => {
            let page = survives(bytes, 1, amendments::decode, |page| {
                amendments::encode(page).expect("writable")
            });
            if let Some(page) = page {
                amended(page);
            }
        }
        6 => {
            let subscriptions = survives(bytes, 1, subscriptions::decode, |subscriptions| {
                subscriptions::encode(subscriptions).expect("writable")
            });
            if let Some(subscriptions) = subscriptions {
                assert!(subscriptions.of.len() <= SUBSCRIPTIONS_MAX);
            }
        }
        _ => {}
    }
}

/// Checks that a decoded value can be encoded and decodes to the same, that truncated or extended
/// bytes are refused, and that a version later than `newest` is refused as such.
pub(super) fn survives<T: Debug + PartialEq>(
    bytes: &[u8],
    newest: u8,
    read: impl Fn(&[u8]) -> Result<T, RecordError>,
    write: impl Fn(&T) -> Bytes,
) -> Option<T> {
    let value = match read(bytes) {
        Ok(value) => value,
        Err(error) => {
            assert!(error.problem.len() <= ERROR_MAX_BYTES, "{error}");
            if let Some(version) = version(bytes).filter(|version| !(1..=newest).contains(version))
            {
                assert_eq!(error.problem, format!("its version {version} is unknown"));
            }
            return None;
        }
    };
    let is_known = version(bytes).is_some_and(|version| (1..=newest).contains(&version));
    assert!(is_known, "read whatever its version");
    let written = write(&value);
    assert_eq!(read(&written).as_ref(), Ok(&value), "written, it is read as something else");
    let tail = bytes.len().to_le_bytes()[0] ^ bytes[bytes.len() - 1];
    assert!(read(&[bytes, &[tail]].concat()).is_err(), "read with {tail:02x} after its end");
    let cut = 1 + bytes.len() % (written.len() - 1);
    assert!(read(&written[..cut]).is_err(), "read although its end is missing");
    let mut later = written.to_vec();
    later[1] = newest + 1;
    let unknown = format!("its version {} is unknown", newest + 1);
    assert_eq!(read(&later).err().map(|error| error.problem), Some(unknown));
    Some(value)
}

/// The version, if there is one: after an array header of one or two bytes.
fn version(bytes: &[u8]) -> Option<u8> {
    let version = match bytes {
        [0x90..=0x9f, version, ..] | [0xdc, _, _, version, ..] => *version,
        _ => return None,
    };
    (version <= 0x7f).then_some(version)
}

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a userID")
}

fn read_record(bytes: &[u8]) -> Result<Recorded, RecordError> {
    let recorded = message::decode(bytes, &user("alice"), &user("bob"), PARTITION);
    let key = message::order_key(bytes);
    match &recorded {
        Ok(Recorded::Message(stored)) => assert_eq!(key, Ok(stored.message.key)),
        Ok(Recorded::Carrier(stub)) => assert_eq!(key, Ok(stub.key)),
        Err(_) => {}
    }
    recorded
}

fn write_record(recorded: &Recorded) -> Bytes {
    let stored = match recorded {
        Recorded::Message(stored) => stored,
        Recorded::Carrier(stub) => return message::encode_carrier(stub).expect("writable"),
    };
    let placed = Placed {
        message: Arc::new(stored.message.clone()),
        mark: stored.mark,
        page: stored.page,
        expected_seq: 0,
    };
    message::encode(&placed, stored.push.as_ref()).expect("writable")
}

/// Checks that counting can continue from a carrier.
fn carrier(stub: &Stub) {
    assert!(stub.key.0 < NUMBER_END && stub.mark.seq < NUMBER_END);
    assert!(stub.mark.counted < NUMBER_END && stub.timestamp_ms < NUMBER_END);
    let head = stub.head(9);
    assert!(head.page.first > 0, "a page that begins nowhere");
    let next = head.next_pointers();
    assert!(next.first == 0 || next == head.page);
}

/// Checks that a page of amendments belongs to one page, and can be amended.
fn amended(mut page: AmendmentPage) {
    let seqs: Vec<u64> = page.iter().map(|(seq, _)| seq).collect();
    assert!(seqs.windows(2).all(|pair| page_number(pair[0]) == page_number(pair[1])));
    assert!(seqs.len() <= PAGE_MESSAGES + 1, "more messages than a page has");
    for removed in page.removed() {
        carrier(&removed.stub);
        assert!(removed.stream_seq < NUMBER_END && removed.stored_ms < NUMBER_END);
    }
    let seq = seqs.first().copied().unwrap_or(1);
    page.amend(seq, OrderKey(1)).receipt = Receipt::Changed(ReceiptStatus::Done);
    assert!(page.get(seq, OrderKey(1)).is_some());
}

/// Checks that a decoded message can be counted from, named and shown.
fn message(stored: &StoredMessage, bytes: &[u8]) {
    let StoredMessage { message, mark, .. } = stored;
    assert!(message.key.0 < NUMBER_END && mark.seq < NUMBER_END && mark.counted < NUMBER_END);
    assert!(message.timestamp_ms < NUMBER_END);
    assert_eq!(message.seq, mark.seq);
    let id = message.id();
    assert_eq!((id.key(), id.partition()), (message.key, PARTITION));
    let head = stored.head(9);
    assert!(head.page.first > 0, "a page that begins nowhere");
    let next = head.next_pointers();
    assert!(next.first == 0 || next == head.page);
    let content = &message.content;
    assert!(content.size_bytes() <= bytes.len(), "more text than there were bytes");
    assert!(depth(content) <= 64, "nested {} deep", depth(content));
    let received = Conversation { received: Some(head), ..Conversation::default() };
    assert_eq!(received.unread(), mark.counted);
    let reply = Sent { message: Arc::new(message.clone()), is_duplicate: false };
    for encoding in [Encoding::Json, Encoding::MessagePack] {
        let shown = Shown { viewer: &message.receiver, content_max: None };
        encoding.encode(&reply.body(shown)).expect("what was stored can be shown");
    }
}

fn depth(content: &Content) -> usize {
    match content {
        Content::Multiple { infos } => 1 + infos.iter().map(depth).max().unwrap_or_default(),
        Content::Combine { messages, .. } => {
            let depths = messages.iter().map(|excerpt| depth(&excerpt.content));
            1 + depths.max().unwrap_or_default()
        }
        Content::Text { .. }
        | Content::Command { .. }
        | Content::Image { .. }
        | Content::File { .. }
        | Content::Audio { .. }
        | Content::Video { .. }
        | Content::Custom { .. } => 1,
    }
}

/// Checks that a conversation with decoded settings can be counted and changed.
fn conversation(settings: Settings) {
    for number in [
        settings.changed.0,
        settings.read.counted,
        settings.received_mark.seq,
        settings.sent_mark.seq,
        settings.deleted_unread,
        settings.cleared_received.key.0,
    ] {
        assert!(number < NUMBER_END, "a number that no counter reaches");
    }
    let mut conversation = Conversation { settings, ..Conversation::default() };
    let unread = conversation.unread();
    assert!(unread <= conversation.received_mark().counted);
    let seq = conversation.received_mark().seq;
    let mut deleted = conversation.settings.deleted.clone();
    deleted.insert(Direction::Receive, seq);
    assert!(deleted.contains(Direction::Receive, seq));
    deleted.spill();
    let changed = conversation.changed_settings(OrderKey(1), |settings| settings.deleted = deleted);
    conversation.adopt_settings(changed, 1);
    assert_eq!(conversation.unread(), unread);
}

/// See [`super::Target::seeds`].
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let files = [
        (0, include_str!("../../tests/golden/records-v1.txt")),
        (1, include_str!("../../tests/golden/accounts-v1.txt")),
        (1, include_str!("../../tests/golden/accounts-v2.txt")),
        (1, include_str!("../../tests/golden/accounts-v3.txt")),
        (2, include_str!("../../tests/golden/settings-v1.txt")),
        (2, include_str!("../../tests/golden/settings-v2.txt")),
        (3, include_str!("../../tests/golden/pages-v1.txt")),
        (3, include_str!("../../tests/golden/pages-v2.txt")),
        (4, include_str!("../../tests/golden/blocks-v1.txt")),
        (4, include_str!("../../tests/golden/blocks-v2.txt")),
        (4, include_str!("../../tests/golden/blocks-v3.txt")),
        (0, include_str!("../../tests/golden/carriers-v2.txt")),
        (5, include_str!("../../tests/golden/amendments-v1.txt")),
        (0, include_str!("../../tests/golden/replies-v3.txt")),
        (6, include_str!("../../tests/golden/subscriptions-v1.txt")),
    ];
    let seeds = files.into_iter().flat_map(|(kind, file)| {
        named(file).into_iter().map(move |bytes| [&[kind][..], &bytes].concat())
    });
    seeds.collect()
}
