//! Settle a direction: answer once no message of this sender to the user can be stored with a
//! smaller key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Done, KIND, OwnerRequest, VERSION, read_done, read_request, user_id, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::{RecordError, check_numbers};
use peerd_core::id::{OrderKey, Partition, UserId};

/// Answer once a direction is settled up to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The sender of the direction.
    pub sender: UserId,
    /// The key of a message of the other direction.
    pub key: OrderKey,
}

#[derive(Serialize, Deserialize)]
struct SettleV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    sender: &'a str,
    key: u64,
}

impl OwnerRequest for Settle {
    type Answer = ();
    const TAG: u8 = 7;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let (sender, key) = (self.sender.as_str(), self.key.0);
        write(&SettleV1 { version: VERSION, tag: Self::TAG, sender, key })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let SettleV1 { sender, key, .. } = read_request(bytes)?;
        check_numbers(KIND, &[key])?;
        Ok(Self { sender: user_id(sender)?, key: OrderKey(key) })
    }

    fn encode_answer((): &()) -> Result<Bytes, EncodeError> {
        let done: Done = (VERSION, Self::ANSWER_TAG);
        write(&done)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<(), RecordError> {
        read_done(bytes)
    }
}
