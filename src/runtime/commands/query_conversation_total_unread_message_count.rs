//! `query_conversation_total_unread_message_count`: reads the total unread count.

use schemars::JsonSchema;
use serde::Deserialize;

use super::set_conversation_mark::MarkNumber;
use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::event::Totals;
use peerd_core::list::MarkFilter;
use peerd_core::marks::ConversationMarks;
use peerd_protocol::api::TotalUnread;
use peerd_protocol::failure::CallError;
use peerd_protocol::object::PEER;

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
    pub marks: Option<Vec<MarkNumber>>,
}

impl Filter {
    /// The conversations that are meant; `None`: none, because all are conversations with peers.
    fn compiled(self) -> Option<MarkFilter> {
        let types = self.conversation_types.unwrap_or_default();
        if !types.is_empty() && !types.contains(&u64::from(PEER)) {
            return None;
        }
        let marks = self.marks.into_iter().flatten();
        let marks = marks
            .fold(ConversationMarks::default(), |marks, MarkNumber(mark)| marks.with(mark, true));
        Some(MarkFilter { marks, ..MarkFilter::default() })
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
        let filter = config.map_or_else(|| Some(MarkFilter::default()), Filter::compiled);
        let user = call.cell.lock();
        let totals = filter.map_or_else(Totals::default, |filter| user.totals_of(&filter));
        Ok(TotalUnread {
            unread_message_count: totals.unmuted,
            unread_message_count_including_muted: totals.all,
            revision: user.revision.current,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::marks::ConversationMark;

    #[test]
    fn a_filter_means_the_marks_that_it_names_of_conversations_with_peers() {
        let compiled = |types: Option<Vec<u64>>, marks: Option<Vec<u64>>| {
            let mark = |number| MarkNumber(ConversationMark::new(number).expect("a mark"));
            let marks = marks.map(|marks| marks.into_iter().map(mark).collect());
            let filter = Filter { conversation_types: types, marks }.compiled();
            filter.map(|filter| filter.marks.numbers().collect::<Vec<_>>())
        };
        assert_eq!(compiled(None, None), Some(vec![]));
        assert_eq!(compiled(Some(vec![]), Some(vec![])), Some(vec![]));
        assert_eq!(compiled(Some(vec![2, 0]), Some(vec![20, 1, 20])), Some(vec![1, 20]));
        assert_eq!(compiled(Some(vec![2]), None), None);
    }
}
