//! Changes of messages that are interrupted at each of their writes: either they did not happen, or
//! both users see them when they are loaded next.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::bus::memory;
use crate::clock::Clock;
use crate::runtime::commands::Call;
use crate::runtime::commands::add_message_reaction::AddMessageReaction;
use crate::runtime::fake::faulty::Faulty;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::Node;
use crate::storage::reads::Found;
use crate::store::StreamId;
use peerd_core::amend::Operation;
use peerd_core::event::Totals;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::Limits;
use peerd_protocol::encoding::Encoding;

type TestNode = Node<Faulty, memory::Memory>;

/// More writes than a change has.
const WRITES: usize = 10;

async fn call(node: &TestNode, user: &str, method: &str, body: &Value) -> Value {
    node.bus().take();
    node.handle(incoming(user, method, body)).await;
    let sent = node.bus().take();
    let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
    serde_json::from_slice(&reply.body).expect("JSON")
}

async fn send(node: &TestNode, text: &str) -> Value {
    let body = json!({ "toUserID": "bob", "message": { "type": 1, "message": text } });
    call(node, "alice", "send_peer_message", &body).await["message"].clone()
}

async fn history(node: &TestNode, user: &str, other: &str) -> Vec<Value> {
    let body = json!({ "conversationID": other, "config": { "count": 10, "reverse": true } });
    let page = call(node, user, "query_history_message", &body).await;
    page["messageList"].as_array().expect("a page").clone()
}

async fn unread(node: &TestNode) -> u64 {
    let reply =
        call(node, "bob", "query_conversation", &json!({ "conversationID": "alice" })).await;
    reply["conversation"]["unreadMessageCount"].as_u64().expect("a count")
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

fn is_stored(node: &TestNode, text: &str) -> bool {
    let streams = (0..4)
        .flat_map(|number| [StreamId::Log(Partition(number)), StreamId::State(Partition(number))]);
    let mut records = streams.flat_map(|stream| node.store().memory.records(stream));
    records.any(|record| record.payload.windows(text.len()).any(|part| part == text.as_bytes()))
}

/// Three messages, one of which is changed by a call of which only some writes succeed. Returns
/// whether the change has happened.
async fn cut_off(index: usize, writes: usize, method: &str, message: Value) -> bool {
    let clock = Clock::simulated(WALL_MS);
    let node: Arc<TestNode> = fake::node(Faulty::new(clock), Limits::default(), clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", &json!({})).await;
    }
    let mut sent = Vec::new();
    for text in ["text zero", "text one", "text two"] {
        sent.push(send(&node, text).await);
    }
    let (target, text) = (&sent[index], sent[index]["message"].as_str().expect("a text"));
    let mut message = message;
    message["messageID"] = target["messageID"].clone();
    let body = json!({ "conversationID": "bob", "message": message });
    *node.store().writes_left.lock().expect("no panic") = Some(writes);
    let reply = call(&node, "alice", method, &body).await;
    let is_answered = reply.get("message").is_some_and(Value::is_object);
    *node.store().writes_left.lock().expect("no panic") = None;
    forget(&node);
    let count = unread(&node).await;
    let of_bob = history(&node, "bob", "alice").await;
    let of_alice = history(&node, "alice", "bob").await;
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
    let clock = Clock::simulated(WALL_MS);
    let node: Arc<TestNode> = fake::node(Faulty::new(clock), Limits::default(), clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", &json!({})).await;
    }
    let sent = send(&node, "hello").await;
    let body = |kind: &str| {
        let message = json!({ "messageID": sent["messageID"] });
        json!({ "reactionType": kind, "conversationID": "alice", "message": message })
    };
    if !is_first {
        call(&node, "bob", "add_message_reaction", &body("a")).await;
    }
    *node.store().writes_left.lock().expect("no panic") = Some(writes);
    let reply = call(&node, "bob", "add_message_reaction", &body("b")).await;
    *node.store().writes_left.lock().expect("no panic") = None;
    let of_bob = history(&node, "bob", "alice").await;
    let of_alice = history(&node, "alice", "bob").await;
    forget(&node);
    let kinds = |history: &[Value]| -> Vec<Value> {
        let reactions = history[0]["reactions"].as_array().cloned().unwrap_or_default();
        reactions.iter().map(|reaction| reaction["reactionType"].clone()).collect()
    };
    for history in [&history(&node, "bob", "alice").await, &of_alice] {
        assert_eq!(kinds(history), kinds(&of_bob), "after {writes} writes");
    }
    assert_eq!(kinds(&history(&node, "alice", "bob").await), kinds(&of_bob), "{writes} writes");
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

/// The writes of a change of three messages on two pages: one entry of each user and two pages, and
/// the sender's entry once more for the event.
#[tokio::test(start_paused = true)]
async fn messages_of_several_pages_are_changed_with_one_event_for_each_user() {
    let clock = Clock::simulated(WALL_MS);
    let limits = Limits { messages_per_second: 1000, ..Limits::default() };
    let node: Arc<TestNode> = fake::node(Faulty::new(clock), limits, clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", &json!({})).await;
    }
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
    let amending = &node.parts.amending;
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
        let body = json!({ "conversationID": other, "config": { "count": 100, "reverse": true } });
        let page = call(&node, user, "query_history_message", &body).await;
        let shown = page["messageList"].as_array().expect("a page");
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
