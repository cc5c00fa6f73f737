//! A block, with the number by which pages of the block list go; empty once it was lifted. Key:
//! `peer.state.<p>.<user>.blocked.<other>`. A load takes the newer one; what cannot be read counts as a
//! block.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Kind, read, read_newest};
use crate::domain::blocklist::BlockNumber;
use crate::domain::id::Partition;
use crate::wire::block as blocks;
use crate::wire::packed::{EncodeError, RecordError, check_numbers, version};
use crate::wire::subject::{Subjects, Token};

const KIND: &str = Kind::Block.name();

/// Whether `user` blocked `other`.
#[must_use]
pub fn key(subjects: &Subjects, partition: Partition, user: &Token, other: &Token) -> String {
    format!("{}{user}.blocked.{other}", subjects.state_prefix(partition))
}

/// Whom `user` blocked.
#[must_use]
pub fn all(subjects: &Subjects, partition: Partition, user: &Token) -> String {
    format!("{}{user}.blocked.*", subjects.state_prefix(partition))
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
pub fn encode(block: Option<BlockNumber>) -> Result<Bytes, EncodeError> {
    let Some(BlockNumber(number)) = block else { return Ok(Bytes::new()) };
    blocks::written(|out| rmp_serde::encode::write(out, &BlockV2 { version: 2, number }))
}

/// Reads a block.
pub fn decode(bytes: &[u8]) -> Result<Option<BlockNumber>, RecordError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    if version(bytes, KIND)? == 1 {
        return read::<BlockV1>(bytes, KIND, 1).map(|_| Some(BlockNumber::UNKNOWN));
    }
    let BlockV2 { number, .. } = read_newest(bytes, KIND, 2)?;
    check_numbers(KIND, &[number])?;
    Ok(Some(BlockNumber(number)))
}
