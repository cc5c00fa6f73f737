//! `query_conversation_list`: reads a page of the conversation list.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::conversation::Conversation;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::limits::CONVERSATION_PAGE_MAX;
use peerd_core::list::Anchor;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{Count, User};
use peerd_protocol::reply::Conversations;

/// Reads a page of the conversation list.
pub struct QueryConversationList;

/// The page to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// Filters the conversations.
    pub option: Option<Filter>,
    /// The position and length of the page.
    pub config: Page,
}

/// A filter of conversations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Only those with unread messages.
    pub is_only_unread_conversation: Option<bool>,
}

/// A page of the list.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The page begins after this conversation, the last one of the page before.
    pub next_conversation: Option<Last>,
    /// The number of conversations.
    pub count: Count<CONVERSATION_PAGE_MAX>,
}

/// The last conversation of a page, as the page showed it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    #[serde(rename = "conversationID")]
    conversation_id: User,
    order_key: Option<u64>,
    is_pinned: Option<bool>,
}

impl From<Last> for Anchor {
    fn from(Last { conversation_id: User(id), order_key, is_pinned }: Last) -> Self {
        Self { id, order_key: order_key.map(OrderKey), is_pinned }
    }
}

impl Command for QueryConversationList {
    const NAME: &'static str = "query_conversation_list";
    const SUMMARY: &'static str = "Reads a page of the conversation list.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"config":{"nextConversation":{"conversationID":"bob","orderKey":9007199254740991,"isPinned":false},"count":1000},"option":{"isOnlyUnreadConversation":true}}"#,
    ];
    type Request = Request;
    type Reply = Conversations;

    async fn run<S: Store, B: Bus>(
        Request { option, config }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Conversations, CallError> {
        let Page { next_conversation, count: Count(count) } = config;
        let anchor = next_conversation.map(Anchor::from);
        let only_unread = option.unwrap_or_default().is_only_unread_conversation;
        let page: Vec<(UserId, Conversation)> = {
            let user = cell.lock();
            let ids = user.list(anchor.as_ref(), count, only_unread.unwrap_or_default());
            let snapshot =
                |id: UserId| user.conversations.get(&id).cloned().map(|known| (id, known));
            ids.into_iter().filter_map(snapshot).collect()
        };
        let views = parts.conversations.views(cell, &page, deadline).await;
        Ok(Conversations(views.map_err(Failure::from)?))
    }
}
