//! `query_pinned_message_list`: reads the pinned messages of a conversation.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::id::OrderKey;
use peerd_core::message::Message;
use peerd_protocol::entry_size::Sizes;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{PeerType, User};
use peerd_protocol::message::MessageBody;
use peerd_protocol::reply::{Reply, Shown};

/// Reads the pinned messages of a conversation.
pub struct QueryPinnedMessageList;

/// The conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
}

/// The pinned messages that the caller sees, the last pinned first.
#[derive(Clone, Debug, PartialEq)]
pub struct PinnedMessages {
    messages: Vec<Arc<Message>>,
    /// The most bytes that each may show, if they do not fit.
    each_max: Option<usize>,
}

impl Reply for PinnedMessages {
    fn body<'a>(&'a self, Shown { viewer, content_max }: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            message_list: Vec<MessageBody<'a>>,
        }
        let content_max = self.each_max.or(content_max);
        let bodies =
            self.messages.iter().map(|message| MessageBody { message, viewer, content_max });
        Body { message_list: bodies.collect() }
    }

    /// There is no further page: larger messages are shown without their content.
    fn cut(&mut self, sizes: Sizes<'_>, most: usize) {
        self.each_max = Some(sizes.content_of_each(self.messages.len(), most));
    }
}

impl Command for QueryPinnedMessageList {
    const NAME: &'static str = "query_pinned_message_list";
    const SUMMARY: &'static str = "Reads the pinned messages of a conversation.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[r#"{"conversationID":"bob","conversationType":0}"#];
    type Request = Request;
    type Reply = PinnedMessages;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<PinnedMessages, CallError> {
        let pins = parts.env.pins_from(cell, &other, OrderKey::ZERO, deadline).await;
        let pins = pins.map_err(Failure::from)?.unwrap_or_default();
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let ids = pins.list().iter().rev().map(|pin| pin.message);
        let seen = (&other, &known);
        let messages = parts.history.find_pinned(cell, seen, ids, &pins, deadline).await;
        Ok(PinnedMessages { messages: messages.map_err(Failure::from)?, each_max: None })
    }
}
