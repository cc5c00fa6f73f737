//! Calls to a node whose store fails as a test asks.

use std::sync::Arc;

use serde_json::{Value, json};

use super::faulty::Faulty;
use super::{WALL_MS, incoming};
use crate::bus::memory;
use crate::clock::Clock;
use crate::runtime::node::Node;
use peerd_core::event::Totals;
use peerd_core::limits::Limits;

pub(in crate::runtime) type TestNode = Node<Faulty, memory::Memory>;

/// A node with `alice` and `bob` logged in, and a rate limit that no test reaches.
pub(in crate::runtime) async fn node() -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let limits = Limits { messages_per_second: 1000, ..Limits::default() };
    let node: Arc<TestNode> = super::node(Faulty::new(clock), limits, clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", &json!({})).await;
    }
    node
}

/// The reply to a call, and the subjects of the events after `peer.event.`.
pub(in crate::runtime) async fn called(
    node: &TestNode,
    user: &str,
    method: &str,
    body: &Value,
) -> (Value, Vec<String>) {
    node.bus().take();
    node.handle(incoming(user, method, body)).await;
    let sent = node.bus().take();
    let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
    let reply = serde_json::from_slice(&reply.body).expect("JSON");
    let events = sent.iter().filter_map(|sent| sent.subject.strip_prefix("peer.event."));
    (reply, events.map(str::to_owned).collect())
}

/// The reply to a call.
pub(in crate::runtime) async fn call(
    node: &TestNode,
    user: &str,
    method: &str,
    body: &Value,
) -> Value {
    called(node, user, method, body).await.0
}

/// The reply to a call of which only so many writes succeed.
pub(in crate::runtime) async fn call_with_writes(
    node: &TestNode,
    writes: usize,
    (user, method, body): (&str, &str, &Value),
) -> Value {
    *node.store().writes_left.lock().expect("no panic") = Some(writes);
    let reply = call(node, user, method, body).await;
    *node.store().writes_left.lock().expect("no panic") = None;
    reply
}

/// Drops all state in memory, as after a crash.
pub(in crate::runtime) fn forget(node: &TestNode) {
    for cell in node.parts.users.ownerships().flat_map(|ownership| ownership.cells()) {
        let mut user = cell.lock();
        user.conversations.clear();
        user.totals = Totals::default();
        user.unreported = None;
        drop(user);
        cell.invalidate();
    }
}

/// The newest messages of a conversation.
pub(in crate::runtime) async fn history(
    node: &TestNode,
    user: &str,
    other: &str,
    count: usize,
) -> Vec<Value> {
    let body = json!({ "conversationID": other, "config": { "count": count, "reverse": true } });
    let page = call(node, user, "query_history_message", &body).await;
    page["messageList"].as_array().expect("a page").clone()
}
