//! `query_history_message`: reads a page of a conversation.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::crossing::InFlight;
use crate::runtime::history::{Page as ReadPage, Reader};
use crate::runtime::tuning::HISTORY_PAGE_TRIES_MAX;
use crate::runtime::users::UserCell;
use crate::store::Store;
use peerd_core::conversation::Conversation;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::limits::HISTORY_PAGE_MAX;
use peerd_core::message::Message;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{Count, NamedMessage, PeerType, User};
use peerd_protocol::reply::History;

/// Reads a page of a conversation.
pub struct QueryHistoryMessage;

/// The page to read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The position and length of the page.
    pub config: Page,
}

/// A page of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The page lies before (backwards) or after (forwards) this message.
    pub next_message: Option<NamedMessage>,
    /// The number of messages.
    pub count: Count<HISTORY_PAGE_MAX>,
    /// From the newest towards older, or from the oldest towards newer.
    pub reverse: Option<bool>,
}

impl Command for QueryHistoryMessage {
    const NAME: &'static str = "query_history_message";
    const SUMMARY: &'static str = "Reads a page of a conversation.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"conversationID":"bob","conversationType":0,"config":{"nextMessage":{"messageID":"118106327250633732"},"count":100,"reverse":true}}"#,
    ];
    type Request = Request;
    type Reply = History;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), config, .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<History, CallError> {
        let Page { next_message, count: Count(count), reverse } = config;
        let backwards = reverse.unwrap_or_default();
        let anchor = next_message.map(|named| named.message_id.0.key());
        // Up to this key, all messages that cross the user's own are known.
        let mut settled = OrderKey::ZERO;
        for tries in 1.. {
            let (conversation, is_sent_ahead) = {
                let user = cell.lock();
                // Under the lock: messages that are no longer in flight are known.
                let is_sent_ahead = parts.in_flight.may_cross(&user.id, &other, OrderKey(u64::MAX));
                (user.conversations.get(&other).cloned().unwrap_or_default(), is_sent_ahead)
            };
            let seen = (&other, &conversation);
            let mut reader =
                Reader::with_sent_ahead(&parts.history, cell, seen, is_sent_ahead, deadline);
            let page = if backwards {
                reader.back(anchor, count).await.map_err(Failure::from)?
            } else {
                let messages = reader.forth(anchor, count).await.map_err(Failure::from)?;
                ReadPage { messages, rest: None }
            };
            let ReadPage { mut messages, rest } = page;
            let in_doubt = in_doubt(&messages, &other, &conversation, settled);
            if let Some(newest) = messages[in_doubt..].last().map(|newest| newest.key)
                && !is_in_order(&parts.in_flight, cell, (&other, &conversation), newest, deadline)
                    .await
            {
                settled = newest;
                if tries < HISTORY_PAGE_TRIES_MAX {
                    continue;
                }
                // The page ends where nothing can be missing, and has the requested length.
                let cut = messages[in_doubt].key;
                messages.truncate(in_doubt);
                if backwards {
                    let before = reader.back(Some(cut), count).await.map_err(Failure::from)?;
                    messages = before.messages;
                }
            } else if let Some((place, rest)) = rest {
                // Most readers of the newest page request no further one.
                let likely = if anchor.is_some() { count } else { 0 };
                parts.history.keep_place(place, rest, likely);
            }
            let shown = parts.history.show_originals(cell, seen, &mut messages, deadline).await;
            shown.map_err(Failure::from)?;
            return Ok(History { other, messages, backwards });
        }
        Err(Failure::Internal.into())
    }
}

/// Whether the page misses nothing that sorts before `newest`, a message of the user's own without
/// an acknowledgement yet. Waits for messages that cross it; if there are any, the page must be
/// read again.
async fn is_in_order(
    in_flight: &InFlight,
    cell: &UserCell,
    (other, seen): (&UserId, &Conversation),
    newest: OrderKey,
    deadline: Instant,
) -> bool {
    in_flight.settle_received(cell, other, newest, deadline).await;
    let user = cell.lock();
    let received = user.conversations.get(other).and_then(|known| known.received);
    received.map(|head| head.mark) == seen.received.map(|head| head.mark)
}

/// The index of the first message of the page before which others may be missing: the user's own
/// messages that are stored but not known yet, above everything that the user has received and
/// everything settled. Only such messages follow it.
fn in_doubt(
    page: &[Arc<Message>],
    other: &UserId,
    seen: &Conversation,
    settled: OrderKey,
) -> usize {
    let sent = seen.sent.map_or(0, |head| head.mark.seq);
    // Every message that sorts before a received one was stored before that one was shown.
    let sure = settled.max(seen.received.map_or(OrderKey::ZERO, |head| head.key));
    let is_in_doubt = |message: &&Arc<Message>| {
        message.sender != *other && message.seq > sent && message.key > sure
    };
    page.len() - page.iter().rev().take_while(is_in_doubt).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::content::Content;
    use peerd_core::id::Partition;
    use peerd_core::message::ReceiptStatus;

    fn user(id: &str) -> UserId {
        UserId::new(id, "").expect("a valid ID")
    }

    fn message(sender: &str, receiver: &str, key: u64) -> Arc<Message> {
        Arc::new(Message {
            sender: user(sender),
            receiver: user(receiver),
            partition: Partition(1),
            key: OrderKey(key),
            seq: key,
            timestamp_ms: 0,
            local_id: None,
            receipt: ReceiptStatus::None,
            counts: true,
            extended_data: String::new(),
            content: Content::Text { message: String::new() },
            annotations: None,
        })
    }

    #[test]
    fn own_messages_that_are_not_known_yet_are_in_doubt_until_they_are_settled() {
        let received = || message("bob", "alice", 2);
        let own = |key| message("alice", "bob", key);
        let (bob, seen) = (user("bob"), Conversation::default());
        let page = [own(1), received(), own(3), own(4)];
        assert_eq!(in_doubt(&page, &bob, &seen, OrderKey::ZERO), 2);
        assert_eq!(in_doubt(&page, &bob, &seen, OrderKey(3)), 3);
        assert_eq!(in_doubt(&page, &bob, &seen, OrderKey(4)), 4);
        assert_eq!(in_doubt(&[received()], &bob, &seen, OrderKey::ZERO), 1);
        assert_eq!(in_doubt(&[], &bob, &seen, OrderKey::ZERO), 0);
    }
}
