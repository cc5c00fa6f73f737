//! A lost acknowledgement, and a load before the log was read up to its end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bus::{self, Kind, Outgoing};
use crate::clock::Clock;
use crate::runtime::fake::faulty::Faulty;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::{Node, Options};
use peerd_core::id::UserId;
use peerd_core::limits::Limits;

type TestNode = Node<Faulty, bus::memory::Memory>;

async fn node() -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    fake::node(Faulty::new(clock), Limits::default(), clock).await
}

/// A node that has room for one user of each partition.
async fn forgetful_node() -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let options = Options { cached_users: 1, ..fake::options(Limits::default()) };
    fake::alone(Faulty::new(clock), options, clock).await
}

/// Makes a call; returns the sent messages, the reply last.
async fn call(node: &Arc<TestNode>, user: &str, method: &str, body: Value) -> Vec<Outgoing> {
    node.handle(incoming(user, method, &body)).await;
    node.bus().take()
}

fn text(text: &str) -> Value {
    let message = json!({ "type": 1, "message": text, "localMessageID": text });
    json!({ "toUserID": "bob", "message": message })
}

fn events_to(user: &str, sent: &[Outgoing]) -> Vec<String> {
    let prefix = format!("peer.event.{user}.");
    let events = sent.iter().filter_map(|sent| sent.subject.strip_prefix(&prefix));
    events.map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn a_load_before_the_catch_up_hides_nothing() {
    for heartbeat_comes_first in [true, false] {
        for first_message in [true, false] {
            let node = node().await;
            for user in ["alice", "bob"] {
                call(&node, user, "login", json!({})).await;
            }
            if !first_message {
                call(&node, "alice", "send_peer_message", text("before")).await;
            }
            node.store().loses_ack.store(true, Ordering::SeqCst);
            node.store().is_deaf.store(true, Ordering::SeqCst);
            let sent = call(&node, "alice", "send_peer_message", text("lost ack")).await;
            assert!(matches!(sent[0].kind, Kind::Error { code: 6_000_008, .. }), "{sent:?}");

            // The first look fails; then the connection is restored, and bob is loaded again.
            tokio::time::sleep(Duration::from_millis(50)).await;
            node.store().is_deaf.store(false, Ordering::SeqCst);
            node.store().generation.store(2, Ordering::SeqCst);
            if heartbeat_comes_first {
                call(&node, "bob", "heartbeat", json!({})).await;
            }
            tokio::time::sleep(Duration::from_secs(4)).await;
            let published = node.bus().take();
            let total = "conversation_total_unread_message_count_updated";
            let expected = ["peer_message_received", "conversation_changed", total];
            assert_eq!(events_to("bob", &published), expected, "first: {first_message}");
            assert_eq!(events_to("alice", &published), ["conversation_changed"]);

            let sent = call(&node, "alice", "send_peer_message", text("lost ack")).await;
            assert_eq!(sent.len(), 1, "a repeat publishes nothing: {sent:?}");
            assert_eq!(sent[0].kind, Kind::Duplicate);
        }
    }
}

/// The body of an event to a user.
fn event_to(user: &str, event: &str, sent: &[Outgoing]) -> Value {
    let subject = format!("peer.event.{user}.{event}");
    let event = sent.iter().find(|sent| sent.subject == subject).expect("an event");
    serde_json::from_slice(&event.body).expect("a JSON body")
}

/// With and without the acknowledgement the same events are published to both sides, also if the
/// sender is no longer in memory when the message is found.
#[tokio::test(start_paused = true)]
async fn a_message_found_stored_is_published_like_an_acknowledged_one() {
    let mut shown = Vec::new();
    for loses_ack in [false, true] {
        let node = forgetful_node().await;
        let partition = |user: &str| node.parts.env.subjects.partition_of_user(&id(user));
        let names: Vec<String> = (0..32).map(|number| format!("user{number}")).collect();
        let sender = names.iter().find(|name| partition(name) != partition("bob")).expect("one");
        let is_beside = |name: &&String| *name != sender && partition(name) == partition(sender);
        let beside = names.iter().find(is_beside).expect("another of its partition");
        call(&node, sender, "login", json!({ "userName": "The Sender" })).await;
        call(&node, "bob", "login", json!({ "userName": "Bob" })).await;
        call(&node, sender, "send_peer_message", text("before")).await;

        node.store().loses_ack.store(loses_ack, Ordering::SeqCst);
        node.store().is_deaf.store(loses_ack, Ordering::SeqCst);
        let mut sent = call(&node, sender, "send_peer_message", text("stored")).await;
        if loses_ack {
            tokio::time::sleep(Duration::from_millis(50)).await;
            node.store().is_deaf.store(false, Ordering::SeqCst);
            call(&node, beside, "login", json!({})).await;
            assert!(node.parts.users.user_in_memory(&id(sender)).is_none(), "forgotten");
            tokio::time::sleep(Duration::from_secs(4)).await;
            sent = node.bus().take();
        }
        let changed = event_to("bob", "conversation_changed", &sent);
        let conversation = &changed["infoList"][0]["conversation"];
        assert_eq!(conversation["conversationName"], "The Sender", "acknowledged: {}", !loses_ack);
        assert_eq!(conversation["lastMessage"]["message"], "stored");
        let own = event_to(sender, "conversation_changed", &sent);
        let own = own["infoList"][0]["conversation"].clone();
        assert_eq!(own["conversationName"], "Bob");
        assert_eq!(own["lastMessage"]["message"], "stored");
        shown.push((conversation["unreadMessageCount"].clone(), own["unreadMessageCount"].clone()));

        // A crossing message is kept in memory for a while, to be shown with it.
        let bob = node.parts.users.user_in_memory(&id("bob")).expect("in memory");
        let newest = bob.lock().conversations[&id(sender)].newest.upgrade();
        let newest = newest.map(|newest| newest.seq);
        assert_eq!(newest, Some(2), "acknowledged: {}", !loses_ack);
    }
    assert_eq!(shown[0], shown[1]);
}

fn id(user: &str) -> UserId {
    UserId::new(user, "userID").expect("a valid ID")
}

#[tokio::test(start_paused = true)]
async fn a_push_is_handed_off_when_the_message_turns_out_to_be_stored() {
    let node = node().await;
    call(&node, "alice", "login", json!({})).await;
    node.store().loses_ack.store(true, Ordering::SeqCst);
    let mut body = text("lost ack");
    body["config"] = json!({ "pushConfig": { "title": "t", "content": "c" } });
    call(&node, "alice", "send_peer_message", body).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(node.store().memory.pushes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn messages_not_counted_yet_are_not_shown() {
    let node = node().await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", json!({})).await;
    }
    call(&node, "alice", "send_peer_message", text("before")).await;
    node.store().loses_ack.store(true, Ordering::SeqCst);
    node.store().is_deaf.store(true, Ordering::SeqCst);
    call(&node, "alice", "send_peer_message", text("lost ack")).await;
    // The first look fails, and the next one comes later.
    tokio::time::sleep(Duration::from_millis(50)).await;
    node.store().is_deaf.store(false, Ordering::SeqCst);
    assert_eq!(shown_to_bob(&node).await, ["before", "before", "before"]);
    let published = call(&node, "bob", "login", json!({})).await;
    let replayed =
        published.iter().map(|published| String::from_utf8_lossy(&published.body).into_owned());
    let replayed: Vec<String> = replayed.filter(|body| body.contains("lost ack")).collect();
    assert!(replayed.is_empty(), "{replayed:?}");

    // The deleted messages do not come back, and the one that was not shown appears.
    call(&node, "bob", "delete_all_message", json!({ "conversationID": "alice" })).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let published = node.bus().take();
    assert_eq!(events_to("bob", &published)[0], "peer_message_received");
    assert_eq!(shown_to_bob(&node).await, ["lost ack", "lost ack", "lost ack"]);
}

/// Bob's messages in the history from both ends, and the last one in the list.
async fn shown_to_bob(node: &Arc<TestNode>) -> Vec<String> {
    let mut shown = Vec::new();
    for reverse in [true, false] {
        let config = json!({ "count": 10, "reverse": reverse });
        let body = json!({ "conversationID": "alice", "config": config });
        let sent = call(node, "bob", "query_history_message", body).await;
        shown.extend(texts(&sent, |reply| reply["messageList"].clone()));
    }
    let body = json!({ "config": { "count": 10 } });
    let sent = call(node, "bob", "query_conversation_list", body).await;
    shown.extend(texts(&sent, |reply| json!([reply["conversationList"][0]["lastMessage"]])));
    shown
}

/// The texts of the messages in a reply.
fn texts(sent: &[Outgoing], messages: impl Fn(&Value) -> Value) -> Vec<String> {
    let reply = sent.last().expect("a reply");
    let reply: Value = serde_json::from_slice(&reply.body).expect("a JSON body");
    let messages = messages(&reply).as_array().cloned().unwrap_or_default();
    messages.iter().map(|message| message["message"].as_str().unwrap_or("").to_owned()).collect()
}
