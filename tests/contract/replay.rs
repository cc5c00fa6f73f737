//! What a user who was away is told at login.

use serde_json::{Value, json};

use super::world::{FAST, RECEIVED, World, as_received, number, text_to};
use crate::support::{Encoding, Events, bin};

/// Reads replay events until they held that many messages.
async fn replayed(events: &mut Events, count: usize) -> Vec<Value> {
    let mut messages = Vec::new();
    while messages.len() < count {
        let event = events.next().await;
        assert_eq!(event.name, RECEIVED, "{}", event.body);
        assert_eq!(event.body["info"], json!({ "isOfflineMessage": true }));
        for message in event.body["messageList"].as_array().unwrap() {
            assert_eq!(message["senderUserID"], event.body["fromConversationID"]);
            messages.push(message.clone());
        }
    }
    assert_eq!(messages.len(), count, "more was replayed than was missed");
    messages
}

#[tokio::test]
async fn what_was_stored_while_away_is_replayed_oldest_first_and_only_once() {
    let world = World::of(&["alice", "carol", "bob"]).await;
    let live = world.send("alice", "bob", "seen live").await;
    world.send("bob", "alice", "own").await;
    world.ok("bob", "heartbeat", json!({})).await;
    world.ok("bob", "logout", json!({})).await;

    let mut missed = Vec::new();
    for (from, text) in [("alice", "a1"), ("carol", "c1"), ("alice", "a2"), ("carol", "c2")] {
        missed.push(as_received(&world.send(from, "bob", text).await));
    }
    let command = json!({ "message": { "type": 2, "message": bin(b"gone") }, "toUserID": "bob" });
    world.ok("alice", "send_peer_message", command).await;

    let mut events = world.events("bob").await;
    let reply = world.ok("bob", "login", json!({})).await;
    assert_eq!(reply["totalUnreadMessageCount"], 5, "the total at login counts all");
    assert_eq!(replayed(&mut events, 4).await, missed);
    assert!(missed.iter().all(|one| one["messageID"] != live["messageID"]));

    // A second login at once has missed nothing: the next thing told is live.
    world.login(&["bob"]).await;
    let sent = world.send("alice", "bob", "live again").await;
    let event = events.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(event.body["info"], json!({ "isOfflineMessage": false }));
    assert_eq!(event.body["messageList"], json!([as_received(&sent)]));
}

#[tokio::test]
async fn a_replay_survives_a_restart_and_a_first_login_replays_too() {
    let mut world = World::of(&["alice"]).await;
    let early = world.send("alice", "newcomer", "welcome").await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;

    let mut events = world.events("newcomer").await;
    let reply =
        world.client.call_as(Encoding::MessagePack, "newcomer", "login", json!({})).await.ok();
    assert_eq!(reply["totalUnreadMessageCount"], 1);
    assert_eq!(replayed(&mut events, 1).await, [as_received(&early)]);
}

#[tokio::test]
async fn a_replay_goes_back_no_further_than_a_thousand_messages() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice"]).await;
    let mut sent = Vec::new();
    for number in 0..1_010 {
        let body = text_to("bob", &format!("m{number}"));
        let reply = world.ok("alice", "send_peer_message", body).await;
        sent.push(as_received(&reply["message"]));
    }
    let mut events = world.events("bob").await;
    let reply = world.ok("bob", "login", json!({})).await;
    assert_eq!(number(&reply, "totalUnreadMessageCount"), 1_010);
    assert_eq!(replayed(&mut events, 1_000).await, sent[10..]);
}
