//! Receipts that are interrupted at each of their writes, and their reads and writes.

use std::time::Duration;

use serde_json::{Value, json};

use super::SendConversationMessageReceiptRead;
use crate::runtime::commands::Command as _;
use crate::runtime::fake::calls::{TestNode, call, call_with_writes, forget, history, node};

const READ: &str = SendConversationMessageReceiptRead::NAME;
/// More writes than a receipt has.
const WRITES: usize = 6;

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
        let status = |message: &Value| message["receiptStatus"].as_u64().expect("a status");
        seen.push(history(node, user, other, 10).await.iter().map(status).collect::<Vec<_>>());
    }
    let of_alice = seen.pop().expect("two lists");
    let of_bob = seen.pop().expect("two lists");
    let is_same = of_alice == of_bob;
    (of_bob, is_same)
}

/// A receipt of which only some writes succeed. Returns whether it has happened.
async fn cut_off(writes: usize) -> bool {
    let node = node().await;
    send(&node).await;
    send(&node).await;
    let body = json!({ "conversationID": "alice" });
    let reply = call_with_writes(&node, writes, ("bob", READ, &body)).await;
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
    let again = call(&node, "bob", READ, &body).await;
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
