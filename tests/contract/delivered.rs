//! Delivered receipts: the sender sees which messages were handed to the receiver, if the deployment
//! turns that on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{FAST, World, number, of};
use crate::support::{Encoding, Event, Events, Peerd, Writes, login};

const ON: (&str, &str) = ("PEERD__RECEIPTS__DELIVERED", "true");
const CHANGED: &str = "message_receipt_changed";
const CONFIRMED: &str = "conversation_message_receipt_changed";
const INFOS: &str = "query_message_receipts_info";

const DELIVERED: u64 = 5;
const PATIENCE: Duration = Duration::from_secs(20);

async fn on(users: &[&str]) -> World {
    let world = World::with(&[ON, FAST]).await;
    world.login(users).await;
    world
}

/// Sends a text that requests a receipt.
async fn send(world: &World, from: &str, to: &str, text: &str) -> Value {
    let body = json!({
        "toUserID": to, "message": { "type": 1, "message": text },
        "config": { "hasReceipt": true },
    });
    world.ok(from, "send_peer_message", body).await["message"].clone()
}

/// The next event about receipts. Others are skipped.
async fn next(events: &mut Events) -> Event {
    loop {
        let event = events.next().await;
        if [CHANGED, CONFIRMED].contains(&event.name.as_str()) {
            return event;
        }
    }
}

/// Events about receipts among those that have arrived.
async fn about_receipts(events: &mut Events) -> Vec<Event> {
    let all = events.drain().await.into_iter();
    all.filter(|event| [CHANGED, CONFIRMED].contains(&event.name.as_str())).collect()
}

fn info(message: &Value, other: &str, status: u64, own: bool) -> Value {
    json!({
        "status": status,
        "messageID": message["messageID"],
        "conversationID": other,
        "conversationType": 0,
        "readMemberCount": u8::from(own && status == 2),
        "unreadMemberCount": u8::from(own && status != 2),
        "deliveredMemberCount": u8::from(own && status == DELIVERED),
        "isSelfOperated": false,
        "readTime": 0,
    })
}

/// The event to the sender of these messages.
#[track_caller]
fn assert_delivered(event: &Event, messages: &[&Value], other: &str) {
    let infos: Vec<Value> =
        messages.iter().map(|message| info(message, other, DELIVERED, true)).collect();
    assert_eq!((event.name.as_str(), &event.body["infos"]), (CHANGED, &json!(infos)));
    assert!(number(&event.body, "revision") > number(&event.body, "previousRevision"));
}

async fn statuses(world: &World, user: &str, other: &str) -> Vec<u64> {
    let history = world.history(user, other).await;
    history.iter().map(|message| number(message, "receiptStatus")).collect()
}

/// The writes into the logs and the state streams.
async fn written_since(world: &World, before: Writes) -> (u64, u64) {
    let now = world.store.writes().await;
    (now.log - before.log, now.state - before.state)
}

async fn query(world: &World, user: &str, other: &str, message: &Value) -> Value {
    let mut body = of(other);
    body["messageList"] = json!([{ "messageID": message["messageID"] }]);
    world.ok(user, INFOS, body).await["infos"].clone()
}

#[tokio::test]
async fn it_is_off_by_default_and_then_costs_nothing() {
    let world = World::of(&["alice", "bob"]).await;
    world.send("alice", "bob", "first contact").await;
    let mut of_alice = world.events("alice").await;
    let writes = world.store.writes().await;
    for text in ["one", "two"] {
        send(&world, "alice", "bob", text).await;
    }
    assert!(about_receipts(&mut of_alice).await.is_empty());
    assert_eq!(statuses(&world, "alice", "bob").await, [0, 1, 1]);
    assert_eq!(written_since(&world, writes).await, (2, 0));
}

#[tokio::test]
async fn an_online_receiver_has_it_at_once_and_the_sender_sees_that_before_it_is_read() {
    let mut world = on(&["alice", "bob"]).await;
    login(&world.client, "alice").await;
    world.send("alice", "bob", "without a receipt").await;
    let (mut of_alice, mut also_of_alice) =
        (world.events("alice").await, world.events("alice").await);
    let mut of_bob = world.events("bob").await;
    let writes = world.store.writes().await;
    let message = send(&world, "alice", "bob", "one").await;
    assert_eq!(message["receiptStatus"], 1);
    for events in [&mut of_alice, &mut also_of_alice] {
        assert_delivered(&next(events).await, &[&message], "bob");
    }
    assert_eq!(written_since(&world, writes).await, (1, 1), "the message, and one more");
    assert!(about_receipts(&mut of_bob).await.is_empty());
    assert_eq!(statuses(&world, "alice", "bob").await, [0, DELIVERED]);
    assert_eq!(statuses(&world, "bob", "alice").await, [0, 1], "its receiver has not read it");
    let last = world.conversation("alice", "bob").await["lastMessage"].clone();
    assert_eq!(last["receiptStatus"], DELIVERED);
    let infos = query(&world, "alice", "bob", &message).await;
    assert_eq!(infos, json!([info(&message, "bob", DELIVERED, true)]));
    let infos = query(&world, "bob", "alice", &message).await;
    assert_eq!(infos, json!([info(&message, "alice", 1, false)]));

    // It survives a restart, and an edit shows it.
    assert!(world.peerd.terminate().await.success(), "{}", world.peerd.log());
    world.peerd.restart().await;
    assert_eq!(statuses(&world, "alice", "bob").await, [0, DELIVERED]);
    let mut edited = message.clone();
    edited["message"] = json!("one, edited");
    let reply = world.ok("alice", "edit_message", json!({ "message": edited })).await;
    assert_eq!(reply["message"]["receiptStatus"], DELIVERED);

    let mut of_alice = world.events("alice").await;
    world.ok("bob", "send_conversation_message_receipt_read", of("alice")).await;
    let event = next(&mut of_alice).await;
    assert_eq!((event.name.as_str(), &event.body["infos"][0]["status"]), (CONFIRMED, &json!(2)));
    let later = send(&world, "alice", "bob", "two").await;
    assert_delivered(&next(&mut of_alice).await, &[&later], "bob");
    let mut body = of("alice");
    body["messageList"] = json!([{ "messageID": later["messageID"] }]);
    world.ok("bob", "send_message_receipts_read", body).await;
    let event = next(&mut of_alice).await;
    assert_eq!((event.name.as_str(), &event.body["infos"][0]["status"]), (CHANGED, &json!(2)));
    assert_eq!(statuses(&world, "alice", "bob").await, [0, 2, 2]);
    assert!(about_receipts(&mut of_alice).await.is_empty());
}

#[tokio::test]
async fn what_arrived_while_a_user_was_away_is_delivered_at_login_in_one_event() {
    let mut world = on(&["alice", "bob", "carol"]).await;
    world.ok("bob", "logout", json!({})).await;
    let mut of_alice = world.events("alice").await;
    let mut of_carol = world.events("carol").await;
    let one = send(&world, "alice", "bob", "one").await;
    world.send("alice", "bob", "without a receipt").await;
    let two = send(&world, "alice", "bob", "two").await;
    let mut revoked = of("bob");
    revoked["message"] = send(&world, "alice", "bob", "revoked").await;
    world.ok("alice", "revoke_message", revoked).await;
    let also = send(&world, "carol", "bob", "from carol").await;
    assert!(about_receipts(&mut of_alice).await.is_empty());
    // The daemon that logs bob in has seen none of it.
    assert!(world.peerd.terminate().await.success(), "{}", world.peerd.log());
    world.peerd.restart().await;
    assert_eq!(statuses(&world, "alice", "bob").await, [1, 0, 1, 1]);
    let mut of_bob = world.events("bob").await;
    let revision = number(&world.ok("alice", "query_changes", of_revision(0)).await, "revision");
    login(&world.client, "bob").await;
    assert_delivered(&next(&mut of_alice).await, &[&one, &two], "bob");
    assert_delivered(&next(&mut of_carol).await, &[&also], "bob");
    assert!(about_receipts(&mut of_bob).await.is_empty());
    assert_eq!(statuses(&world, "alice", "bob").await[..3], [DELIVERED, 0, DELIVERED]);
    // A client that missed the event catches up.
    let changes = world.ok("alice", "query_changes", of_revision(revision)).await;
    assert_eq!(changes["conversationList"].as_array().unwrap().len(), 1);

    // Another login reports nothing a second time.
    world.peerd.kill9();
    world.peerd.restart().await;
    login(&world.client, "bob").await;
    assert!(about_receipts(&mut of_alice).await.is_empty());
}

fn of_revision(revision: u64) -> Value {
    json!({ "revision": revision })
}

#[tokio::test]
async fn whoever_hides_or_blocks_is_not_shown_as_reached() {
    let world = on(&["alice", "bob"]).await;
    world.send("alice", "bob", "hello").await;
    let mut of_alice = world.events("alice").await;
    let privacy = |field: &str, on: bool| json!({ (field): on });
    let mut sent = Vec::new();
    for (hider, field) in
        [("alice", "hideReadReceipts"), ("bob", "hideReadReceipts"), ("bob", "hideOnlineStatus")]
    {
        world.ok(hider, "update_user_privacy", privacy(field, true)).await;
        sent.push(send(&world, "alice", "bob", field).await);
        assert!(about_receipts(&mut of_alice).await.is_empty(), "{hider} {field}");
        world.ok(hider, "update_user_privacy", privacy(field, false)).await;
    }
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    sent.push(send(&world, "alice", "bob", "blocked").await);
    assert!(about_receipts(&mut of_alice).await.is_empty());
    world.ok("alice", "remove_users_from_blacklist", json!({ "userIDs": ["bob"] })).await;
    // One whom bob blocks after sending learns nothing when bob comes back.
    world.ok("bob", "add_users_to_blacklist", json!({ "userIDs": ["alice"] })).await;
    world.ok("bob", "logout", json!({})).await;
    login(&world.client, "bob").await;
    assert!(about_receipts(&mut of_alice).await.is_empty());
    assert_eq!(statuses(&world, "alice", "bob").await, [0, 1, 1, 1, 1]);
    world.ok("bob", "remove_users_from_blacklist", json!({ "userIDs": ["alice"] })).await;
    // The position covers the earlier ones; the event names what arrived now.
    let last = send(&world, "alice", "bob", "last").await;
    assert_delivered(&next(&mut of_alice).await, &[&last], "bob");
    assert_eq!(statuses(&world, "alice", "bob").await, [0, 5, 5, 5, 5, 5]);
}

#[tokio::test]
async fn it_works_in_both_encodings_and_over_three_instances() {
    let users = ["alice", "bob", "carol", "dave"];
    let mut world = on(&users).await;
    let mut second = Peerd::start_with(&world.nats.url(), &[ON, FAST]).await;
    let mut third = Peerd::start_with(&world.nats.url(), &[ON, FAST]).await;
    for (index, author) in users.iter().enumerate() {
        for reader in users.iter().filter(|reader| *reader != author) {
            let encoding = Encoding::BOTH[index % 2];
            let mut of_author = world.events(author).await;
            let body = json!({
                "toUserID": reader, "message": { "type": 1, "message": "hello" },
                "config": { "hasReceipt": true },
            });
            let sent = world.client.call_as(encoding, author, "send_peer_message", body).await;
            let message = sent.ok()["message"].clone();
            assert_delivered(&next(&mut of_author).await, &[&message], reader);
            let last = world.conversation(author, reader).await["lastMessage"].clone();
            assert_eq!(last["receiptStatus"], DELIVERED);
        }
    }
    // An instance dies with a message that it has published, perhaps without reporting it: the next
    // owner reports it after the receiver's next call.
    let mut of_author = world.events("alice").await;
    let message = send(&world, "alice", "dave", "before a death").await;
    second.kill9();
    third.kill9();
    let began = Instant::now();
    // A call that a dead instance has taken in is not answered.
    let heartbeat = || world.client.try_call("dave", "heartbeat", json!({}));
    while !heartbeat().await.is_ok_and(|reply| reply.code.is_none()) {
        assert!(began.elapsed() < PATIENCE, "nobody takes over");
    }
    let event = tokio::time::timeout(PATIENCE, next(&mut of_author)).await;
    assert_delivered(&event.expect("an event"), &[&message], "dave");
    // The one in between is from dave.
    assert_eq!(statuses(&world, "alice", "dave").await, [DELIVERED, 1, DELIVERED]);
    assert!(world.peerd.terminate().await.success(), "{}", world.peerd.log());
}
