//! The sent result, its fields, types, order and checks.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::world::{
    CHANGED, INVALID, NO_CONVERSATION, RATE_LIMITED, RECEIVED, STORE, TARGET_NOT_FOUND, TOTAL,
    World, as_received, keys, now_ms, number, of, string, text_to,
};
use crate::support::{Encoding, bin, partition};

const MESSAGE_FIELDS: [&str; 14] = [
    "conversationID",
    "conversationType",
    "direction",
    "extendedData",
    "isServerMessage",
    "localMessageID",
    "messageID",
    "messageSeq",
    "orderKey",
    "receiptStatus",
    "senderUserID",
    "sentStatus",
    "timestamp",
    "type",
];

/// One message of each type, with every field that its caller may set.
fn message_of_each_type() -> Vec<Value> {
    let media = json!({
        "fileDownloadUrl": "https://files.example/f", "fileName": "f.bin",
        "fileSize": 123_456, "fileUID": "uid-1",
    });
    let with = |kind: u8, fields: Value| {
        let mut message = media.clone();
        message["type"] = json!(kind);
        for (name, field) in fields.as_object().unwrap() {
            message[name.as_str()] = field.clone();
        }
        message
    };
    vec![
        json!({ "type": 1, "message": "Grüße 👋" }),
        with(
            11,
            json!({
                "thumbnailDownloadUrl": "https://files.example/t",
                "largeImageDownloadUrl": "https://files.example/l",
                "originalImageWidth": 1920, "originalImageHeight": 1080,
                "largeImageWidth": 960, "largeImageHeight": 540,
                "thumbnailWidth": 96, "thumbnailHeight": 54,
            }),
        ),
        with(12, json!({})),
        with(13, json!({ "audioDuration": 61 })),
        with(
            14,
            json!({
                "videoDuration": 62,
                "videoFirstFrameDownloadUrl": "https://files.example/v",
            }),
        ),
        json!({
            "type": 10,
            "messageInfoList": [{ "type": 1, "message": "one" }, with(12, json!({}))],
        }),
        json!({
            "type": 100, "title": "Chat history", "summary": "a: b",
            "messageList": [{ "type": 1, "message": "one" }],
        }),
        json!({
            "type": 200, "message": "{\"poll\":1}", "subType": 200, "searchedContent": "poll",
        }),
    ]
}

/// Asserts that `message` has every field of `given`, recursively for lists of messages.
fn assert_holds(message: &Value, given: &Value) {
    match (message, given) {
        (Value::Object(fields), Value::Object(given_fields)) => {
            for (name, field) in given_fields {
                let found =
                    fields.get(name).unwrap_or_else(|| panic!("{name} is lost in {message}"));
                assert_holds(found, field);
            }
        }
        (Value::Array(items), Value::Array(given_items)) => {
            assert_eq!(items.len(), given_items.len(), "{message}");
            for (item, given_item) in items.iter().zip(given_items) {
                assert_holds(item, given_item);
            }
        }
        (found, expected) => assert_eq!(found, expected),
    }
}

#[tokio::test]
async fn the_sent_result_is_the_whole_message_in_both_encodings() {
    let world = World::of(&["alice", "bob"]).await;
    for (position, encoding) in Encoding::BOTH.into_iter().enumerate() {
        let before = now_ms();
        let local_id = format!("local-{position}");
        let body = json!({
            "message": {
                "type": 1, "message": "hello", "localMessageID": local_id,
                "extendedData": "extra",
                // Fields that a caller may not set:
                "messageID": "1", "messageSeq": 77, "senderUserID": "mallory",
                "conversationID": "x", "conversationType": 2, "direction": 1, "sentStatus": 2,
                "timestamp": 5, "orderKey": 9, "receiptStatus": 2, "isServerMessage": true,
                "unheardOf": [1],
            },
            "toUserID": "bob",
            "config": { "priority": 3, "unheardOf": true },
        });
        let reply = world.client.call_as(encoding, "alice", "send_peer_message", body).await.ok();
        assert_eq!(keys(&reply), ["message"]);
        let message = &reply["message"];
        let mut fields = MESSAGE_FIELDS.to_vec();
        fields.push("message");
        fields.sort_unstable();
        assert_eq!(keys(message), fields);
        let expected = json!({
            "type": 1, "message": "hello", "messageSeq": position + 1, "senderUserID": "alice",
            "conversationID": "bob", "conversationType": 0, "direction": 0, "sentStatus": 1,
            "receiptStatus": 0, "extendedData": "extra", "isServerMessage": false,
            "localMessageID": local_id,
        });
        assert_holds(message, &expected);
        assert!((before..=now_ms()).contains(&number(message, "timestamp")));
        assert!(number(message, "orderKey") < 1 << 53);
        assert_ne!(string(message, "messageID"), "1");
        assert_ne!(message["orderKey"], 9);
        assert_eq!(world.history("alice", "bob").await.last(), Some(message));
    }
}

#[tokio::test]
async fn every_type_keeps_its_fields_through_reply_event_and_history() {
    let world = World::of(&["alice", "bob"]).await;
    let mut events = world.events("bob").await;
    for given in message_of_each_type() {
        let body = json!({ "message": given, "toUserID": "bob" });
        let encoding = if given["type"] == 11 { Encoding::Json } else { Encoding::MessagePack };
        let reply = world.client.call_as(encoding, "alice", "send_peer_message", body).await.ok();
        let sent = &reply["message"];
        assert_holds(sent, &given);
        for field in MESSAGE_FIELDS {
            assert!(!sent[field].is_null(), "{field} is missing in {sent}");
        }
        let event = events.next().await;
        assert_eq!(event.body["messageList"], json!([as_received(sent)]));
        assert_eq!(world.history("alice", "bob").await.last(), Some(sent));
        let received = world.history("bob", "alice").await;
        assert_eq!(received.last(), Some(&as_received(sent)));
        events.drain().await;
    }
}

#[tokio::test]
async fn sequences_count_per_sender_and_conversation_and_order_keys_rise() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let mut ids = HashSet::new();
    let mut last_key = 0;
    for (from, to, seq) in [
        ("alice", "bob", 1),
        ("alice", "bob", 2),
        ("bob", "alice", 1),
        ("alice", "carol", 1),
        ("carol", "bob", 1),
        ("alice", "bob", 3),
        ("bob", "alice", 2),
    ] {
        let message = world.send(from, to, "x").await;
        assert_eq!(message["messageSeq"], seq, "{from} to {to}");
        assert!(ids.insert(string(&message, "messageID").to_owned()));
        // A causal chain: each message follows one that its sender had received.
        assert!(number(&message, "orderKey") > last_key, "{message}");
        last_key = number(&message, "orderKey");
    }
}

#[tokio::test]
async fn send_message_is_the_same_for_peers_and_refuses_other_conversation_types() {
    let world = World::of(&["alice", "bob"]).await;
    let body = |conversation_type: Value| {
        json!({
            "message": { "type": 1, "message": "hi" },
            "toConversationID": "bob", "conversationType": conversation_type,
        })
    };
    let first = world.ok("alice", "send_message", body(json!(0))).await;
    let mut without = body(json!(0));
    without.as_object_mut().unwrap().remove("conversationType");
    let second = world.ok("alice", "send_message", without).await;
    assert_eq!(first["message"]["conversationID"], "bob");
    assert_eq!(second["message"]["messageSeq"], 2);
    let writes = world.store.writes().await;
    for other in [json!(1), json!(2), json!(-1), json!("0"), json!(1u64 << 40)] {
        world.invalid("alice", "send_message", body(other), "conversationType").await;
    }
    let mut own = body(json!(0));
    own["toConversationID"] = json!("alice");
    let refused = world.refused("alice", "send_message", own).await;
    assert_eq!(refused.0, INVALID);
    assert_eq!(world.store.writes().await, writes);
}

#[tokio::test]
async fn bad_parameters_of_a_send_are_refused_by_name_and_reach_nothing() {
    let world = World::of(&["alice", "bob"]).await;
    let mut events = world.events("bob").await;
    let writes = world.store.writes().await;
    let text = |to: &str| text_to(to, "x");
    let long_id = "x".repeat(65);
    for to in ["", "alice", "a*b", "a/b", "a\"b", "a,b", "a\\b", "ümlaut", "a\nb", &long_id] {
        world.invalid("alice", "send_peer_message", text(to), "toUserID").await;
    }
    for kind in [0, 3, 31, 99, -1, 256] {
        let body = json!({ "message": { "type": kind, "message": "x" }, "toUserID": "bob" });
        world.invalid("alice", "send_peer_message", body, "type").await;
    }
    for blank in ["", " ", "\t\r\n ", "\u{3000}\u{a0}"] {
        for kind in [1, 200] {
            let body = json!({ "message": { "type": kind, "message": blank }, "toUserID": "bob" });
            world.invalid("alice", "send_peer_message", body, "message").await;
        }
    }
    for (config, field) in [
        (json!({ "priority": 0 }), "priority"),
        (json!({ "priority": "high" }), "priority"),
        (json!({ "hasReceipt": 1 }), "hasReceipt"),
        (json!({ "isRetrySend": "no" }), "isRetrySend"),
        (json!({ "disableUnreadMessageCount": 0 }), "disableUnreadMessageCount"),
        (json!({ "pushConfig": [] }), "pushConfig"),
    ] {
        let mut body = text("bob");
        body["config"] = config;
        world.invalid("alice", "send_peer_message", body, field).await;
    }
    for (body, field) in [
        (json!({ "toUserID": "bob" }), "message"),
        (json!({ "message": { "message": "x" }, "toUserID": "bob" }), "type"),
        (json!({ "message": { "type": 1 }, "toUserID": "bob" }), "message"),
        (json!({ "message": { "type": 1, "message": "x" } }), "toUserID"),
    ] {
        world.invalid("alice", "send_peer_message", body, field).await;
    }
    assert_eq!(world.store.writes().await, writes);
    events.none().await;
}

#[tokio::test]
async fn a_command_is_delivered_live_and_leaves_no_trace() {
    let world = World::of(&["alice", "bob"]).await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    let writes = world.store.writes().await;
    for encoding in Encoding::BOTH {
        let content = bin(&[0, 255, 1, 128]);
        let body = json!({ "message": { "type": 2, "message": content }, "toUserID": "bob" });
        let reply = world.client.call_as(encoding, "alice", "send_peer_message", body).await.ok();
        assert_eq!(reply["message"]["sentStatus"], 1);
        assert_eq!(reply["message"]["direction"], 0);
        let shown = |encoding| match encoding {
            Encoding::Json => content["$bin"].clone(),
            Encoding::MessagePack => content.clone(),
        };
        assert_eq!(reply["message"]["message"], shown(encoding));
        let event = of_bob.expect(&[RECEIVED]).await.remove(0).body;
        let received = &event["messageList"][0];
        assert_eq!(received["message"], shown(Encoding::Json), "bob logged in with JSON");
        assert_eq!(received["messageID"], reply["message"]["messageID"]);
        assert_eq!(received["direction"], 1);
        assert_eq!(received["conversationID"], "alice");
        assert_eq!(event["fromConversationID"], "alice");
        assert_eq!(event["info"], json!({ "isOfflineMessage": false }));
    }
    of_alice.none().await;
    of_bob.none().await;
    assert_eq!(world.store.writes().await, writes);
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let refused = world.refused(user, "query_conversation", of(other)).await;
        assert_eq!(refused.0, NO_CONVERSATION);
        assert_eq!(world.totals(user).await, (0, 0));
    }
    let text = world.send("alice", "bob", "x").await;
    assert_eq!(text["messageSeq"], 1, "commands do not count");
    of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    // A command changes nothing, so it carries the revision that bob has already.
    let revision = of_bob.revision();
    let body = json!({ "message": { "type": 2, "message": bin(b"c") }, "toUserID": "bob" });
    world.ok("alice", "send_peer_message", body).await;
    of_bob.expect(&[RECEIVED]).await;
    assert_eq!(of_bob.revision(), revision);
    let not_base64 = json!({ "message": { "type": 2, "message": "%" }, "toUserID": "bob" });
    world.invalid("alice", "send_peer_message", not_base64, "message").await;
}

#[tokio::test]
async fn users_of_every_allowed_spelling_can_chat() {
    let world = World::start().await;
    let users =
        ["a.b c", "!#$%&()+-:;<=.>?@[]^_{}|~", "%61lice", "0123456789abcdefghijklmnopqrstUV", ">"];
    world.login(&users).await;
    for (position, from) in users.into_iter().enumerate() {
        let to = users[(position + 1) % users.len()];
        let mut events = world.events(to).await;
        let sent = world.send(from, to, "hi").await;
        assert_eq!(sent["senderUserID"], from);
        let event = events.next().await;
        assert_eq!(event.body["messageList"], json!([as_received(&sent)]));
        assert_eq!(world.history(to, from).await, [as_received(&sent)]);
    }
}

#[tokio::test]
async fn unknown_receivers_are_refused_where_known_ones_are_asked_for() {
    let world = World::with(&[("PEERD__SEND__REQUIRE_KNOWN_RECEIVER", "true")]).await;
    world.login(&["alice"]).await;
    let writes = world.store.writes().await;
    let refused = world.refused("alice", "send_peer_message", text_to("bob", "x")).await;
    assert_eq!(refused, (TARGET_NOT_FOUND, "target_not_found".to_owned()));
    assert_eq!(world.store.writes().await, writes);
    world.login(&["bob"]).await;
    world.ok("bob", "logout", json!({})).await;
    let sends = (0..10).map(|_| world.send("alice", "bob", "x"));
    futures::future::join_all(sends).await;
    // The rate is checked before the receiver's rules, and sends that those refused did not use it.
    let refused = world.refused("alice", "send_peer_message", text_to("carol", "x")).await;
    assert_eq!(refused.0, RATE_LIMITED);
}

#[tokio::test]
async fn without_a_store_no_send_succeeds() {
    let world = World::with(&[("PEERD__LIMITS__CALL_DEADLINE_MS", "2000")]).await;
    world.login(&["alice", "bob"]).await;
    world.send("alice", "bob", "before").await;
    let stream = format!("PEER_LOG_{}", partition("bob", 8));
    // A deleted stream would be created again.
    let mut config = world.store.info(&stream).await.config;
    config.sealed = true;
    world.store.jetstream().update_stream(config).await.unwrap();
    let (code, reason) = world.refused("alice", "send_peer_message", text_to("bob", "after")).await;
    assert_eq!(code, STORE, "{reason}");
    assert!(["store_unavailable", "outcome_unknown"].contains(&reason.as_str()), "{reason}");
    assert_ne!(code, INVALID);
}
