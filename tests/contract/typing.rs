//! Typing: shown live to the other user, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{INVALID, World, keys, number};
use crate::support::{Events, Peerd};

const SEND: &str = "send_typing";
const TYPING: &str = "typing";
const SECOND: Duration = Duration::from_secs(1);
/// The most users to whom one user is shown as typing in any second.
const OTHERS_MAX: usize = 16;

async fn type_to(world: &World, from: &str, to: &str, is_typing: bool) {
    let body = json!({ "conversationID": to, "conversationType": 0, "isTyping": is_typing });
    assert_eq!(world.ok(from, SEND, body).await, json!({}));
}

/// The next event, which says whether `from` is typing.
async fn assert_shown(events: &mut Events, from: &str, is_typing: bool) {
    let event = events.expect(&[TYPING]).await.remove(0);
    assert_eq!(keys(&event.body), ["fromUserID", "isTyping", "previousRevision", "revision"]);
    assert_eq!(
        (&event.body["fromUserID"], &event.body["isTyping"]),
        (&json!(from), &json!(is_typing))
    );
    assert_eq!(number(&event.body, "revision"), number(&event.body, "previousRevision"));
}

#[tokio::test]
async fn the_other_user_alone_sees_it_and_nothing_is_stored() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let mut events = Vec::new();
    for user in ["alice", "bob", "carol"] {
        events.push(world.events(user).await);
    }
    let writes = world.store.writes().await;
    type_to(&world, "alice", "bob", true).await;
    assert_shown(&mut events[1], "alice", true).await;
    // The conversation does not exist yet, and is not created.
    assert_eq!(world.conversations("bob").await, [Value::Null; 0]);
    assert_eq!(world.store.writes().await, writes);
    for user in [0, 2] {
        assert!(events[user].drain().await.is_empty());
    }
    // At the revision of the last change.
    world.send("carol", "bob", "hello").await;
    events[1].drain().await;
    type_to(&world, "carol", "bob", false).await;
    assert_shown(&mut events[1], "carol", false).await;
}

#[tokio::test]
async fn at_most_one_event_a_second_for_each_conversation() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let (mut of_bob, mut of_carol) = (world.events("bob").await, world.events("carol").await);
    let began = std::time::Instant::now();
    let mut calls = 0;
    while began.elapsed() < SECOND * 5 / 2 {
        type_to(&world, "alice", "bob", calls % 2 == 0).await;
        calls += 1;
    }
    let most = began.elapsed().as_secs() + 1;
    let shown = of_bob.drain().await.len() as u64;
    assert!(calls > 10 && (2..=most).contains(&shown), "{shown} events of {calls} calls");
    type_to(&world, "alice", "carol", true).await;
    assert_shown(&mut of_carol, "alice", true).await;
}

#[tokio::test]
async fn a_flood_to_many_users_reaches_few() {
    let world = World::start().await;
    let others: Vec<String> = (0..60).map(|number| format!("u{number}")).collect();
    let all: Vec<&str> = others.iter().map(String::as_str).chain(["alice"]).collect();
    world.login(&all).await;
    let mut events = Vec::new();
    for other in &others {
        events.push(world.events(other).await);
    }
    let began = std::time::Instant::now();
    for other in &others {
        type_to(&world, "alice", other, true).await;
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    let mut shown = 0;
    for events in &mut events {
        shown += events.drain().await.len();
    }
    assert!((OTHERS_MAX..=OTHERS_MAX * seconds).contains(&shown), "{shown} in {seconds} s");
}

#[tokio::test]
async fn a_blocked_user_types_unseen() {
    let world = World::of(&["alice", "bob"]).await;
    let mut of_bob = world.events("bob").await;
    world.ok("bob", "add_users_to_blacklist", json!({ "userIDs": ["alice"] })).await;
    of_bob.drain().await;
    type_to(&world, "alice", "bob", true).await;
    assert!(of_bob.drain().await.is_empty());
    // A user who never called gets none either.
    type_to(&world, "alice", "nobody", true).await;
    // Blocking is one-way.
    let mut of_alice = world.events("alice").await;
    type_to(&world, "bob", "alice", true).await;
    assert_shown(&mut of_alice, "bob", true).await;
}

#[tokio::test]
async fn it_is_seen_over_two_instances() {
    // Enough users that each instance owns some.
    let users = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let world = World::of(&users).await;
    let mut second = Peerd::start(&world.nats).await;
    for from in users {
        for to in users.iter().filter(|to| **to != from) {
            let mut events = world.events(to).await;
            type_to(&world, from, to, true).await;
            assert_shown(&mut events, from, true).await;
        }
    }
    assert!(second.terminate().await.success(), "{}", second.log());
}

#[tokio::test]
async fn what_is_malformed_is_refused() {
    let world = World::of(&["alice"]).await;
    let own = json!({ "conversationID": "alice", "isTyping": true });
    world.invalid("alice", SEND, own, "conversationID").await;
    world.invalid("alice", SEND, json!({ "conversationID": "bob" }), "isTyping").await;
    world.invalid("alice", SEND, json!({ "isTyping": true }), "conversationID").await;
    let text = json!({ "conversationID": "bob", "isTyping": "yes" });
    world.invalid("alice", SEND, text, "isTyping").await;
    let group = json!({ "conversationID": "bob", "conversationType": 2, "isTyping": true });
    assert_eq!(world.refused("alice", SEND, group).await.0, INVALID);
}
