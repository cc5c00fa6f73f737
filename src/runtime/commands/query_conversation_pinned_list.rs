//! `query_conversation_pinned_list`: reads a page of the pinned conversations.

use schemars::JsonSchema;
use serde::Deserialize;

use super::query_conversation_list::{Page, read_page};
use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::list::{ListFilter, PinnedFilter};
use peerd_protocol::failure::CallError;
use peerd_protocol::reply::Conversations;

/// Reads a page of the pinned conversations.
pub struct QueryConversationPinnedList;

/// The page to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// The position and length of the page.
    pub config: Page,
}

impl Command for QueryConversationPinnedList {
    const NAME: &'static str = "query_conversation_pinned_list";
    const SUMMARY: &'static str = "Reads a page of the pinned conversations.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"config":{"nextConversation":{"conversationID":"bob","orderKey":52323942400000,"isPinned":true},"count":100}}"#,
    ];
    type Request = Request;
    type Reply = Conversations;

    async fn run<S: Store, B: Bus>(
        Request { config }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Conversations, CallError> {
        let filter = ListFilter { pinned: PinnedFilter::OnlyPinned, ..ListFilter::default() };
        read_page(config, &filter, &call).await
    }
}
