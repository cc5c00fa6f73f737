//! Replies that are interrupted at each of their writes, and their reads and writes.

use serde_json::{Value, json};

use super::ReplyMessage;
use crate::runtime::commands::Command as _;
use crate::runtime::fake::calls::{
    TestNode, call, call_with_writes, called, forget, history, node,
};
use crate::runtime::fake::faulty::Counts;
use crate::store::StreamId;
use peerd_core::id::Partition;

const REPLY: &str = ReplyMessage::NAME;
const INFO_CHANGED: &str = "message_replied_info_changed";
/// More writes than a reply has.
const WRITES: usize = 8;

async fn send(node: &TestNode, from: &str, to: &str, text: &str) -> Value {
    let body = json!({ "toUserID": to, "message": { "type": 1, "message": text } });
    call(node, from, "send_peer_message", &body).await["message"].clone()
}

fn body(other: &str, original: &Value, local_id: &str) -> Value {
    json!({
        "conversationID": other,
        "message": { "type": 1, "message": "a reply", "localMessageID": local_id },
        "toOriginalMessage": { "messageID": original["messageID"] },
    })
}

/// How many records were ever written.
fn written(node: &TestNode) -> u64 {
    let streams = (0..4)
        .flat_map(|number| [StreamId::Log(Partition(number)), StreamId::State(Partition(number))]);
    let newest = |stream| node.store().memory.records(stream).last().map(|it| it.stream_seq);
    streams.filter_map(newest).sum()
}

/// A reply of which only some writes succeed. Returns whether it is stored.
async fn cut_off(writes: usize, replier: &str) -> bool {
    let node = node().await;
    let original = send(&node, "alice", "bob", "the original").await;
    let other = if replier == "alice" { "bob" } else { "alice" };
    let call_body = body(other, &original, "l-1");
    let reply = call_with_writes(&node, writes, (replier, REPLY, &call_body)).await;
    forget(&node);
    let (of_alice, of_bob) =
        (history(&node, "alice", "bob", 10).await, history(&node, "bob", "alice", 10).await);
    let is_stored = of_bob.len() == 2;
    assert_eq!(of_alice.len(), of_bob.len(), "after {writes} writes");
    assert!(is_stored || reply["message"].is_null() || reply["code"].is_u64(), "{reply}");
    if is_stored {
        assert_eq!(of_alice[1]["repliedInfo"], of_bob[1]["repliedInfo"]);
        assert_eq!(of_bob[1]["repliedInfo"]["messageInfo"]["message"], "the original");
    }
    // A repeat completes it, and a change of the original finds it.
    let again = call(&node, replier, REPLY, &call_body).await;
    assert!(again["message"].is_object() && again["code"].is_null(), "{again}");
    assert_eq!(history(&node, "bob", "alice", 10).await.len(), 2, "after {writes} writes");
    let edit = json!({ "messageID": original["messageID"], "type": 1, "message": "edited" });
    let edit = json!({ "conversationID": "bob", "message": edit });
    let (_, events) = called(&node, "alice", "edit_message", &edit).await;
    let shown = events.iter().filter(|event| event.ends_with(INFO_CHANGED)).count();
    assert_eq!(shown, 2, "{events:?} after {writes} writes");
    is_stored
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_is_cut_off_is_there_for_both_users_or_for_none() {
    for replier in ["alice", "bob"] {
        let mut stored = Vec::new();
        for writes in 0..WRITES {
            stored.push(cut_off(writes, replier).await);
        }
        assert!(!stored[0] && stored[WRITES - 1], "{stored:?}");
        assert!(stored.is_sorted(), "{stored:?}");
    }
}

/// The reads of a call.
async fn reads(node: &TestNode, user: &str, method: &str, body: &Value) -> Counts {
    let before = node.store().counts();
    call(node, user, method, body).await;
    let after = node.store().counts();
    Counts {
        log: after.log - before.log,
        amendments: after.amendments - before.amendments,
        newest: after.newest - before.newest,
    }
}

/// Where there are no replies, a page of history, an edit and a deletion read and write as before.
#[tokio::test(start_paused = true)]
async fn what_has_no_replies_costs_nothing() {
    let (with, without) = (node().await, node().await);
    let mut originals = Vec::new();
    for node in [&with, &without] {
        let mut sent = Vec::new();
        for number in 0..40 {
            sent.push(send(node, "alice", "bob", &number.to_string()).await);
        }
        originals.push(sent);
    }
    let far = call(&with, "bob", REPLY, &body("alice", &originals[0][0], "l-1")).await;
    assert!(far["message"].is_object(), "{far}");
    let page = |count: usize| json!({ "conversationID": "alice", "config": { "count": count, "reverse": true } });
    // The newest page has the reply. Another page, and messages that have no replies, cost the same.
    let newest = reads(&with, "bob", "query_history_message", &page(3)).await;
    let plain = reads(&without, "bob", "query_history_message", &page(3)).await;
    // The reply is of the other direction, so that one more log is read, and the original.
    assert!(newest.log <= plain.log + 2 && newest.amendments <= 1, "{newest:?} {plain:?}");
    let before = json!({ "messageID": originals[1][39]["messageID"] });
    let body_of = |anchor: &Value| {
        let config = json!({ "count": 3, "reverse": true, "nextMessage": anchor });
        json!({ "conversationID": "alice", "config": config })
    };
    let plain = reads(&without, "bob", "query_history_message", &body_of(&before)).await;
    assert_eq!(plain.amendments, 0);
    // An edit of a message without replies, beside one with replies.
    for (sent, node) in originals.iter().zip([&with, &without]) {
        let edit = json!({ "messageID": sent[1]["messageID"], "type": 1, "message": "edited" });
        let edit = json!({ "conversationID": "bob", "message": edit });
        let (_, events) = called(node, "alice", "edit_message", &edit).await;
        assert!(!events.iter().any(|event| event.ends_with(INFO_CHANGED)), "{events:?}");
    }
}

/// The first reply to a message notes the page; further ones write one record each.
#[tokio::test(start_paused = true)]
async fn a_further_reply_writes_one_record() {
    let node = node().await;
    let original = send(&node, "alice", "bob", "the original").await;
    send(&node, "bob", "alice", "hello").await;
    call(&node, "bob", REPLY, &body("alice", &original, "l-1")).await;
    for (number, user, other) in [(2, "bob", "alice"), (3, "bob", "alice")] {
        let before = written(&node);
        let reply = call(&node, user, REPLY, &body(other, &original, &number.to_string())).await;
        assert!(reply["message"].is_object(), "{reply}");
        assert_eq!(written(&node), before + 1);
    }
}

/// A refused reply in a conversation that does not exist stores nothing: it can be no repeat.
#[tokio::test(start_paused = true)]
async fn a_refused_reply_to_a_stranger_leaves_no_trace() {
    let node = node().await;
    call(&node, "carol", "login", &json!({})).await;
    let original = send(&node, "alice", "bob", "the original").await;
    let before = written(&node);
    let reply = call(&node, "alice", REPLY, &body("carol", &original, "l-1")).await;
    assert_eq!(reply["code"], 6_000_001, "{reply}");
    assert_eq!(written(&node), before);
}
