//! `query_message_reaction_user_list`: reads the users who reacted to a message with a given type.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::reacting::{ReactionType, visible};
use super::{Call, Command, Kind, not_in_conversation};
use crate::bus::Bus;
use crate::runtime::history::Reader;
use crate::store::Store;
use peerd_core::id::Direction;
use peerd_core::limits::REACTION_USERS_MAX;
use peerd_core::message::Message;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{MessageOfConversation, PeerType, UpTo, User};
use peerd_protocol::message::MessageBody;
use peerd_protocol::reaction::{ReactionUsers, UserIds, with_kind};
use peerd_protocol::reply::{Reply, Shown};

/// Reads the users who reacted to a message with a given type.
pub struct QueryMessageReactionUserList;

/// The reactions to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The message.
    pub message: MessageOfConversation,
    /// The type, and the page.
    pub config: Config,
}

/// The type, and the page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// The type of the reactions.
    pub reaction_type: ReactionType,
    /// Where the page begins: 0, the default, or the `nextFlag` of the page before.
    pub next_flag: Option<u64>,
    /// The number of users; 0, the default, is the maximum.
    pub count: Option<UpTo<{ REACTION_USERS_MAX as u64 }>>,
}

/// A page of users.
pub struct Users {
    message: Arc<Message>,
    kind: String,
    page: Vec<Direction>,
    /// Where the next page begins; 0 after the last one.
    next_flag: usize,
    total: usize,
}

impl Reply for Users {
    fn body<'a>(&'a self, Shown { viewer, content_max }: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            message: MessageBody<'a>,
            user_info_list: ReactionUsers<'a>,
            reaction_type: &'a str,
            next_flag: usize,
            total_count: usize,
            user_list: UserIds<'a>,
        }
        let Self { message, kind, page, next_flag, total } = self;
        Body {
            message: MessageBody { message, viewer, content_max },
            user_info_list: ReactionUsers { message, page },
            reaction_type: kind,
            next_flag: *next_flag,
            total_count: *total,
            user_list: UserIds { message, page },
        }
    }
}

impl Command for QueryMessageReactionUserList {
    const NAME: &'static str = "query_message_reaction_user_list";
    const SUMMARY: &'static str = "Reads the users who reacted to a message with a given type.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"2","conversationID":"bob","conversationType":0},"config":{"reactionType":"👍","nextFlag":0,"count":20}}"#,
        r#"{"conversationID":"bob","conversationType":0,"message":{"messageID":"2"},"config":{"reactionType":"a"}}"#,
    ];
    type Request = Request;
    type Reply = Users;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message, config, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Users, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let Config { reaction_type, next_flag, count } = config;
        let kind = visible(reaction_type)?;
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let mut reader = Reader::new(&parts.history, cell, &other, &known, deadline);
        let Some(mut message) = reader.one(id).await.map_err(Failure::from)? else {
            return Err(not_in_conversation("message.messageID").into());
        };
        let (history, list) = (&parts.history, std::slice::from_mut(&mut message));
        let shown = history.show_originals(cell, (&other, &known), list, deadline).await;
        shown.map_err(Failure::from)?;
        let reaction = with_kind(&message, &kind);
        let both = [Direction::Send, Direction::Receive];
        let users: Vec<Direction> =
            both.into_iter().filter(|direction| reaction.by(*direction) > 0).collect();
        let (total, most) = (users.len(), count.map_or(0, |UpTo(count)| count));
        let most = if most == 0 {
            REACTION_USERS_MAX
        } else {
            usize::try_from(most).unwrap_or(REACTION_USERS_MAX)
        };
        let from = usize::try_from(next_flag.unwrap_or_default()).unwrap_or(usize::MAX);
        let page: Vec<Direction> = users.into_iter().skip(from).take(most).collect();
        let end = from.saturating_add(page.len());
        let next_flag = if end < total { end } else { 0 };
        Ok(Users { message, kind, page, next_flag, total })
    }
}
