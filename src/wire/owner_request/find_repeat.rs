//! Find the message that this one repeats. Sent to the receiver's owner if the sender exceeds the
//! rate limit: a repeat is not a new message and gets the first answer.

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::deliver::encode_message;
use super::{KIND, OwnerRequest, VERSION, local_id, read_answer, read_request, user_id, write};
use crate::wire::packed::EncodeError;
use crate::wire::packed::{self, ContentV1, RecordError, ReplyV3};
use peerd_core::id::{LocalMessageId, Partition, UserId};
use peerd_core::message::{Draft, Message};

/// Return the message that this one repeats, if it is known without a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FindRepeat {
    /// The sender of both.
    pub from: UserId,
    /// The receiver of the first.
    pub to: UserId,
    /// The whole message, since releases may compare content differently.
    pub draft: Draft,
}

#[derive(Serialize, Deserialize)]
struct FindRepeatV1<'a> {
    version: u8,
    tag: u8,
    #[serde(borrow)]
    from: &'a str,
    #[serde(borrow)]
    local_id: Option<&'a str>,
    #[serde(borrow)]
    extended_data: &'a str,
    content: ContentV1,
    /// Left out unless it is a reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reply: Option<ReplyV3>,
}

#[derive(Serialize, Deserialize)]
struct FoundV1<'a> {
    version: u8,
    tag: u8,
    /// The first message's record; empty if none is known.
    #[serde(borrow, with = "serde_bytes")]
    record: &'a [u8],
}

impl OwnerRequest for FindRepeat {
    type Answer = Option<Arc<Message>>;
    const TAG: u8 = 3;

    fn encode(&self) -> Result<Bytes, EncodeError> {
        let Draft { content, local_id, extended_data, reply } = &self.draft;
        write(&FindRepeatV1 {
            version: VERSION,
            tag: Self::TAG,
            from: self.from.as_str(),
            local_id: local_id.as_ref().map(LocalMessageId::as_str),
            extended_data,
            content: ContentV1::from(content),
            reply: reply.as_ref().map(|reply| ReplyV3::from(&**reply)),
        })
    }

    fn decode(bytes: &[u8], user: &UserId) -> Result<Self, RecordError> {
        let read: FindRepeatV1<'_> = read_request(bytes)?;
        let reply = read.reply.map(|reply| reply.reply(KIND)).transpose()?;
        let draft = Draft {
            content: read.content.into(),
            local_id: local_id(read.local_id)?,
            extended_data: read.extended_data.to_owned(),
            reply: reply.map(Box::new),
        };
        Ok(Self { from: user_id(read.from)?, to: user.clone(), draft })
    }

    fn encode_answer(answer: &Self::Answer) -> Result<Bytes, EncodeError> {
        let record = answer.as_deref().map_or_else(|| Ok(Bytes::new()), encode_message)?;
        write(&FoundV1 { version: VERSION, tag: Self::ANSWER_TAG, record: &record })
    }

    fn decode_answer(
        &self,
        bytes: &[u8],
        partition: Partition,
    ) -> Result<Self::Answer, RecordError> {
        let FoundV1 { record, .. } = read_answer(bytes)?;
        if record.is_empty() {
            return Ok(None);
        }
        let stored = packed::decode(record, &self.from, &self.to, partition)?;
        Ok(Some(Arc::new(stored.message)))
    }
}
