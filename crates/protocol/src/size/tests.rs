//! The bytes around the part of a message that its sender sets, measured on the largest bodies.

use std::sync::Arc;

use super::*;
use crate::api::OfflinePush;
use crate::event::EventBody;
use crate::reply::{Conversations, History, OneConversation, Reply as _, Sent, Shown};
use peerd_core::conversation::{ConversationEvent, ConversationView, NotificationStatus};
use peerd_core::event::{DeleteType, Event, Revision};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::{
    AVATAR_URL_MAX_BYTES, NUMBER_MAX, USER_ID_MAX_BYTES, USER_NAME_MAX_BYTES,
};
use peerd_core::marks::ConversationMarks;
use peerd_core::message::ReceiptStatus;

/// [`AROUND_BYTES`] is a multiple of this: the room for content does not change with each new field.
const STEP_BYTES: usize = 1024;
/// A character that JSON escapes to the most bytes.
const ESCAPED: &str = "\u{1}";

/// A new field of a message or a conversation is measured here by itself. If this fails, take the
/// measured figure.
#[test]
fn the_bytes_around_content_are_those_of_the_largest_bodies() {
    let measured = measured();
    assert_eq!(AROUND_BYTES, measured.next_multiple_of(STEP_BYTES), "measured: {measured}");
}

/// The largest size of a body beside the sender's part.
fn measured() -> usize {
    let (sender, viewer) = (longest("a"), longest("b"));
    let message = message(&sender, &viewer);
    let own = |encoding| {
        let Message { content, extended_data, local_id, .. } = &*message;
        let content = OwnContent::Draft(content);
        Own { content, extended_data, local_id: local_id.as_ref() }.bytes(encoding)
    };
    let view = view(&sender, &message);
    let shown = Shown { viewer: &viewer, content_max: None };
    let sent = Sent { message: message.clone(), is_duplicate: true };
    let history =
        History { other: sender.clone(), messages: vec![message.clone()], backwards: true };
    let (one, list) = (OneConversation(view.clone()), Conversations(vec![view.clone()]));
    let no_push = Push::default();
    let push = OfflinePush::new(&no_push, &message, NUMBER_MAX);
    let events = [
        Event::PeerMessageReceived {
            messages: vec![message.clone()].into(),
            from: sender.clone(),
            offline: true,
        },
        Event::ConversationChanged([(ConversationEvent::Updated, view)].into_iter().collect()),
        Event::MessageDeleted {
            other: sender.clone(),
            delete_type: DeleteType::Messages,
            messages: vec![message.clone()].into(),
        },
    ];
    let in_encoding = |encoding| {
        let replies = [
            counted(&sent.body(shown), encoding),
            counted(&history.body(shown), encoding),
            counted(&one.body(shown), encoding),
            counted(&list.body(shown), encoding),
            counted(&push, encoding),
        ];
        let events = events.iter().map(|event| {
            let revision = Revision { current: NUMBER_MAX, previous: NUMBER_MAX };
            counted(&EventBody { event, revision, viewer: &viewer, content_max: None }, encoding)
        });
        let most = replies.into_iter().chain(events).max().unwrap_or_default();
        most.saturating_sub(own(encoding))
    };
    in_encoding(Encoding::Json).max(in_encoding(Encoding::MessagePack))
}

fn longest(letter: &str) -> UserId {
    UserId::new(&letter.repeat(USER_ID_MAX_BYTES), "userID").expect("a valid ID")
}

/// A message in which everything but the sender's part has its maximum.
fn message(sender: &UserId, receiver: &UserId) -> Arc<Message> {
    Arc::new(Message {
        sender: sender.clone(),
        receiver: receiver.clone(),
        partition: Partition(0),
        key: OrderKey(NUMBER_MAX),
        seq: NUMBER_MAX,
        timestamp_ms: NUMBER_MAX,
        local_id: None,
        receipt: ReceiptStatus::Processing,
        counts: true,
        extended_data: String::new(),
        content: Content::Text { message: String::new() },
        annotations: None,
    })
}

/// A conversation in which everything but the message has its maximum.
fn view(other: &UserId, message: &Arc<Message>) -> ConversationView {
    ConversationView {
        id: other.clone(),
        name: ESCAPED.repeat(USER_NAME_MAX_BYTES).into(),
        // A URL has no control characters: JSON escapes a byte to two at most.
        avatar_url: Some("\"".repeat(AVATAR_URL_MAX_BYTES).into()),
        notification: NotificationStatus::DoNotDisturb,
        unread: NUMBER_MAX,
        last_message: Some(message.clone()),
        order_key: OrderKey(NUMBER_MAX),
        pinned_ms: NUMBER_MAX,
        // The draft takes its room from the message.
        draft: None,
        marks: ConversationMarks::from_bits(u32::MAX),
        read_seq: NUMBER_MAX,
        is_marked_unread: true,
    }
}
