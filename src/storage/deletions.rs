//! A page of deletions for which the conversation entry had no room: which of 1,024 messages of one
//! direction a user deleted. Key: `peer.state.<p>.<user>.deleted.<other>.<sent|received>.<page>`. Read
//! when one of its messages is.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Kind, borrowed_bytes, read_newest};
use crate::domain::deletions::{Bitmap, PageId};
use crate::domain::id::Partition;
use crate::domain::message::Direction;
use crate::wire::block;
use crate::wire::packed::{EncodeError, RecordError};
use crate::wire::subject::{Subjects, Token};

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

/// The page that the last two tokens of a key name.
pub(super) fn page_of(direction: &str, number: &str) -> Option<PageId> {
    let direction = match direction {
        SENT => Direction::Send,
        RECEIVED => Direction::Receive,
        _ => return None,
    };
    Some(PageId { direction, number: number.parse().ok()? })
}

#[derive(Serialize, Deserialize)]
struct PageEntryV1<'a>(u8, #[serde(borrow, with = "borrowed_bytes")] &'a [u8]);

/// Writes a page of deletions that is stored on its own.
pub fn encode(bitmap: &Bitmap) -> Result<Bytes, EncodeError> {
    block::written(|out| rmp_serde::encode::write(out, &PageEntryV1(1, bitmap.as_bytes())))
}

/// Reads a page of deletions that is stored on its own.
pub fn decode(bytes: &[u8]) -> Result<Bitmap, RecordError> {
    let PageEntryV1(_, bits) = read_newest(bytes, KIND, 1)?;
    Ok(Bitmap::from_bytes(bits))
}
