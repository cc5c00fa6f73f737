//! Recount a user: from `peerd audit` to the user's owner.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ANSWER, Done, OwnerRequest, VERSION, read_answer, read_request, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::RecordError;
use peerd_core::audit::{Difference, Subject};
use peerd_core::id::{Partition, UserId};

/// The most differences of one user that are listed.
pub const DIFFERENCES_MAX: usize = 256;

/// Recount the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit;

/// The result of the audit of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audited {
    /// Conversations that were recounted.
    pub conversations: u64,
    /// Messages that were read.
    pub messages: u64,
    /// The differences from the log.
    pub differences: Vec<Difference>,
    /// Stored messages that cannot be read, by subject and sequence in the log.
    pub unreadable: Vec<String>,
    /// Conversations whose counts were corrected, because the store lost messages of them.
    pub corrected: u64,
}

#[derive(Serialize, Deserialize)]
struct AuditedV1<'a> {
    version: u8,
    tag: u8,
    /// Why there was no audit; empty if there was one.
    #[serde(borrow)]
    problem: &'a str,
    conversations: u64,
    messages: u64,
    #[serde(borrow)]
    differences: Vec<DifferenceV1<'a>>,
    unreadable: Vec<String>,
    corrected: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct DifferenceV1<'a>(#[serde(borrow)] &'a str, #[serde(borrow)] &'a str, u64, u64);

impl OwnerRequest for Audit {
    /// The result of the audit, or why there was none.
    type Answer = Result<Audited, String>;
    const TAG: u8 = 5;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let request: Done = (VERSION, Self::TAG);
        write(&request)
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let (_, _): Done = read_request(bytes)?;
        Ok(Self)
    }

    fn encode_answer(answer: &Self::Answer) -> Result<Bytes, EncodeError> {
        let none = Audited::default();
        let (audited, problem) = match answer {
            Ok(audited) => (audited, ""),
            Err(problem) => (&none, problem.as_str()),
        };
        let differences = audited.differences.iter().take(DIFFERENCES_MAX).map(|difference| {
            let Difference { other, subject, expected, found } = difference;
            let other = other.as_ref().map_or("", UserId::as_str);
            DifferenceV1(other, subject.name(), *expected, *found)
        });
        write(&AuditedV1 {
            version: VERSION,
            tag: Self::ANSWER_TAG,
            problem,
            conversations: audited.conversations,
            messages: audited.messages,
            differences: differences.collect(),
            unreadable: audited.unreadable.iter().take(DIFFERENCES_MAX).cloned().collect(),
            corrected: audited.corrected,
        })
    }

    fn decode_answer(
        &self,
        bytes: &[u8],
        _partition: Partition,
    ) -> Result<Self::Answer, RecordError> {
        let read: AuditedV1<'_> = read_answer(bytes)?;
        if read.differences.len() > DIFFERENCES_MAX {
            return Err(RecordError::new(ANSWER, "it has too many differences"));
        }
        if !read.problem.is_empty() {
            return Ok(Err(read.problem.to_owned()));
        }
        let differences = read.differences.into_iter().map(difference);
        Ok(Ok(Audited {
            conversations: read.conversations,
            messages: read.messages,
            differences: differences.collect::<Result<_, RecordError>>()?,
            unreadable: read.unreadable,
            corrected: read.corrected,
        }))
    }
}

fn difference(read: DifferenceV1<'_>) -> Result<Difference, RecordError> {
    let broken = || RecordError::new(ANSWER, "one of its differences");
    let DifferenceV1(other, subject, expected, found) = read;
    let other = if other.is_empty() { None } else { Some(UserId::new(other, "other")) };
    let subject = Subject::ALL.into_iter().find(|known| known.name() == subject);
    Ok(Difference {
        other: other.transpose().map_err(|_| broken())?,
        subject: subject.ok_or_else(broken)?,
        expected,
        found,
    })
}
