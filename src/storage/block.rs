//! A block, with the number by which the block list is paged; empty after an unblock. Key:
//! `peer.state.<p>.<user>.blocked.<other>`. A load takes the newer one; an unreadable entry counts
//! as a block.

use bytes::Bytes;
use serde::Deserialize;

use super::fields::{FieldsIn, FieldsOut};
use super::{Kind, read};
use crate::wire::packed::{EncodeError, RecordError, check_numbers, version};
use peerd_core::blocklist::BlockNumber;
use peerd_core::id::Partition;
use peerd_core::later::LaterFields;
use peerd_protocol::subject::{Subjects, Token};

const KIND: &str = Kind::Block.name();

/// The subject of the block of `other` by `user`.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token, other: &Token) -> String {
    format!("{}{user}.blocked.{other}", subjects.state_prefix(partition))
}

/// The subjects of all blocks of `user`.
#[must_use]
pub fn all(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.blocked.*", subjects.state_prefix(partition))
}

#[derive(Deserialize)]
struct BlockV1 {
    #[serde(rename = "version")]
    _version: u8,
}

#[derive(Deserialize)]
struct BlockV2 {
    #[serde(rename = "version")]
    _version: u8,
    number: u64,
}

/// The field of version 3.
const NUMBER: u8 = 1;

/// Writes a block: an entry with its number, or an empty one after an unblock. A block is never
/// rewritten, so unknown fields need not be kept.
pub fn encode(block: Option<BlockNumber>) -> Result<Bytes, EncodeError> {
    let Some(BlockNumber(number)) = block else { return Ok(Bytes::new()) };
    let mut fields = FieldsOut::default();
    fields.put_always(NUMBER, &number)?;
    fields.entry(3, &LaterFields::default())
}

/// Reads a block.
pub fn decode(bytes: &[u8]) -> Result<Option<BlockNumber>, RecordError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let number = match version(bytes, KIND)? {
        1 => {
            let BlockV1 { .. } = read(bytes, KIND, 1)?;
            return Ok(Some(BlockNumber::UNKNOWN));
        }
        2 => read::<BlockV2>(bytes, KIND, 2)?.number,
        _ => FieldsIn::read(bytes, KIND, 3, NUMBER)?.required(NUMBER)?,
    };
    check_numbers(KIND, &[number])?;
    Ok(Some(BlockNumber(number)))
}
