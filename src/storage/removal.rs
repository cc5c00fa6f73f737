//! Removing a message for both users, and other amendments: what is to be written, in which order. The
//! owner of the partition writes it, so that what is fenced elsewhere is fenced here.
//!
//! 1. Both users' conversation entries say that the page may have amendments.
//! 2. The page of amendments says what became of the message: from here on every reader has it so.
//! 3. Where a message was removed that is the newest of its pair, its carrier is appended.
//! 4. The record of a removed message is erased.
//!
//! Each step can be repeated, and whoever finds a removal that was begun goes on from [`Storage::left`].

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
    /// Where.
    pub stream: StreamId,
    /// Its subject.
    pub subject: String,
    /// Its bytes.
    pub payload: Bytes,
    /// The stream sequence that its subject must end with; 0: the subject must be empty.
    pub expected_seq: u64,
}

/// Writes a page of amendments in the place of the entry at `expected_seq` (0: there is none).
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

/// What is left to be done once a page of amendments says that a message was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// To append its carrier, and then to erase its record.
    Carrier,
    /// To erase its record.
    Record,
    /// Nothing.
    Nothing,
}

impl<S: Store> Storage<'_, S> {
    /// What is left to be done to remove a message that its page of amendments says was removed. To be
    /// asked under the pair lock: a message that comes in between makes the carrier needless.
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
