//! The part of a command that belongs to the other user of a conversation. Sent to the owner of
//! that user.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{OwnerRequest, VERSION, encode_rejection, read_answer, read_request, user_id, write};
use crate::wire::packed::{EncodeError, RecordError};
use peerd_core::id::{Partition, UserId};
use peerd_protocol::failure::CallError;

/// Perform the part of this command that belongs to the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerPart {
    /// The caller of the command.
    pub from: UserId,
    /// The name of the command.
    pub method: String,
    /// The fields of the part, as the command encodes them.
    pub part: Bytes,
}

#[derive(Serialize, Deserialize)]
struct PeerPartV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    from: &'a str,
    #[serde(borrow)]
    method: &'a str,
    #[serde(borrow, with = "serde_bytes")]
    part: &'a [u8],
}

/// Version, tag, and the answer of the part.
#[derive(Serialize, Deserialize)]
struct AnswerV1<'a>(u8, u8, #[serde(borrow, with = "serde_bytes")] &'a [u8]);

impl OwnerRequest for PeerPart {
    /// The answer of the part, encoded by the command.
    type Answer = Bytes;
    const TAG: u8 = 8;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let Self { from, method, part } = self;
        let (version, tag, from) = (VERSION, Self::TAG, from.as_str());
        write(&PeerPartV1 { version, tag, from, method, part })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let PeerPartV1 { from, method, part, .. } = read_request(bytes)?;
        let (from, part) = (user_id(from)?, Bytes::copy_from_slice(part));
        Ok(Self { from, method: method.to_owned(), part })
    }

    fn encode_answer(answer: &Bytes) -> Result<Bytes, EncodeError> {
        write(&AnswerV1(VERSION, Self::ANSWER_TAG, answer))
    }

    fn encode_refusal(error: &CallError) -> Result<Bytes, EncodeError> {
        encode_rejection(error)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<Bytes, RecordError> {
        let AnswerV1(_, _, answer) = read_answer(bytes)?;
        Ok(Bytes::copy_from_slice(answer))
    }
}
