//! Read the status of users for others who follow them, and send its changes from now on. Sent to
//! the owner of one of the users, which owns them all.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::read_status::{STATUS_BATCH_MAX, StatusV1};
use super::{ANSWER, KIND, OwnerRequest, VERSION, read_answer, read_request, user_id, write};
use crate::wire::packed::{EncodeError, RecordError};
use peerd_core::id::{Partition, UserId};
use peerd_core::user_status::UserStatus;

/// A user who follows another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// The user who is followed.
    pub user: UserId,
    /// The user who follows.
    pub watcher: UserId,
}

/// Read the status of users, and send its changes to the owners of those who follow them. It is
/// repeated as long as they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchStatus {
    /// Who follows whom. All who are followed are in the partition of the user to whose owner the
    /// request is sent.
    pub watches: Vec<Watch>,
}

/// The answer for one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// The present status; `None` if the user never logged in.
    pub status: Option<UserStatus>,
    /// Whether changes are sent: not if too many others follow the user.
    pub is_watched: bool,
}

#[derive(Serialize, Deserialize)]
struct WatchStatusV1<'a> {
    version: u8,
    tag: u8,
    /// User, watcher.
    #[serde(borrow)]
    watches: Vec<(&'a str, &'a str)>,
}

/// Version, tag, and for each the status (nil if the user never logged in), and whether it is
/// watched.
#[derive(Serialize, Deserialize)]
struct AnswerV1<'a>(u8, u8, #[serde(borrow)] Vec<(Option<StatusV1<'a>>, bool)>);

impl OwnerRequest for WatchStatus {
    /// The answer for each, in their order.
    type Answer = Vec<Watching>;
    const TAG: u8 = 10;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let watches = self.watches.iter();
        let watches = watches.map(|Watch { user, watcher }| (user.as_str(), watcher.as_str()));
        write(&WatchStatusV1 { version: VERSION, tag: Self::TAG, watches: watches.collect() })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let WatchStatusV1 { watches, .. } = read_request(bytes)?;
        if watches.len() > STATUS_BATCH_MAX {
            return Err(RecordError::new(KIND, "it names too many users"));
        }
        let watch =
            |(user, watcher)| Ok(Watch { user: user_id(user)?, watcher: user_id(watcher)? });
        Ok(Self { watches: watches.into_iter().map(watch).collect::<Result<_, _>>()? })
    }

    fn encode_answer(answer: &Self::Answer) -> Result<Bytes, EncodeError> {
        let list = answer.iter().map(|it| (it.status.as_ref().map(StatusV1::of), it.is_watched));
        write(&AnswerV1(VERSION, Self::ANSWER_TAG, list.collect()))
    }

    fn decode_answer(
        &self,
        bytes: &[u8],
        _partition: Partition,
    ) -> Result<Self::Answer, RecordError> {
        let AnswerV1(_, _, list) = read_answer(bytes)?;
        if list.len() != self.watches.len() {
            return Err(RecordError::new(ANSWER, "it is about other users"));
        }
        let of = |((status, is_watched), watch): ((Option<StatusV1<'_>>, bool), &Watch)| {
            let status = status.map(|status| status.read(ANSWER, &watch.user)).transpose()?;
            Ok(Watching { status, is_watched })
        };
        list.into_iter().zip(&self.watches).map(of).collect()
    }
}
