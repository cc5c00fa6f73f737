//! Unread counts and their total.

use serde_json::{Value, json};

use super::world::{CHANGED, TOTAL, World, keys, of};
use crate::support::{Encoding, Event};

#[track_caller]
fn assert_total(event: &Event, total: u64, with_muted: u64) {
    assert_eq!(event.body["totalUnreadMessageCount"], total);
    assert_eq!(event.body["totalUnreadMessageCountIncludingMuted"], with_muted);
}

/// The total as the sum over the listed conversations.
async fn recount(world: &World, user: &str) -> (u64, u64) {
    let mut counts = (0, 0);
    for conversation in world.conversations(user).await {
        let unread = conversation["unreadMessageCount"].as_u64().unwrap();
        counts.1 += unread;
        if conversation["notificationStatus"] == 1 {
            counts.0 += unread;
        }
    }
    counts
}

#[tokio::test]
async fn counts_rise_with_each_message_of_the_other_side_only() {
    let mut world = World::of(&["alice", "bob", "carol", "dave"]).await;
    world.set_status("bob", "dave", 2).await;
    for (from, to, total, with_muted) in [
        ("alice", "bob", 1, 1),
        ("alice", "bob", 2, 2),
        ("carol", "bob", 3, 3),
        ("bob", "alice", 3, 3),
        ("dave", "bob", 3, 4),
        ("bob", "dave", 3, 4),
        ("alice", "bob", 4, 5),
    ] {
        world.send(from, to, "x").await;
        assert_eq!(world.totals("bob").await, (total, with_muted));
        assert_eq!(recount(&world, "bob").await, (total, with_muted));
    }
    assert_eq!(world.totals("alice").await, (1, 1));
    assert_eq!(world.totals("carol").await, (0, 0));
    for encoding in Encoding::BOTH {
        let method = "query_conversation_total_unread_message_count";
        let call = world.client.call_as(encoding, "bob", method, json!({}));
        let reply = call.await.ok();
        assert_eq!(
            keys(&reply),
            ["revision", "unreadMessageCount", "unreadMessageCountIncludingMuted"]
        );
        // All conversations are with peers, and none is marked.
        for (config, is_all) in [
            (json!(null), true),
            (json!({}), true),
            (json!({ "conversationTypes": [], "marks": [] }), true),
            (json!({ "conversationTypes": [0] }), true),
            (json!({ "conversationTypes": [2, 0] }), true),
            (json!({ "conversationTypes": [1, 2] }), false),
            (json!({ "marks": [1, 20] }), false),
            (json!({ "conversationTypes": [0], "marks": [3] }), false),
        ] {
            let call = world.client.call_as(encoding, "bob", method, json!({ "config": config }));
            let some = call.await.ok();
            assert_eq!(some["revision"], reply["revision"]);
            for field in ["unreadMessageCount", "unreadMessageCountIncludingMuted"] {
                let expected = if is_all { reply[field].clone() } else { json!(0) };
                assert_eq!(some[field], expected, "{field} with {config}");
            }
        }
        for (config, field) in [
            (json!(0), "config"),
            (json!({ "conversationTypes": 0 }), "config.conversationTypes"),
            (json!({ "conversationTypes": [0, "0"] }), "config.conversationTypes[1]"),
            (json!({ "conversationTypes": [-1] }), "config.conversationTypes[0]"),
            (json!({ "marks": [21] }), "config.marks[0]"),
            (json!({ "marks": [1, 0] }), "config.marks[1]"),
            (json!({ "marks": {} }), "config.marks"),
        ] {
            world.invalid("bob", method, json!({ "config": config }), field).await;
        }
    }
    let reply = world.ok("bob", "login", json!({})).await;
    assert_eq!(reply["totalUnreadMessageCount"], 4);

    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(world.totals("bob").await, (4, 5));
    assert_eq!(recount(&world, "bob").await, (4, 5));
    let reply = world.ok("bob", "login", json!({})).await;
    assert_eq!(reply["totalUnreadMessageCount"], 4);
}

#[tokio::test]
async fn clearing_one_conversation_lowers_the_total_and_publishes_both_once() {
    let mut world = World::of(&["alice", "bob", "carol"]).await;
    for from in ["alice", "alice", "carol"] {
        world.send(from, "bob", "x").await;
    }
    let mut of_bob = world.events("bob").await;
    let mut of_alice = world.events("alice").await;
    world.clear("bob", "alice").await;
    let published = of_bob.expect(&[CHANGED, TOTAL]).await;
    let info = &published[0].body["infoList"][0];
    assert_eq!(info["event"], 1);
    assert_eq!(info["conversation"]["conversationID"], "alice");
    assert_eq!(info["conversation"]["unreadMessageCount"], 0);
    assert_eq!(info["conversation"]["readMessageSeq"], 2);
    assert_total(&published[1], 1, 1);
    assert_eq!(published[0].body["revision"], published[1].body["revision"]);

    let writes = world.store.writes().await;
    world.clear("bob", "alice").await;
    world.clear("bob", "nobody").await;
    of_bob.none().await;
    of_alice.none().await;
    assert_eq!(world.store.writes().await, writes);

    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(world.totals("bob").await, (1, 1));
    world.send("alice", "bob", "again").await;
    assert_eq!(world.totals("bob").await, (2, 2));
    let conversation = world.conversation("bob", "alice").await;
    assert_eq!(conversation["unreadMessageCount"], 1);
}

#[tokio::test]
async fn clearing_a_muted_conversation_does_not_move_the_total() {
    let world = World::of(&["alice", "bob"]).await;
    world.set_status("bob", "alice", 2).await;
    world.send("alice", "bob", "x").await;
    let mut of_bob = world.events("bob").await;
    world.clear("bob", "alice").await;
    of_bob.expect(&[CHANGED]).await;
    of_bob.none().await;
    assert_eq!(world.totals("bob").await, (0, 0));
}

#[tokio::test]
async fn clearing_the_total_clears_every_conversation() {
    let world = World::of(&["alice", "bob", "carol", "dave"]).await;
    for from in ["alice", "carol", "dave", "dave"] {
        world.send(from, "bob", "x").await;
    }
    world.clear("bob", "carol").await;
    let mut of_bob = world.events("bob").await;
    let method = "clear_conversation_total_unread_message_count";
    assert_eq!(world.ok("bob", method, json!({})).await, json!({}));
    let published = of_bob.drain().await;
    let (last, changes) = published.split_last().unwrap();
    assert_eq!(last.name, TOTAL);
    assert_total(last, 0, 0);
    let mut cleared: Vec<&str> = Vec::new();
    for event in changes {
        assert_eq!(event.name, CHANGED);
        for info in event.body["infoList"].as_array().unwrap() {
            assert_eq!(info["event"], 1);
            assert_eq!(info["conversation"]["unreadMessageCount"], 0);
            cleared.push(info["conversation"]["conversationID"].as_str().unwrap());
        }
    }
    cleared.sort_unstable();
    assert_eq!(cleared, ["alice", "dave"], "carol's was clear already");
    assert_eq!(world.totals("bob").await, (0, 0));
    assert_eq!(recount(&world, "bob").await, (0, 0));
    assert_eq!(world.ok("bob", method, json!({})).await, json!({}));
    of_bob.none().await;
}

#[tokio::test]
async fn messages_that_do_not_count_never_do() {
    let mut world = World::of(&["alice", "bob"]).await;
    let silent = json!({
        "message": { "type": 1, "message": "silent" }, "toUserID": "bob",
        "config": { "disableUnreadMessageCount": true },
    });
    for (body, unread) in
        [(Some(&silent), 0), (None, 1), (Some(&silent), 1), (Some(&silent), 1), (None, 2)]
    {
        match body {
            Some(body) => drop(world.ok("alice", "send_peer_message", body.clone()).await),
            None => drop(world.send("alice", "bob", "counts").await),
        }
        assert_eq!(world.totals("bob").await, (unread, unread));
    }
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(world.totals("bob").await, (2, 2));

    // Deleting a message that did not count changes nothing; deleting one that did lowers the count
    // by one.
    let history = world.history("bob", "alice").await;
    for (position, unread) in [(2, 2), (1, 1)] {
        let id: &Value = &history[position]["messageID"];
        let mut body = of("alice");
        body["messageList"] = json!([{ "messageID": id }]);
        world.ok("bob", "delete_messages", body).await;
        assert_eq!(world.totals("bob").await, (unread, unread));
    }
}
