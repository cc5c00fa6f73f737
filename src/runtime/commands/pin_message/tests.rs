//! Pins that are interrupted at each of their writes, and their reads and writes.

use serde_json::{Value, json};

use super::PinMessage;
use crate::runtime::commands::Command as _;
use crate::runtime::fake::calls::{TestNode, call, call_with_writes, forget, history, node};

/// More writes than a pin has.
const WRITES: usize = 6;
/// `alice` keeps the pins.
const USERS: [(&str, &str); 2] = [("alice", "bob"), ("bob", "alice")];

async fn send(node: &TestNode, from: &str, to: &str) -> Value {
    let body = json!({ "toUserID": to, "message": { "type": 1, "message": "hello" } });
    call(node, from, "send_peer_message", &body).await["message"].clone()
}

fn body(other: &str, message: &Value, on: bool) -> Value {
    let named = json!({ "messageID": message["messageID"], "conversationID": other });
    json!({ "message": named, "isPinned": on })
}

async fn pin(node: &TestNode, user: &str, other: &str, message: &Value, on: bool) -> Value {
    call(node, user, PinMessage::NAME, &body(other, message, on)).await
}

/// Who pinned which message and when, by the list, the history and the conversation, which agree.
async fn pinned(node: &TestNode, user: &str, other: &str) -> Vec<Value> {
    let pin = |message: &Value| {
        json!([message["messageID"], message["pinnedUserID"], message["pinnedTime"]])
    };
    let all = history(node, user, other, 10).await;
    let shown: Vec<Value> =
        all.iter().filter(|message| message.get("pinnedTime").is_some()).map(pin).collect();
    let of = json!({ "conversationID": other });
    let list = call(node, user, "query_pinned_message_list", &of).await;
    let list = list["messageList"].as_array().expect("a list");
    let mut listed: Vec<Value> = list.iter().map(pin).collect();
    listed.sort_by_key(|pin| shown.iter().position(|shown| shown == pin));
    assert_eq!(listed, shown, "{user}");
    let reply = call(node, user, "query_conversation", &of).await;
    assert_eq!(Some(&reply["conversation"]["lastMessage"]), all.last(), "{user}");
    listed
}

/// A change of which only some writes succeed: a pin of a message of which no entry names anything
/// yet, or its removal. Returns whether it has happened.
async fn cut_off(writes: usize, caller: usize, sender: usize, is_removal: bool) -> bool {
    let node = node().await;
    let ((from, to), (user, other)) = (USERS[sender], USERS[caller]);
    let message = send(&node, from, to).await;
    if is_removal {
        assert_eq!(pin(&node, other, user, &message, true).await, json!({}));
    }
    let body = body(other, &message, !is_removal);
    let reply = call_with_writes(&node, writes, (user, PinMessage::NAME, &body)).await;
    let mut seen = Vec::new();
    for is_forgotten in [false, true] {
        if is_forgotten {
            forget(&node);
        }
        for (user, other) in USERS {
            seen.push(pinned(&node, user, other).await);
        }
    }
    assert!(seen.windows(2).all(|two| two[0] == two[1]), "{seen:?} after {writes} writes");
    let has_happened = seen[0].is_empty() == is_removal;
    let is_answered = reply.get("code").is_none();
    assert!(has_happened || !is_answered, "{reply} after {writes} writes, and nothing changed");
    // A repeat completes it.
    let again = pin(&node, user, other, &message, !is_removal).await;
    let code = if has_happened && is_removal { json!(6_000_208) } else { Value::Null };
    assert_eq!(again["code"], code, "{again} after {writes} writes");
    for (user, other) in USERS {
        assert_eq!(pinned(&node, user, other).await.is_empty(), is_removal);
    }
    has_happened
}

#[tokio::test(start_paused = true)]
async fn a_pin_that_is_cut_off_happens_for_both_users_or_for_none() {
    for (caller, sender) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
        for is_removal in [false, true] {
            let mut happened = Vec::new();
            for writes in 0..WRITES {
                happened.push(cut_off(writes, caller, sender, is_removal).await);
            }
            assert!(!happened[0] && happened[WRITES - 1], "{happened:?}");
            assert!(happened.is_sorted(), "{happened:?}");
        }
    }
}

/// Only a reader of a message that may be pinned reads the keeper's entry, and the keeper has it.
#[tokio::test(start_paused = true)]
async fn nothing_more_is_read_or_written_where_nothing_is_pinned() {
    let node = node().await;
    let mut sent = Vec::new();
    for _ in 0..40 {
        sent.push(send(&node, "alice", "bob").await);
    }
    let mut reads = Vec::new();
    for is_pinned in [false, true] {
        if is_pinned {
            assert_eq!(pin(&node, "alice", "bob", &sent[0], true).await, json!({}));
        }
        let mut each = Vec::new();
        for (user, other) in USERS {
            for count in [5, 40] {
                let before = all_reads(&node);
                assert_eq!(history(&node, user, other, count).await.len(), count);
                each.push(all_reads(&node) - before);
            }
            let before = all_reads(&node);
            call(&node, user, "query_conversation", &json!({ "conversationID": other })).await;
            each.push(all_reads(&node) - before);
        }
        reads.push(each);
    }
    let (before, mut after) = (reads[0].clone(), reads[1].clone());
    // Of all these, bob's page with the pinned message costs one read more.
    after[4] -= 1;
    assert_eq!(before, after);
}

fn all_reads(node: &TestNode) -> u64 {
    let counts = node.store().counts();
    counts.log + counts.newest
}
