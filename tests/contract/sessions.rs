//! The effects of a user's sessions: the encoding of the user's events, and which sessions end.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{CONNECTION, NOT_LOGGED_IN, RECEIVED, World, string};
use crate::support::{Encoding, Event, bin};

const KINDS: [Encoding; 2] = Encoding::BOTH;
const MAX_SESSIONS: (&str, &str) = ("PEERD__SESSION__MAX_SESSIONS", "2");

/// Logs Bob in; returns the session.
async fn login(world: &World, encoding: Encoding, body: Value) -> String {
    let reply = world.client.call_as(encoding, "bob", "login", body).await.ok();
    string(&reply, "sessionID").to_owned()
}

async fn logout(world: &World, session: &str) {
    world.ok("bob", "logout", json!({ "sessionID": session })).await;
}

fn encoding_of(event: &Event) -> Encoding {
    Encoding::of_headers(Some(&event.headers)).unwrap()
}

/// Asserts the encoding of Bob's events: of a Command, of a stored message, and of his own changes.
async fn assert_encoded_in(world: &World, encoding: Encoding, why: &str) {
    let mut events = world.events("bob").await;
    let command = json!({ "message": { "type": 2, "message": bin(b"c") }, "toUserID": "bob" });
    world.ok("alice", "send_peer_message", command).await;
    world.send("alice", "bob", "x").await;
    world.call("bob", "clear_conversation_total_unread_message_count", json!({})).await;
    let published = events.drain().await;
    assert!(published.len() >= 3, "{why}: {published:?}");
    for event in &published {
        assert_eq!(encoding_of(event), encoding, "{why}: {}", event.name);
    }
    // Below Alice's rate limit over all assertions.
    tokio::time::sleep(Duration::from_millis(110)).await;
}

#[tokio::test]
async fn events_come_in_the_encoding_of_all_sessions_or_as_configured() {
    for configured in KINDS {
        let name = if configured == Encoding::Json { "json" } else { "msgpack" };
        let mut world = World::with(&[("PEERD__EVENTS__ENCODING", name)]).await;
        world.login(&["alice"]).await;
        assert_encoded_in(&world, configured, "no session").await;
        for one in KINDS {
            let other = if one == Encoding::Json { Encoding::MessagePack } else { Encoding::Json };
            let first = login(&world, one, json!({})).await;
            assert_encoded_in(&world, one, "one session").await;
            let second = login(&world, one, json!({})).await;
            assert_encoded_in(&world, one, "two of one kind").await;
            let third = login(&world, other, json!({})).await;
            assert_encoded_in(&world, configured, "both kinds").await;
            // The encoding of calls has no effect, only that of sessions.
            world.client.call_as(one, "bob", "heartbeat", json!({})).await.ok();
            world.peerd.kill9();
            world.peerd.restart().await;
            assert_encoded_in(&world, configured, "both kinds, by another peerd").await;
            logout(&world, &third).await;
            assert_encoded_in(&world, one, "the other kind has ended").await;
            world.peerd.kill9();
            world.peerd.restart().await;
            assert_encoded_in(&world, one, "one kind, by another peerd").await;
            logout(&world, &first).await;
            logout(&world, &second).await;
            assert_encoded_in(&world, configured, "all have ended").await;
        }
    }
}

#[tokio::test]
async fn the_sessions_that_stay_decide_after_a_replacement_and_a_kick() {
    for (one, other) in [(KINDS[0], KINDS[1]), (KINDS[1], KINDS[0])] {
        let world = World::with(&[MAX_SESSIONS]).await;
        world.login(&["alice"]).await;
        login(&world, one, json!({ "deviceID": "phone" })).await;
        login(&world, other, json!({ "deviceID": "phone" })).await;
        assert_encoded_in(&world, other, "the phone speaks otherwise now").await;
        login(&world, one, json!({ "deviceID": "phone" })).await;
        login(&world, other, json!({})).await;
        assert_encoded_in(&world, Encoding::MessagePack, "both kinds").await;
        // The next login kicks the phone's session.
        let mut events = world.events("bob").await;
        login(&world, other, json!({})).await;
        let kick = events.expect(&[CONNECTION]).await.remove(0);
        assert_eq!(encoding_of(&kick), other, "a kick is encoded as the others are");
        assert_encoded_in(&world, other, "the phone was kicked").await;
    }
}

#[tokio::test]
async fn a_replay_comes_in_the_encoding_of_the_sessions_too() {
    let world = World::of(&["alice"]).await;
    world.send("alice", "bob", "welcome").await;
    let mut events = world.events("bob").await;
    login(&world, Encoding::Json, json!({})).await;
    let replay = events.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(encoding_of(&replay), Encoding::Json);
}

#[tokio::test]
async fn sessions_that_ended_by_idling_decide_nothing() {
    let world = World::with(&[
        ("PEERD__SESSION__IDLE_LIMIT_MS", "1500"),
        ("PEERD__SESSION__OFFLINE_AFTER_MS", "1000"),
        ("PEERD__SESSION__HEARTBEAT_INTERVAL_MS", "300"),
    ])
    .await;
    login(&world, Encoding::Json, json!({})).await;
    // This waits for time to pass: a call in between would count.
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    world.login(&["alice"]).await;
    let mut events = world.events("bob").await;
    world.send("alice", "bob", "x").await;
    let published = events.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(encoding_of(&published), Encoding::MessagePack);
}

#[tokio::test]
async fn a_device_has_one_session() {
    let world = World::with(&[MAX_SESSIONS]).await;
    let mut events = world.events("bob").await;
    for encoding in KINDS {
        let phone = |user: &str| json!({ "deviceID": format!("phone of {user}"), "platform": "x" });
        let first = login(&world, encoding, phone("bob")).await;
        let tablet = login(&world, encoding, json!({ "deviceID": "tablet" })).await;
        let second = login(&world, encoding, phone("bob")).await;
        let third = login(&world, encoding, phone("bob")).await;
        assert!(first != second && second != third);
        events.none().await;
        // The earlier sessions have ended: ending them again changes nothing.
        logout(&world, &first).await;
        logout(&world, &second).await;
        logout(&world, &tablet).await;
        world.ok("bob", "heartbeat", json!({})).await;
        // Another device, and one without an ID, count as different devices.
        let other = login(&world, encoding, phone("Bob")).await;
        login(&world, encoding, json!({ "deviceID": "" })).await;
        let kick = events.expect(&[CONNECTION]).await.remove(0).body;
        assert_eq!(kick["sessionID"], third.as_str());
        login(&world, encoding, json!({})).await;
        let kick = events.expect(&[CONNECTION]).await.remove(0).body;
        assert_eq!(kick["sessionID"], other.as_str());
        world.ok("bob", "logout", json!({})).await;
        assert_eq!(world.refused("bob", "heartbeat", json!({})).await.0, NOT_LOGGED_IN);
    }
}
