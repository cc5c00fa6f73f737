//! A message of the user's may be stored without the user's owner knowing. Sent to the owner of a
//! sender, which reads the log and publishes what follows.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Done, OwnerRequest, VERSION, read_done, read_request, user_id, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::RecordError;
use peerd_core::id::{Partition, UserId};

/// Read what the log has of the user's own messages to this receiver, and publish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowLog {
    /// Who received them.
    pub receiver: UserId,
}

#[derive(Serialize, Deserialize)]
struct FollowLogV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    receiver: &'a str,
}

impl OwnerRequest for FollowLog {
    /// All that the log had was published.
    type Answer = ();
    const TAG: u8 = 4;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let receiver = self.receiver.as_str();
        write(&FollowLogV1 { version: VERSION, tag: Self::TAG, receiver })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let FollowLogV1 { receiver, .. } = read_request(bytes)?;
        Ok(Self { receiver: user_id(receiver)? })
    }

    fn encode_answer((): &()) -> Result<Bytes, EncodeError> {
        let done: Done = (VERSION, Self::ANSWER_TAG);
        write(&done)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<(), RecordError> {
        read_done(bytes)
    }
}
