//! The record of a message in the log, and the carrier, which stands for a message whose content
//! was removed while it was the newest. Key: `peer.log.<p>.<receiver>.<sender>`. A load reads the
//! newest record of each key.
//!
//! A record is a MessagePack array with its version first: order key, `messageSeq`, how many
//! messages of the subject so far count as unread, two page pointers, timestamp, flags, local
//! message ID, extended data, content, and the requested offline push. Sender and receiver are in
//! the subject. The record of a reply is of its own version (3), with references at the end: to the
//! original, of which there is no copy, and to the root of the tree. Records are for ever: a new
//! version is added beside the old ones, which stay readable.
//!
//! A carrier is a record of its own version with the place, the counts and the page pointers of its
//! message, since counting continues from the newest record. An older record that was removed
//! leaves a hole.
//!
//! Page pointers: messages of one subject are grouped by `messageSeq` into pages of 32. A record
//! has the stream sequence of the first message of its page (0: itself) and of the page before (0:
//! none).

use bytes::Bytes;

use super::fields::{FieldsIn, FieldsOut};
use crate::wire::packed::{self, Flags, KIND, check_numbers, local_id, version};
use peerd_core::amendment::Stub;
use peerd_core::conversation::{Mark, PagePointers};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::later::LaterFields;
use peerd_core::receive::Placed;
use peerd_core::send::Push;
use peerd_protocol::subject::{Subjects, Token};

pub use crate::wire::packed::{EncodeError, RecordError, StoredMessage};

/// The version of a carrier. Messages have the others: replies 3, all others 1.
const CARRIER: u8 = 2;

/// The fields of a carrier.
const KEY: u8 = 1;
const SEQ: u8 = 2;
const COUNTED: u8 = 3;
const PAGE_FIRST: u8 = 4;
const PAGE_PREVIOUS: u8 = 5;
const TIMESTAMP_MS: u8 = 6;
const FLAGS: u8 = 7;
const LOCAL_ID: u8 = 8;
const ROOT: u8 = 9;

/// The content of a record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages, and none is kept")]
pub enum Recorded {
    /// A message.
    Message(StoredMessage),
    /// The stub of a message whose content was removed.
    Carrier(Stub),
}

/// The subject of the messages from `sender` to `receiver`.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, receiver: &Token, sender: &Token) -> String {
    subjects.log(partition, receiver, sender)
}

/// Writes the record of a message.
pub fn encode(placed: &Placed, push: Option<&Push>) -> Result<Bytes, EncodeError> {
    packed::encode(&placed.message, placed.mark, placed.page, push)
}

/// Writes the carrier of a message. If the message began its page, so does the carrier, to which
/// later messages then point.
pub fn encode_carrier(stub: &Stub) -> Result<Bytes, EncodeError> {
    let Stub { mark, page, counts, receipt, .. } = *stub;
    let mut fields = FieldsOut::default();
    fields.put_always(KEY, &stub.key.0)?;
    fields.put_always(SEQ, &mark.seq)?;
    fields.put(COUNTED, &mark.counted)?;
    fields.put(PAGE_FIRST, &page.first)?;
    fields.put(PAGE_PREVIOUS, &page.previous)?;
    fields.put(TIMESTAMP_MS, &stub.timestamp_ms)?;
    fields.put(FLAGS, &Flags { counts, receipt }.number())?;
    fields.put(LOCAL_ID, &stub.local_id.as_ref().map_or("", |id| id.as_str()))?;
    fields.put(ROOT, &stub.root.map_or(0, |root| root.0))?;
    // Never rewritten, so there are no unknown fields to keep.
    fields.entry(CARRIER, &LaterFields::default())
}

fn decode_carrier(bytes: &[u8]) -> Result<Stub, RecordError> {
    let fields = FieldsIn::read(bytes, KIND, CARRIER, ROOT)?;
    let (key, seq) = (fields.required(KEY)?, fields.required(SEQ)?);
    let mark = Mark { seq, counted: fields.get(COUNTED)? };
    let page =
        PagePointers { first: fields.get(PAGE_FIRST)?, previous: fields.get(PAGE_PREVIOUS)? };
    let (timestamp_ms, root) = (fields.get(TIMESTAMP_MS)?, fields.get(ROOT)?);
    check_numbers(KIND, &[key, seq, mark.counted, page.first, page.previous, timestamp_ms, root])?;
    let Flags { counts, receipt } = Flags::from_number(fields.get(FLAGS)?);
    let local_id = local_id(KIND, fields.get(LOCAL_ID)?)?;
    let (key, root) = (OrderKey(key), (root > 0).then_some(OrderKey(root)));
    Ok(Stub { key, mark, page, timestamp_ms, local_id, receipt, counts, root })
}

/// Reads a record. Its sender and its receiver are in its subject.
pub fn decode(
    bytes: &[u8],
    sender: &UserId,
    receiver: &UserId,
    partition: Partition,
) -> Result<Recorded, RecordError> {
    if version(bytes, KIND)? == CARRIER {
        return decode_carrier(bytes).map(Recorded::Carrier);
    }
    packed::decode(bytes, sender, receiver, partition).map(Recorded::Message)
}

/// The order key of a record.
pub fn order_key(bytes: &[u8]) -> Result<OrderKey, RecordError> {
    if version(bytes, KIND)? == CARRIER {
        return decode_carrier(bytes).map(|stub| stub.key);
    }
    packed::key(bytes)
}

#[cfg(test)]
mod tests;
