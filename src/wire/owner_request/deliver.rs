//! Deliver a message: from the owner of its sender to the owner of its receiver.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{
    ANSWER, KIND, OwnerRequest, VERSION, local_id, read_answer, read_request, user_id, write,
};
use crate::wire::packed::EncodeError;
use crate::wire::packed::{self, ContentV1, PushV1, RecordError, ReplyV3, check_numbers};
use peerd_core::conversation::{Mark, PagePointers};
use peerd_core::id::{LocalMessageId, OrderKey, Partition, UserId};
use peerd_core::limits::NUMBER_MAX;
use peerd_core::message::{Draft, Message};
use peerd_core::receive::Delivered;
use peerd_core::send::{Delivery, Send, SendOptions};
use peerd_core::user_info::Profile;

/// Deliver a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deliver {
    /// The message.
    pub delivery: Delivery,
    /// If it was sent before and a former owner may have stored it: the time of the first attempt,
    /// by the server's clock, in milliseconds since 1970. Then it is stored only if the log does
    /// not have it.
    pub sent_before_ms: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct DeliverV1<'a> {
    version: u8,
    tag: u8,
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
    sent_before_ms: Option<u64>,
    /// Left out without an avatar, unless there is more.
    #[serde(borrow, default, skip_serializing_if = "Avatar::is_left_out")]
    from_avatar: Avatar<'a>,
    /// Left out unless it is a reply: its original, and the highest `messageSeq` that it may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<(ReplyV3, u64)>,
}

/// An optional avatar, at the end of an array or followed by more.
#[derive(Default)]
struct Avatar<'a> {
    url: Option<&'a str>,
    is_followed: bool,
}

impl Avatar<'_> {
    const fn is_left_out(&self) -> bool {
        self.url.is_none() && !self.is_followed
    }
}

impl Serialize for Avatar<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.url.serialize(serializer)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Avatar<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { url: Option::deserialize(deserializer)?, is_followed: false })
    }
}

#[derive(Serialize, Deserialize)]
struct DeliveredV1<'a> {
    version: u8,
    tag: u8,
    outcome: u8,
    /// The message's record.
    #[serde(borrow, with = "serde_bytes")]
    record: &'a [u8],
    stream_seq: u64,
    #[serde(borrow)]
    receiver_name: &'a str,
    /// Left out without an avatar.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    receiver_avatar: Option<&'a str>,
}

/// The outcomes, as numbers.
const STORED: u8 = 0;
const DUPLICATE: u8 = 1;
const LIVE: u8 = 2;

impl OwnerRequest for Deliver {
    type Answer = Delivered;
    const TAG: u8 = 1;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let Delivery { from, from_profile, send, timestamp_ms, floor, sent_seq } = &self.delivery;
        let Send { draft, options, .. } = &**send;
        let reply = draft.reply.as_ref().map(|reply| ReplyV3::from(&**reply));
        let seq_max = options.seq_max.unwrap_or(NUMBER_MAX);
        write(&DeliverV1 {
            version: VERSION,
            tag: Self::TAG,
            from: from.as_str(),
            from_name: &from_profile.name,
            timestamp_ms: *timestamp_ms,
            floor: floor.0,
            sent_seq: *sent_seq,
            has_receipt: options.has_receipt,
            is_retry: options.is_retry,
            not_counted: options.not_counted,
            local_id: draft.local_id.as_ref().map(LocalMessageId::as_str),
            extended_data: &draft.extended_data,
            content: ContentV1::from(&draft.content),
            push: options.push.as_ref().map(PushV1::from),
            sent_before_ms: self.sent_before_ms,
            from_avatar: Avatar {
                url: from_profile.avatar_url.as_deref(),
                is_followed: reply.is_some(),
            },
            reply: reply.map(|reply| (reply, seq_max)),
        })
    }

    fn decode(bytes: &[u8], user: &UserId) -> Result<Self, RecordError> {
        let read: DeliverV1<'_> = read_request(bytes)?;
        let sent_before_ms = read.sent_before_ms.unwrap_or_default();
        check_numbers(KIND, &[read.timestamp_ms, read.floor, read.sent_seq, sent_before_ms])?;
        let seq_max = read.reply.map(|(_, seq_max)| seq_max);
        let reply = read.reply.map(|(reply, _)| reply.reply(KIND)).transpose()?;
        check_numbers(KIND, &[seq_max.unwrap_or_default()])?;
        let delivery = Delivery {
            from: user_id(read.from)?,
            from_profile: profile(read.from_name, read.from_avatar.url),
            send: Box::new(Send {
                to: user.clone(),
                to_field: "toUserID",
                draft: Draft {
                    content: read.content.into(),
                    local_id: local_id(read.local_id)?,
                    extended_data: read.extended_data.to_owned(),
                    reply: reply.map(Box::new),
                },
                options: SendOptions {
                    push: read.push.map(Into::into),
                    has_receipt: read.has_receipt,
                    is_retry: read.is_retry,
                    not_counted: read.not_counted,
                    seq_max,
                },
            }),
            timestamp_ms: read.timestamp_ms,
            floor: OrderKey(read.floor),
            sent_seq: read.sent_seq,
        };
        Ok(Self { delivery, sent_before_ms: read.sent_before_ms })
    }

    fn encode_answer(answer: &Delivered) -> Result<Bytes, EncodeError> {
        let Delivered { message, head, receiver_profile, is_duplicate } = answer;
        let (mark, page, stream_seq) =
            head.map_or_else(Default::default, |head| (head.mark, head.page, head.stream_seq));
        let mark = Mark { seq: message.seq, ..mark };
        let record = packed::encode(message, mark, page, None)?;
        write(&DeliveredV1 {
            version: VERSION,
            tag: Self::ANSWER_TAG,
            outcome: match head {
                _ if *is_duplicate => DUPLICATE,
                Some(_) => STORED,
                None => LIVE,
            },
            record: &record,
            stream_seq,
            receiver_name: &receiver_profile.name,
            receiver_avatar: receiver_profile.avatar_url.as_deref(),
        })
    }

    fn decode_answer(&self, bytes: &[u8], partition: Partition) -> Result<Delivered, RecordError> {
        let read: DeliveredV1<'_> = read_answer(bytes)?;
        check_numbers(ANSWER, &[read.stream_seq])?;
        let Delivery { from, send, .. } = &self.delivery;
        let stored = packed::decode(read.record, from, &send.to, partition)?;
        let head = match read.outcome {
            STORED => Some(stored.head(read.stream_seq)),
            DUPLICATE | LIVE => None,
            _ => return Err(RecordError::new(ANSWER, "its outcome is unknown")),
        };
        Ok(Delivered {
            head,
            message: Arc::new(stored.message),
            receiver_profile: profile(read.receiver_name, read.receiver_avatar),
            is_duplicate: read.outcome == DUPLICATE,
        })
    }
}

fn profile(name: &str, avatar_url: Option<&str>) -> Profile {
    Profile { name: name.to_owned(), avatar_url: avatar_url.map(Into::into) }
}

/// A message as a record without a place.
pub(super) fn encode_message(message: &Message) -> Result<Bytes, EncodeError> {
    let mark = Mark { seq: message.seq, counted: 0 };
    packed::encode(message, mark, PagePointers::default(), None)
}
