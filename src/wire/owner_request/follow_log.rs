//! Follow the log: a message of the user may be stored without the knowledge of the user's owner.
//! Sent to the owner of the sender, which reads the log and publishes the events.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Done, KIND, OwnerRequest, VERSION, read_done, read_request, user_id, write};
use crate::wire::packed::{EncodeError, RecordError, check_numbers};
use peerd_core::id::{Partition, UserId};

/// Read the user's messages to this receiver from the log, and publish those that were not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowLog {
    /// The receiver.
    pub receiver: UserId,
    /// The time since which an attempt to store one is in doubt, by the server's clock, in
    /// milliseconds since 1970: the log is followed until it can no longer be stored. `None`: one
    /// look suffices.
    pub in_doubt_since_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct FollowLogV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    receiver: &'a str,
    in_doubt_since_ms: Option<u64>,
}

impl OwnerRequest for FollowLog {
    /// Everything in the log was published.
    type Answer = ();
    const TAG: u8 = 4;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let Self { ref receiver, in_doubt_since_ms } = *self;
        let (version, tag, receiver) = (VERSION, Self::TAG, receiver.as_str());
        write(&FollowLogV1 { version, tag, receiver, in_doubt_since_ms })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let FollowLogV1 { receiver, in_doubt_since_ms, .. } = read_request(bytes)?;
        check_numbers(KIND, in_doubt_since_ms.as_slice())?;
        Ok(Self { receiver: user_id(receiver)?, in_doubt_since_ms })
    }

    fn encode_answer((): &()) -> Result<Bytes, EncodeError> {
        let done: Done = (VERSION, Self::ANSWER_TAG);
        write(&done)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<(), RecordError> {
        read_done(bytes)
    }
}
