//! Would the user take a message in from this sender? Asked before a first contact, which is stored
//! at the sender's first: what the receiver refuses leaves no trace. The message itself comes once,
//! with [`super::Deliver`].

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Done, KIND, OwnerRequest, VERSION, read_done, read_request, user_id, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::{RecordError, check_numbers};
use peerd_core::id::{Partition, UserId};

/// Say whether the user takes a message in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaySend {
    /// Who is to send it.
    pub from: UserId,
    /// The room that its largest form takes, in bytes: the servers of a cluster may differ in what
    /// they take.
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
