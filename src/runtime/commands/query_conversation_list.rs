//! `query_conversation_list`: reads a page of the conversation list.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::conversation::{Conversation, ConversationView};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::limits::{CONVERSATION_PAGE_MAX, MARK_MAX};
use peerd_core::list::{Anchor, ListFilter, MarkFilter, PinnedFilter};
use peerd_core::marks::ConversationMark;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{Count, User};
use peerd_protocol::object::PEER;
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Conversations of these types; all types if it is empty. Every conversation has the type 0.
    pub conversation_types: Option<Vec<u64>>,
    /// Conversations with one of these marks, with any mark (-1), or without a mark (0); all if it
    /// is empty.
    pub marks: Option<Vec<MarkChoice>>,
    /// Only conversations with unread messages.
    pub is_only_unread_conversation: Option<bool>,
    /// 0: all, 1: only pinned ones, 2: only others.
    pub pinned_filter: Option<Pinned>,
}

/// A mark, any mark, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MarkChoice {
    /// -1: any mark.
    Any,
    /// 0: no mark.
    None,
    /// This mark.
    Mark(ConversationMark),
}

impl<'de> Deserialize<'de> for MarkChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let problem = format_args!("must be a whole number from -1 to {MARK_MAX}");
        let number = i64::deserialize(deserializer)?;
        let mark = u64::try_from(number).ok().and_then(ConversationMark::new);
        match (number, mark) {
            (-1, _) => Ok(Self::Any),
            (0, _) => Ok(Self::None),
            (_, Some(mark)) => Ok(Self::Mark(mark)),
            (_, None) => Err(de::Error::custom(problem)),
        }
    }
}

impl JsonSchema for MarkChoice {
    fn schema_name() -> Cow<'static, str> {
        "MarkChoice".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": -1, "maximum": MARK_MAX })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Filter {
    /// The filter; `None`: no conversation is meant.
    fn compiled(self) -> Option<ListFilter> {
        let types = self.conversation_types.unwrap_or_default();
        if !types.is_empty() && !types.contains(&u64::from(PEER)) {
            return None;
        }
        let mut marks = MarkFilter::default();
        for choice in self.marks.into_iter().flatten() {
            match choice {
                MarkChoice::Any => marks.any = true,
                MarkChoice::None => marks.unmarked = true,
                MarkChoice::Mark(mark) => marks.marks = marks.marks.with(mark, true),
            }
        }
        Some(ListFilter {
            only_unread: self.is_only_unread_conversation.unwrap_or_default(),
            pinned: self.pinned_filter.map_or_else(PinnedFilter::default, |Pinned(pinned)| pinned),
            marks,
            changed_after: None,
        })
    }
}

/// Which conversations a list shows, by whether they are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned(pub PinnedFilter);

impl<'de> Deserialize<'de> for Pinned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u64::deserialize(deserializer)? {
            0 => Ok(Self(PinnedFilter::All)),
            1 => Ok(Self(PinnedFilter::OnlyPinned)),
            2 => Ok(Self(PinnedFilter::OnlyUnpinned)),
            _ => Err(de::Error::custom("must be 0 (All), 1 (OnlyPinned) or 2 (OnlyUnpinned)")),
        }
    }
}

impl JsonSchema for Pinned {
    fn schema_name() -> Cow<'static, str> {
        "PinnedFilter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "enum": [0, 1, 2] })
    }

    fn inline_schema() -> bool {
        true
    }
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
        r#"{"config":{"nextConversation":{"conversationID":"bob","orderKey":9007199254740991,"isPinned":false},"count":1000},"option":{"conversationTypes":[0,2],"marks":[-1,0,20],"isOnlyUnreadConversation":true,"pinnedFilter":2}}"#,
    ];
    type Request = Request;
    type Reply = Conversations;

    async fn run<S: Store, B: Bus>(
        Request { option, config }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Conversations, CallError> {
        match option.unwrap_or_default().compiled() {
            Some(filter) => read_page(config, &filter, &call).await,
            None => Ok(Conversations(Vec::new())),
        }
    }
}

/// Reads a page of those conversations that pass a filter.
pub(super) async fn read_page<S: Store, B: Bus>(
    page: Page,
    filter: &ListFilter,
    call: &Call<'_, S, B>,
) -> Result<Conversations, CallError> {
    let Page { next_conversation, count: Count(count) } = page;
    let anchor = next_conversation.map(Anchor::from);
    let page: Vec<(UserId, Conversation)> = {
        let user = call.cell.lock();
        let ids = user.list(anchor.as_ref(), count, filter);
        let snapshot = |id: UserId| user.conversations.get(&id).cloned().map(|known| (id, known));
        ids.into_iter().filter_map(snapshot).collect()
    };
    Ok(Conversations(views_of(&page, call).await?))
}

/// Conversations as bodies show them.
pub(super) async fn views_of<S: Store, B: Bus>(
    page: &[(UserId, Conversation)],
    Call { parts, cell, deadline, .. }: &Call<'_, S, B>,
) -> Result<Vec<ConversationView>, CallError> {
    let views = parts.conversations.views(cell, page, *deadline).await;
    Ok(views.map_err(Failure::from)?)
}
