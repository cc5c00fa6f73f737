//! The sizes: each limit itself is accepted, the next byte is not.

use serde_json::{Value, json};

use super::world::{FAST, World};
use crate::support::{Encoding, bin};

/// Sends one message by alice to bob, in `MessagePack` so that bytes are bytes.
async fn is_accepted(world: &World, message: Value) -> bool {
    let kind = message["type"].clone();
    let body = json!({ "message": message, "toUserID": "bob" });
    let reply =
        world.client.call_as(Encoding::MessagePack, "alice", "send_peer_message", body).await;
    match reply.code {
        None => true,
        Some(6_000_001) => false,
        Some(code) => panic!("type {kind} answered {code}: {}", reply.body),
    }
}

#[tokio::test]
async fn each_limit_is_accepted_and_one_more_is_not() {
    let world = World::with(&[FAST, ("PEERD__LIMITS__COMMANDS_PER_SECOND", "1000")]).await;
    world.login(&["alice", "bob"]).await;
    let text = |text: String| json!({ "type": 1, "message": text });
    let custom = |field: &str, value: Value| {
        let mut message = json!({ "type": 200, "message": "x" });
        message[field] = value;
        message
    };
    let with = |field: &str, value: String| {
        let mut message = text("x".to_owned());
        message[field] = json!(value);
        message
    };
    let command = |size: usize| json!({ "type": 2, "message": bin(&vec![7; size]) });
    let x = |count: usize| "x".repeat(count);
    for (what, fits, too_much) in [
        ("text", text(x(2_048)), text(x(2_049))),
        ("text in UTF-8 bytes", text("é".repeat(1_024)), text("é".repeat(1_025))),
        ("custom", custom("message", json!(x(2_048))), custom("message", json!(x(2_049)))),
        ("subType", custom("subType", json!(200)), custom("subType", json!(201))),
        ("subType from below", custom("subType", json!(0)), custom("subType", json!(-1))),
        (
            "searchedContent",
            custom("searchedContent", json!(x(64))),
            custom("searchedContent", json!(x(65))),
        ),
        ("command", command(5_120), command(5_121)),
        ("extendedData", with("extendedData", x(1_024)), with("extendedData", x(1_025))),
        ("localMessageID", with("localMessageID", x(64)), with("localMessageID", x(65))),
        (
            "localMessageID, printable",
            with("localMessageID", "l ~".to_owned()),
            with("localMessageID", "l\u{7}".to_owned()),
        ),
    ] {
        assert!(is_accepted(&world, fits).await, "{what} at the limit");
        let writes = world.store.writes().await;
        assert!(!is_accepted(&world, too_much).await, "{what} above it");
        assert_eq!(world.store.writes().await, writes, "{what} above it");
    }
}

#[tokio::test]
async fn media_multiple_and_combine_have_their_bounds() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let x = |count: usize| "x".repeat(count);
    let image = |size: usize| {
        json!({
            "type": 11, "fileDownloadUrl": x(size), "fileName": "f", "fileSize": 1, "fileUID": "u",
        })
    };
    let combine = |size: usize| {
        json!({
            "type": 100, "title": "t", "summary": x(size),
            "messageList": [{ "type": 1, "message": "one" }],
        })
    };
    let multiple = |count: usize| {
        let infos = vec![json!({ "type": 1, "message": x(2_000) }); count];
        json!({ "type": 10, "messageInfoList": infos })
    };
    // Field names and framing are not content, and their size is not specified: tested well below
    // and just above.
    for (fits, too_much) in [
        (image(1_500), image(2_049)),
        (combine(30_000), combine(32_769)),
        (multiple(15), multiple(17)),
    ] {
        assert!(is_accepted(&world, fits.clone()).await, "{}", fits["type"]);
        let writes = world.store.writes().await;
        let kind = &too_much["type"];
        assert!(!is_accepted(&world, too_much.clone()).await, "{kind}");
        assert_eq!(world.store.writes().await, writes);
    }
}

#[tokio::test]
async fn the_limit_of_texts_can_be_set_up_to_32_kilobytes() {
    let world = World::with(&[("PEERD__LIMITS__TEXT_BYTES", "32768")]).await;
    world.login(&["alice", "bob"]).await;
    let text = |count: usize| json!({ "type": 1, "message": "x".repeat(count) });
    assert!(is_accepted(&world, text(32_768)).await);
    assert!(!is_accepted(&world, text(32_769)).await);
    let history = world.history("bob", "alice").await;
    assert_eq!(history[0]["message"].as_str().map(str::len), Some(32_768));
}
