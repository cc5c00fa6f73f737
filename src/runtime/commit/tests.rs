//! Changes of several entries, some of which the store does not write.

use serde_json::{Value, json};

use super::*;
use crate::bus::{self, Kind};
use crate::clock::Clock;
use crate::runtime::fake::faulty::Faulty;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::Node;
use crate::store::AppendError;
use peerd_core::limits::Limits;

type TestNode = Node<Faulty, bus::memory::Memory>;

/// A node on which Alice is logged in.
async fn node() -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let node = fake::node(Faulty::new(clock), Limits::default(), clock).await;
    call(&node, "alice", "login", json!({})).await;
    node
}

fn fail(node: &Arc<TestNode>, entries: &[(&'static str, AppendError)]) {
    *node.store().appends.lock().expect("no panic") = entries.to_vec();
}

/// Calls. Returns the reason of an error, and the events to the caller.
async fn call(
    node: &Arc<TestNode>,
    user: &str,
    method: &str,
    body: Value,
) -> (Option<String>, Vec<(String, Value)>) {
    node.bus().take();
    node.handle(incoming(user, method, &body)).await;
    node.settle().await;
    let (mut reason, mut events) = (None, Vec::new());
    for sent in node.bus().take() {
        let body: Value = serde_json::from_slice(&sent.body).expect("a JSON body");
        if sent.subject == "reply" {
            let is_error = matches!(sent.kind, Kind::Error { .. });
            reason = is_error.then(|| body["reason"].as_str().unwrap_or_default().to_owned());
        } else if let Some(event) = sent.subject.strip_prefix(&format!("peer.event.{user}.")) {
            events.push((event.to_owned(), body));
        }
    }
    (reason, events)
}

fn unavailable() -> AppendError {
    AppendError::Unavailable("a test".to_owned())
}

async fn blocked(node: &Arc<TestNode>, user: &str) -> bool {
    node.bus().take();
    let body = json!({ "userID": user });
    node.handle(incoming("alice", "check_user_is_in_blacklist", &body)).await;
    let sent = node.bus().take();
    let reply: Value = serde_json::from_slice(&sent[0].body).expect("a JSON body");
    reply["isUserInBlacklist"] == true
}

#[tokio::test]
async fn entries_that_were_written_are_applied_and_published_although_others_were_not() {
    let node = node().await;
    fail(&node, &[("carol", unavailable())]);
    let body = json!({ "userIDs": ["bob", "carol", "dave"] });
    let (reason, events) = call(&node, "alice", "add_users_to_blacklist", body).await;
    assert_eq!(reason.as_deref(), Some("store_unavailable"));
    let [(name, event)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(name, "blacklist_changed");
    let users = event["userList"].as_array().expect("a list");
    let users: Vec<_> = users.iter().map(|user| user["userID"].clone()).collect();
    assert_eq!(users, ["bob", "dave"]);
    fail(&node, &[]);
    for (user, is_blocked) in [("bob", true), ("carol", false), ("dave", true)] {
        assert_eq!(blocked(&node, user).await, is_blocked, "{user}");
    }
}

#[tokio::test]
async fn of_several_failures_the_unknown_outcome_is_answered() {
    let node = node().await;
    for order in [["bob", "carol"], ["carol", "bob"]] {
        fail(&node, &[(order[0], unavailable()), (order[1], AppendError::Unknown)]);
        let body = json!({ "userIDs": ["bob", "carol"] });
        let (reason, events) = call(&node, "alice", "add_users_to_blacklist", body).await;
        assert_eq!((reason.as_deref(), events.len()), (Some("outcome_unknown"), 0));
    }
    fail(&node, &[]);
    for from in ["bob", "carol"] {
        call(&node, from, "login", json!({})).await;
        let body = json!({ "toUserID": "alice", "message": { "type": 1, "message": "hi" } });
        let (reason, _) = call(&node, from, "send_peer_message", body).await;
        assert_eq!(reason, None);
    }
    fail(&node, &[("bob", AppendError::Unknown), ("carol", unavailable())]);
    let method = "clear_conversation_total_unread_message_count";
    let (reason, events) = call(&node, "alice", method, json!({})).await;
    assert_eq!((reason.as_deref(), events.len()), (Some("outcome_unknown"), 0));
}

#[tokio::test]
async fn a_change_that_changes_nothing_writes_and_publishes_nothing() {
    let node = node().await;
    fail(&node, &[("bob", unavailable())]);
    for (method, body) in [
        ("clear_conversation_unread_message_count", json!({ "conversationID": "bob" })),
        ("clear_conversation_total_unread_message_count", json!({})),
        ("remove_users_from_blacklist", json!({ "userIDs": ["bob"] })),
        ("delete_all_message", json!({ "conversationID": "bob" })),
    ] {
        let (reason, events) = call(&node, "alice", method, body).await;
        assert_eq!((reason, events.len()), (None, 0), "{method}");
    }
}
