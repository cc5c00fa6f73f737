//! The record of a message in the log. Records are for ever: a new version is added beside the old
//! ones, which stay readable. Key: `peer.log.<p>.<receiver>.<sender>`. A load reads the newest record of
//! each key.

use bytes::Bytes;

use crate::wire::packed;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::receive::Placed;
use peerd_core::send::Push;
use peerd_protocol::subject::{Subjects, Token};

pub use crate::wire::packed::{EncodeError, RecordError, StoredMessage};

/// The messages that `sender` sent to `receiver`.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, receiver: &Token, sender: &Token) -> String {
    subjects.log(partition, receiver, sender)
}

/// Writes the record of a message.
pub fn encode(placed: &Placed, push: Option<&Push>) -> Result<Bytes, EncodeError> {
    packed::encode(placed, push)
}

/// Reads the record of a message. Who sent it to whom is in its subject.
pub fn decode(
    bytes: &[u8],
    sender: &UserId,
    receiver: &UserId,
    partition: Partition,
) -> Result<StoredMessage, RecordError> {
    packed::decode(bytes, sender, receiver, partition)
}

/// The order key of a record.
pub fn order_key(bytes: &[u8]) -> Result<OrderKey, RecordError> {
    packed::key(bytes)
}

#[cfg(test)]
mod tests;
