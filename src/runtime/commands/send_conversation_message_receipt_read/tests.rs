//! Receipts that are interrupted at each of their writes, and their reads and writes.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::SendConversationMessageReceiptRead;
use crate::bus::memory;
use crate::clock::Clock;
use crate::runtime::commands::Command as _;
use crate::runtime::fake::faulty::Faulty;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::Node;
use peerd_core::event::Totals;
use peerd_core::limits::Limits;

type TestNode = Node<Faulty, memory::Memory>;

const READ: &str = SendConversationMessageReceiptRead::NAME;
/// More writes than a receipt has.
const WRITES: usize = 6;

async fn node() -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let node: Arc<TestNode> = fake::node(Faulty::new(clock), Limits::default(), clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", &json!({})).await;
    }
    node
}

async fn call(node: &TestNode, user: &str, method: &str, body: &Value) -> Value {
    node.bus().take();
    node.handle(incoming(user, method, body)).await;
    let sent = node.bus().take();
    let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
    serde_json::from_slice(&reply.body).expect("JSON")
}

async fn send(node: &TestNode) {
    let body = json!({
        "toUserID": "bob", "message": { "type": 1, "message": "hello" },
        "config": { "hasReceipt": true },
    });
    assert!(call(node, "alice", "send_peer_message", &body).await["message"].is_object());
}

/// The statuses of all messages, and whether both users see the same.
async fn statuses(node: &TestNode) -> (Vec<u64>, bool) {
    let mut seen = Vec::new();
    for (user, other) in [("bob", "alice"), ("alice", "bob")] {
        let body = json!({ "conversationID": other, "config": { "count": 10, "reverse": true } });
        let page = call(node, user, "query_history_message", &body).await;
        let list = page["messageList"].as_array().expect("a page");
        let status = |message: &Value| message["receiptStatus"].as_u64().expect("a status");
        seen.push(list.iter().map(status).collect::<Vec<_>>());
    }
    let of_alice = seen.pop().expect("two lists");
    let of_bob = seen.pop().expect("two lists");
    let is_same = of_alice == of_bob;
    (of_bob, is_same)
}

/// Drops all state in memory, as after a crash.
fn forget(node: &TestNode) {
    for cell in node.parts.users.ownerships().flat_map(|ownership| ownership.cells()) {
        let mut user = cell.lock();
        user.conversations.clear();
        user.totals = Totals::default();
        drop(user);
        cell.invalidate();
    }
}

/// A receipt of which only some writes succeed. Returns whether it has happened.
async fn cut_off(writes: usize) -> bool {
    let node = node().await;
    send(&node).await;
    send(&node).await;
    *node.store().writes_left.lock().expect("no panic") = Some(writes);
    let reply = call(&node, "bob", READ, &json!({ "conversationID": "alice" })).await;
    *node.store().writes_left.lock().expect("no panic") = None;
    forget(&node);
    let mut seen = statuses(&node).await;
    for _ in 0..100 {
        if seen.1 {
            break;
        }
        // It is completed in the background.
        tokio::time::sleep(Duration::from_millis(1)).await;
        seen = statuses(&node).await;
    }
    let (statuses_seen, is_same) = seen;
    assert!(is_same, "after {writes} writes");
    let has_happened = statuses_seen == [2, 2];
    assert!(has_happened || statuses_seen == [1, 1], "{statuses_seen:?} after {writes} writes");
    let is_answered = reply.get("code").is_none();
    assert!(has_happened || !is_answered, "{reply} after {writes} writes, and nothing changed");
    // Later messages are not affected, and a repeat completes it.
    send(&node).await;
    let again = call(&node, "bob", READ, &json!({ "conversationID": "alice" })).await;
    assert_eq!(again.get("code"), None, "{again} after {writes} writes");
    assert_eq!(statuses(&node).await, (vec![2, 2, 2], true), "after {writes} writes");
    has_happened
}

#[tokio::test(start_paused = true)]
async fn a_receipt_that_is_cut_off_happens_for_both_users_or_for_none() {
    let mut happened = Vec::new();
    for writes in 0..WRITES {
        happened.push(cut_off(writes).await);
    }
    assert!(!happened[0] && happened[WRITES - 1], "{happened:?}");
    assert!(happened.is_sorted(), "{happened:?}");
}

#[tokio::test(start_paused = true)]
async fn a_receipt_without_new_messages_reads_and_writes_nothing() {
    let node = node().await;
    send(&node).await;
    let body = json!({ "conversationID": "alice" });
    call(&node, "bob", READ, &body).await;
    let before = node.store().counts();
    call(&node, "bob", READ, &body).await;
    assert_eq!(node.store().counts(), before);
    assert!(node.bus().take().is_empty(), "nothing is published after the reply");
}
