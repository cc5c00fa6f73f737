//! `query_conversation_total_unread_message_count`: reads the total unread count.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::event::Totals;
use peerd_core::limits::MARK_MAX;
use peerd_protocol::failure::CallError;
use peerd_protocol::message::PEER;
use peerd_protocol::reply::{Reply, Shown};

/// Reads the total unread count.
pub struct QueryConversationTotalUnreadMessageCount;

/// The conversations to count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// All conversations if it is left out.
    pub config: Option<Filter>,
}

/// The conversations that a total counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Filter {
    /// Counts conversations of these types; all types if it is empty.
    pub conversation_types: Option<Vec<u64>>,
    /// Counts conversations with one of these marks; all conversations if it is empty.
    pub marks: Option<Vec<ConversationMark>>,
}

impl Filter {
    /// Whether any conversation passes the filter. All are conversations with peers, and none has a
    /// mark yet.
    fn has_any(&self) -> bool {
        let types = self.conversation_types.as_deref().unwrap_or_default();
        let is_peer = types.is_empty() || types.contains(&u64::from(PEER));
        is_peer && self.marks.as_ref().is_none_or(Vec::is_empty)
    }
}

/// A mark of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConversationMark(pub u64);

impl<'de> Deserialize<'de> for ConversationMark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        if (1..=MARK_MAX).contains(&number) {
            return Ok(Self(number));
        }
        let problem = format_args!("must be a whole number from 1 to {MARK_MAX}");
        Err(de::Error::custom(problem))
    }
}

impl JsonSchema for ConversationMark {
    fn schema_name() -> Cow<'static, str> {
        "ConversationMark".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": MARK_MAX })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The total unread count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TotalUnread {
    /// The counts with and without muted conversations.
    pub totals: Totals,
    /// The revision of the user's conversations.
    pub revision: u64,
}

impl Reply for TotalUnread {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body {
            unread_message_count: u64,
            unread_message_count_including_muted: u64,
            revision: u64,
        }
        Body {
            unread_message_count: self.totals.unmuted,
            unread_message_count_including_muted: self.totals.all,
            revision: self.revision,
        }
    }
}

impl Command for QueryConversationTotalUnreadMessageCount {
    const NAME: &'static str = "query_conversation_total_unread_message_count";
    const SUMMARY: &'static str = "Reads the total unread count.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] =
        &["", r#"{"config":{"conversationTypes":[0,2],"marks":[1,20]}}"#];
    type Request = Request;
    type Reply = TotalUnread;

    async fn run<S: Store, B: Bus>(
        Request { config }: Request,
        call: Call<'_, S, B>,
    ) -> Result<TotalUnread, CallError> {
        let has_any = config.as_ref().is_none_or(Filter::has_any);
        let user = call.cell.lock();
        let totals = if has_any { user.totals } else { Totals::default() };
        Ok(TotalUnread { totals, revision: user.revision.current })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_lets_through_what_has_the_type_and_no_mark_is_asked_for() {
        let has_any = |types: Option<Vec<u64>>, marks: Option<Vec<u64>>| {
            let marks = marks.map(|marks| marks.into_iter().map(ConversationMark).collect());
            Filter { conversation_types: types, marks }.has_any()
        };
        assert!(has_any(None, None));
        assert!(has_any(Some(vec![]), Some(vec![])));
        assert!(has_any(Some(vec![2, 0]), None));
        assert!(!has_any(Some(vec![2]), None));
        assert!(!has_any(None, Some(vec![1])));
    }
}
