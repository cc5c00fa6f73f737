//! Note that messages of the user were delivered. Sent by the owner of their receiver to the owner of
//! their author, which stores it and publishes the receipts.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{KIND, OwnerRequest, VERSION, read_answer, read_request, user_id, write};
use crate::wire::packed::{EncodeError, RecordError, check_numbers};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::DELIVERED_BATCH_MAX;
use peerd_core::unreported::MessagePlace;

/// Note that these messages of the user were delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteDelivered {
    /// Their receiver.
    pub receiver: UserId,
    /// The messages, in the order of their keys. Each requests a receipt.
    pub messages: Vec<MessagePlace>,
    /// The end of the state stream of the receiver's partition: all receipts that the receiver has
    /// sent are stored up to there.
    pub state_seq: u64,
}

#[derive(Serialize, Deserialize)]
struct NoteDeliveredV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    receiver: &'a str,
    /// Order key and `messageSeq` of each.
    messages: Vec<(u64, u64)>,
    state_seq: u64,
}

/// Version, tag, and the answer.
type AnswerV1 = (u8, u8, bool);

impl OwnerRequest for NoteDelivered {
    /// Whether nothing is left to do: they are noted, or no receipt is due. Otherwise the author's
    /// owner does not know yet that they are stored.
    type Answer = bool;
    const TAG: u8 = 12;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let messages = self.messages.iter().map(|place| (place.key.0, place.seq)).collect();
        let (version, tag, receiver) = (VERSION, Self::TAG, self.receiver.as_str());
        let state_seq = self.state_seq;
        write(&NoteDeliveredV1 { version, tag, receiver, messages, state_seq })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let NoteDeliveredV1 { receiver, messages, state_seq, .. } = read_request(bytes)?;
        check_numbers(KIND, &[state_seq])?;
        if messages.len() > DELIVERED_BATCH_MAX {
            return Err(RecordError::new(KIND, "it names too many messages"));
        }
        for (key, seq) in &messages {
            check_numbers(KIND, &[*key, *seq])?;
        }
        let messages = messages.into_iter();
        let messages = messages.map(|(key, seq)| MessagePlace { key: OrderKey(key), seq });
        let messages: Vec<_> = messages.collect();
        if !messages.is_sorted_by(|one, next| one.key < next.key) {
            return Err(RecordError::new(KIND, "its messages are not in order"));
        }
        Ok(Self { receiver: user_id(receiver)?, messages, state_seq })
    }

    fn encode_answer(answer: &bool) -> Result<Bytes, EncodeError> {
        let answer: AnswerV1 = (VERSION, Self::ANSWER_TAG, *answer);
        write(&answer)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<bool, RecordError> {
        let (_, _, is_done): AnswerV1 = read_answer(bytes)?;
        Ok(is_done)
    }
}
