//! The root of a tree of replies in bodies.

use std::sync::Arc;

use serde::Serialize;

use super::event::LiveEvent;
use super::message::MessageBody;
use super::object::{PEER, Text};
use super::replied::{DELETED, NORMAL, NOT_FOUND};
use super::reply::Shown;
use peerd_core::id::{MessageId, UserId};
use peerd_core::message::Message;

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
