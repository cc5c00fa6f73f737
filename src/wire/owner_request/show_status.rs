//! Show changed statuses to users who follow them. Sent to the owner of one of those who follow,
//! which owns them all.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::read_status::{STATUS_BATCH_MAX, StatusV1};
use super::{ANSWER, KIND, OwnerRequest, VERSION, read_answer, read_request, user_id, write};
use crate::wire::packed::{EncodeError, RecordError};
use peerd_core::id::{Partition, UserId};
use peerd_core::user_status::UserStatus;

/// Show these statuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShowStatus {
    /// To whom, and the status. All to whom they are shown are in the partition of the user to whose
    /// owner the request is sent.
    pub shown: Vec<(UserId, UserStatus)>,
}

#[derive(Serialize, Deserialize)]
struct ShowStatusV1<'a> {
    version: u8,
    tag: u8,
    /// To whom, of whom, the status.
    #[serde(borrow)]
    shown: Vec<(&'a str, &'a str, StatusV1<'a>)>,
}

/// Version, tag, and for each whether the user follows the other.
type AnswerV1 = (u8, u8, Vec<bool>);

impl OwnerRequest for ShowStatus {
    /// Whether each user follows the other, in their order.
    type Answer = Vec<bool>;
    const TAG: u8 = 11;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let shown = self.shown.iter();
        let shown =
            shown.map(|(to, status)| (to.as_str(), status.id.as_str(), StatusV1::of(status)));
        write(&ShowStatusV1 { version: VERSION, tag: Self::TAG, shown: shown.collect() })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let ShowStatusV1 { shown, .. } = read_request(bytes)?;
        if shown.len() > STATUS_BATCH_MAX {
            return Err(RecordError::new(KIND, "it names too many users"));
        }
        let read = |(to, of, status): (&str, &str, StatusV1<'_>)| {
            Ok((user_id(to)?, status.read(KIND, &user_id(of)?)?))
        };
        Ok(Self { shown: shown.into_iter().map(read).collect::<Result<_, _>>()? })
    }

    fn encode_answer(answer: &Vec<bool>) -> Result<Bytes, EncodeError> {
        let answer: AnswerV1 = (VERSION, Self::ANSWER_TAG, answer.clone());
        write(&answer)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<Vec<bool>, RecordError> {
        let (_, _, follow): AnswerV1 = read_answer(bytes)?;
        if follow.len() != self.shown.len() {
            return Err(RecordError::new(ANSWER, "it is about other users"));
        }
        Ok(follow)
    }
}
