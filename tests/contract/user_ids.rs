//! User IDs up to their bound, in subjects, entries and bodies.

use serde_json::{Value, json};

use super::world::{CHANGED, INVALID, RECEIVED, TOTAL, World, as_received, of, texts};
use crate::support::{Encoding, token};

/// A UUID with a prefix, an address, and two of the longest IDs: one of letters, one that is three
/// times as long in subjects.
fn long_ids(bytes: usize) -> [String; 4] {
    [
        "user:123e4567-e89b-42d3-a456-426614174000".to_owned(),
        "a.very.long.name+tag@mail.customers.example.org".to_owned(),
        "x".repeat(bytes),
        ".".repeat(bytes),
    ]
}

/// Uses every method that names a user, also after a restart of peerd.
async fn lives_as(world: &mut World, one: &str, other: &str) {
    world.login(&[one, other]).await;
    let mut events = world.events(other).await;
    let sent = world.send(one, other, "hello").await;
    let published = events.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    assert_eq!(published[0].body["messageList"], json!([as_received(&sent)]));
    assert_eq!(published[1].body["infoList"][0]["conversation"]["conversationID"], one);
    world.ok(other, "add_users_to_blacklist", json!({ "userIDs": [one] })).await;
    let body =
        json!({ "conversationID": one, "messageList": [{ "messageID": sent["messageID"] }] });
    world.ok(other, "delete_messages", body).await;

    world.peerd.kill9();
    world.peerd.restart().await;
    assert_eq!(texts(&world.history(one, other).await), ["hello"]);
    assert_eq!(texts(&world.history(other, one).await), [""; 0]);
    let list = world.conversations(other).await;
    assert!(list.iter().any(|shown| shown["conversationID"] == one), "{list:?}");
    let place = json!({ "conversationID": one, "orderKey": 1 });
    let body = json!({ "config": { "nextConversation": place, "count": 1 } });
    world.ok(other, "query_conversation_list", body).await;
    let check = |body: &Value| body["isUserInBlacklist"].clone();
    let reply = world.ok(other, "check_user_is_in_blacklist", json!({ "userID": one })).await;
    assert_eq!(check(&reply), true);
    world.ok(other, "remove_users_from_blacklist", json!({ "userIDs": [one] })).await;
}

/// Asserts that an ID is refused in every position.
async fn is_refused(world: &World, id: &str) {
    for encoding in Encoding::BOTH {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Content-Type", encoding.content_type());
        let reply = world.client.call_raw(&token(id), "login", Some(headers), "".into()).await;
        assert_eq!(reply.err(), (INVALID, "invalid_parameter".to_owned()));
    }
    let text = json!({ "type": 1, "message": "x" });
    for (method, body, field) in [
        ("send_peer_message", json!({ "toUserID": id, "message": text }), "toUserID"),
        (
            "send_message",
            json!({ "toConversationID": id, "conversationType": 0, "message": text }),
            "toConversationID",
        ),
        ("query_conversation", of(id), "conversationID"),
        ("add_users_to_blacklist", json!({ "userIDs": ["a", id] }), "userIDs[1]"),
        ("check_user_is_in_blacklist", json!({ "userID": id }), "userID"),
        (
            "query_conversation_list",
            json!({ "config": { "count": 1, "nextConversation": { "conversationID": id } } }),
            "config.nextConversation.conversationID",
        ),
    ] {
        world.invalid("alice", method, body, field).await;
    }
}

#[tokio::test]
async fn user_ids_have_up_to_64_bytes() {
    let mut world = World::of(&["alice"]).await;
    let [uuid, address, letters, dots] = long_ids(64);
    lives_as(&mut world, &uuid, &address).await;
    lives_as(&mut world, &letters, &dots).await;
    lives_as(&mut world, &dots, &uuid).await;
    for length in [65, 128, 129] {
        is_refused(&world, &"x".repeat(length)).await;
        is_refused(&world, &".".repeat(length)).await;
    }
}

#[tokio::test]
async fn the_configuration_bounds_user_ids_up_to_128_bytes() {
    let limit = "PEERD__LIMITS__USER_ID_BYTES";
    let mut world = World::with(&[(limit, "128")]).await;
    world.login(&["alice"]).await;
    let [_, address, letters, dots] = long_ids(128);
    lives_as(&mut world, &letters, &dots).await;
    lives_as(&mut world, &dots, &address).await;
    is_refused(&world, &"x".repeat(129)).await;

    let world = World::with(&[(limit, "32")]).await;
    world.login(&["alice"]).await;
    is_refused(&world, &"x".repeat(33)).await;
    world.login(&[&"x".repeat(32)]).await;
}

/// A page of the list reads a record for each of its conversations, and the request to the store
/// names them.
#[tokio::test]
async fn a_page_of_a_thousand_of_the_longest_user_ids_is_whole() {
    let envs = [
        ("PEERD__LIMITS__USER_ID_BYTES", "128"),
        ("PEERD__PARTITIONS", "1"),
        ("PEERD__LIMITS__CALL_DEADLINE_MS", "60000"),
    ];
    let mut world = World::with(&envs).await;
    let names: Vec<String> = (0..1_000).map(|n| format!("{n:04}{}", ".".repeat(124))).collect();
    let me = ".".repeat(128);
    world.login(&[&me]).await;
    for name in &names {
        world.set_status(&me, name, 2).await;
    }
    world.peerd.kill9();
    world.peerd.restart().await;
    let reply =
        world.ok(&me, "query_conversation_list", json!({ "config": { "count": 1_000 } })).await;
    assert_eq!(reply["conversationList"].as_array().unwrap().len(), 1_000);
}
