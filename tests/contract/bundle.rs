//! `events.bundle`: all events of one change of one user in one message.

use async_nats::{Message, Subscriber};
use futures::StreamExt as _;
use serde_json::{Value, json};

use super::payload::{Config, world_of};
use super::world::{CHANGED, RECEIVED, TOTAL, World, keys, number, text_to};
use crate::support::{Encoding, decode};

const BUNDLE: (&str, &str) = ("PEERD__EVENTS__BUNDLE", "true");

/// All events of a user, as they come.
async fn subscribe(world: &World, user: &str) -> Subscriber {
    let subscriber = world.client.nats().subscribe(format!("peer.event.{user}.>")).await.unwrap();
    world.client.round_trip().await;
    subscriber
}

/// The name in the subject of the next message, and its body.
async fn next(subscriber: &mut Subscriber) -> (String, Value) {
    let Message { subject, payload, headers, .. } = subscriber.next().await.unwrap();
    let encoding = Encoding::of_headers(headers.as_ref()).unwrap();
    (subject.rsplit('.').next().unwrap().to_owned(), decode(encoding, &payload))
}

/// The names of the events in a bundle, which have no revision of their own.
fn names(bundle: &Value) -> Vec<&str> {
    assert_eq!(keys(bundle), ["events", "previousRevision", "revision"]);
    assert!(number(bundle, "revision") > number(bundle, "previousRevision"));
    let name = |event| {
        assert_eq!(keys(event), ["body", "event"]);
        assert!(event["body"].get("revision").is_none(), "{event}");
        assert!(event["body"].get("previousRevision").is_none(), "{event}");
        event["event"].as_str().unwrap()
    };
    bundle["events"].as_array().unwrap().iter().map(name).collect()
}

#[tokio::test]
async fn all_events_of_a_change_come_in_one_message_in_order() {
    for encoding in ["json", "msgpack"] {
        let world = World::with(&[BUNDLE, ("PEERD__EVENTS__ENCODING", encoding)]).await;
        world.login(&["alice"]).await;
        let (mut of_bob, mut of_alice) =
            (subscribe(&world, "bob").await, subscribe(&world, "alice").await);
        // The client of these tests takes bundles apart.
        let mut events = world.events("bob").await;
        for text in ["one", "two"] {
            world.send("alice", "bob", text).await;
            let (name, received) = next(&mut of_bob).await;
            assert_eq!(name, "bundle");
            assert_eq!(names(&received), [RECEIVED, CHANGED, TOTAL]);
            let apart = events.expect(&[RECEIVED, CHANGED, TOTAL]).await;
            for (event, apart) in received["events"].as_array().unwrap().iter().zip(&apart) {
                let mut body = event["body"].clone();
                for field in ["revision", "previousRevision"] {
                    body[field] = received[field].clone();
                }
                assert_eq!(body, apart.body);
            }
            assert_eq!(received["events"][0]["body"]["messageList"][0]["message"], text);
            let (name, sent) = next(&mut of_alice).await;
            assert_eq!((&*name, names(&sent)), ("bundle", vec![CHANGED]));
        }
        let body = json!({ "conversationID": "alice" });
        world.login(&["bob"]).await;
        // The messages that were stored while bob had no session are replayed.
        events.expect(&[RECEIVED]).await;
        let mut of_bob = subscribe(&world, "bob").await;
        world.ok("bob", "clear_conversation_unread_message_count", body).await;
        let (name, cleared) = next(&mut of_bob).await;
        assert_eq!((&*name, names(&cleared)), ("bundle", vec![CHANGED, TOTAL]));
        events.expect(&[CHANGED, TOTAL]).await;
    }
}

#[tokio::test]
async fn live_events_and_the_default_are_not_bundled() {
    let world = World::with(&[BUNDLE]).await;
    world.login(&["alice", "bob"]).await;
    world.send("alice", "bob", "hi").await;
    let mut of_bob = subscribe(&world, "bob").await;
    world.ok("alice", "send_typing", json!({ "conversationID": "bob", "isTyping": true })).await;
    assert_eq!(next(&mut of_bob).await.0, "typing");

    let world = World::of(&["alice", "bob"]).await;
    let mut of_bob = subscribe(&world, "bob").await;
    world.send("alice", "bob", "hi").await;
    for name in [RECEIVED, CHANGED, TOTAL] {
        assert_eq!(next(&mut of_bob).await.0, name);
    }
}

#[tokio::test]
async fn events_that_do_not_fit_into_one_message_come_one_by_one() {
    let envs = [BUNDLE, ("PEERD__LIMITS__TEXT_BYTES", "32768")];
    let config = Config::new("64KB");
    let world = world_of(&config, &envs).await;
    world.login(&["alice", "bob"]).await;
    let mut of_bob = subscribe(&world, "bob").await;
    let mut events = world.events("bob").await;
    // It is shown twice.
    world.ok("alice", "send_peer_message", text_to("bob", &"x".repeat(32_000))).await;
    let mut revisions = Vec::new();
    for name in [RECEIVED, CHANGED, TOTAL] {
        let (seen, body) = next(&mut of_bob).await;
        assert_eq!(seen, name);
        revisions.push((number(&body, "revision"), number(&body, "previousRevision")));
    }
    assert!(revisions.iter().all(|pair| *pair == revisions[0]), "{revisions:?}");
    events.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    world.send("alice", "bob", "small").await;
    assert_eq!(next(&mut of_bob).await.0, "bundle");
}
