//! Changes of messages that are interrupted at each of their writes: either they did not happen, or
//! both users see them when they are loaded next.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::Amending;
use crate::runtime::commands::Call;
use crate::runtime::commands::add_message_reaction::AddMessageReaction;
use crate::runtime::fake::calls::{
    TestNode, call, call_with_writes, called, forget, history, node,
};
use crate::storage::reads::Found;
use crate::store::{AppendError, StreamId};
use peerd_core::amend::Operation;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_protocol::encoding::Encoding;

/// More writes than a change has.
const WRITES: usize = 10;

async fn send(node: &TestNode, text: &str) -> Value {
    let body = json!({ "toUserID": "bob", "message": { "type": 1, "message": text } });
    call(node, "alice", "send_peer_message", &body).await["message"].clone()
}

async fn unread(node: &TestNode) -> u64 {
    let reply =
        call(node, "bob", "query_conversation", &json!({ "conversationID": "alice" })).await;
    reply["conversation"]["unreadMessageCount"].as_u64().expect("a count")
}

fn is_stored(node: &TestNode, text: &str) -> bool {
    let streams = (0..4)
        .flat_map(|number| [StreamId::Log(Partition(number)), StreamId::State(Partition(number))]);
    let mut records = streams.flat_map(|stream| node.store().memory.records(stream));
    records.any(|record| record.payload.windows(text.len()).any(|part| part == text.as_bytes()))
}

/// Three messages, one of which is changed by a call of which only some writes succeed. Returns
/// whether the change has happened.
async fn cut_off(index: usize, writes: usize, method: &str, message: Value) -> bool {
    let node = node().await;
    let mut sent = Vec::new();
    for text in ["text zero", "text one", "text two"] {
        sent.push(send(&node, text).await);
    }
    let (target, text) = (&sent[index], sent[index]["message"].as_str().expect("a text"));
    let mut message = message;
    message["messageID"] = target["messageID"].clone();
    let body = json!({ "conversationID": "bob", "message": message });
    let reply = call_with_writes(&node, writes, ("alice", method, &body)).await;
    let is_answered = reply.get("message").is_some_and(Value::is_object);
    forget(&node);
    let count = unread(&node).await;
    let of_bob = history(&node, "bob", "alice", 10).await;
    let of_alice = history(&node, "alice", "bob", 10).await;
    for (one, other) in of_bob.iter().zip(&of_alice) {
        for field in ["type", "messageID", "message", "editedTime", "revokeTimestamp"] {
            assert_eq!(one[field], other[field], "{field} after {writes} writes");
        }
    }
    assert_eq!((of_bob.len(), of_alice.len()), (3, 3));
    let is_revoked = of_bob[index]["type"] == 31;
    let has_happened = is_revoked || of_bob[index]["message"] != text;
    assert!(has_happened || !is_answered, "{reply} after {writes} writes, and nothing changed");
    assert_eq!(count, if is_revoked { 2 } else { 3 }, "unread after {writes} writes");
    assert_eq!(is_stored(&node, text), !is_revoked, "after {writes} writes");
    // Later changes build on it.
    let next = send(&node, "on").await;
    assert_eq!((&next["messageSeq"], unread(&node).await), (&json!(4), count + 1));
    // A repeat completes it.
    let again = call(&node, "alice", method, &body).await;
    let is_done = again.get("message").is_some_and(Value::is_object);
    assert!(is_done || again["code"] == 6_000_279, "{again} after {writes} writes");
    has_happened
}

#[tokio::test(start_paused = true)]
async fn a_revocation_that_is_cut_off_happens_for_both_users_or_for_none() {
    for index in [1, 2] {
        let mut happened = Vec::new();
        for writes in 0..WRITES {
            happened.push(cut_off(index, writes, "revoke_message", json!({})).await);
        }
        assert!(!happened[0] && happened[WRITES - 1], "{happened:?}");
        assert!(happened.is_sorted(), "{happened:?}");
    }
}

/// A message to which its receiver reacts twice, by calls of which only some writes succeed: first
/// with a page that no entry names yet. Returns whether the reaction has happened.
async fn reaction_cut_off(writes: usize, is_first: bool) -> bool {
    let node = node().await;
    let sent = send(&node, "hello").await;
    let body = |kind: &str| {
        let message = json!({ "messageID": sent["messageID"] });
        json!({ "reactionType": kind, "conversationID": "alice", "message": message })
    };
    if !is_first {
        call(&node, "bob", "add_message_reaction", &body("a")).await;
    }
    let reply = call_with_writes(&node, writes, ("bob", "add_message_reaction", &body("b"))).await;
    let of_bob = history(&node, "bob", "alice", 10).await;
    let of_alice = history(&node, "alice", "bob", 10).await;
    forget(&node);
    let kinds = |history: &[Value]| -> Vec<Value> {
        let reactions = history[0]["reactions"].as_array().cloned().unwrap_or_default();
        reactions.iter().map(|reaction| reaction["reactionType"].clone()).collect()
    };
    for history in [&history(&node, "bob", "alice", 10).await, &of_alice] {
        assert_eq!(kinds(history), kinds(&of_bob), "after {writes} writes");
    }
    assert_eq!(kinds(&history(&node, "alice", "bob", 10).await), kinds(&of_bob), "{writes} writes");
    let has_happened = kinds(&of_bob).contains(&json!("b"));
    let is_answered = reply.get("reaction").is_some_and(Value::is_object);
    assert!(has_happened || !is_answered, "{reply} after {writes} writes, and nothing changed");
    assert_eq!(unread(&node).await, 1);
    // A repeat completes it.
    let again = call(&node, "bob", "add_message_reaction", &body("b")).await;
    let code = if has_happened { json!(6_000_280) } else { Value::Null };
    assert_eq!(again["code"], code, "{again} after {writes} writes");
    has_happened
}

#[tokio::test(start_paused = true)]
async fn a_reaction_that_is_cut_off_happens_for_both_users_or_for_none() {
    for is_first in [true, false] {
        let mut happened = Vec::new();
        for writes in 0..WRITES {
            happened.push(reaction_cut_off(writes, is_first).await);
        }
        assert!(!happened[0] && happened[WRITES - 1], "{happened:?}");
        assert!(happened.is_sorted(), "{happened:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stored_reaction_is_shown_to_the_sender_as_soon_as_the_store_takes_the_event() {
    let node = node().await;
    let sent = send(&node, "hello").await;
    let body = |kind: &str| {
        let message = json!({ "messageID": sent["messageID"] });
        json!({ "reactionType": kind, "conversationID": "alice", "message": message })
    };
    // The page is named from here on.
    call(&node, "bob", "add_message_reaction", &body("a")).await;
    let store = node.store();
    let refuse = AppendError::Unavailable("no leader".to_owned());
    store.appends.lock().expect("no panic").push(("bob", refuse));
    let reaction = body("b");
    let ((reply, events), ()) =
        futures::join!(called(&node, "bob", "add_message_reaction", &reaction), async {
            sleep(Duration::from_secs(1)).await;
            store.appends.lock().expect("no panic").clear();
        });
    assert!(reply["reaction"].is_object(), "{reply}");
    let to_alice = events.iter().filter(|event| *event == "alice.message_reactions_changed");
    assert_eq!(to_alice.count(), 1);
}

/// The writes of a change of three messages on two pages: one entry of each user and two pages, and
/// the sender's entry once more for the event.
#[tokio::test(start_paused = true)]
async fn messages_of_several_pages_are_changed_with_one_event_for_each_user() {
    let node = node().await;
    let mut sent = Vec::new();
    for number in 0..40 {
        sent.push(send(&node, &number.to_string()).await);
    }
    let picked = [&sent[1], &sent[2], &sent[39]];
    let (alice, bob) = (id("alice"), id("bob"));
    let env = &node.parts.env;
    let partition = env.subjects.partition_of_user(&bob);
    let ownership = node.parts.users.ownership(partition).expect("an owner");
    let deadline = Instant::now() + Duration::from_secs(5);
    let cell = node.parts.ageing.user(&ownership, &bob, deadline).await.expect("loaded");
    let known = cell.lock().conversations[&alice].clone();
    let key = |message: &Value| OrderKey(message["orderKey"].as_u64().expect("a key"));
    let wanted: Vec<_> = picked.iter().map(|message| (key(message), partition)).collect();
    let amending = Amending::of(&node.parts);
    let found = amending.find_all(&cell, (&alice, &known), &wanted, deadline).await.expect("read");
    let found: Vec<Found> = found.into_iter().map(|(_, found)| found).collect();
    assert_eq!(found.len(), 3);
    let context = Call {
        parts: &node.parts,
        cell: &cell,
        encoding: Encoding::Json,
        deadline,
        replay_from: &mut None,
    };
    node.bus().take();
    let operation = Operation::React { kind: "a".into(), increase: 0 };
    let changed =
        amending.amend_received::<AddMessageReaction>(&context, &alice, found, &operation);
    let changed = changed.await.expect("changed");
    assert!(changed.iter().all(|one| one.after.reactions().len() == 1), "each has changed");
    let events = node.bus().take();
    for user in ["alice", "bob"] {
        let name = format!("peer.event.{user}.message_reactions_changed");
        assert_eq!(events.iter().filter(|event| event.subject == *name).count(), 1, "{user}");
    }
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let shown = history(&node, user, other, 100).await;
        let reacted = shown.iter().filter(|message| message["reactions"].is_array()).count();
        assert_eq!(reacted, 3, "{user}");
    }
}

fn id(user: &str) -> UserId {
    UserId::new(user, "userID").expect("a userID")
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_is_cut_off_happens_for_both_users_or_for_none() {
    let mut happened = Vec::new();
    for writes in 0..WRITES {
        let message = json!({ "type": 1, "message": "another text" });
        happened.push(cut_off(1, writes, "edit_message", message).await);
    }
    assert!(!happened[0] && happened[WRITES - 1], "{happened:?}");
    assert!(happened.is_sorted(), "{happened:?}");
}
