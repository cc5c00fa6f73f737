//! The replay at login for a user who was away.

use serde_json::{Value, json};

use super::world::{FAST, RECEIVED, World, as_received, number, text_to};
use crate::support::{Encoding, Events, bin};

/// Reads replay events until they contained `count` messages.
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
async fn messages_stored_while_away_are_replayed_oldest_first_and_only_once() {
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

    // After a second login at once nothing is replayed: the next event is live.
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

    // A device with none of the messages gets no more, one with most of them no fewer.
    let after = |key: &Value| json!({ "deviceID": "new", "replayAfter": key });
    world.ok("bob", "login", after(&json!(0))).await;
    assert_eq!(replayed(&mut events, 1_000).await, sent[10..]);
    world.ok("bob", "login", after(&sent[1_005]["orderKey"])).await;
    assert_eq!(replayed(&mut events, 4).await, sent[1_006..]);
    world.ok("bob", "login", after(&sent[300]["orderKey"])).await;
    assert_eq!(replayed(&mut events, 709).await, sent[301..]);
}

/// Logs in a device of Bob with messages up to `key`; reads the replayed messages, and a live
/// message that shows that there are no more.
async fn device_receives(
    world: &World,
    (encoding, device): (Encoding, &str),
    key: &Value,
    count: usize,
) -> Vec<Value> {
    let mut events = world.events("bob").await;
    let body = json!({ "deviceID": device, "replayAfter": key });
    world.client.call_as(encoding, "bob", "login", body).await.ok();
    let messages = replayed(&mut events, count).await;
    let command = json!({ "message": { "type": 2, "message": bin(b"end") }, "toUserID": "bob" });
    world.ok("alice", "send_peer_message", command).await;
    let end = events.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(end.body["info"], json!({ "isOfflineMessage": false }), "{}", end.body);
    messages
}

#[tokio::test]
async fn each_device_gets_what_it_missed_whatever_the_others_did() {
    let mut world = World::of(&["alice", "carol", "bob"]).await;
    let mut stored = Vec::new();
    for (from, text) in [("alice", "1"), ("carol", "2"), ("alice", "3")] {
        stored.push(as_received(&world.send(from, "bob", text).await));
    }
    let own = world.send("bob", "alice", "4").await;
    for (from, text) in [("carol", "5"), ("alice", "6")] {
        stored.push(as_received(&world.send(from, "bob", text).await));
    }
    // Bob was online all the time, so a login without `replayAfter` misses nothing.
    world.ok("bob", "heartbeat", json!({})).await;
    let key = |at: usize| stored[at]["orderKey"].clone();
    let before = json!(number(&stored[2], "orderKey") - 1);
    for restart in [false, true] {
        if restart {
            world.peerd.kill9();
            world.peerd.restart().await;
        }
        for encoding in Encoding::BOTH {
            for (device, key, from) in [
                ("new", json!(0), 0),
                ("phone", key(0), 1),
                ("phone", key(1), 2),
                ("tablet", before.clone(), 2),
                ("tablet", own["orderKey"].clone(), 3),
                ("new", key(4), 5),
                ("ahead", json!((1_u64 << 53) - 1), 5),
            ] {
                let missed = &stored[from..];
                let published =
                    device_receives(&world, (encoding, device), &key, missed.len()).await;
                assert_eq!(published, missed, "{device} after {key}");
            }
        }
    }
    // Deleted messages are not replayed, and the devices' logins do not affect a plain one.
    let body = json!({ "conversationID": "alice", "conversationType": 0 });
    world.ok("bob", "delete_all_message", body).await;
    let left = [stored[1].clone(), stored[3].clone()];
    let device = (Encoding::Json, "new");
    assert_eq!(device_receives(&world, device, &json!(0), 2).await, left);
    world.ok("bob", "logout", json!({})).await;
    let news = as_received(&world.send("carol", "bob", "7").await);
    let mut events = world.events("bob").await;
    world.ok("bob", "login", json!({ "deviceID": "old", "replayAfter": null })).await;
    assert_eq!(replayed(&mut events, 1).await, std::slice::from_ref(&news));
    assert_eq!(device_receives(&world, device, &key(4), 1).await, [news]);
}
