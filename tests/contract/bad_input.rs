//! Invalid input: each has its code, none reaches the store, none stays in memory.

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::json;

use super::world::{INVALID, NOT_LOGGED_IN, World, of, text_to};
use crate::support::{Encoding, Reply, encode, token};

fn headers(encoding: Encoding) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("Content-Type", encoding.content_type());
    headers
}

async fn raw(world: &World, encoding: Encoding, method: &str, body: Vec<u8>) -> Reply {
    let headers = Some(headers(encoding));
    let body = Bytes::from(body);
    world.client.call_raw("alice", method, headers, body).await
}

#[track_caller]
fn assert_invalid(reply: &Reply, what: &str) {
    assert_eq!(reply.code, Some(INVALID), "{what}: {}", reply.body);
}

/// User tokens that are not the canonical encoding of a userID.
fn bad_tokens() -> Vec<String> {
    let mut tokens: Vec<String> = [
        "%61lice",  // what needs no encoding, encoded
        "al%69ce",  // likewise, inside
        "a%2eb",    // lower-case hex
        "a%2Eb%2f", // a dot well encoded, a slash in lower case
        "%2F",      // a character that no userID has
        "al%2Aice", // a wildcard, well encoded
        "%00",      // control characters
        "a%0Ab", "a%0D%0Ab", "a%7F", "%C3%A9", // UTF-8 beyond ASCII
        "é", "%", // broken escapes
        "%4", "a%2", "%ZZ", "%%41", "a+b", // allowed in a userID, but only encoded
        "a!b", "a@b", "*", // wildcards as they are
        ">", "a*", "=",
    ]
    .map(str::to_owned)
    .to_vec();
    tokens.push("x".repeat(65));
    tokens.push("%2E".repeat(65));
    tokens.push("x".repeat(2_000));
    tokens
}

/// Bytes that are not a body in either encoding.
fn broken_bodies() -> Vec<(&'static str, Encoding, Vec<u8>)> {
    use Encoding::{Json, MessagePack};
    let nested_json = |depth: usize| {
        let mut body = br#"{"config":"#.to_vec();
        body.extend("[".repeat(depth).bytes());
        body.extend("]".repeat(depth).bytes());
        body.push(b'}');
        body
    };
    let nested_msgpack = |depth: usize| {
        let mut body = vec![0x81, 0xa1, b'x'];
        body.extend(std::iter::repeat_n(0x91, depth));
        body.push(0xc0);
        body
    };
    vec![
        ("not JSON", Json, b"{garbage".to_vec()),
        ("truncated JSON", Json, br#"{"a":"#.to_vec()),
        ("a tail after JSON", Json, b"{} {}".to_vec()),
        ("JSON that is not UTF-8", Json, b"{\"a\":\"\xff\xfe\"}".to_vec()),
        ("a lone surrogate", Json, br#"{"toUserID":"\ud800"}"#.to_vec()),
        ("a JSON list", Json, b"[]".to_vec()),
        ("a JSON number", Json, b"7".to_vec()),
        ("JSON null", Json, b"null".to_vec()),
        ("JSON nested 1,000 deep", Json, nested_json(1_000)),
        ("JSON nested 100,000 deep", Json, nested_json(100_000)),
        ("MessagePack as JSON", Json, vec![0x80]),
        ("not MessagePack", MessagePack, vec![0xc1]),
        ("truncated MessagePack", MessagePack, vec![0x81, 0xa1]),
        ("a tail after MessagePack", MessagePack, vec![0x80, 0x80]),
        ("a MessagePack list", MessagePack, vec![0x90]),
        ("MessagePack nil", MessagePack, vec![0xc0]),
        ("an endless map", MessagePack, vec![0xdf, 0xff, 0xff, 0xff, 0xff]),
        ("an endless list", MessagePack, vec![0x81, 0xa1, b'x', 0xdd, 0xff, 0xff, 0xff, 0xff]),
        ("an endless text", MessagePack, vec![0x81, 0xa1, b'x', 0xdb, 0xff, 0xff, 0xff, 0xff]),
        ("endless bytes", MessagePack, vec![0x81, 0xa1, b'x', 0xc6, 0xff, 0xff, 0xff, 0xff]),
        ("a text not UTF-8", MessagePack, b"\x81\xa8toUserID\xa2\xff\xfe".to_vec()),
        ("MessagePack nested 1,000 deep", MessagePack, nested_msgpack(1_000)),
        ("MessagePack nested 100,000 deep", MessagePack, nested_msgpack(100_000)),
        ("JSON as MessagePack", MessagePack, b"{}".to_vec()),
    ]
}

#[tokio::test]
async fn only_the_one_spelling_of_a_user_is_accepted() {
    let world = World::of(&["alice"]).await;
    let writes = world.store.writes().await;
    for token in bad_tokens() {
        for method in ["login", "heartbeat", "send_peer_message", "no_such_method"] {
            let body = Bytes::from(text_to("bob", "x").to_string());
            let reply = world.client.call_raw(&token, method, None, body).await;
            assert_invalid(&reply, &format!("{method} by {token}"));
        }
    }
    // A subject with more or fewer tokens is not a call: it has no responders.
    for subject in ["peer.api.a.b.login", "peer.api.login", "peer.api.alice.login.x"] {
        let error = world.client.nats().request(subject, "".into()).await;
        assert_eq!(
            error.unwrap_err().kind(),
            async_nats::RequestErrorKind::NoResponders,
            "{subject}"
        );
    }
    assert_eq!(world.store.writes().await, writes);
    world.ok("a.b", "login", json!({})).await;
    assert_eq!(token("a.b"), "a%2Eb");
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_invalid_in_its_own_encoding() {
    let world = World::of(&["alice", "bob"]).await;
    let writes = world.store.writes().await;
    for (what, encoding, body) in broken_bodies() {
        for method in ["send_peer_message", "heartbeat", "query_conversation_list"] {
            let reply = raw(&world, encoding, method, body.clone()).await;
            assert_invalid(&reply, &format!("{what}, {method}"));
        }
        // Without a header the first byte decides; the client checks that the reply agrees.
        let body = Bytes::from(body);
        let method = "query_conversation_list";
        let reply = world.client.call_raw("alice", method, None, body).await;
        assert_invalid(&reply, what);
    }
    assert_eq!(world.store.writes().await, writes);
}

#[tokio::test]
async fn the_first_byte_says_the_encoding_where_no_header_does() {
    let world = World::of(&["alice", "bob"]).await;
    let text = text_to("bob", "hi");
    for body in [
        encode(Encoding::Json, &text),
        format!(" \n\t{text}").into_bytes(),
        encode(Encoding::MessagePack, &text),
    ] {
        let body = Bytes::from(body);
        let call = world.client.call_raw("alice", "send_peer_message", None, body);
        call.await.ok();
    }
    // An empty body is an empty object.
    for headers in [None, Some(headers(Encoding::Json)), Some(headers(Encoding::MessagePack))] {
        let call = world.client.call_raw("alice", "heartbeat", headers.clone(), Bytes::new());
        call.await.ok();
        let method = "query_conversation";
        let reply = world.client.call_raw("alice", method, headers, Bytes::new()).await;
        assert_invalid(&reply, "an empty body where fields are required");
        assert!(reply.message().contains("conversationID"));
    }
}

#[tokio::test]
async fn wrong_types_and_numbers_out_of_range_name_their_field() {
    let world = World::of(&["alice", "bob"]).await;
    let writes = world.store.writes().await;
    let numbers = [
        json!(-1),
        json!(1u64 << 53),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(1e300),
        json!(0.5),
        json!("1"),
        json!([]),
        json!({}),
        json!(true),
    ];
    for number in &numbers {
        for encoding in Encoding::BOTH {
            let count = json!({ "count": number, "reverse": true });
            let typed = json!({ "type": number, "message": "x" });
            let mut of_type = of("bob");
            of_type["conversationType"] = number.clone();
            for (method, body, field) in [
                (
                    "query_history_message",
                    json!({ "conversationID": "bob", "config": count }),
                    "count",
                ),
                ("query_conversation_list", json!({ "config": count }), "count"),
                ("query_conversation", of_type, "conversationType"),
                ("send_peer_message", json!({ "message": typed, "toUserID": "bob" }), "type"),
            ] {
                let reply = world.client.call_as(encoding, "alice", method, body).await;
                assert_invalid(&reply, &format!("{method} with {field} {number}"));
                assert!(reply.message().contains(field), "{}", reply.body);
            }
        }
    }
    for id in ["a*b", "a b/c", "a\u{0}", "\r\nPUB x", "é", "a\"b", &"x".repeat(65)] {
        for (method, body, field) in [
            ("query_conversation", of(id), "conversationID"),
            ("delete_all_message", of(id), "conversationID"),
            ("send_peer_message", text_to(id, "x"), "toUserID"),
            (
                "set_conversation_notification_status",
                json!({ "status": 2, "conversationID": id }),
                "conversationID",
            ),
        ] {
            world.invalid("alice", method, body, field).await;
        }
    }
    assert_eq!(world.store.writes().await, writes);
}

#[tokio::test]
async fn huge_bodies_are_refused() {
    let world = World::of(&["alice", "bob"]).await;
    let writes = world.store.writes().await;
    let huge = "x".repeat(900_000);
    for encoding in Encoding::BOTH {
        for body in [
            text_to("bob", &huge),
            text_to(&huge, "x"),
            json!({
                "message": { "type": 1, "message": "x" }, "toUserID": "bob", "ignored": huge,
            }),
        ] {
            let body = encode(encoding, &body);
            let reply = raw(&world, encoding, "send_peer_message", body).await;
            assert_invalid(&reply, "a huge body");
            assert!(reply.payload.len() < 10_000, "the refusal repeats the body");
        }
    }
    assert_eq!(world.store.writes().await, writes);
    let world = World::with(&[("PEERD__LIMITS__BODY_BYTES", "40000")]).await;
    world.login(&["alice"]).await;
    let padded = |size: usize| json!({ "ignored": "x".repeat(size) });
    world.ok("alice", "heartbeat", padded(39_000)).await;
    let refused = world.refused("alice", "heartbeat", padded(40_001)).await;
    assert_eq!(refused.0, INVALID);
}

#[tokio::test]
async fn twenty_thousand_bad_calls_leave_nothing_behind() {
    let world = World::of(&["alice", "bob"]).await;
    let writes = world.store.writes().await;
    let tokens = bad_tokens();
    let bodies = broken_bodies();
    let bad_call = |number: usize| {
        let (world, tokens, bodies) = (&world, &tokens, &bodies);
        async move {
            let client = &world.client;
            match number % 10 {
                0..=3 => {
                    let token = &tokens[number % tokens.len()];
                    let reply = client.call_raw(token, "login", None, "{}".into()).await;
                    assert_invalid(&reply, token);
                }
                4 => {
                    let stranger = format!("stranger{}", number / 10);
                    let reply = client.call(&stranger, "heartbeat", json!({})).await;
                    assert_eq!(reply.code, Some(NOT_LOGGED_IN));
                }
                5 => {
                    let method = format!("no_such_{number}");
                    let reply = client.call("alice", &method, json!({})).await;
                    assert_eq!(reply.err(), (INVALID, "unknown_method".to_owned()));
                }
                6 => {
                    let body = text_to("bob", &" ".repeat(number));
                    let reply = client.call("alice", "send_peer_message", body).await;
                    assert_invalid(&reply, "a blank text");
                }
                _ => {
                    let (what, encoding, body) = &bodies[number % bodies.len()];
                    let method = "send_peer_message";
                    let reply = raw(world, *encoding, method, body.clone()).await;
                    assert_invalid(&reply, what);
                }
            }
        }
    };
    let run = async |numbers: std::ops::Range<usize>| {
        stream::iter(numbers).map(bad_call).buffer_unordered(32).collect::<Vec<()>>().await;
    };
    run(0..2_000).await;
    let before = world.peerd.rss_bytes();
    run(2_000..22_000).await;
    let after = world.peerd.rss_bytes();
    assert!(after < before + (32 << 20), "resident memory grew from {before} to {after} bytes");
    assert_eq!(world.store.writes().await, writes);
    let sent = world.send("alice", "bob", "still here").await;
    assert_eq!(sent["messageSeq"], 1);
}
