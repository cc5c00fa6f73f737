//! The events of a send on both sides: names, order, bodies, revisions.

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, RECEIVED, TOTAL, World, as_received, keys, now_ms, number};
use crate::support::{Encoding, Event, Events};

/// The body without its revisions.
fn bare(event: &Event) -> Value {
    let mut body = event.body.clone();
    let fields = body.as_object_mut().unwrap();
    assert!(fields.remove("revision").is_some());
    assert!(fields.remove("previousRevision").is_some());
    body
}

/// Asserts that an event is `conversation_changed` for one conversation, and returns that.
fn conversation_of(event: &Event, kind: u8) -> Value {
    let body = bare(event);
    assert_eq!(keys(&body), ["infoList"]);
    let infos = body["infoList"].as_array().unwrap();
    assert_eq!(infos.len(), 1, "{body}");
    assert_eq!(keys(&infos[0]), ["action", "conversation", "event"]);
    assert_eq!(infos[0]["event"], kind, "{body}");
    // Added 0 in both of the SDK's enumerations, Updated 1 in the one and 2 in the other.
    assert_eq!(infos[0]["action"], if kind == 0 { 0 } else { 2 }, "{body}");
    infos[0]["conversation"].clone()
}

/// A conversation without its order key and read mark.
fn conversation(other: &str, status: u8, unread: u64, last: &Value) -> Value {
    json!({
        "conversationID": other, "conversationName": "", "type": 0,
        "notificationStatus": status, "unreadMessageCount": unread, "lastMessage": last,
        "isPinned": false, "pinnedTime": 0, "draft": "", "mentionedInfoList": [], "marks": [],
    })
}

#[track_caller]
fn assert_conversation(found: &Value, expected: &Value) {
    let mut found = found.clone();
    let fields = found.as_object_mut().unwrap();
    assert!(fields.remove("orderKey").unwrap().is_u64());
    assert!(fields.remove("readMessageSeq").unwrap().is_u64());
    // The name of a user without one is not specified.
    assert!(fields.remove("conversationName").unwrap().is_string());
    let mut expected = expected.clone();
    expected.as_object_mut().unwrap().remove("conversationName");
    assert_eq!(found, expected);
}

fn total(unread: u64, with_muted: u64) -> Value {
    json!({
        "totalUnreadMessageCount": unread, "totalUnreadMessageCountIncludingMuted": with_muted,
    })
}

/// Asserts that the three events of one change have the same revision, above that of the change
/// before.
fn assert_one_change(events: &[Event]) {
    let revisions: Vec<_> = events.iter().map(|event| number(&event.body, "revision")).collect();
    assert!(revisions.iter().all(|one| *one == revisions[0]), "{revisions:?}");
}

async fn expect_message(
    events: &mut Events,
    sent: &Value,
    kind: u8,
    unread: u64,
    status: u8,
    expect_total: Option<Value>,
) {
    let received = as_received(sent);
    let names: &[&str] =
        if expect_total.is_some() { &[RECEIVED, CHANGED, TOTAL] } else { &[RECEIVED, CHANGED] };
    let published = events.expect(names).await;
    assert_one_change(&published);
    let sender = received["senderUserID"].as_str().unwrap();
    assert_eq!(
        bare(&published[0]),
        json!({
            "messageList": [received], "fromConversationID": sender,
            "info": { "isOfflineMessage": false },
        })
    );
    assert_conversation(
        &conversation_of(&published[1], kind),
        &conversation(sender, status, unread, &received),
    );
    if let Some(expected) = expect_total {
        assert_eq!(bare(&published[2]), expected);
    }
}

#[tokio::test]
async fn both_sides_get_all_events_in_order() {
    let world = World::of(&["alice", "bob"]).await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    for (position, kind) in [(1, 0), (2, 1), (3, 1)] {
        let sent = world.send("alice", "bob", &format!("m{position}")).await;
        let expected = Some(total(position, position));
        expect_message(&mut of_bob, &sent, kind, position, 1, expected).await;
        let published = of_alice.expect(&[CHANGED]).await;
        let changed = conversation_of(&published[0], kind);
        assert_conversation(&changed, &conversation("bob", 1, 0, &sent));
        assert_eq!(changed, world.conversation("alice", "bob").await);
    }
    // The answer: the conversation exists already, on both sides.
    let sent = world.send("bob", "alice", "answer").await;
    expect_message(&mut of_alice, &sent, 1, 1, 1, Some(total(1, 1))).await;
    let published = of_bob.expect(&[CHANGED]).await;
    let changed = conversation_of(&published[0], 1);
    assert_eq!(changed["lastMessage"], sent);
    assert_eq!(changed["unreadMessageCount"], 3, "answering reads nothing");
    // A message stored in the millisecond in which a user was last seen is replayed.
    let answered_ms = now_ms();
    while now_ms() == answered_ms {
        tokio::task::yield_now().await;
    }
    // The reply of a query has the revision of its content.
    for (user, events) in [("alice", &of_alice), ("bob", &of_bob)] {
        for method in ["query_conversation_total_unread_message_count", "login"] {
            let reply = world.ok(user, method, json!({})).await;
            assert_eq!(reply["revision"].as_u64(), events.revision(), "{method}");
        }
    }
    of_alice.none().await;
    of_bob.none().await;
}

#[tokio::test]
async fn a_muted_conversation_counts_but_does_not_move_the_total() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    world.set_status("bob", "alice", 2).await;
    let mut of_bob = world.events("bob").await;
    for (unread, kind) in [(1, 0), (2, 1)] {
        let sent = world.send("alice", "bob", "quiet").await;
        expect_message(&mut of_bob, &sent, kind, unread, 2, None).await;
        assert_eq!(world.totals("bob").await, (0, unread));
    }
    let sent = world.send("carol", "bob", "loud").await;
    expect_message(&mut of_bob, &sent, 0, 1, 1, Some(total(1, 3))).await;
    of_bob.none().await;
}

#[tokio::test]
async fn a_message_that_does_not_count_is_published_all_the_same() {
    let world = World::of(&["alice", "bob"]).await;
    let mut of_bob = world.events("bob").await;
    let sent = world.send("alice", "bob", "counts").await;
    expect_message(&mut of_bob, &sent, 0, 1, 1, Some(total(1, 1))).await;
    let body = json!({
        "message": { "type": 1, "message": "does not" }, "toUserID": "bob",
        "config": { "disableUnreadMessageCount": true },
    });
    let reply = world.ok("alice", "send_peer_message", body).await;
    let sent = &reply["message"];
    assert_eq!(sent["messageSeq"], 2);
    expect_message(&mut of_bob, sent, 1, 1, 1, Some(total(1, 1))).await;
    let sent = world.send("alice", "bob", "counts").await;
    expect_message(&mut of_bob, &sent, 1, 2, 1, Some(total(2, 2))).await;
    of_bob.none().await;
    assert_eq!(world.totals("bob").await, (2, 2));
}

#[tokio::test]
async fn each_session_of_a_user_receives_what_the_other_does() {
    let world = World::of(&["alice", "alice", "bob"]).await;
    let mut phone = world.events("alice").await;
    let mut desk = world.events("alice").await;
    let sent = world.send("alice", "bob", "from the phone").await;
    for device in [&mut phone, &mut desk] {
        let published = device.expect(&[CHANGED]).await;
        assert_eq!(conversation_of(&published[0], 0)["lastMessage"], sent);
    }
    let answer = world.send("bob", "alice", "to both").await;
    world.clear("alice", "bob").await;
    for device in [&mut phone, &mut desk] {
        expect_message(device, &answer, 1, 1, 1, Some(total(1, 1))).await;
        let published = device.expect(&[CHANGED, TOTAL]).await;
        assert_eq!(conversation_of(&published[0], 1)["unreadMessageCount"], 0);
        assert_eq!(bare(&published[1]), total(0, 0));
        device.none().await;
    }
}

#[tokio::test]
async fn events_without_a_session_come_in_the_configured_encoding_with_its_content_type() {
    for (setting, encoding) in [("json", Encoding::Json), ("msgpack", Encoding::MessagePack)] {
        let world = World::with(&[("PEERD__EVENTS__ENCODING", setting)]).await;
        world.login(&["alice"]).await;
        let mut events = world.events("bob").await;
        let sent = world.send("alice", "bob", "hi").await;
        let published = events.expect(&[RECEIVED, CHANGED, TOTAL]).await;
        for event in &published {
            assert_eq!(Encoding::of_headers(Some(&event.headers)), Some(encoding));
        }
        assert_eq!(bare(&published[0])["messageList"], json!([as_received(&sent)]));
    }
}

#[tokio::test]
async fn concurrent_sends_publish_every_revision_once() {
    let world = World::with(&[FAST]).await;
    let senders = ["alice", "carol", "dave", "erin"];
    world.login(&["bob"]).await;
    world.login(&senders).await;
    let mut of_bob = world.events("bob").await;
    let sends = senders.into_iter().map(|sender| {
        let world = &world;
        async move {
            let mut ids = Vec::new();
            for _ in 0..25 {
                ids.push(world.send(sender, "bob", "x").await["messageID"].clone());
            }
            ids
        }
    });
    let mut sent: Vec<_> = futures::future::join_all(sends).await.concat();
    let published = of_bob.drain().await;
    assert_eq!(published.len(), 300);
    let mut received = Vec::new();
    let mut expected_total = 0;
    for event in &published {
        match event.name.as_str() {
            RECEIVED => received.push(event.body["messageList"][0]["messageID"].clone()),
            TOTAL => {
                expected_total += 1;
                assert_eq!(bare(event), total(expected_total, expected_total));
            }
            _ => assert_eq!(event.name, CHANGED),
        }
    }
    sent.sort_by_key(ToString::to_string);
    received.sort_by_key(ToString::to_string);
    assert_eq!(received, sent);
    assert_eq!(world.totals("bob").await, (100, 100));
}
