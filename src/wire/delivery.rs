//! What the sender's owner asks of the receiver's, and what it is answered. Between instances of
//! peerd only, on `peer.part.<p>.<receiver>`; MessagePack arrays, their version first, since two
//! versions meet in a rolling update.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::block;
use super::content::NUMBER_MAX;
use super::failure::{CallError, Failure};
use super::packed::{
    self as record, ContentV1, EncodeError, PushV1, RecordError, check_numbers, version,
};
use crate::domain::id::{LocalMessageId, OrderKey, Partition, UserId};
use crate::domain::message::Draft;
use crate::domain::receive::{Delivered, Placed};
use crate::domain::rejection::Rejection;
use crate::domain::send::{Delivery, Purpose, Send, SendOptions};

const KIND: &str = "request between instances";
const ANSWER: &str = "answer between instances";

/// What an instance asks of the owner of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Take a message in, or say what would become of it.
    Deliver(Box<Delivery>, Purpose),
    /// Look what the log has of the user's own messages to this receiver. Has no answer.
    LookAgain(UserId),
    /// Recount what is held of the user; the answer is [`super::audit`]'s.
    Audit,
    /// Say whether the request with this reply subject was begun, and do not begin it if not.
    Inquire(String),
    /// Answer once nothing that this sender sent to the user can still be stored with a smaller key.
    Settle(UserId, OrderKey),
}

/// What an owner answers to an inquiry about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// It was begun.
    Begun,
    /// It was not, and will not be.
    NotBegun {
        /// For how long the owner has owned the partition and remembered every request to it.
        known_for: Duration,
    },
}

#[derive(Serialize, Deserialize)]
struct AskV1<'a> {
    version: u8,
    purpose: u8,
    #[serde(borrow)]
    from: &'a str,
    #[serde(borrow)]
    from_name: &'a str,
    timestamp_ms: u64,
    floor: u64,
    sent_seq: u64,
    has_receipt: bool,
    is_retry: bool,
    not_counted: bool,
    #[serde(borrow)]
    local_id: Option<&'a str>,
    #[serde(borrow)]
    extended_data: &'a str,
    content: ContentV1,
    push: Option<PushV1>,
    /// Only where it is sent again: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    since_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct LookAgainV1<'a> {
    version: u8,
    purpose: u8,
    #[serde(borrow)]
    receiver: &'a str,
}

#[derive(Serialize, Deserialize)]
struct InquireV1<'a> {
    version: u8,
    purpose: u8,
    #[serde(borrow)]
    reply_to: &'a str,
}

/// The answer to an inquiry: version, mark, whether it was begun, for how long that is known.
type InquiredV1 = (u8, u8, bool, u64);

/// Tells the answer to an inquiry from the others that the owner of a user may give.
const INQUIRED: u8 = 41;

#[derive(Serialize, Deserialize)]
struct SettleV1<'a> {
    version: u8,
    purpose: u8,
    #[serde(borrow)]
    sender: &'a str,
    key: u64,
}

/// The purposes, as numbers.
const DELIVER: u8 = 0;
const ASK: u8 = 1;
const REPEAT: u8 = 2;
const LOOK_AGAIN: u8 = 3;
const AUDIT: u8 = 4;
const DELIVER_AGAIN: u8 = 5;
const INQUIRE: u8 = 6;
const SETTLE: u8 = 7;

/// Writes a request to deliver.
pub fn encode(delivery: &Delivery, purpose: Purpose) -> Result<Bytes, EncodeError> {
    let Send { draft, options, .. } = &delivery.send;
    let ask = AskV1 {
        version: 1,
        purpose: match purpose {
            Purpose::Deliver => DELIVER,
            Purpose::DeliverAgain(_) => DELIVER_AGAIN,
            Purpose::Ask => ASK,
            Purpose::Repeat => REPEAT,
        },
        from: delivery.from.as_str(),
        from_name: &delivery.from_name,
        timestamp_ms: delivery.timestamp_ms,
        floor: delivery.floor.0,
        sent_seq: delivery.sent_seq,
        has_receipt: options.has_receipt,
        is_retry: options.is_retry,
        not_counted: options.not_counted,
        local_id: draft.local_id.as_ref().map(LocalMessageId::as_str),
        extended_data: &draft.extended_data,
        content: ContentV1::from(&draft.content),
        push: options.push.as_ref().map(PushV1::from),
        since_ms: match purpose {
            Purpose::DeliverAgain(since_ms) => Some(since_ms),
            Purpose::Deliver | Purpose::Ask | Purpose::Repeat => None,
        },
    };
    block::written(|out| rmp_serde::encode::write(out, &ask))
}

/// Writes a request to look again.
pub fn encode_look_again(receiver: &UserId) -> Result<Bytes, EncodeError> {
    let ask = LookAgainV1 { version: 1, purpose: LOOK_AGAIN, receiver: receiver.as_str() };
    block::written(|out| rmp_serde::encode::write(out, &ask))
}

/// Writes a request to settle what `sender` sent below a key.
pub fn encode_settle(sender: &UserId, key: OrderKey) -> Result<Bytes, EncodeError> {
    let ask = SettleV1 { version: 1, purpose: SETTLE, sender: sender.as_str(), key: key.0 };
    block::written(|out| rmp_serde::encode::write(out, &ask))
}

/// Writes a request to audit.
#[must_use]
pub fn encode_audit() -> Bytes {
    // An array of two: version and purpose.
    Bytes::from_static(&[0x92, 1, AUDIT])
}

/// Writes an inquiry about the request with this reply subject.
pub fn encode_inquiry(reply_to: &str) -> Result<Bytes, EncodeError> {
    let ask = InquireV1 { version: 1, purpose: INQUIRE, reply_to };
    block::written(|out| rmp_serde::encode::write(out, &ask))
}

/// Reads a request to the owner of `user`.
pub fn decode(bytes: &[u8], user: &UserId) -> Result<Ask, RecordError> {
    let broken = |_| RecordError::new(KIND, "it is not a version 1 request");
    let id = |text| UserId::new(text, "from").map_err(|_| RecordError::new(KIND, "its user"));
    match version(bytes, KIND)? {
        1 => {}
        other => return Err(RecordError::new(KIND, format!("its version {other} is unknown"))),
    }
    // The array's header is one byte up to 15 fields, three beyond; then the version, the purpose.
    let purpose = match bytes {
        [0x90..=0x9f, _, purpose, ..] | [0xdc, _, _, _, purpose, ..] => *purpose,
        _ => return Err(RecordError::new(KIND, "it has no purpose")),
    };
    let purpose = match purpose {
        DELIVER => Purpose::Deliver,
        // When it was first sent is read below.
        DELIVER_AGAIN => Purpose::DeliverAgain(0),
        ASK => Purpose::Ask,
        REPEAT => Purpose::Repeat,
        LOOK_AGAIN => {
            let ask: LookAgainV1 = record::from_slice(bytes).map_err(broken)?;
            return id(ask.receiver).map(Ask::LookAgain);
        }
        AUDIT => {
            let (_, _): (u8, u8) = record::from_slice(bytes).map_err(broken)?;
            return Ok(Ask::Audit);
        }
        INQUIRE => {
            let ask: InquireV1 = record::from_slice(bytes).map_err(broken)?;
            return Ok(Ask::Inquire(ask.reply_to.to_owned()));
        }
        SETTLE => {
            let ask: SettleV1 = record::from_slice(bytes).map_err(broken)?;
            check_numbers(KIND, &[ask.key])?;
            return Ok(Ask::Settle(id(ask.sender)?, OrderKey(ask.key)));
        }
        _ => return Err(RecordError::new(KIND, "its purpose is unknown")),
    };
    let ask: AskV1 = record::from_slice(bytes).map_err(broken)?;
    let since_ms = ask.since_ms.unwrap_or_default();
    check_numbers(KIND, &[ask.timestamp_ms, ask.floor, ask.sent_seq, since_ms])?;
    let purpose = match (purpose, ask.since_ms) {
        (Purpose::DeliverAgain(_), Some(since_ms)) => Purpose::DeliverAgain(since_ms),
        (Purpose::DeliverAgain(_), None) => {
            return Err(RecordError::new(KIND, "it does not say when it was sent before"));
        }
        (purpose @ (Purpose::Deliver | Purpose::Ask | Purpose::Repeat), _) => purpose,
    };
    let local_id = match ask.local_id {
        None => None,
        Some(id) => {
            Some(LocalMessageId::stored(id).ok_or_else(|| RecordError::new(KIND, "its local ID"))?)
        }
    };
    let delivery = Delivery {
        from: id(ask.from)?,
        from_name: ask.from_name.to_owned(),
        send: Send {
            to: user.clone(),
            to_field: "toUserID",
            draft: Draft {
                content: ask.content.into(),
                local_id,
                extended_data: ask.extended_data.to_owned(),
            },
            options: SendOptions {
                push: ask.push.map(Into::into),
                has_receipt: ask.has_receipt,
                is_retry: ask.is_retry,
                not_counted: ask.not_counted,
            },
        },
        timestamp_ms: ask.timestamp_ms,
        floor: OrderKey(ask.floor),
        sent_seq: ask.sent_seq,
    };
    Ok(Ask::Deliver(Box::new(delivery), purpose))
}

/// Whether a request asks to settle a direction, as far as its first bytes say.
#[must_use]
pub fn is_settle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x90..=0x9f, _, SETTLE, ..])
}

/// Writes the answer to an inquiry.
pub fn encode_inquired(inquiry: Inquiry) -> Result<Bytes, EncodeError> {
    let (is_begun, known_for) = match inquiry {
        Inquiry::Begun => (true, Duration::ZERO),
        Inquiry::NotBegun { known_for } => (false, known_for),
    };
    let known_ms = u64::try_from(known_for.as_millis()).unwrap_or(NUMBER_MAX).min(NUMBER_MAX);
    let answer: InquiredV1 = (1, INQUIRED, is_begun, known_ms);
    block::written(|out| rmp_serde::encode::write(out, &answer))
}

/// Reads the answer to an inquiry.
pub fn decode_inquired(bytes: &[u8]) -> Result<Inquiry, RecordError> {
    let broken = || RecordError::new(ANSWER, "it does not answer an inquiry");
    match record::version(bytes, ANSWER)? {
        1 => {}
        other => return Err(RecordError::new(ANSWER, format!("its version {other} is unknown"))),
    }
    match record::from_slice::<InquiredV1>(bytes) {
        Ok((1, INQUIRED, true, _)) => Ok(Inquiry::Begun),
        Ok((1, INQUIRED, false, known_ms)) => {
            check_numbers(ANSWER, &[known_ms])?;
            Ok(Inquiry::NotBegun { known_for: Duration::from_millis(known_ms) })
        }
        Ok(_) | Err(_) => Err(broken()),
    }
}

/// What the receiver's owner answers.
pub type Answer = Result<Option<Delivered>, CallError>;

#[derive(Serialize, Deserialize)]
struct AnswerV1<'a> {
    version: u8,
    status: u8,
    /// The message's record; empty where there is none.
    #[serde(borrow, with = "serde_bytes")]
    record: &'a [u8],
    stream_seq: u64,
    #[serde(borrow)]
    receiver_name: &'a str,
    retry_after_ms: u64,
}

/// The statuses, as numbers: what became of it, what the receiver refused, what went wrong.
const STORED: u8 = 0;
const DUPLICATE: u8 = 1;
const LIVE: u8 = 2;
const NOTHING: u8 = 3;
const TARGET_NOT_FOUND: u8 = 20;
const BLOCKED: u8 = 21;
const REUSED: u8 = 22;
const MESSAGE_TOO_LARGE: u8 = 23;
const OVERLOADED: u8 = 30;
const NO_OWNER: u8 = 31;
const INTERNAL: u8 = 32;
const STORE_UNAVAILABLE: u8 = 33;
const OUTCOME_UNKNOWN: u8 = 34;

/// Writes an answer.
pub fn encode_answer(answer: &Answer) -> Result<Bytes, EncodeError> {
    let mut written = AnswerV1 {
        version: 1,
        status: NOTHING,
        record: &[],
        stream_seq: 0,
        receiver_name: "",
        retry_after_ms: 0,
    };
    let record;
    match answer {
        Ok(None) => {}
        Ok(Some(delivered)) => {
            let Delivered { message, head, receiver_name, is_duplicate } = delivered;
            let (mark, page, stream_seq) =
                head.map_or_else(Default::default, |head| (head.mark, head.page, head.stream_seq));
            let mut placed = Placed { message: (**message).clone(), mark, page, expected_seq: 0 };
            placed.mark.seq = message.seq;
            record = record::encode(&placed, None)?;
            written.record = &record;
            written.stream_seq = stream_seq;
            written.receiver_name = receiver_name;
            written.status = match head {
                _ if *is_duplicate => DUPLICATE,
                Some(_) => STORED,
                None => LIVE,
            };
        }
        Err(error) => (written.status, written.retry_after_ms) = status(error),
    }
    block::written(|out| rmp_serde::encode::write(out, &written))
}

const fn status(error: &CallError) -> (u8, u64) {
    match error {
        CallError::Rejected(Rejection::TargetNotFound) => (TARGET_NOT_FOUND, 0),
        CallError::Rejected(Rejection::BlockedByReceiver) => (BLOCKED, 0),
        CallError::Rejected(Rejection::LocalMessageIdReused) => (REUSED, 0),
        CallError::Failed(Failure::Overloaded { retry_after_ms }) => (OVERLOADED, *retry_after_ms),
        CallError::Failed(Failure::NoOwner { retry_after_ms }) => (NO_OWNER, *retry_after_ms),
        CallError::Failed(Failure::NoOwners | Failure::StoreUnavailable) => (STORE_UNAVAILABLE, 0),
        CallError::Failed(Failure::OutcomeUnknown) => (OUTCOME_UNKNOWN, 0),
        // A send was checked before, but for what the receiver's server takes.
        CallError::Rejected(Rejection::InvalidParameter { .. }) => (MESSAGE_TOO_LARGE, 0),
        // The receiver's rules have no other answers.
        CallError::Failed(Failure::Internal | Failure::TooLarge)
        | CallError::Rejected(
            Rejection::UnknownMethod { .. }
            | Rejection::UnsupportedMethod
            | Rejection::RateLimited { .. }
            | Rejection::NotLoggedIn
            | Rejection::ConversationNotFound,
        ) => (INTERNAL, 0),
    }
}

/// Whether these bytes are the answer of an owner, and not something else that came where one was
/// expected.
#[must_use]
pub fn is_answer(bytes: &[u8]) -> bool {
    read_answer(bytes).is_ok()
}

/// Whether an owner answers that it does not understand what it was asked.
#[must_use]
pub fn is_not_understood(bytes: &[u8]) -> bool {
    read_answer(bytes).is_ok_and(|answer| answer.status == INTERNAL)
}

fn read_answer(bytes: &[u8]) -> Result<AnswerV1<'_>, RecordError> {
    match version(bytes, ANSWER)? {
        1 => {}
        other => return Err(RecordError::new(ANSWER, format!("its version {other} is unknown"))),
    }
    record::from_slice(bytes).map_err(|_| RecordError::new(ANSWER, "it is not a version 1 answer"))
}

/// Reads the answer about a message from `sender` to `receiver`.
pub fn decode_answer(
    bytes: &[u8],
    sender: &UserId,
    receiver: &UserId,
    partition: Partition,
) -> Result<Answer, RecordError> {
    let answer = read_answer(bytes)?;
    check_numbers(ANSWER, &[answer.stream_seq, answer.retry_after_ms])?;
    let retry_after_ms = answer.retry_after_ms;
    Ok(match answer.status {
        NOTHING => Ok(None),
        status @ (STORED | DUPLICATE | LIVE) => {
            let stored = record::decode(answer.record, sender, receiver, partition)?;
            Ok(Some(Delivered {
                head: (status == STORED).then(|| stored.head(answer.stream_seq)),
                message: Arc::new(stored.message),
                receiver_name: answer.receiver_name.to_owned(),
                is_duplicate: status == DUPLICATE,
            }))
        }
        TARGET_NOT_FOUND => Err(Rejection::TargetNotFound.into()),
        BLOCKED => Err(Rejection::BlockedByReceiver.into()),
        REUSED => Err(Rejection::LocalMessageIdReused.into()),
        MESSAGE_TOO_LARGE => {
            let problem = "does not fit the max_payload of the receiver's nats-server";
            Err(Rejection::invalid("message", problem).into())
        }
        OVERLOADED => Err(Failure::Overloaded { retry_after_ms }.into()),
        NO_OWNER => Err(Failure::NoOwner { retry_after_ms }.into()),
        INTERNAL => Err(Failure::Internal.into()),
        STORE_UNAVAILABLE => Err(Failure::StoreUnavailable.into()),
        OUTCOME_UNKNOWN => Err(Failure::OutcomeUnknown.into()),
        _ => return Err(RecordError::new(ANSWER, "its status is unknown")),
    })
}

#[cfg(test)]
mod tests;
