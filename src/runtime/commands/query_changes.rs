//! `query_changes`: reads the changes since a revision, for a client that missed events.

use schemars::JsonSchema;
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use super::query_conversation_list::{Last, views_of};
use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::store::Store;
use peerd_core::changes::Since;
use peerd_core::conversation::ConversationView;
use peerd_core::limits::CHANGES_PAGE_MAX;
use peerd_core::list::{Anchor, ListFilter};
use peerd_protocol::entry_size::Sizes;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::Count;
use peerd_protocol::reply::{Conversations, Reply, Shown};

/// Reads what changed since a revision.
pub struct QueryChanges;

/// Since when, and which page.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct Request {
    /// The newest revision that the client saw.
    pub revision: u64,
    /// The first page, as long as may be, if it is left out.
    pub config: Option<Page>,
}

/// A page of the changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The page begins after this conversation, the last one of the page before.
    pub next_conversation: Option<Last>,
    /// The number of conversations. The default is the maximum.
    pub count: Option<Count<CHANGES_PAGE_MAX>>,
}

/// The changes since a revision.
#[derive(Clone, Debug, PartialEq)]
pub struct Changes {
    /// Whether the page lists all conversations, because what changed since is not known.
    pub is_reset: bool,
    /// A page of the conversations.
    pub conversations: Conversations,
    /// Whether users were blocked or unblocked.
    pub is_blacklist_changed: bool,
    /// The newest revision.
    pub revision: u64,
}

impl Reply for Changes {
    fn body<'a>(&'a self, shown: Shown<'a>) -> impl Serialize + 'a {
        Body { changes: self, shown }
    }

    fn cut(&mut self, sizes: Sizes<'_>, most: usize) {
        self.conversations.cut(sizes, most);
    }
}

struct Body<'a> {
    changes: &'a Changes,
    shown: Shown<'a>,
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Changes { is_reset, conversations, is_blacklist_changed, revision } = self.changes;
        let fields = 2 + usize::from(*is_reset) + usize::from(*is_blacklist_changed);
        let mut map = serializer.serialize_map(Some(fields))?;
        if *is_reset {
            map.serialize_entry("reset", &true)?;
        }
        map.serialize_entry("conversationList", &conversations.list(self.shown))?;
        if *is_blacklist_changed {
            map.serialize_entry("blacklistChanged", &true)?;
        }
        map.serialize_entry("revision", revision)?;
        map.end()
    }
}

impl Command for QueryChanges {
    const NAME: &'static str = "query_changes";
    const SUMMARY: &'static str = "Reads what changed since a revision.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"revision":52323942400000}"#,
        r#"{"revision":0,"config":{"nextConversation":{"conversationID":"bob","orderKey":52323942400000,"isPinned":true},"count":100}}"#,
    ];
    type Request = Request;
    type Reply = Changes;

    async fn run<S: Store, B: Bus>(
        Request { revision, config }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Changes, CallError> {
        let Page { next_conversation, count } = config.unwrap_or_default();
        let Count(count) = count.unwrap_or(Count(CHANGES_PAGE_MAX));
        let anchor = next_conversation.map(Anchor::from);
        let (is_reset, page, is_blacklist_changed, current) = {
            let user = call.cell.lock();
            let since = user.since(revision);
            let changed_after = if let Since::Key(key) = since { Some(key) } else { None };
            let filter = ListFilter { changed_after, ..ListFilter::default() };
            let page = match since {
                Since::Nothing => Vec::new(),
                Since::Key(_) | Since::Reset => user.list(anchor.as_ref(), count, &filter),
            };
            let page = page.into_iter().skip(usize::from(failpoint::is(Fault::ChangeMissed)));
            let page: Vec<_> = page
                .filter_map(|id| user.conversations.get(&id).cloned().map(|known| (id, known)))
                .collect();
            let is_blacklist_changed = user.blocked.has_changed_after(revision);
            (since == Since::Reset, page, is_blacklist_changed, user.revision.current)
        };
        let views: Vec<ConversationView> = views_of(&page, &call).await?;
        let conversations = Conversations(views);
        Ok(Changes { is_reset, conversations, is_blacklist_changed, revision: current })
    }
}
