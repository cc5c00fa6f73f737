//! The encoding that the kinds of [`crate::storage`] and the requests between owners share:
//! MessagePack arrays with their version first, and the packed message.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use peerd_core::conversation::{Head, Mark, PagePointers};
use peerd_core::id::{LocalMessageId, OrderKey, Partition, UserId};
use peerd_core::limits::NUMBER_MAX;
use peerd_core::message::{Annotations, Message, ReceiptStatus};
use peerd_core::receive::head;
use peerd_core::reply::{Original, Reference, Reply};
use peerd_core::send::Push;
use peerd_protocol::block;
use peerd_protocol::msgpack;

pub(crate) use peerd_protocol::packed::{BorrowedV1, ContentV1, PushV1};

/// An error of the encoder.
pub type EncodeError = msgpack::Error;

/// A stored record that cannot be read: of another version, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {kind} cannot be read: {problem}")]
pub struct RecordError {
    /// The expected kind.
    pub kind: &'static str,
    /// The problem. It never quotes the record.
    pub problem: String,
}

impl RecordError {
    pub(crate) fn new(kind: &'static str, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into() }
    }
}

/// A message read back from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub message: Message,
    /// Its sender's mark, this message included.
    pub mark: Mark,
    /// Its page pointers.
    pub page: PagePointers,
    /// Its offline push, if one was requested.
    pub push: Option<Push>,
}

impl StoredMessage {
    /// The head that the message makes at its sequence in the stream.
    #[must_use]
    pub const fn head(&self, stream_seq: u64) -> Head {
        head(&self.message, self.mark, self.page, stream_seq)
    }
}

pub(crate) const KIND: &str = "message";
const FLAG_COUNTS: u8 = 1;
const FLAG_RECEIPT: u8 = 2;
/// Set only together with [`FLAG_RECEIPT`], and only between owners.
const FLAG_READ: u8 = 4;
/// The deepest nesting of a record: more than twice that of four nested Combine messages, and far
/// below the limit of a thread's stack.
const DEPTH_MAX: usize = 64;

/// The version of a reply. Other messages have version 1.
const REPLY: u8 = 3;

/// Versions 1 and 3. The fields are in the order of the array; texts are borrowed when writing.
#[derive(Serialize, Deserialize)]
struct V1<'a, C> {
    version: u8,
    key: u64,
    seq: u64,
    counted: u64,
    page_first: u64,
    page_previous: u64,
    timestamp_ms: u64,
    flags: u8,
    #[serde(borrow)]
    local_id: &'a str,
    #[serde(borrow)]
    extended_data: &'a str,
    content: C,
    push: Option<PushV1>,
    /// What makes it a reply, which only version 3 has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<ReplyV3>,
}

/// What makes a message a reply: the references to the original, and to the root of the tree if that
/// is another message.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ReplyV3(ReferenceV3, Option<ReferenceV3>);

/// A reference to a message: whether the sender of the reply sent it, its order key, the partition
/// of its receiver, its `messageSeq`, its stream sequence, its timestamp.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct ReferenceV3(bool, u64, u16, u64, u64, u64);

impl From<&Reference> for ReferenceV3 {
    fn from(reference: &Reference) -> Self {
        let Reference { by_sender, key, partition, seq, stream_seq, timestamp_ms } = *reference;
        Self(by_sender, key.0, partition.0, seq, stream_seq, timestamp_ms)
    }
}

impl ReferenceV3 {
    fn reference(self, kind: &'static str) -> Result<Reference, RecordError> {
        let Self(by_sender, key, partition, seq, stream_seq, timestamp_ms) = self;
        check_numbers(kind, &[key, seq, stream_seq, timestamp_ms])?;
        let (key, partition) = (OrderKey(key), Partition(partition));
        Ok(Reference { by_sender, key, partition, seq, stream_seq, timestamp_ms })
    }
}

impl From<&Reply> for ReplyV3 {
    fn from(Reply { to, root, .. }: &Reply) -> Self {
        Self(to.into(), root.as_ref().map(ReferenceV3::from))
    }
}

impl ReplyV3 {
    /// The reply, whose original is not read yet.
    pub(crate) fn reply(self, kind: &'static str) -> Result<Reply, RecordError> {
        let Self(to, root) = self;
        let root = root.map(|root| root.reference(kind)).transpose()?;
        Ok(Reply { to: to.reference(kind)?, root, original: Original::NotFound })
    }
}

/// The flags of a record.
#[derive(Clone, Copy)]
pub(crate) struct Flags {
    pub(crate) counts: bool,
    pub(crate) receipt: ReceiptStatus,
}

impl Flags {
    pub(crate) const fn number(self) -> u8 {
        let receipt = match self.receipt {
            ReceiptStatus::None => 0,
            // A mark of its conversation shows that it was delivered.
            ReceiptStatus::Processing | ReceiptStatus::Delivered => FLAG_RECEIPT,
            ReceiptStatus::Done => FLAG_RECEIPT | FLAG_READ,
        };
        receipt | if self.counts { FLAG_COUNTS } else { 0 }
    }

    pub(crate) const fn from_number(flags: u8) -> Self {
        let receipt = match (flags & FLAG_RECEIPT, flags & FLAG_READ) {
            (0, _) => ReceiptStatus::None,
            (_, 0) => ReceiptStatus::Processing,
            _ => ReceiptStatus::Done,
        };
        Self { counts: flags & FLAG_COUNTS != 0, receipt }
    }
}

/// A stored local message ID; empty if there is none.
pub(crate) fn local_id(
    kind: &'static str,
    text: &str,
) -> Result<Option<LocalMessageId>, RecordError> {
    if text.is_empty() {
        return Ok(None);
    }
    let id = LocalMessageId::stored(text);
    id.map(Some).ok_or_else(|| RecordError::new(kind, "its local ID"))
}

/// The version of a record or entry.
pub(crate) fn version(bytes: &[u8], kind: &'static str) -> Result<u8, RecordError> {
    // An array's header, then the version as a positive fixint.
    let version = match bytes {
        [0x90..=0x9f, version, ..] | [0xdc, _, _, version, ..] => *version,
        _ => return Err(RecordError::new(kind, "it has no version")),
    };
    if version > 0x7f { Err(RecordError::new(kind, "it has no version")) } else { Ok(version) }
}

/// Writes the record of a message.
pub fn encode(
    message: &Message,
    mark: Mark,
    page: PagePointers,
    push: Option<&Push>,
) -> Result<Bytes, EncodeError> {
    let flags = Flags { counts: message.counts, receipt: message.receipt };
    let reply = message.reply().map(ReplyV3::from);
    let record = V1 {
        version: if reply.is_some() { REPLY } else { 1 },
        key: message.key.0,
        seq: mark.seq,
        counted: mark.counted,
        page_first: page.first,
        page_previous: page.previous,
        timestamp_ms: message.timestamp_ms,
        flags: flags.number(),
        local_id: message.local_id.as_ref().map_or("", |id| id.as_str()),
        extended_data: &message.extended_data,
        content: BorrowedV1(&message.content),
        push: push.map(PushV1::from),
        reply,
    };
    block::written(|out| msgpack::append(out, &record))
}

/// Reads the record of a message. Its sender and its receiver are in its subject.
pub fn decode(
    bytes: &[u8],
    sender: &UserId,
    receiver: &UserId,
    partition: Partition,
) -> Result<StoredMessage, RecordError> {
    let record = decode_v1(bytes)?;
    let Flags { counts, receipt } = Flags::from_number(record.flags);
    let reply = record.reply.map(|reply| reply.reply(KIND)).transpose()?;
    let annotations =
        reply.map(|reply| Box::new(Annotations { reply: Some(reply), ..Annotations::default() }));
    Ok(StoredMessage {
        message: Message {
            sender: sender.clone(),
            receiver: receiver.clone(),
            partition,
            key: OrderKey(record.key),
            seq: record.seq,
            timestamp_ms: record.timestamp_ms,
            local_id: local_id(KIND, record.local_id)?,
            receipt,
            counts,
            extended_data: record.extended_data.to_owned(),
            content: record.content.into(),
            annotations,
        },
        mark: Mark { seq: record.seq, counted: record.counted },
        page: PagePointers { first: record.page_first, previous: record.page_previous },
        push: record.push.map(Push::from),
    })
}

fn decode_v1(bytes: &[u8]) -> Result<V1<'_, ContentV1>, RecordError> {
    let version = match version(bytes, KIND)? {
        version @ (1 | REPLY) => version,
        other => return Err(RecordError::new(KIND, format!("its version {other} is unknown"))),
    };
    let problem = || RecordError::new(KIND, format!("it is not a version {version} record"));
    let record: V1<'_, ContentV1> = from_slice(bytes).map_err(|_| problem())?;
    if record.reply.is_some() != (version == REPLY) {
        return Err(problem());
    }
    let V1 { key, seq, counted, page_first, page_previous, timestamp_ms, .. } = record;
    check_numbers(KIND, &[key, seq, counted, page_first, page_previous, timestamp_ms])?;
    Ok(record)
}

/// Reads exactly one value, to a bounded depth.
pub(crate) fn from_slice<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<T, rmp_serde::decode::Error> {
    use rmp_serde::decode::Error;
    use serde::de::Error as _;
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer)?;
    // The deserializer does not report the remaining bytes; reading another value fails if there
    // are none.
    let is_all = matches!(<()>::deserialize(&mut deserializer), Err(Error::InvalidMarkerRead(_)));
    if is_all { Ok(value) } else { Err(Error::custom("there are bytes after its end")) }
}

/// Refuses numbers that no JSON reader represents exactly and no counter reaches: they can only
/// come from damage, and counting from them would overflow.
pub(crate) fn check_numbers(kind: &'static str, numbers: &[u64]) -> Result<(), RecordError> {
    let is_good = numbers.iter().all(|number| *number <= NUMBER_MAX);
    if is_good { Ok(()) } else { Err(RecordError::new(kind, "a number in it is too large")) }
}

/// The order key of a record.
pub fn key(bytes: &[u8]) -> Result<OrderKey, RecordError> {
    decode_v1(bytes).map(|record| OrderKey(record.key))
}
