//! Requests between owners, and their answers: a file for each kind of request.
//!
//! They are exchanged between instances of peerd only, on `peer.part.<p>.<user>`. Each is a
//! MessagePack array that begins with its version, since two releases meet in a rolling update, and
//! a tag. The tag of a request names its kind. An answer has a tag of its own for each kind of
//! request, or that of a refusal, so that no other reply is mistaken for one, in particular not the
//! request itself, which any subscriber of the subject can send back.

mod audit;
mod deliver;
mod find_repeat;
mod follow_log;
mod may_send;
mod note_delivered;
mod peer_part;
mod read_status;
mod settle;
mod show_status;
mod was_begun;
mod watch_status;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub use self::audit::{Audit, Audited, DIFFERENCES_MAX};
pub use self::deliver::Deliver;
pub use self::find_repeat::FindRepeat;
pub use self::follow_log::FollowLog;
pub use self::may_send::MaySend;
pub use self::note_delivered::NoteDelivered;
pub use self::peer_part::PeerPart;
pub use self::read_status::{ReadStatus, STATUS_BATCH_MAX};
pub use self::settle::Settle;
pub use self::show_status::ShowStatus;
pub use self::was_begun::{Begun, WasBegun};
pub use self::watch_status::{Watch, WatchStatus, Watching};
use super::packed::EncodeError;
use super::packed::{self, RecordError, check_numbers, version};
use peerd_core::id::{LocalMessageId, Partition, UserId};
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::{block, msgpack};

const KIND: &str = "request between instances";
const ANSWER: &str = "answer between instances";
/// The version of requests and answers.
const VERSION: u8 = 1;

/// The tag of a refusal.
const REFUSED: u8 = 0;
/// The tags of answers are above this, those of requests below.
const ANSWERS: u8 = 64;

/// A request to the owner of a user.
pub trait OwnerRequest: Sized {
    /// The owner's answer, unless it refuses.
    type Answer;
    /// The tag of the request, below `ANSWERS`.
    const TAG: u8;
    /// The tag of its answer.
    const ANSWER_TAG: u8 = ANSWERS + Self::TAG;

    /// Writes the request.
    fn encode(&self) -> Result<Bytes, EncodeError>;

    /// Reads the request, which was sent to the owner of `user`.
    fn decode(bytes: &[u8], user: &UserId) -> Result<Self, RecordError>;

    /// Writes an answer.
    fn encode_answer(answer: &Self::Answer) -> Result<Bytes, EncodeError>;

    /// Writes a refusal of the request.
    fn encode_refusal(error: &CallError) -> Result<Bytes, EncodeError> {
        encode_refusal(error)
    }

    /// Reads the answer of the owner of `partition` to this request.
    fn decode_answer(
        &self,
        bytes: &[u8],
        partition: Partition,
    ) -> Result<Self::Answer, RecordError>;
}

/// Any request to the owner of a user, as it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// See [`Deliver`].
    Deliver(Deliver),
    /// See [`MaySend`].
    MaySend(MaySend),
    /// See [`FindRepeat`].
    FindRepeat(Box<FindRepeat>),
    /// See [`FollowLog`].
    FollowLog(FollowLog),
    /// See [`Audit`].
    Audit(Audit),
    /// See [`WasBegun`].
    WasBegun(WasBegun),
    /// See [`Settle`].
    Settle(Settle),
    /// See [`PeerPart`].
    PeerPart(PeerPart),
    /// See [`ReadStatus`].
    ReadStatus(ReadStatus),
    /// See [`WatchStatus`].
    WatchStatus(WatchStatus),
    /// See [`ShowStatus`].
    ShowStatus(ShowStatus),
    /// See [`NoteDelivered`].
    NoteDelivered(NoteDelivered),
}

impl Request {
    /// The name in traces.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Deliver(_) => "owner_request.deliver",
            Self::MaySend(_) => "owner_request.may_send",
            Self::FindRepeat(_) => "owner_request.find_repeat",
            Self::FollowLog(_) => "owner_request.follow_log",
            Self::Audit(_) => "owner_request.audit",
            Self::WasBegun(_) => "owner_request.was_begun",
            Self::Settle(_) => "owner_request.settle",
            Self::PeerPart(_) => "owner_request.peer_part",
            Self::ReadStatus(_) => "owner_request.read_status",
            Self::WatchStatus(_) => "owner_request.watch_status",
            Self::ShowStatus(_) => "owner_request.show_status",
            Self::NoteDelivered(_) => "owner_request.note_delivered",
        }
    }

    /// Reads a request to the owner of `user`.
    pub fn decode(bytes: &[u8], user: &UserId) -> Result<Self, RecordError> {
        let request = match tag(bytes, KIND)? {
            Deliver::TAG => Self::Deliver(Deliver::decode(bytes, user)?),
            MaySend::TAG => Self::MaySend(MaySend::decode(bytes, user)?),
            FindRepeat::TAG => Self::FindRepeat(Box::new(FindRepeat::decode(bytes, user)?)),
            FollowLog::TAG => Self::FollowLog(FollowLog::decode(bytes, user)?),
            Audit::TAG => Self::Audit(Audit::decode(bytes, user)?),
            WasBegun::TAG => Self::WasBegun(WasBegun::decode(bytes, user)?),
            Settle::TAG => Self::Settle(Settle::decode(bytes, user)?),
            PeerPart::TAG => Self::PeerPart(PeerPart::decode(bytes, user)?),
            ReadStatus::TAG => Self::ReadStatus(ReadStatus::decode(bytes, user)?),
            WatchStatus::TAG => Self::WatchStatus(WatchStatus::decode(bytes, user)?),
            ShowStatus::TAG => Self::ShowStatus(ShowStatus::decode(bytes, user)?),
            NoteDelivered::TAG => Self::NoteDelivered(NoteDelivered::decode(bytes, user)?),
            _ => return Err(RecordError::new(KIND, "its tag is unknown")),
        };
        Ok(request)
    }
}

/// Whether a request is a settle request, by its first bytes.
#[must_use]
pub fn is_settle(bytes: &[u8]) -> bool {
    tag(bytes, KIND) == Ok(Settle::TAG)
}

/// Writes the answer to a request, or its refusal.
pub fn encode_answer<R: OwnerRequest>(
    answer: &Result<R::Answer, CallError>,
) -> Result<Bytes, EncodeError> {
    match answer {
        Ok(answer) => R::encode_answer(answer),
        Err(error) => R::encode_refusal(error),
    }
}

/// Reads the answer of the owner of `partition` to a request.
pub fn decode_answer<R: OwnerRequest>(
    request: &R,
    bytes: &[u8],
    partition: Partition,
) -> Result<Result<R::Answer, CallError>, RecordError> {
    match tag(bytes, ANSWER)? {
        REFUSED => decode_refusal(bytes).map(Err),
        answered if answered == R::ANSWER_TAG => request.decode_answer(bytes, partition).map(Ok),
        _ => Err(RecordError::new(ANSWER, "it answers another request")),
    }
}

/// Whether these bytes are an owner's answer to this kind of request, or its refusal. The content
/// of the answer is not examined.
#[must_use]
pub fn is_answer<R: OwnerRequest>(bytes: &[u8]) -> bool {
    match tag(bytes, ANSWER) {
        Ok(REFUSED) => decode_refusal(bytes).is_ok(),
        Ok(answered) => answered == R::ANSWER_TAG && is_whole(bytes),
        Err(_) => false,
    }
}

/// Whether the bytes are exactly one MessagePack value.
fn is_whole(bytes: &[u8]) -> bool {
    packed::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// The tag of a request or an answer of this version.
fn tag(bytes: &[u8], kind: &'static str) -> Result<u8, RecordError> {
    match version(bytes, kind)? {
        VERSION => {}
        other => return Err(RecordError::new(kind, format!("its version {other} is unknown"))),
    }
    match bytes {
        // The array's header is one byte up to 15 fields, and three beyond; then the version.
        [0x90..=0x9f, _, tag @ 0..=0x7f, ..] | [0xdc, _, _, _, tag @ 0..=0x7f, ..] => Ok(*tag),
        _ => Err(RecordError::new(kind, "it has no tag")),
    }
}

/// Writes a request or an answer: an array whose first fields are the version and the tag.
fn write(array: &impl Serialize) -> Result<Bytes, EncodeError> {
    block::written(|out| msgpack::append(out, array))
}

fn read_request<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, RecordError> {
    let broken = |_| RecordError::new(KIND, "it is not a version 1 request");
    packed::from_slice(bytes).map_err(broken)
}

fn read_answer<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, RecordError> {
    let broken = |_| RecordError::new(ANSWER, "it is not a version 1 answer");
    packed::from_slice(bytes).map_err(broken)
}

fn user_id(text: &str) -> Result<UserId, RecordError> {
    UserId::new(text, "userID").map_err(|_| RecordError::new(KIND, "its user"))
}

fn local_id(text: Option<&str>) -> Result<Option<LocalMessageId>, RecordError> {
    let stored =
        |id| LocalMessageId::stored(id).ok_or_else(|| RecordError::new(KIND, "its local ID"));
    text.map(stored).transpose()
}

/// An answer without content: version and tag.
type Done = (u8, u8);

fn read_done(bytes: &[u8]) -> Result<(), RecordError> {
    let (_, _): Done = read_answer(bytes)?;
    Ok(())
}

/// A refusal: version, tag, reason, and the milliseconds after which a repeat may succeed.
type RefusalV1 = (u8, u8, u8, u64);

/// A refusal for [`INVALID_PARAMETER`]: like any other, followed by the field and its problem.
#[derive(Serialize, Deserialize)]
struct InvalidParameterV1<'a> {
    version: u8,
    tag: u8,
    why: u8,
    retry_after_ms: u64,
    #[serde(borrow)]
    field: &'a str,
    #[serde(borrow)]
    problem: &'a str,
}

/// The numbers of reasons: rejections by the receiver, and failures.
const TARGET_NOT_FOUND: u8 = 20;
const BLOCKED: u8 = 21;
const REUSED: u8 = 22;
const MESSAGE_TOO_LARGE: u8 = 23;
const INVALID_PARAMETER: u8 = 24;
const RATE_LIMITED: u8 = 25;
const NOT_LOGGED_IN: u8 = 26;
const CONVERSATION_NOT_FOUND: u8 = 27;
const UNSUPPORTED_METHOD: u8 = 28;
const TOO_LATE_TO_REVOKE: u8 = 29;
const OVERLOADED: u8 = 30;
const NO_OWNER: u8 = 31;
const INTERNAL: u8 = 32;
const STORE_UNAVAILABLE: u8 = 33;
const OUTCOME_UNKNOWN: u8 = 34;
const REVOKED: u8 = 35;
const NOT_PERMITTED: u8 = 36;
const TOO_LATE_TO_EDIT: u8 = 37;
const EDITED_MEANWHILE: u8 = 38;
const TOO_LATE_TO_REACT: u8 = 39;
const REACTION_UNCHANGED: u8 = 40;
const NOT_PINNED: u8 = 41;
const TOO_MANY_PINNED_MESSAGES: u8 = 42;

/// Writes a refusal of any request. A bad parameter can only mean that the message is too large;
/// `encode_rejection` keeps the field and the problem.
pub fn encode_refusal(error: &CallError) -> Result<Bytes, EncodeError> {
    let (why, retry_after_ms) = match error {
        CallError::Rejected(Rejection::TargetNotFound) => (TARGET_NOT_FOUND, 0),
        CallError::Rejected(Rejection::BlockedByReceiver) => (BLOCKED, 0),
        CallError::Rejected(Rejection::LocalMessageIdReused) => (REUSED, 0),
        CallError::Failed(Failure::Overloaded { retry_after_ms }) => (OVERLOADED, *retry_after_ms),
        CallError::Failed(Failure::NoOwner { retry_after_ms }) => (NO_OWNER, *retry_after_ms),
        CallError::Failed(Failure::NoOwners | Failure::StoreUnavailable) => (STORE_UNAVAILABLE, 0),
        CallError::Failed(Failure::OutcomeUnknown) => (OUTCOME_UNKNOWN, 0),
        // A send was checked before, except for the limit of the receiver's server.
        CallError::Rejected(Rejection::InvalidParameter { .. }) => (MESSAGE_TOO_LARGE, 0),
        CallError::Rejected(Rejection::RateLimited { retry_after_ms }) => {
            (RATE_LIMITED, *retry_after_ms)
        }
        CallError::Rejected(Rejection::NotLoggedIn) => (NOT_LOGGED_IN, 0),
        CallError::Rejected(Rejection::ConversationNotFound) => (CONVERSATION_NOT_FOUND, 0),
        CallError::Rejected(Rejection::UnsupportedMethod) => (UNSUPPORTED_METHOD, 0),
        CallError::Rejected(Rejection::TooLateToRevoke) => (TOO_LATE_TO_REVOKE, 0),
        CallError::Rejected(Rejection::Revoked) => (REVOKED, 0),
        CallError::Rejected(Rejection::NotPermitted) => (NOT_PERMITTED, 0),
        CallError::Rejected(Rejection::TooLateToEdit) => (TOO_LATE_TO_EDIT, 0),
        CallError::Rejected(Rejection::EditedMeanwhile) => (EDITED_MEANWHILE, 0),
        CallError::Rejected(Rejection::TooLateToReact) => (TOO_LATE_TO_REACT, 0),
        CallError::Rejected(Rejection::ReactionUnchanged) => (REACTION_UNCHANGED, 0),
        CallError::Rejected(Rejection::NotPinned) => (NOT_PINNED, 0),
        CallError::Rejected(Rejection::TooManyPinnedMessages) => (TOO_MANY_PINNED_MESSAGES, 0),
        // The sender of an owner request checked the method; the caller's owner checks whether
        // lists are full.
        CallError::Failed(Failure::Internal | Failure::TooLarge)
        | CallError::Rejected(
            Rejection::UnknownMethod { .. }
            | Rejection::PinnedListFull
            | Rejection::MutedListFull
            | Rejection::TooManyReceipts,
        ) => (INTERNAL, 0),
    };
    let refusal: RefusalV1 = (VERSION, REFUSED, why, retry_after_ms);
    write(&refusal)
}

/// As [`encode_refusal`], with the field of a bad parameter and its problem.
fn encode_rejection(error: &CallError) -> Result<Bytes, EncodeError> {
    let CallError::Rejected(Rejection::InvalidParameter { field, problem }) = error else {
        return encode_refusal(error);
    };
    let (version, tag, why, retry_after_ms) = (VERSION, REFUSED, INVALID_PARAMETER, 0);
    write(&InvalidParameterV1 { version, tag, why, retry_after_ms, field, problem })
}

fn decode_refusal(bytes: &[u8]) -> Result<CallError, RecordError> {
    // After the header, the version and the tag, of one byte each.
    if bytes.get(3) == Some(&INVALID_PARAMETER) {
        let InvalidParameterV1 { field, problem, .. } = read_answer(bytes)?;
        return Ok(Rejection::invalid(field, problem).into());
    }
    let (_, _, why, retry_after_ms): RefusalV1 = read_answer(bytes)?;
    check_numbers(ANSWER, &[retry_after_ms])?;
    Ok(match why {
        TARGET_NOT_FOUND => Rejection::TargetNotFound.into(),
        BLOCKED => Rejection::BlockedByReceiver.into(),
        REUSED => Rejection::LocalMessageIdReused.into(),
        MESSAGE_TOO_LARGE => {
            let problem = "does not fit the max_payload of the receiver's nats-server";
            Rejection::invalid("message", problem).into()
        }
        RATE_LIMITED => Rejection::RateLimited { retry_after_ms }.into(),
        NOT_LOGGED_IN => Rejection::NotLoggedIn.into(),
        CONVERSATION_NOT_FOUND => Rejection::ConversationNotFound.into(),
        UNSUPPORTED_METHOD => Rejection::UnsupportedMethod.into(),
        TOO_LATE_TO_REVOKE => Rejection::TooLateToRevoke.into(),
        REVOKED => Rejection::Revoked.into(),
        NOT_PERMITTED => Rejection::NotPermitted.into(),
        TOO_LATE_TO_EDIT => Rejection::TooLateToEdit.into(),
        EDITED_MEANWHILE => Rejection::EditedMeanwhile.into(),
        TOO_LATE_TO_REACT => Rejection::TooLateToReact.into(),
        REACTION_UNCHANGED => Rejection::ReactionUnchanged.into(),
        NOT_PINNED => Rejection::NotPinned.into(),
        TOO_MANY_PINNED_MESSAGES => Rejection::TooManyPinnedMessages.into(),
        OVERLOADED => Failure::Overloaded { retry_after_ms }.into(),
        NO_OWNER => Failure::NoOwner { retry_after_ms }.into(),
        INTERNAL => Failure::Internal.into(),
        STORE_UNAVAILABLE => Failure::StoreUnavailable.into(),
        OUTCOME_UNKNOWN => Failure::OutcomeUnknown.into(),
        _ => return Err(RecordError::new(ANSWER, "its reason is unknown")),
    })
}

#[cfg(test)]
mod tests;
