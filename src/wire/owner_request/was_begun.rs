//! Inquire whether a request without an answer was begun. If not, it never will be, and can be sent
//! again.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{ANSWER, OwnerRequest, VERSION, read_answer, read_request, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::{RecordError, check_numbers};
use peerd_core::id::{Partition, UserId};
use peerd_core::limits::NUMBER_MAX;

/// Return whether a request was begun; if not, it must not be begun later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WasBegun {
    /// The reply subject of the request, which identifies it.
    pub reply_to: String,
}

/// The answer to an inquiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It was begun.
    Yes,
    /// It was not begun, and never will be.
    No {
        /// How long the owner has owned the partition and remembered every request to it.
        known_for: Duration,
    },
}

#[derive(Serialize, Deserialize)]
struct WasBegunV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    reply_to: &'a str,
}

/// The answer: version, tag, whether it was begun, and for how many milliseconds that is known.
type BegunV1 = (u8, u8, bool, u64);

impl OwnerRequest for WasBegun {
    type Answer = Begun;
    const TAG: u8 = 6;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        write(&WasBegunV1 { version: VERSION, tag: Self::TAG, reply_to: &self.reply_to })
    }

    fn decode(bytes: &[u8], _user: &UserId) -> Result<Self, RecordError> {
        let WasBegunV1 { reply_to, .. } = read_request(bytes)?;
        Ok(Self { reply_to: reply_to.to_owned() })
    }

    fn encode_answer(answer: &Begun) -> Result<Bytes, EncodeError> {
        let (is_begun, known_for) = match *answer {
            Begun::Yes => (true, Duration::ZERO),
            Begun::No { known_for } => (false, known_for),
        };
        let known_ms = u64::try_from(known_for.as_millis()).unwrap_or(NUMBER_MAX).min(NUMBER_MAX);
        let answer: BegunV1 = (VERSION, Self::ANSWER_TAG, is_begun, known_ms);
        write(&answer)
    }

    fn decode_answer(&self, bytes: &[u8], _partition: Partition) -> Result<Begun, RecordError> {
        let (_, _, is_begun, known_ms): BegunV1 = read_answer(bytes)?;
        check_numbers(ANSWER, &[known_ms])?;
        let known_for = Duration::from_millis(known_ms);
        Ok(if is_begun { Begun::Yes } else { Begun::No { known_for } })
    }
}
