//! Messages by their `messageSeq`, Combine messages, and deleting all messages everywhere.

use serde_json::{Value, json};

use super::world::{CHANGED, DELETED, FAST, TOTAL, World, number, of, texts};
use crate::support::Encoding;

const QUERY: &str = "query_messages";
const DETAIL: &str = "query_combine_message_detail";
const DELETE_ALL: &str = "delete_all_conversation_messages";

async fn numbered(
    world: &World,
    user: &str,
    other: &str,
    seqs: &[u64],
    sender: Value,
) -> Vec<Value> {
    let body = json!({
        "messageSeqs": seqs, "conversationID": other, "conversationType": 0,
        "senderUserID": sender,
    });
    let reply = world.ok(user, QUERY, body).await;
    assert_eq!((&reply["conversationID"], &reply["conversationType"]), (&json!(other), &json!(0)));
    reply["messageList"].as_array().unwrap().clone()
}

#[tokio::test]
async fn messages_are_found_by_their_number_however_far_back_they_are() {
    let mut world = World::with(&[FAST]).await;
    world.login(&["alice", "bob", "carol"]).await;
    // Bob's come in runs, with messages of others between them, so that no guess is exact.
    let mut of_bob = Vec::new();
    for number in 0..400 {
        of_bob.push(world.send("bob", "alice", &format!("b{number}")).await);
        if number % 90 > 60 {
            for _ in 0..3 {
                world.send("carol", "alice", "x").await;
            }
        }
    }
    let own = world.send("alice", "bob", "a0").await;
    for round in 0..2 {
        for seqs in [
            &[1_u64][..],
            &[2, 1, 2],
            &[400],
            &[399, 400],
            &[1, 100, 200, 300, 400],
            &[32, 33, 64, 65],
            &[61, 62, 91, 151, 152, 153, 154, 155, 156, 157],
        ] {
            let mut expected: Vec<u64> = seqs.to_vec();
            expected.sort_unstable();
            expected.dedup();
            let found = numbered(&world, "alice", "bob", seqs, json!("bob")).await;
            let found: Vec<u64> =
                found.iter().map(|message| number(message, "messageSeq")).collect();
            assert_eq!(found, expected, "in round {round}");
        }
        // Both directions have a first message; those beyond the end are none.
        let both =
            numbered(&world, "alice", "bob", &[1, 401, 9_007_199_254_740_991], Value::Null).await;
        assert_eq!(texts(&both), ["b0", "a0"]);
        assert_eq!(both[1], own);
        assert_eq!(numbered(&world, "alice", "bob", &[1], json!("alice")).await, vec![own.clone()]);
        assert!(numbered(&world, "alice", "bob", &[2], json!("alice")).await.is_empty());
        assert!(numbered(&world, "alice", "nobody", &[1], Value::Null).await.is_empty());
        assert!(world.peerd.terminate().await.success());
        world.peerd.restart().await;
    }
    for encoding in Encoding::BOTH {
        let body = json!({ "messageSeqs": [7], "conversationID": "alice" });
        let reply = world.client.call_as(encoding, "bob", QUERY, body).await.ok();
        assert_eq!(reply["messageList"], json!([of_bob[6]]), "as its sender sees it");
    }
    // Deleted messages are not shown, and later ones are.
    let list = json!([{ "messageID": of_bob[99]["messageID"] }]);
    world
        .ok("alice", "delete_messages", json!({ "conversationID": "bob", "messageList": list }))
        .await;
    let found = numbered(&world, "alice", "bob", &[99, 100, 101], json!("bob")).await;
    assert_eq!(texts(&found), ["b98", "b100"]);
    world.ok("alice", "delete_all_message", of("bob")).await;
    assert!(numbered(&world, "alice", "bob", &[1, 400], Value::Null).await.is_empty());
    world.send("bob", "alice", "later").await;
    assert_eq!(texts(&numbered(&world, "alice", "bob", &[400, 401], Value::Null).await), ["later"]);
}

#[tokio::test]
async fn up_to_ten_numbers_are_asked_for_of_one_of_the_two() {
    let world = World::of(&["alice"]).await;
    let body = |seqs: Value, sender: Value| json!({ "messageSeqs": seqs, "conversationID": "bob", "senderUserID": sender });
    let eleven: Vec<u64> = (1..=11).collect();
    for seqs in [json!(eleven), json!([]), json!(5), json!([-1]), json!(["1"]), Value::Null] {
        world.invalid("alice", QUERY, body(seqs, Value::Null), "messageSeqs").await;
    }
    world.invalid("alice", QUERY, body(json!([1]), json!("carol")), "senderUserID").await;
    world.invalid("alice", QUERY, json!({ "messageSeqs": [1] }), "conversationID").await;
    world.ok("alice", QUERY, body(json!(eleven[..10]), json!("alice"))).await;
}

#[tokio::test]
async fn a_combine_message_is_read_with_what_is_inside() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let combine = json!({
        "type": 100, "title": "T", "summary": "S",
        "messageList": [{ "type": 1, "message": "one", "senderUserID": "dan" }, { "type": 1, "message": "two" }],
    });
    let body = json!({ "message": combine, "toUserID": "bob" });
    let sent = world.ok("alice", "send_peer_message", body).await["message"].clone();
    let text = world.send("alice", "bob", "hi").await;
    for encoding in Encoding::BOTH {
        for body in [
            json!({ "message": sent }),
            json!({ "message": { "messageID": sent["messageID"] }, "conversationID": "bob" }),
        ] {
            let reply = world.client.call_as(encoding, "alice", DETAIL, body).await.ok();
            assert_eq!(reply, json!({ "message": sent }));
        }
    }
    let named = |message: &Value, other: &str| json!({ "message": { "messageID": message["messageID"], "conversationID": other } });
    let reply = world.ok("bob", DETAIL, named(&sent, "alice")).await;
    assert_eq!(reply["message"]["messageList"], sent["messageList"]);
    assert_eq!(reply["message"]["direction"], 1);
    let id = "message.messageID";
    world.invalid("alice", DETAIL, named(&text, "bob"), id).await;
    world.invalid("alice", DETAIL, named(&sent, "carol"), id).await;
    world.invalid("carol", DETAIL, named(&sent, "alice"), id).await;
    let nowhere = json!({ "message": { "messageID": sent["messageID"] } });
    world.invalid("alice", DETAIL, nowhere, "conversationID").await;
    let mut twice = named(&sent, "bob");
    twice["conversationID"] = json!("carol");
    world.invalid("alice", DETAIL, twice, "conversationID").await;
    world.invalid("alice", DETAIL, json!({ "conversationID": "bob" }), "message").await;
    let list = json!([{ "messageID": sent["messageID"] }]);
    world
        .ok("bob", "delete_messages", json!({ "conversationID": "alice", "messageList": list }))
        .await;
    world.invalid("bob", DETAIL, named(&sent, "alice"), id).await;
}

#[tokio::test]
async fn all_messages_of_all_conversations_are_deleted_for_the_caller() {
    let mut world = World::of(&["alice", "bob", "carol", "dan"]).await;
    world.ok("alice", "login", json!({ "deviceID": "other" })).await;
    for from in ["bob", "carol"] {
        world.send(from, "alice", "hello").await;
    }
    world.send("alice", "bob", "hi").await;
    // All messages of dan are deleted one by one: there is nothing left.
    let of_dan = world.send("dan", "alice", "hello").await;
    let list = json!([{ "messageID": of_dan["messageID"] }]);
    world
        .ok("alice", "delete_messages", json!({ "conversationID": "dan", "messageList": list }))
        .await;
    let mut sessions = [world.events("alice").await, world.events("alice").await];
    let mut of_bob = world.events("bob").await;
    for encoding in Encoding::BOTH {
        let body = json!({ "config": { "isAlsoDeleteServerMessage": true } });
        assert_eq!(world.client.call_as(encoding, "alice", DELETE_ALL, body).await.ok(), json!({}));
    }
    for session in &mut sessions {
        let events = session.expect(&[DELETED, CHANGED, TOTAL]).await;
        let deleted = &events[0].body;
        assert_eq!(
            (&deleted["messageDeleteType"], &deleted["conversationID"]),
            (&json!(2), &json!(""))
        );
        assert_eq!(deleted["messageList"], json!([]));
        let infos = events[1].body["infoList"].as_array().unwrap();
        let mut changed: Vec<&str> = infos
            .iter()
            .map(|info| info["conversation"]["conversationID"].as_str().unwrap())
            .collect();
        changed.sort_unstable();
        assert_eq!(changed, ["bob", "carol"]);
        assert!(infos.iter().all(|info| info["conversation"].get("lastMessage").is_none()));
        assert_eq!(events[2].body["totalUnreadMessageCountIncludingMuted"], 0);
        session.none().await;
    }
    of_bob.none().await;
    assert_eq!(world.history("bob", "alice").await.len(), 2);
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert!(world.history("alice", "bob").await.is_empty());
    assert_eq!(world.conversations("alice").await.len(), 3, "they stay in the list");
    world.send("bob", "alice", "later").await;
    assert_eq!(texts(&world.history("alice", "bob").await), ["later"]);
    assert_eq!(world.totals("alice").await, (1, 1));
}
