//! Delivered receipts that are interrupted at each of their writes, and their reads and writes.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::clock::Clock;
use crate::runtime::env::Options;
use crate::runtime::fake::calls::{TestNode, call, forget, history};
use crate::runtime::fake::faulty::Faulty;
use crate::runtime::fake::{WALL_MS, alone, options};
use peerd_core::limits::Limits;

/// A node with alice and bob logged in.
async fn node(delivered_receipts: bool) -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let limits = Limits { messages_per_second: 1000, ..Limits::default() };
    let options = Options { delivered_receipts, ..options(limits) };
    let node = alone(Faulty::new(clock), options, clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", &json!({})).await;
    }
    node
}

async fn send(node: &TestNode) -> Value {
    let body = json!({
        "toUserID": "bob", "message": { "type": 1, "message": "hello" },
        "config": { "hasReceipt": true },
    });
    call(node, "alice", "send_peer_message", &body).await
}

/// The statuses that the sender sees, and those that the receiver sees.
async fn statuses(node: &TestNode) -> [Vec<u64>; 2] {
    let status = |message: &Value| message["receiptStatus"].as_u64().expect("a status");
    let mut seen = Vec::new();
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        seen.push(history(node, user, other, 10).await.iter().map(status).collect());
    }
    seen.try_into().expect("two lists")
}

/// The number of writes of some calls, and of all work that follows.
async fn writes_of(node: &TestNode, calls: impl Future<Output = ()>) -> usize {
    const MANY: usize = 1000;
    *node.store().writes_left.lock().expect("no panic") = Some(MANY);
    calls.await;
    node.settle().await;
    let left = node.store().writes_left.lock().expect("no panic").take();
    MANY - left.expect("set above")
}

#[tokio::test(start_paused = true)]
async fn a_report_that_is_cut_off_is_completed_after_the_next_call_by_any_owner() {
    for (writes, is_new_owner) in [(0, false), (1, false), (1, true), (2, false), (2, true)] {
        let node = node(true).await;
        send(&node).await;
        node.settle().await;
        assert_eq!(statuses(&node).await, [vec![5], vec![1]]);
        *node.store().writes_left.lock().expect("no panic") = Some(writes);
        let is_stored = send(&node).await.get("code").is_none();
        node.settle().await;
        *node.store().writes_left.lock().expect("no panic") = None;
        assert_eq!(is_stored, writes > 0);
        if is_new_owner {
            forget(&node);
        }
        let [of_alice, _] = statuses(&node).await;
        if is_stored {
            assert_eq!(of_alice, [5, if writes > 1 { 5 } else { 1 }], "{writes} {is_new_owner}");
        }
        call(&node, "bob", "heartbeat", &json!({})).await;
        node.settle().await;
        let [of_alice, of_bob] = statuses(&node).await;
        assert!(of_alice.iter().all(|status| *status == 5), "{of_alice:?} after {writes} writes");
        assert!(of_bob.iter().all(|status| *status == 1), "{of_bob:?} after {writes} writes");
        // Nothing is left.
        let before = node.store().counts();
        let again = writes_of(&node, async {
            call(&node, "bob", "heartbeat", &json!({})).await;
        });
        assert_eq!(again.await, 0, "{writes} {is_new_owner}");
        assert_eq!(node.store().counts(), before, "{writes} {is_new_owner}");
    }
}

#[tokio::test(start_paused = true)]
async fn where_it_is_off_nothing_is_read_written_or_kept() {
    let mut costs = Vec::new();
    for is_on in [false, true] {
        let node = node(is_on).await;
        send(&node).await;
        node.settle().await;
        let before = node.store().counts();
        let writes = writes_of(&node, async {
            send(&node).await;
        });
        costs.push(writes.await);
        assert_eq!(node.store().counts(), before, "no read");
        let cells = node.parts.users.ownerships().flat_map(|ownership| ownership.cells());
        let kept = cells.filter(|cell| cell.lock().unreported.is_some()).count();
        assert_eq!(kept > 0, is_on);
    }
    assert_eq!(costs, [1, 2], "the message, and one more");
}

#[tokio::test(start_paused = true)]
async fn what_was_read_stays_read() {
    let node = node(true).await;
    call(&node, "bob", "logout", &json!({})).await;
    let one = send(&node).await["message"].clone();
    send(&node).await;
    call(&node, "bob", "login", &json!({})).await;
    let list = json!([{ "messageID": one["messageID"] }]);
    let body = json!({ "conversationID": "alice", "messageList": list });
    call(&node, "bob", "send_message_receipts_read", &body).await;
    node.settle().await;
    assert_eq!(statuses(&node).await, [vec![2, 5], vec![2, 1]]);
    call(&node, "bob", "send_conversation_message_receipt_read", &body).await;
    forget(&node);
    call(&node, "bob", "heartbeat", &json!({})).await;
    node.settle().await;
    assert_eq!(statuses(&node).await, [vec![2, 2], vec![2, 2]]);
}
