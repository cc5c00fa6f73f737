//! `query_message_replied_list`: reads the replies of a tree, from its root on.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind, not_in_conversation};
use crate::bus::Bus;
use crate::runtime::history::{Reader, Replies, reference_to};
use crate::store::Store;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::limits::REPLIED_LIST_MAX;
use peerd_core::message::Message;
use peerd_protocol::entry_size::{Sizes, how_many};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{Count, MessageOfConversation, PeerType, User};
use peerd_protocol::message::MessageBody;
use peerd_protocol::reply::{Reply, Shown};
use peerd_protocol::reply_tree::{RootBody, RootState};

/// Reads the replies of a tree.
pub struct QueryMessageRepliedList;

/// The tree, and the page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// A message of the tree: its root, or a reply.
    pub message: MessageOfConversation,
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The page.
    pub config: Config,
}

/// The page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Where the page begins: 0, the default, or the `nextFlag` of the page before.
    pub next_flag: Option<u64>,
    /// The number of replies.
    pub count: Count<REPLIED_LIST_MAX>,
}

/// A page of replies.
#[derive(Clone, Debug, PartialEq)]
pub struct RepliedList {
    /// The page, oldest first.
    pub messages: Vec<Arc<Message>>,
    /// All replies up to this key are in this page or before; `None`: there are no more.
    pub up_to: Option<OrderKey>,
    /// The root.
    pub root: RootState,
    /// Its sender.
    pub sender: UserId,
    /// When it was sent, in milliseconds since 1970.
    pub sent_ms: u64,
    /// How many replies the tree has.
    pub count: u64,
    /// The most bytes that each reply may show, if they do not fit.
    pub each_max: Option<usize>,
}

impl Reply for RepliedList {
    fn body<'a>(&'a self, shown: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            message_list: Vec<MessageBody<'a>>,
            next_flag: u64,
            root_replied_info: RootBody<'a>,
        }
        let content_max = self.each_max.or(shown.content_max);
        let of_root = Shown { content_max: self.each_max.map(|_| 0).or(content_max), ..shown };
        let each = self.messages.iter();
        let each = each.map(|message| MessageBody { message, viewer: shown.viewer, content_max });
        let sent = (&self.sender, self.sent_ms);
        Body {
            message_list: each.collect(),
            next_flag: self.up_to.map_or(0, |up_to| up_to.0),
            root_replied_info: RootBody::new(&self.root, sent, self.count, of_root),
        }
    }

    fn cut(&mut self, sizes: Sizes<'_>, most: usize) {
        // The root keeps no content, so that there is room for a reply of nearly every size.
        let most = sizes.content_of_each(1, most);
        self.each_max = Some(sizes.content_of_each(1, most));
        let kept = how_many(self.messages.iter().map(|message| sizes.message(message)), most);
        self.shorten(kept);
    }
}

impl RepliedList {
    /// Keeps the first replies.
    fn shorten(&mut self, most: usize) {
        if most < self.messages.len() {
            self.messages.truncate(most);
            self.up_to = self.messages.last().map(|last| last.key);
        }
    }
}

impl Command for QueryMessageRepliedList {
    const NAME: &'static str = "query_message_replied_list";
    const SUMMARY: &'static str = "Reads the replies to a message.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"2","conversationID":"bob","conversationType":0},"config":{"nextFlag":0,"count":100}}"#,
        r#"{"message":{"messageID":"2"},"conversationID":"bob","conversationType":0,"config":{"count":1}}"#,
    ];
    type Request = Request;
    type Reply = RepliedList;

    async fn run<S: Store, B: Bus>(
        Request { message, conversation_id, config, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<RepliedList, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let Config { next_flag, count: Count(count) } = config;
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let (history, seen) = (&parts.history, (&other, &known));
        let mut reader = Reader::new(history, cell, &other, &known, deadline);
        let found = reader.find_seen(&[(id.key(), id.partition())]).await.map_err(Failure::from)?;
        let Some((direction, found)) = found.into_iter().next() else {
            return Err(not_in_conversation("message.messageID").into());
        };
        let (way, root) = match found.stored.message.reply() {
            Some(reply) => (reply.root().direction(direction), *reply.root()),
            None => (direction, reference_to(direction, &found)),
        };
        let sent_ms = root.timestamp_ms;
        let sender = if way == Direction::Send { cell.id.clone() } else { other.clone() };
        let found = history.root(cell, seen, (way, &root), deadline).await;
        let Some(found) = found.map_err(Failure::from)? else {
            let (messages, root) = (Vec::new(), RootState::NotFound);
            let (up_to, count, each_max) = (None, 0, None);
            return Ok(RepliedList { messages, up_to, root, sender, sent_ms, count, each_max });
        };
        let after = OrderKey(next_flag.unwrap_or_default());
        let replies = reader.replies(&found, after).await.map_err(Failure::from)?;
        let tree = (way, root.key, &found.replied);
        let number = history.count_replies(cell, seen, tree, deadline).await;
        let number = number.map_err(Failure::from)?;
        let Replies { messages, up_to } = replies;
        let root = if found.is_shown() {
            RootState::Normal(reader.show_root(found).await.map_err(Failure::from)?)
        } else {
            RootState::Deleted
        };
        let mut list =
            RepliedList { messages, up_to, root, sender, sent_ms, count: number, each_max: None };
        list.shorten(count);
        let shown = history.show_originals(cell, seen, &mut list.messages, deadline).await;
        shown.map_err(Failure::from)?;
        if let RootState::Normal(root) = &mut list.root {
            let root = std::slice::from_mut(root);
            let shown = history.show_originals(cell, seen, root, deadline).await;
            shown.map_err(Failure::from)?;
        }
        Ok(list)
    }
}
