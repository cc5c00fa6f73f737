//! Check whether the user accepts a message of this sender. Sent before a first contact, which
//! writes the sender's entry first: a refused message must leave no trace. The message itself is
//! sent once, with [`super::Deliver`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Done, KIND, OwnerRequest, VERSION, read_done, read_request, user_id, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::{RecordError, check_numbers};
use peerd_core::id::{Partition, UserId};

/// Check whether the user accepts a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaySend {
    /// The sender.
    pub from: UserId,
    /// The bytes that its largest form needs: the servers of a cluster may differ in `max_payload`.
    pub needed_bytes: u64,
}

#[derive(Serialize, Deserialize)]
struct MaySendV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    from: &'a str,
    needed_bytes: u64,
}

impl OwnerRequest for MaySend {
    type Answer = ();
    const TAG: u8 = 2;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let Self { from, needed_bytes } = self;
        let (from, needed_bytes) = (from.as_str(), *needed_bytes);
        write(&MaySendV1 { version: VERSION, tag: Self::TAG, from, needed_bytes })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let MaySendV1 { from, needed_bytes, .. } = read_request(bytes)?;
        check_numbers(KIND, &[needed_bytes])?;
        Ok(Self { from: user_id(from)?, needed_bytes })
    }

    fn encode_answer((): &()) -> Result<Bytes, EncodeError> {
        let done: Done = (VERSION, Self::ANSWER_TAG);
        write(&done)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<(), RecordError> {
        read_done(bytes)
    }
}
