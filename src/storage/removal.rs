//! Removing a message for both users, and other amendments: the writes and their order. The owner
//! of the partition makes them, so that they are fenced like all its writes.
//!
//! 1. Both users' conversation entries say that the page may have amendments.
//! 2. The page of amendments has the amendment: from here on every reader sees it.
//! 3. If a removed message is the newest of its pair, its carrier is appended.
//! 4. The record of a removed message is erased.
//!
//! Each step can be repeated. An interrupted removal continues with [`Storage::left`].

use bytes::Bytes;

use super::amendments::{self, AmendError};
use super::message::{self, EncodeError};
use super::reads::{Pair, Storage};
use crate::store::{ReadError, Store, StreamId};
use peerd_core::amendment::{AmendmentPage, Removed};
use peerd_protocol::subject::{Subjects, Token};

/// A record to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// Its stream.
    pub stream: StreamId,
    /// Its subject.
    pub subject: String,
    /// Its bytes.
    pub payload: Bytes,
    /// The stream sequence that its subject must end with; 0: the subject must be empty.
    pub expected_seq: u64,
}

/// Replaces the page of amendments at `expected_seq` (0: there is none).
pub fn amend(
    subjects: &Subjects,
    pair: &Pair,
    number: u64,
    page: &AmendmentPage,
    expected_seq: u64,
) -> Result<Write, AmendError> {
    let (receiver, sender) = (Token::of(&pair.receiver), Token::of(&pair.sender));
    Ok(Write {
        stream: StreamId::State(pair.partition),
        subject: amendments::key(subjects, pair.partition, &receiver, &sender, number),
        payload: amendments::encode(page)?,
        expected_seq,
    })
}

/// Appends the carrier of a removed message, which must be the newest of its pair.
pub fn carry(pair: &Pair, removed: &Removed) -> Result<Write, EncodeError> {
    Ok(Write {
        stream: StreamId::Log(pair.partition),
        subject: pair.subject.clone(),
        payload: message::encode_carrier(&removed.stub)?,
        expected_seq: removed.stream_seq,
    })
}

/// The remaining steps of a removal after its page of amendments was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Append the carrier, then erase the record.
    Carrier,
    /// Erase the record.
    Record,
    /// Nothing.
    Nothing,
}

impl<S: Store> Storage<'_, S> {
    /// The remaining steps to remove a message whose page of amendments has its stub. Call it under
    /// the pair lock: a message that arrives in between makes the carrier unnecessary.
    pub async fn left(&self, pair: &Pair, removed: &Removed) -> Result<Left, ReadError> {
        let end = self.end(pair).await?.map_or(0, |head| head.stream_seq);
        Ok(if end == removed.stream_seq {
            Left::Carrier
        } else if self.has_record(pair, removed.stream_seq).await? {
            Left::Record
        } else {
            Left::Nothing
        })
    }
}
