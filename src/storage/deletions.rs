//! A page of deletions that the conversation entry has no room for: the deleted ones of 1,024
//! messages of one direction. Key: `peer.state.<p>.<user>.deleted.<other>.<sent|received>.<page>`.
//! Read together with its messages.

use bytes::Bytes;
use serde::Deserialize;
use serde_bytes::Bytes as ByteSlice;

use super::fields::{FieldsIn, FieldsOut};
use super::{Kind, read};
use crate::wire::packed::{EncodeError, RecordError, version};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{Direction, Partition};
use peerd_protocol::subject::{Subjects, Token};

const KIND: &str = Kind::Deletions.name();
const SENT: &str = "sent";
const RECEIVED: &str = "received";

/// A page of `user`'s deletions in the conversation with `other`.
#[must_use]
pub fn key(
    subjects: &Subjects,
    partition: Partition,
    user: &Token,
    other: &Token,
    page: PageId,
) -> String {
    let direction = match page.direction {
        Direction::Send => SENT,
        Direction::Receive => RECEIVED,
    };
    let (prefix, number) = (subjects.state_prefix(partition), page.number);
    format!("{prefix}{user}.deleted.{other}.{direction}.{number}")
}

/// The page in the last two tokens of a key.
pub(super) fn page_of(direction: &str, number: &str) -> Option<PageId> {
    let direction = match direction {
        SENT => Direction::Send,
        RECEIVED => Direction::Receive,
        _ => return None,
    };
    Some(PageId { direction, number: number.parse().ok()? })
}

#[derive(Deserialize)]
struct PageV1<'a> {
    #[serde(rename = "version")]
    _version: u8,
    #[serde(borrow)]
    bits: &'a ByteSlice,
}

/// The field of version 2.
const BITS: u8 = 1;

/// Writes a page of deletions that is stored on its own.
pub fn encode(bitmap: &Bitmap) -> Result<Bytes, EncodeError> {
    let mut fields = FieldsOut::default();
    fields.put_always(BITS, ByteSlice::new(bitmap.as_bytes()))?;
    fields.entry(2, &bitmap.later)
}

/// Reads a page of deletions that is stored on its own.
pub fn decode(bytes: &[u8]) -> Result<Bitmap, RecordError> {
    if version(bytes, KIND)? == 1 {
        let PageV1 { bits, .. } = read(bytes, KIND, 1)?;
        return Ok(Bitmap::from_bytes(bits));
    }
    let fields = FieldsIn::read(bytes, KIND, 2, BITS)?;
    let bits: &ByteSlice = fields.required(BITS)?;
    Ok(Bitmap::from_bytes(bits).with_later(fields.later()))
}
