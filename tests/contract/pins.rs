//! Pinned messages: both users of a conversation see the same ones.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, INVALID, RATE_LIMITED, World, number, string};
use crate::support::{Encoding, Event, Events, Peerd};

const PIN: &str = "pin_message";
const LIST: &str = "query_pinned_message_list";
const PINNED: &str = "message_pin_status_changed";
const NOT_PINNED: i64 = 6_000_208;
const REVOKED: i64 = 6_000_279;
const BLOCKED: i64 = 6_000_284;
const TOO_MANY: i64 = 6_000_287;
const NOT_LOGGED_IN: i64 = 6_000_121;
const MOST: usize = 10;

const UNLIMITED: (&str, &str) = ("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "100000");

fn body(other: &str, message: &Value, is_pinned: bool) -> Value {
    json!({
        "message": {
            "messageID": message["messageID"], "conversationID": other, "conversationType": 0,
        },
        "isPinned": is_pinned,
    })
}

fn strictly(other: &str, message: &Value) -> Value {
    let mut body = body(other, message, true);
    body["config"] = json!({ "disableAutoReplace": true });
    body
}

async fn world() -> World {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    world
}

/// The texts of the pinned messages as a user reads them, each with the user who pinned it.
async fn pins(world: &World, user: &str, other: &str) -> Vec<(String, String)> {
    let list = json!({ "conversationID": other, "conversationType": 0 });
    let reply = world.ok(user, LIST, list).await;
    let list = reply["messageList"].as_array().unwrap().clone();
    let times: Vec<u64> = list.iter().map(|message| number(message, "pinnedTime")).collect();
    assert!(times.is_sorted_by(|one, next| one > next), "the last pinned first: {times:?}");
    // A history shows the same.
    let history = world.history(user, other).await;
    let pinned = history.iter().filter(|message| message.get("pinnedTime").is_some());
    let id = |message: &Value| string(message, "messageID").to_owned();
    let of_history: BTreeSet<String> = pinned.map(id).collect();
    assert_eq!(list.iter().map(id).collect::<BTreeSet<_>>(), of_history);
    let one = |message: &Value| {
        (string(message, "message").to_owned(), string(message, "pinnedUserID").to_owned())
    };
    list.iter().map(one).collect()
}

async fn assert_pins(world: &World, expected: &[(&str, &str)]) {
    let expected: Vec<_> =
        expected.iter().map(|(text, by)| ((*text).to_owned(), (*by).to_owned())).collect();
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        assert_eq!(pins(world, user, other).await, expected, "{user}");
    }
}

/// The changes in an event: status, text, and the user who pinned the message.
#[track_caller]
fn changes(event: &Event) -> Vec<(u64, &str, &str)> {
    event.body["infos"].as_array().unwrap().iter().map(change).collect()
}

fn change(info: &Value) -> (u64, &str, &str) {
    let message = &info["message"];
    let by = message["pinnedUserID"].as_str().unwrap_or_default();
    assert_eq!(by.is_empty(), message.get("pinnedTime").is_none(), "{message}");
    (number(info, "pinStatus"), string(message, "message"), by)
}

/// The next event with this name.
async fn until(events: &mut Events, name: &str) -> Event {
    loop {
        let event = events.next().await;
        if event.name == name {
            return event;
        }
    }
}

/// `alice` keeps the list, `bob` does not; both directions, both callers.
#[tokio::test]
async fn both_users_pin_and_unpin_and_see_the_same() {
    let mut world = world().await;
    let first = world.send("alice", "bob", "first").await;
    let last = world.send("bob", "alice", "last").await;
    let mut of_alice = world.events("alice").await;
    // Two sessions of one user share the events.
    let (mut of_bob, mut also_of_bob) = (world.events("bob").await, world.events("bob").await);
    let mut revisions = Vec::new();
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        assert_eq!(world.ok(user, PIN, body(other, &last, true)).await, json!({}));
        let status = if user == "alice" { 1 } else { 2 };
        for events in [&mut of_alice, &mut of_bob, &mut also_of_bob] {
            let events = events.expect(&[PINNED, CHANGED]).await;
            assert_eq!(changes(&events[0]), [(status, "last", user)]);
            let conversation = &events[1].body["infoList"][0]["conversation"];
            assert_eq!(conversation["lastMessage"]["pinnedUserID"], user);
            assert_eq!(events[0].body["revision"], events[1].body["revision"]);
            revisions.push(number(&events[0].body, "revision"));
        }
        // It is not the last message.
        world.ok(user, PIN, body(other, &first, true)).await;
        for events in [&mut of_alice, &mut of_bob, &mut also_of_bob] {
            let events = events.expect(&[PINNED]).await;
            assert_eq!(changes(&events[0]), [(status, "first", user)]);
        }
        assert_pins(&world, &[("first", user), ("last", user)]).await;
    }
    assert!(revisions[0] < revisions[3] && revisions[1] < revisions[4], "{revisions:?}");
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let shown = world.conversation(user, other).await;
        assert_eq!(shown["lastMessage"], world.history(user, other).await[1]);
        assert_eq!(shown["lastMessage"]["pinnedUserID"], "bob");
        // Pins change no count.
        assert_eq!(world.totals(user).await, (1, 1));
    }
    world.ok("alice", PIN, body("bob", &last, false)).await;
    for events in [&mut of_alice, &mut of_bob] {
        let events = events.expect(&[PINNED, CHANGED]).await;
        assert_eq!(changes(&events[0]), [(0, "last", "")]);
        let conversation = &events[1].body["infoList"][0]["conversation"];
        assert_eq!(conversation["lastMessage"].get("pinnedTime"), None);
    }
    let refused = world.refused("bob", PIN, body("alice", &last, false)).await;
    assert_eq!(refused, (NOT_PINNED, "not_pinned".to_owned()));
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
    world.peerd.restart().await;
    assert_pins(&world, &[("first", "bob")]).await;
    world.ok("bob", PIN, body("alice", &first, false)).await;
    assert_pins(&world, &[]).await;
}

#[tokio::test]
async fn one_too_many_replaces_the_oldest_unless_that_is_disabled() {
    let world = world().await;
    let mut sent = Vec::new();
    for index in 0..MOST + 4 {
        let (from, to) = if index % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
        sent.push(world.send(from, to, &format!("m{index}")).await);
    }
    for message in &sent[..MOST] {
        world.ok("bob", PIN, strictly("alice", message)).await;
    }
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let refused = world.refused(user, PIN, strictly(other, &sent[MOST])).await;
        assert_eq!(refused, (TOO_MANY, "too_many_pinned_messages".to_owned()));
        // One that is pinned is not one more.
        world.ok(user, PIN, strictly(other, &sent[9])).await;
        for events in [&mut of_alice, &mut of_bob] {
            assert_eq!(changes(&events.expect(&[PINNED]).await[0]), [(2, "m9", user)]);
        }
    }
    for (index, (user, other)) in [("alice", "bob"), ("bob", "alice")].into_iter().enumerate() {
        world.ok(user, PIN, body(other, &sent[MOST + index], true)).await;
        let (new, old) = (format!("m{}", MOST + index), format!("m{index}"));
        for events in [&mut of_alice, &mut of_bob] {
            let events = events.expect(&[PINNED]).await;
            assert_eq!(changes(&events[0]), [(1, new.as_str(), user), (0, old.as_str(), "")]);
        }
    }
    // Revoked messages have lost their pins, without an event of their own, and make room first.
    world.ok("alice", "revoke_message", json!({ "message": sent[4] })).await;
    let expected = ["m11", "m10", "m9", "m8", "m7", "m6", "m5", "m3", "m2"];
    let texts = |pins: Vec<(String, String)>| pins.into_iter().map(|(text, _)| text);
    assert!(texts(pins(&world, "alice", "bob").await).eq(expected));
    assert!(texts(pins(&world, "bob", "alice").await).eq(expected));
    assert!(of_alice.drain().await.iter().all(|event| event.name != PINNED));
    of_bob.drain().await;
    world.ok("bob", PIN, strictly("alice", &sent[12])).await;
    assert_eq!(changes(&of_bob.expect(&[PINNED]).await[0]), [(1, "m12", "bob")]);
    assert_eq!(pins(&world, "alice", "bob").await.len(), MOST);
}

#[tokio::test]
async fn a_message_that_a_user_deleted_is_pinned_for_the_other_only() {
    let world = world().await;
    let message = world.send("alice", "bob", "hello").await;
    world.send("alice", "bob", "and more").await;
    world.ok("bob", PIN, body("alice", &message, true)).await;
    let named = json!([{ "messageID": message["messageID"] }]);
    let deleted = json!({ "conversationID": "alice", "messageList": named });
    world.ok("bob", "delete_messages", deleted).await;
    assert_eq!(pins(&world, "bob", "alice").await, []);
    assert_eq!(pins(&world, "alice", "bob").await.len(), 1);
    // It is no message of this user's any more.
    for is_pinned in [true, false] {
        let named = body("alice", &message, is_pinned);
        world.invalid("bob", PIN, named, "message.messageID").await;
    }
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    world.ok("alice", PIN, body("bob", &message, true)).await;
    assert_eq!(changes(&of_alice.expect(&[PINNED]).await[0]), [(2, "hello", "alice")]);
    assert!(of_bob.drain().await.is_empty());
    world.ok("alice", PIN, body("bob", &message, false)).await;
    let all = world.send("bob", "alice", "all").await;
    world.ok("alice", PIN, body("bob", &all, true)).await;
    assert_pins(&world, &[("all", "alice")]).await;
    world.ok("alice", "delete_all_message", json!({ "conversationID": "bob" })).await;
    assert_eq!(pins(&world, "alice", "bob").await, []);
    assert_eq!(pins(&world, "bob", "alice").await.len(), 1);
}

#[tokio::test]
async fn what_may_not_be_pinned_is_refused() {
    let world = world().await;
    let of_alice = world.send("alice", "bob", "hello").await;
    let of_bob = world.send("bob", "alice", "hello back").await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let mut unknown = of_alice.clone();
        unknown["messageID"] = json!("12345");
        world.invalid(user, PIN, body(other, &unknown, true), "message.messageID").await;
        let missing =
            json!({ "message": { "messageID": of_alice["messageID"] }, "isPinned": true });
        world.invalid(user, PIN, missing, "message.conversationID").await;
        let mut no_flag = body(other, &of_alice, true);
        no_flag["isPinned"] = json!(null);
        world.invalid(user, PIN, no_flag, "isPinned").await;
        world.invalid(user, LIST, json!({}), "conversationID").await;
        // A blocked user changes nothing, neither on own messages nor on those of the other; the
        // user who blocks may.
        world.ok(other, PIN, body(user, &of_alice, true)).await;
        world.ok(other, "add_users_to_blacklist", json!({ "userIDs": [user] })).await;
        for (message, is_pinned) in [(&of_alice, false), (&of_alice, true), (&of_bob, true)] {
            let refused = world.refused(user, PIN, body(other, message, is_pinned)).await;
            assert_eq!(refused.0, BLOCKED);
        }
        world.ok(other, PIN, body(user, &of_bob, true)).await;
        world.ok(other, PIN, body(user, &of_bob, false)).await;
        assert_pins(&world, &[("hello", other)]).await;
        world.ok(other, "remove_users_from_blacklist", json!({ "userIDs": [user] })).await;
    }
    world.ok("alice", "revoke_message", json!({ "message": of_alice })).await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        assert_eq!(world.refused(user, PIN, body(other, &of_alice, true)).await.0, REVOKED);
        assert_eq!(world.refused(user, PIN, body(other, &of_alice, false)).await.0, NOT_PINNED);
        assert_eq!(world.history(user, other).await[0].get("pinnedTime"), None);
    }
    assert_pins(&world, &[]).await;
    assert_eq!(world.refused("carol", PIN, body("bob", &of_bob, true)).await.0, NOT_LOGGED_IN);
}

/// A message shows its pin wherever it is shown: after an edit, a reaction, a replay.
#[tokio::test]
async fn a_pin_is_shown_wherever_the_message_is() {
    let world = world().await;
    let of_alice = world.send("alice", "bob", "one").await;
    let of_bob = world.send("bob", "alice", "two").await;
    for message in [&of_alice, &of_bob] {
        world.ok("alice", PIN, body("bob", message, true)).await;
    }
    for (user, other, message) in [("alice", "bob", &of_alice), ("bob", "alice", &of_bob)] {
        let mut events = world.events(other).await;
        let mut edit = message.clone();
        edit["message"] = json!("edited");
        let reply = world.ok(user, "edit_message", json!({ "message": edit })).await;
        assert_eq!(reply["message"]["pinnedUserID"], "alice");
        let edited = until(&mut events, "message_edited").await;
        assert_eq!(edited.body["messageList"][0]["pinnedUserID"], "alice");
        let react = json!({ "reactionType": "a", "message": message });
        world.ok(user, "add_message_reaction", react).await;
        let reacted = until(&mut events, "message_reactions_changed").await;
        assert_eq!(reacted.body["changeInfoList"][0]["message"]["pinnedUserID"], "alice");
    }
    // Both are replayed to a new device.
    for (user, message) in [("alice", &of_bob), ("bob", &of_alice)] {
        let mut events = world.events(user).await;
        let login = json!({ "platform": "test", "deviceID": "new", "replayAfter": 0 });
        world.ok(user, "login", login).await;
        let replayed = until(&mut events, "peer_message_received").await;
        let shown = &replayed.body["messageList"][0];
        assert_eq!(
            (&shown["messageID"], &shown["pinnedUserID"]),
            (&message["messageID"], &json!("alice"))
        );
    }
}

#[tokio::test]
async fn who_was_away_sees_the_pins_later() {
    let world = world().await;
    let message = world.send("alice", "bob", "hello").await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        world.ok(other, "logout", json!({})).await;
        world.ok(user, PIN, body(other, &message, true)).await;
        world.login(&[other]).await;
        assert_pins(&world, &[("hello", user)]).await;
    }
}

#[tokio::test]
async fn it_works_in_both_encodings_and_over_three_instances() {
    let users = ["alice", "bob", "carol"];
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&users).await;
    let others = world.two_more(&[FAST, UNLIMITED]).await;
    for (index, from) in users.iter().enumerate() {
        for to in users.iter().filter(|to| *to != from) {
            let message = world.send(from, to, "hello").await;
            let encoding = Encoding::BOTH[index % 2];
            for (user, other, status) in [(to, from, 1), (from, to, 2)] {
                let mut of_other = world.events(other).await;
                let call = body(other, &message, true);
                world.client.call_as(encoding, user, PIN, call).await.ok();
                let events = of_other.expect(&[PINNED, CHANGED]).await;
                assert_eq!(changes(&events[0]), [(status, "hello", *user)]);
                let list = json!({ "conversationID": other });
                let reply = world.client.call_as(encoding, user, LIST, list).await.ok();
                assert_eq!(reply["messageList"][0]["messageID"], message["messageID"]);
            }
            for (user, other) in [(from, to), (to, from)] {
                assert_eq!(pins(&world, user, other).await[0].1, **from);
            }
        }
    }
    for mut other in others {
        assert!(other.terminate().await.success(), "{}", other.log());
    }
}

/// Both users pin and unpin at the same time: both end with the same list.
#[tokio::test]
async fn changes_at_the_same_time_end_in_the_same_list() {
    let world = world().await;
    let url = world.nats.url();
    let mut second = Peerd::start_with(&url, &[FAST, UNLIMITED]).await;
    let mut sent = Vec::new();
    for text in ["one", "two", "three"] {
        sent.push(world.send("alice", "bob", text).await);
    }
    let calls = (0..40).map(|number| {
        let (user, other) = if number % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
        let message = body(other, &sent[number % 3], number % 5 != 0);
        world.call(user, PIN, message)
    });
    let replies = futures::future::join_all(calls).await;
    for reply in replies {
        assert!(matches!(reply.code, None | Some(0 | NOT_PINNED)), "{}", reply.body);
    }
    assert_eq!(pins(&world, "alice", "bob").await, pins(&world, "bob", "alice").await);
    assert!(second.terminate().await.success(), "{}", second.log());
}

#[tokio::test]
async fn a_flood_of_pins_is_refused() {
    let world = World::of(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let mut codes = Vec::new();
    for _ in 0..60 {
        let reply = world.call("bob", PIN, body("alice", &message, true)).await;
        codes.push(reply.code.unwrap_or_default());
    }
    assert!(codes.contains(&RATE_LIMITED) && !codes.contains(&INVALID), "{codes:?}");
    assert_pins(&world, &[("hello", "bob")]).await;
}
