//! The hand-off to a push gateway.

use std::time::Duration;

use async_nats::jetstream::stream::RetentionPolicy;
use serde_json::{Value, json};

use super::world::World;
use crate::support::{Encoding, bin, decode, token};

const STREAM: &str = "PEER_PUSH";
const DEADLINE: Duration = Duration::from_secs(5);

fn with_push(text: &str, local_id: &str) -> Value {
    json!({
        "message": { "type": 1, "message": text, "localMessageID": local_id },
        "toUserID": "bob",
        "config": { "pushConfig": {
            "title": "Alice", "content": "wrote to you", "payload": "{\"p\":1}",
            "resourcesID": "r", "threadID": "t", "enableBadge": true, "badgeIncrement": 1,
        } },
    })
}

/// The newest push that is stored for a user.
async fn last_push(world: &World, user: &str) -> Value {
    let stream = world.store.jetstream().get_stream(STREAM).await.unwrap();
    let subject = format!("peer.push.{}", token(user));
    let message = stream
        .get_last_raw_message_by_subject(&subject)
        .await
        .unwrap_or_else(|error| panic!("nothing on {subject}: {error}"));
    let encoding = Encoding::of_headers(Some(&message.headers))
        .unwrap_or_else(|| panic!("a push without Content-Type: {:?}", message.payload));
    decode(encoding, &message.payload)
}

/// Waits until the queue has `expected` pushes, which are handed off concurrently with the reply to
/// the sender. More are an error: a wrong push shows with the next expected one.
async fn pushes(world: &World, expected: u64) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let count = world.store.count(STREAM).await;
        assert!(count <= expected, "{count} pushes, {expected} are expected");
        if count == expected {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{count} pushes of {expected}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_offline_receiver_is_pushed_once_a_message_with_the_total_as_badge() {
    let world = World::of(&["alice", "carol"]).await;
    let config = world.store.info(STREAM).await.config;
    assert_eq!(config.retention, RetentionPolicy::WorkQueue);
    assert_eq!(config.subjects, ["peer.push.*"]);

    world.send("carol", "bob", "without pushConfig").await;
    let before = world.store.count(STREAM).await;
    for (position, badge) in [(1, 2), (2, 3)] {
        let body = with_push(&format!("m{position}"), &format!("l{position}"));
        world.ok("alice", "send_peer_message", body.clone()).await;
        pushes(&world, before + position).await;
        let push = last_push(&world, "bob").await;
        assert_eq!(push["badge"], badge, "{push}");
        assert_eq!(push["title"], "Alice", "{push}");
        assert_eq!(push["content"], "wrote to you", "{push}");
        assert_eq!(push["payload"], "{\"p\":1}", "{push}");
        // A repeat is not pushed again.
        let repeat = world.call("alice", "send_peer_message", body).await;
        assert!(repeat.is_duplicate());
        assert_eq!(world.store.count(STREAM).await, before + position);
    }
    let command = json!({
        "message": { "type": 2, "message": bin(b"c") }, "toUserID": "bob",
        "config": { "pushConfig": { "title": "t", "content": "c" } },
    });
    world.ok("alice", "send_peer_message", command).await;
    assert_eq!(world.store.count(STREAM).await, before + 2, "no command");
}

#[tokio::test]
async fn online_and_muting_users_get_no_push_and_silent_users_do() {
    let world = World::with(&[
        ("PEERD__SESSION__OFFLINE_AFTER_MS", "1500"),
        ("PEERD__SESSION__HEARTBEAT_INTERVAL_MS", "500"),
    ])
    .await;
    world.login(&["alice", "bob"]).await;
    let before = world.store.count(STREAM).await;
    world.ok("alice", "send_peer_message", with_push("online", "l1")).await;
    assert_eq!(world.store.count(STREAM).await, before, "bob is online");

    // This waits for time to pass: bob does not call, and so is offline.
    tokio::time::sleep(Duration::from_millis(1_800)).await;
    world.ok("alice", "send_peer_message", with_push("silent", "l2")).await;
    pushes(&world, before + 1).await;
    assert_eq!(last_push(&world, "bob").await["badge"], 2);

    world.set_status("bob", "alice", 2).await;
    world.ok("bob", "logout", json!({})).await;
    world.ok("alice", "send_peer_message", with_push("muted", "l3")).await;
    assert_eq!(world.store.count(STREAM).await, before + 1, "bob has muted");

    world.login(&["bob"]).await;
    world.set_status("bob", "alice", 1).await;
    world.ok("bob", "logout", json!({})).await;
    world.ok("alice", "send_peer_message", with_push("logged out", "l4")).await;
    pushes(&world, before + 2).await;
    assert_eq!(last_push(&world, "bob").await["badge"], 4);
}
