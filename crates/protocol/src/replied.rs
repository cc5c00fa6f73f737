//! The original of a reply and the root of its tree in bodies.

use std::sync::Arc;

use serde::Serialize;
use serde::ser::Serializer;

use super::content;
use super::event::LiveEvent;
use super::message::{IS_CONTENT_OMITTED, MessageBody, PEER, Text};
use super::object::{self, Object, Sink};
use super::reply::Shown;
use peerd_core::content::{Content, MessageType};
use peerd_core::id::{MessageId, UserId};
use peerd_core::message::Message;
use peerd_core::reply::{Original, Reference, Reply};

/// The `state` of an original that the user sees.
const NORMAL: u8 = 0;
/// Of one that was revoked, or deleted by the user.
const DELETED: u8 = 1;
/// Of one that is not there.
const NOT_FOUND: u8 = 2;

/// Adds the original of a reply. Without room for it, its content is left out.
pub(super) fn replied_info<K: Sink>(
    message: &Message,
    has_room: bool,
    sink: &mut K,
) -> Result<(), K::Error> {
    match message.reply() {
        None => Ok(()),
        Some(reply) => sink.field("repliedInfo", &RepliedInfo { message, reply, has_room }),
    }
}

/// The number of replies to a root changed.
#[derive(Serialize)]
pub struct RepliedCountChanged<'a> {
    infos: [RepliedCount<'a>; 1],
}

/// A `ZIMMessageRootRepliedCountInfo`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RepliedCount<'a> {
    #[serde(rename = "messageID")]
    message_id: Text,
    #[serde(rename = "conversationID")]
    conversation_id: &'a str,
    conversation_type: u8,
    count: u64,
}

impl<'a> RepliedCountChanged<'a> {
    /// The number of replies to a message of the conversation with `other`.
    #[must_use]
    pub fn new(root: MessageId, other: &'a UserId, count: u64) -> Self {
        let (message_id, conversation_id) = (Text(root.number()), other.as_str());
        let conversation_type = PEER;
        Self { infos: [RepliedCount { message_id, conversation_id, conversation_type, count }] }
    }
}

impl LiveEvent for RepliedCountChanged<'_> {
    const NAME: &'static str = "message_replied_count_changed";
}

/// The root of a tree as a user sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum RootState {
    /// It is there.
    Normal(Arc<Message>),
    /// It was revoked, or the user deleted it.
    Deleted,
    /// It is not there: it has aged out.
    NotFound,
}

/// A `ZIMMessageRootRepliedInfo`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RootBody<'a> {
    state: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<MessageBody<'a>>,
    #[serde(rename = "senderUserID")]
    sender_user_id: &'a str,
    sent_time: u64,
    replied_count: u64,
}

impl<'a> RootBody<'a> {
    /// The body of the root of a tree with so many replies, which this user sent at this time
    /// (milliseconds since 1970).
    #[must_use]
    pub fn new(
        root: &'a RootState,
        (sender, sent_time): (&'a UserId, u64),
        replied_count: u64,
        Shown { viewer, content_max }: Shown<'a>,
    ) -> Self {
        let (state, message) = match root {
            RootState::Normal(message) => {
                (NORMAL, Some(MessageBody { message, viewer, content_max }))
            }
            RootState::Deleted => (DELETED, None),
            RootState::NotFound => (NOT_FOUND, None),
        };
        Self { state, message, sender_user_id: sender.as_str(), sent_time, replied_count }
    }
}

/// The original of a reply.
struct RepliedInfo<'a> {
    message: &'a Message,
    reply: &'a Reply,
    has_room: bool,
}

impl Object for RepliedInfo<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        let Self { message, reply: Reply { to, original, .. }, has_room } = *self;
        let Reference { by_sender, seq, timestamp_ms, .. } = to;
        let sender = if *by_sender { &message.sender } else { &message.receiver };
        let state = match original {
            Original::Normal(_) => NORMAL,
            Original::Deleted | Original::Revoked => DELETED,
            Original::NotFound => NOT_FOUND,
        };
        sink.field("state", &state)?;
        match original {
            Original::Normal(content) if has_room => sink.field("messageInfo", &Lite(content))?,
            Original::Normal(content) => {
                let (kind, is_omitted) = (content.message_type().number(), true);
                sink.field("messageInfo", &TypeOnly { kind, is_omitted })?;
            }
            // The only type of the SDK without a content.
            Original::Revoked | Original::Deleted | Original::NotFound => {
                let kind = MessageType::Revoke.number();
                sink.field("messageInfo", &TypeOnly { kind, is_omitted: false })?;
            }
        }
        sink.field("senderUserID", sender.as_str())?;
        sink.field("sentTime", timestamp_ms)?;
        sink.field("messageID", &Text(to.id().number()))?;
        sink.field("messageSeq", seq)
    }
}

impl Serialize for RepliedInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

/// The content of an original: that of a Combine message without the messages inside it.
pub(super) struct Lite<'a>(pub(super) &'a Content);

impl Object for Lite<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("type", &self.0.message_type().number())?;
        if let Content::Combine { title, summary, .. } = self.0 {
            sink.field("title", title)?;
            sink.field("summary", summary)
        } else {
            content::fields(self.0, sink)
        }
    }
}

impl Serialize for Lite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

/// An original without its content.
struct TypeOnly {
    kind: u16,
    /// Whether there is a content, and no room for it.
    is_omitted: bool,
}

impl Object for TypeOnly {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("type", &self.kind)?;
        if self.is_omitted {
            sink.field(IS_CONTENT_OMITTED, &true)?;
        }
        Ok(())
    }
}

impl Serialize for TypeOnly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}
