//! Sending again with the same `localMessageID`.

use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};

use super::world::{CHANGED, FAST, INVALID, RECEIVED, TOTAL, World};
use crate::support::{Encoding, Reply};

fn body(to: &str, text: &str, local_id: &str) -> Value {
    json!({
        "message": { "type": 1, "message": text, "localMessageID": local_id }, "toUserID": to,
    })
}

fn retry(to: &str, text: &str, local_id: &str) -> Value {
    let mut body = body(to, text, local_id);
    body["config"] = json!({ "isRetrySend": true });
    body
}

async fn send(world: &World, from: &str, body: Value) -> Reply {
    let reply = world.call(from, "send_peer_message", body).await;
    assert!(reply.code.is_none(), "{}", reply.body);
    reply
}

#[tokio::test]
async fn a_repeat_is_answered_like_the_first_and_does_nothing() {
    let mut world = World::of(&["alice", "bob", "carol"]).await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    let first = send(&world, "alice", body("bob", "hi", "l1")).await;
    assert!(!first.is_duplicate());
    of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    of_alice.expect(&[CHANGED]).await;
    world.send("alice", "bob", "between").await;
    of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    of_alice.expect(&[CHANGED]).await;

    let writes = world.store.writes().await;
    for encoding in Encoding::BOTH {
        for repeat in [body("bob", "hi", "l1"), retry("bob", "hi", "l1")] {
            let reply = world.client.call_as(encoding, "alice", "send_peer_message", repeat).await;
            assert!(reply.is_duplicate());
            assert_eq!(reply.ok(), first.body);
        }
    }
    let reused = world.refused("alice", "send_peer_message", body("bob", "other", "l1")).await;
    assert_eq!(reused, (INVALID, "local_message_id_reused".to_owned()));
    of_alice.none().await;
    of_bob.none().await;
    assert_eq!(world.store.writes().await, writes);
    assert_eq!(world.totals("bob").await, (2, 2));

    // Another conversation or another sender is another message.
    for (from, to) in [("alice", "carol"), ("bob", "alice"), ("carol", "bob")] {
        let reply = send(&world, from, body(to, "hi", "l1")).await;
        assert!(!reply.is_duplicate(), "{from} to {to}");
    }

    // A restarted daemon finds it in the store.
    world.peerd.kill9();
    world.peerd.restart().await;
    let writes = world.store.writes().await;
    let reply = send(&world, "alice", body("bob", "hi", "l1")).await;
    assert!(reply.is_duplicate());
    assert_eq!(reply.body, first.body);
    let reused = world.refused("alice", "send_peer_message", body("bob", "other", "l1")).await;
    assert_eq!(reused.1, "local_message_id_reused");
    assert_eq!(world.store.writes().await, writes);
}

#[tokio::test]
async fn other_content_is_whatever_the_caller_may_set() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let first = json!({
        "message": {
            "type": 200, "message": "m", "subType": 3, "searchedContent": "s",
            "extendedData": "e", "localMessageID": "l1",
        },
        "toUserID": "bob",
    });
    send(&world, "alice", first.clone()).await;
    for (field, other) in [
        ("type", json!(1)),
        ("message", json!("n")),
        ("subType", json!(4)),
        ("searchedContent", json!("t")),
        ("extendedData", json!("f")),
    ] {
        let mut body = first.clone();
        body["message"][field] = other;
        let refused = world.refused("alice", "send_peer_message", body).await;
        assert_eq!(refused.1, "local_message_id_reused", "{field}");
    }
    let mut same = first.clone();
    same["message"]["timestamp"] = json!(12);
    assert!(send(&world, "alice", same).await.is_duplicate());
}

#[tokio::test]
async fn of_concurrent_repeats_one_is_stored_and_all_are_answered_alike() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut of_bob = world.events("bob").await;
    let before = world.store.writes().await;
    for round in 0..5 {
        let local_id = format!("l{round}");
        let calls = (0..20).map(|_| send(&world, "alice", body("bob", "hi", &local_id)));
        let replies = join_all(calls).await;
        let firsts = replies.iter().filter(|reply| !reply.is_duplicate()).count();
        assert_eq!(firsts, 1);
        assert!(replies.iter().all(|reply| reply.body == replies[0].body));
        assert_eq!(replies[0].body["message"]["messageSeq"], round + 1);
        of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    }
    of_bob.none().await;
    assert_eq!(world.store.writes().await.log, before.log + 5);
    assert_eq!(world.totals("bob").await, (5, 5));
}

#[tokio::test]
async fn a_retry_is_searched_for_beyond_the_window() {
    let window_ms = 1_000;
    let setting = ("PEERD__LIMITS__REPEAT_WINDOW_MS", &*window_ms.to_string());
    let world = World::with(&[setting]).await;
    world.login(&["alice", "bob"]).await;
    let first = send(&world, "alice", body("bob", "hi", "l1")).await;
    let second = send(&world, "alice", body("bob", "ho", "l2")).await;
    for number in 0..3 {
        world.send("alice", "bob", &format!("later {number}")).await;
    }
    // This waits for time to pass.
    tokio::time::sleep(Duration::from_millis(window_ms + 300)).await;
    let reply = send(&world, "alice", retry("bob", "hi", "l1")).await;
    assert!(reply.is_duplicate());
    assert_eq!(reply.body, first.body);
    let reply = send(&world, "alice", body("bob", "ho", "l2")).await;
    assert!(!reply.is_duplicate(), "the window has passed");
    assert_ne!(reply.body["message"]["messageID"], second.body["message"]["messageID"]);
    // A retry of a message that was never stored is a first send.
    let reply = send(&world, "alice", retry("bob", "new", "l3")).await;
    assert!(!reply.is_duplicate());
}

#[tokio::test]
async fn a_repeat_over_the_rate_is_still_answered_like_the_first() {
    let world = World::of(&["alice", "bob"]).await;
    let mut first = None;
    for number in 0..10 {
        let reply = send(&world, "alice", body("bob", "hi", &format!("l{number}"))).await;
        first.get_or_insert(reply.body);
    }
    let eleventh = world.refused("alice", "send_peer_message", body("bob", "hi", "l10")).await;
    assert_eq!(eleventh.1, "rate_limited");
    let repeat = send(&world, "alice", body("bob", "hi", "l0")).await;
    assert!(repeat.is_duplicate());
    assert_eq!(Some(repeat.body), first);
    assert_eq!(world.totals("bob").await, (10, 10));
}
