//! Texts for people, and texts of errors.

use async_nats::HeaderMap;
use bytes::Bytes;
use serde_json::json;

use super::world::{FAST, INVALID, World};
use crate::support::Encoding;

/// A message to bob.
fn to_bob(message: &serde_json::Value) -> serde_json::Value {
    json!({ "message": message, "toUserID": "bob" })
}

#[tokio::test]
async fn names_and_titles_keep_to_their_line() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let text = json!({ "type": 1, "message": "x" });
    let combine = |field: &str, value: &str| {
        let mut excerpt = text.clone();
        excerpt[field] = json!(value);
        to_bob(&json!({ "type": 100, "messageList": [excerpt] }))
    };
    let push = |field: &str, value: &str| {
        let mut body = to_bob(&text);
        body["config"] = json!({ "pushConfig": { field: value } });
        body
    };
    let bad = ["a\0b", "a\nb", "\r", "\t", "a\u{1b}[31m", "\u{7f}", "\u{85}", "a\u{2028}b"];
    let bidi = ["\u{202e}gpj.exe", "a\u{202a}b", "\u{2066}a", "a\u{2069}"];
    for value in bad.into_iter().chain(bidi) {
        for (method, body, field) in [
            ("login", json!({ "userName": value }), "userName"),
            ("login", json!({ "platform": value }), "platform"),
            ("login", json!({ "deviceID": value }), "deviceID"),
            (
                "send_peer_message",
                to_bob(&json!({ "type": 1, "message": "x", "localMessageID": value })),
                "message.localMessageID",
            ),
            (
                "send_peer_message",
                to_bob(&json!({ "type": 12, "fileDownloadUrl": "u", "fileName": value })),
                "message.fileName",
            ),
            (
                "send_peer_message",
                to_bob(&json!({ "type": 100, "title": value, "messageList": [text] })),
                "message.title",
            ),
            (
                "send_peer_message",
                combine("senderUserID", value),
                "message.messageList[0].senderUserID",
            ),
            ("send_peer_message", combine("messageID", value), "message.messageList[0].messageID"),
            ("send_peer_message", push("title", value), "config.pushConfig.title"),
            ("send_peer_message", push("threadID", value), "config.pushConfig.threadID"),
        ] {
            world.invalid("alice", method, body, field).await;
        }
    }
    for name in ["\u{200f}שלום\u{200e}", "می\u{200c}خواهم", "👩\u{200d}👧 ❤\u{fe0f}", "Zoë 名前"]
    {
        world.ok("alice", "login", json!({ "userName": name, "platform": name })).await;
        world.send("alice", "bob", "x").await;
        assert_eq!(world.conversation("bob", "alice").await["conversationName"], name);
        let file = json!({ "type": 12, "fileDownloadUrl": "u", "fileName": name });
        world.ok("alice", "send_peer_message", to_bob(&file)).await;
    }
}

#[tokio::test]
async fn texts_say_what_they_like_as_long_as_something_shows() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    for blank in [
        "",
        " \t\r\n\u{3000}\u{85}\u{2028}",
        "\u{200b}",
        "\u{feff}\u{200d}\u{2060}",
        "\u{ad}\u{200e}\u{202e}\u{2066}",
        "\u{115f}\u{1160}\u{3164}\u{ffa0}",
        "\u{2800}",
        "\u{fe0f}\u{e0100}",
    ] {
        for kind in [1, 200] {
            let message = to_bob(&json!({ "type": kind, "message": blank }));
            world.invalid("alice", "send_peer_message", message, "message.message").await;
        }
        let inner = json!({ "type": 100, "messageList": [{ "type": 1, "message": blank }] });
        let field = "message.messageList[0].message";
        world.invalid("alice", "send_peer_message", to_bob(&inner), field).await;
        if !blank.is_empty() {
            world.invalid("alice", "login", json!({ "userName": blank }), "userName").await;
        }
    }
    for shown in [
        "👩\u{200d}👩\u{200d}👧",
        "\u{200f}שלום\u{202e}abc\u{202c}",
        "a\0b\u{1}",
        "\u{1}",
        "line\nline\u{2028}line",
        "\u{301}",
        "❤\u{fe0f}",
    ] {
        world.send("alice", "bob", shown).await;
        let summary = json!({
            "type": 100, "summary": shown, "messageList": [{ "type": 1, "message": shown }],
            "extendedData": shown,
        });
        world.ok("alice", "send_peer_message", to_bob(&summary)).await;
        let page = world.history("bob", "alice").await;
        let [.., text, combine] = &page[..] else { panic!("two messages") };
        assert_eq!(text["message"], shown);
        assert_eq!((&combine["summary"], &combine["extendedData"]), (&json!(shown), &json!(shown)));
    }
}

#[tokio::test]
async fn the_error_of_an_unreadable_body_names_reason_and_place() {
    use Encoding::{Json, MessagePack};
    let world = World::of(&["alice"]).await;
    let many = format!("[{}1]", "1,".repeat(20_000));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(30), "]".repeat(30));
    for (encoding, body, why) in [
        (Json, &br#"{"config":{},"config":{}}"#[..], "has the field config twice in one object"),
        (Json, b"{} []", "has bytes after its end (line 1, column 4)"),
        (Json, b"{\"a\":[1,", "ends before its value does"),
        (Json, b"{\"a\":\"\xff\"}", "has text that is not UTF-8 (byte 6)"),
        (Json, b"{\"a\":NaN}", "it has no NaN and no Infinity"),
        (Json, b"{\"a\":-Infinity}", "it has no NaN and no Infinity"),
        (Json, b"{a:1}", "is not valid JSON: key must be a string (line 1, column 2)"),
        (Json, many.as_bytes(), "has more than 20000 values"),
        (Json, deep.as_bytes(), "is nested more than 24 levels deep"),
        (MessagePack, b"\x82\xa1a\x01\xa1a\x02", "has the field a twice in one object (byte 1)"),
        (MessagePack, b"\x81\xc4\x01a\x01", "has a field name that is not text (byte 1)"),
        (MessagePack, b"\x81\x01\x01", "has a field name that is not text (byte 1)"),
        (MessagePack, b"\x81\xa1a\xd4\x01\x00", "has a MessagePack extension type (byte 3)"),
        (MessagePack, b"\x80\x80", "has bytes after its end (byte 1)"),
        (MessagePack, b"\x81\xa1a\xda\xff\xffx", "ends before its value does"),
        (MessagePack, b"\x81\xa1a\xa1\xff", "has text that is not UTF-8 (byte 4)"),
        (MessagePack, &[0x91; 30], "is nested more than 24 levels deep"),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert("Content-Type", encoding.content_type());
        let body = Bytes::copy_from_slice(body);
        let reply = world.client.call_raw("alice", "heartbeat", Some(headers), body).await;
        assert_eq!(reply.code, Some(INVALID), "{why}: {}", reply.body);
        assert!(
            reply.message().starts_with("body ") && reply.message().contains(why),
            "{}",
            reply.body
        );
    }
    for (method, text) in [
        ("sendPeerMessage", "sendPeerMessage; it is written send_peer_message"),
        ("QueryHistoryMessage", "QueryHistoryMessage; it is written query_history_message"),
        ("queryNothing", "queryNothing; methods are written in snake_case"),
        ("no_such_method", "as no_such_method"),
    ] {
        let reply = world.call("alice", method, json!({})).await;
        assert_eq!(reply.err(), (INVALID, "unknown_method".to_owned()));
        assert!(reply.message().ends_with(text), "{}", reply.body);
    }
}
