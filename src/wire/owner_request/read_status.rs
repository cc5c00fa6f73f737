//! Read the status of users. Sent to the owner of one of them, which owns them all.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ANSWER, KIND, OwnerRequest, VERSION, read_answer, read_request, user_id, write};
use crate::wire::packed::{EncodeError, RecordError, check_numbers};
use peerd_core::id::{Partition, UserId};
use peerd_core::user_status::{CustomStatus, OnlineStatus, UserStatus};

/// The most users of one request.
pub const STATUS_BATCH_MAX: usize = 128;

/// Read the status of these users, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadStatus {
    /// The users. All are in the partition of the user to whose owner the request is sent.
    pub users: Vec<UserId>,
}

#[derive(Serialize, Deserialize)]
struct ReadStatusV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    users: Vec<&'a str>,
}

/// Version, tag, and for each user the status; nil if the user never logged in.
#[derive(Serialize, Deserialize)]
struct AnswerV1<'a>(u8, u8, #[serde(borrow)] Vec<Option<StatusV1<'a>>>);

/// A status without its user: online status and platforms as numbers of the SDK, since when; text of
/// the custom status, since when, until when. Times are in milliseconds since 1970.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct StatusV1<'a>(u8, Vec<u8>, u64, #[serde(borrow)] &'a str, u64, u64);

impl<'a> StatusV1<'a> {
    pub(super) fn of(status: &'a UserStatus) -> Self {
        let UserStatus { online, platforms, online_since_ms, custom, .. } = status;
        let CustomStatus { text, since_ms, until_ms } = custom;
        Self(*online as u8, platforms.clone(), *online_since_ms, text, *since_ms, *until_ms)
    }

    pub(super) fn read(self, kind: &'static str, id: &UserId) -> Result<UserStatus, RecordError> {
        let Self(online, platforms, online_since_ms, text, since_ms, until_ms) = self;
        check_numbers(kind, &[online_since_ms, since_ms, until_ms])?;
        let online = OnlineStatus::from_number(online);
        let online = online.ok_or_else(|| RecordError::new(kind, "its online status"))?;
        let custom = CustomStatus { text: text.to_owned(), since_ms, until_ms };
        Ok(UserStatus { id: id.clone(), online, platforms, online_since_ms, custom })
    }
}

impl OwnerRequest for ReadStatus {
    /// The status of each user, in their order; `None` if the user never logged in.
    type Answer = Vec<Option<UserStatus>>;
    const TAG: u8 = 9;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let users = self.users.iter().map(UserId::as_str).collect();
        write(&ReadStatusV1 { version: VERSION, tag: Self::TAG, users })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let ReadStatusV1 { users, .. } = read_request(bytes)?;
        if users.len() > STATUS_BATCH_MAX {
            return Err(RecordError::new(KIND, "it names too many users"));
        }
        Ok(Self { users: users.into_iter().map(user_id).collect::<Result<_, _>>()? })
    }

    fn encode_answer(answer: &Self::Answer) -> Result<Bytes, EncodeError> {
        let statuses = answer.iter().map(|status| status.as_ref().map(StatusV1::of)).collect();
        write(&AnswerV1(VERSION, Self::ANSWER_TAG, statuses))
    }

    fn decode_answer(
        &self,
        bytes: &[u8],
        _partition: Partition,
    ) -> Result<Self::Answer, RecordError> {
        let AnswerV1(_, _, statuses) = read_answer(bytes)?;
        if statuses.len() != self.users.len() {
            return Err(RecordError::new(ANSWER, "it is about other users"));
        }
        let of = |(status, id): (Option<StatusV1<'_>>, &UserId)| {
            status.map(|status| status.read(ANSWER, id)).transpose()
        };
        statuses.into_iter().zip(&self.users).map(of).collect()
    }
}
