//! Subscriptions of the status of users: who is shown a change, when, and what it costs.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{RATE_LIMITED, World, keys, now_ms, number};
use crate::support::{Client, Encoding, Events, Peerd};

const SUBSCRIBE: &str = "subscribe_users_status";
const UNSUBSCRIBE: &str = "unsubscribe_users_status";
const LIST: &str = "query_subscribed_user_status_list";
const CUSTOM: &str = "update_user_custom_status";
const UPDATED: &str = "user_status_updated";
const ONLINE: u64 = 0;
const OFFLINE: u64 = 1;
const LOGOUT: u64 = 2;
/// Less than the interval of renewals, which show a change, too.
const PATIENCE: Duration = Duration::from_secs(15);
/// After the death of an owner, a renewal shows what changed.
const RENEWED: Duration = Duration::from_secs(60);
/// Users are offline soon.
const SOON: [(&str, &str); 3] = [
    ("PEERD__SESSION__OFFLINE_AFTER_MS", "3000"),
    ("PEERD__SESSION__HEARTBEAT_INTERVAL_MS", "500"),
    ("PEERD__SESSION__LAST_SEEN_WRITE_INTERVAL_MS", "500"),
];

async fn subscribe(world: &World, user: &str, to: &[&str]) -> Value {
    let body = json!({ "userIDs": to, "config": { "subscriptionDuration": 60 } });
    world.ok(user, SUBSCRIBE, body).await["errorUserList"].clone()
}

/// Makes a call again until it is performed: an owner died, or the call is over a rate.
async fn until_done(world: &World, user: &str, method: &str, body: Value) {
    let began = Instant::now();
    loop {
        match world.client.try_call(user, method, body.clone()).await {
            Ok(reply) if reply.code.is_none() => return,
            answer => assert!(began.elapsed() < RENEWED, "{answer:?}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The statuses of the next event.
async fn shown(events: &mut Events) -> Vec<Value> {
    let event = events.expect(&[UPDATED]).await.remove(0);
    assert_eq!(keys(&event.body), ["previousRevision", "revision", "userStatusList"]);
    assert_eq!(number(&event.body, "revision"), number(&event.body, "previousRevision"));
    event.body["userStatusList"].as_array().unwrap().clone()
}

/// Waits for an event about a user with such a status. The follower stays online meanwhile.
async fn until_shown(
    client: &Client,
    follower: &str,
    events: &mut Events,
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    shown_within(PATIENCE, (client, follower), events, is_it).await
}

async fn shown_within(
    patience: Duration,
    (client, follower): (&Client, &str),
    events: &mut Events,
    is_it: impl Fn(&Value) -> bool,
) -> Value {
    let began = Instant::now();
    loop {
        // While an owner is missing it fails, or has no reply.
        let _ = client.try_call(follower, "heartbeat", json!({})).await;
        for event in events.drain().await {
            assert_eq!(event.name, UPDATED);
            let list = event.body["userStatusList"].as_array().unwrap().clone();
            if let Some(status) = list.into_iter().find(&is_it) {
                return status;
            }
        }
        assert!(began.elapsed() < patience, "no such status was shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn is(of: &str, online: u64) -> impl Fn(&Value) -> bool {
    move |status| status["userID"] == of && status["onlineStatus"] == online
}

fn has_text(of: &str, text: &str) -> impl Fn(&Value) -> bool {
    move |status| status["userID"] == of && status["customStatus"] == text
}

#[tokio::test]
async fn a_follower_is_shown_each_change_in_all_sessions() {
    for encoding in Encoding::BOTH {
        let world = World::of(&["bob", "carol"]).await;
        for device in ["one", "two"] {
            let login = json!({ "deviceID": device });
            world.client.call_as(encoding, "alice", "login", login).await.ok();
        }
        let mut sessions = [world.events("alice").await, world.events("alice").await];
        let mut of_carol = world.events("carol").await;
        let body = json!({ "userIDs": ["bob"], "config": { "subscriptionDuration": 60 } });
        let reply = world.client.call_as(encoding, "alice", SUBSCRIBE, body).await.ok();
        assert_eq!(reply, json!({ "errorUserList": [] }));
        let read = world.ok("alice", "query_users_status", json!({ "userIDs": ["bob"] })).await;
        for events in &mut sessions {
            assert_eq!(shown(events).await, [read["userStatusList"][0].clone()]);
        }
        world.ok("bob", CUSTOM, json!({ "customStatus": "busy" })).await;
        for events in &mut sessions {
            until_shown(&world.client, "alice", events, has_text("bob", "busy")).await;
        }
        world.ok("bob", "update_user_privacy", json!({ "hideOnlineStatus": true })).await;
        let events = &mut sessions[0];
        let hidden = until_shown(&world.client, "alice", events, is("bob", OFFLINE)).await;
        assert_eq!(number(&hidden, "lastUpdateTime"), 0);
        world.ok("bob", "logout", json!({})).await;
        world.login(&["bob"]).await;
        world.ok("bob", "update_user_privacy", json!({ "hideOnlineStatus": false })).await;
        until_shown(&world.client, "alice", events, is("bob", ONLINE)).await;
        world.ok("bob", "logout", json!({})).await;
        until_shown(&world.client, "alice", events, is("bob", LOGOUT)).await;
        // Nothing after the end of the subscription.
        let reply = world.ok("alice", UNSUBSCRIBE, json!({ "userIDs": ["bob", "carol"] })).await;
        assert_eq!(reply, json!({ "errorUserList": [] }));
        events.drain().await;
        world.login(&["bob"]).await;
        subscribe(&world, "alice", &["carol"]).await;
        let list = shown(events).await;
        assert!(list.iter().all(|status| status["userID"] == "carol"), "{list:?}");
        world.ok("carol", CUSTOM, json!({ "customStatus": "x" })).await;
        let is_seen = |status: &Value| {
            assert_eq!(status["userID"], "carol");
            status["customStatus"] == "x"
        };
        until_shown(&world.client, "alice", events, is_seen).await;
        // Nobody else was shown any of it, except the own status.
        let list = shown(&mut of_carol).await;
        assert!(list.iter().all(|status| status["userID"] == "carol"), "{list:?}");
        assert!(of_carol.drain().await.is_empty());
    }
}

#[tokio::test]
async fn a_user_who_disappears_or_comes_back_is_shown() {
    let world = World::with(&SOON).await;
    world.login(&["alice", "bob"]).await;
    let mut events = world.events("alice").await;
    subscribe(&world, "alice", &["bob"]).await;
    until_shown(&world.client, "alice", &mut events, is("bob", ONLINE)).await;
    until_shown(&world.client, "alice", &mut events, is("bob", OFFLINE)).await;
    world.ok("bob", "heartbeat", json!({})).await;
    until_shown(&world.client, "alice", &mut events, is("bob", ONLINE)).await;
    // A custom status that expires.
    world.ok("bob", CUSTOM, json!({ "customStatus": "soon", "config": { "duration": 2 } })).await;
    until_shown(&world.client, "alice", &mut events, has_text("bob", "soon")).await;
    until_shown(&world.client, "alice", &mut events, has_text("bob", "")).await;
}

#[tokio::test]
async fn a_follower_who_was_away_is_shown_what_changed() {
    let mut world = World::of(&["alice", "bob", "carol"]).await;
    let mut events = world.events("alice").await;
    for user in ["alice", "carol"] {
        subscribe(&world, user, &["bob"]).await;
    }
    until_shown(&world.client, "alice", &mut events, is("bob", ONLINE)).await;
    world.ok("alice", "logout", json!({})).await;
    // Another follower is shown two changes, of which the second comes a second after the first.
    let mut of_carol = world.events("carol").await;
    for text in ["leaving", "away"] {
        until_done(&world, "bob", CUSTOM, json!({ "customStatus": text })).await;
        until_shown(&world.client, "carol", &mut of_carol, has_text("bob", text)).await;
    }
    assert!(events.drain().await.is_empty(), "there is no session");
    world.login(&["alice"]).await;
    until_shown(&world.client, "alice", &mut events, has_text("bob", "away")).await;
    // The same after a restart, of both owners at once.
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    let began_ms = now_ms();
    let list = world.ok("alice", LIST, json!({})).await;
    let list = list["userStatusSubscriptionList"].as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["userStatus"]["customStatus"], "away");
    let until_ms = number(&list[0], "subscribeExpiredTime");
    assert!((began_ms + 55 * 60_000..began_ms + 60 * 60_000).contains(&until_ms));
    world.ok("bob", CUSTOM, json!({ "customStatus": "back" })).await;
    until_shown(&world.client, "alice", &mut events, has_text("bob", "back")).await;
}

#[tokio::test]
async fn a_follower_is_shown_changes_over_three_instances() {
    let users: Vec<String> = (0..12).map(|number| format!("u{number:02}")).collect();
    let world = World::of(&["alice"]).await;
    let mut second = Peerd::start(&world.nats).await;
    let mut third = Peerd::start(&world.nats).await;
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    world.login(&users).await;
    let mut events = world.events("alice").await;
    assert_eq!(subscribe(&world, "alice", &users).await, json!([]));
    assert_eq!(shown(&mut events).await.len(), users.len(), "one event for all");
    for user in &users {
        world.ok(user, CUSTOM, json!({ "customStatus": "x" })).await;
        until_shown(&world.client, "alice", &mut events, has_text(user, "x")).await;
    }
    // An owner dies.
    third.kill9();
    for user in &users {
        until_done(&world, user, "login", json!({})).await;
        until_done(&world, user, CUSTOM, json!({ "customStatus": "y" })).await;
        let follower = (&world.client, "alice");
        shown_within(RENEWED, follower, &mut events, has_text(user, "y")).await;
    }
    assert!(second.terminate().await.success(), "{}", second.log());
}

#[tokio::test]
async fn a_storm_of_changes_is_one_event_a_second_and_the_last_state_arrives() {
    let world = World::of(&["alice", "bob"]).await;
    subscribe(&world, "alice", &["bob"]).await;
    let mut events = world.events("alice").await;
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        world.ok("bob", "logout", json!({})).await;
        world.ok("bob", "login", json!({ "platform": "web" })).await;
    }
    world.ok("bob", "logout", json!({})).await;
    let spent = began.elapsed();
    let mut count = 0;
    loop {
        let statuses = shown(&mut events).await;
        count += 1;
        let last = statuses.last().unwrap();
        let present = world.ok("alice", "query_users_status", json!({ "userIDs": ["bob"] })).await;
        let present = &present["userStatusList"][0];
        assert_eq!(present["onlineStatus"], LOGOUT);
        if last == present {
            break;
        }
    }
    let most = spent.as_secs() + 4;
    assert!(count <= most, "{count} events in {spent:?}");
}

#[tokio::test]
async fn subscriptions_have_bounds_and_errors() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let mut events = world.events("alice").await;
    let errors = subscribe(&world, "alice", &["nobody", "bob", "alice", "bob"]).await;
    let expected = json!([
        { "userID": "alice", "reason": 6_000_001 }, { "userID": "nobody", "reason": 6_000_011 },
    ]);
    assert_eq!(errors, expected);
    until_shown(&world.client, "alice", &mut events, is("bob", ONLINE)).await;
    let list = world.ok("alice", LIST, json!({ "config": { "userIDs": [] } })).await;
    assert_eq!(list["userStatusSubscriptionList"].as_array().unwrap().len(), 1);
    let none = world.ok("alice", LIST, json!({ "config": { "userIDs": ["nobody"] } })).await;
    assert_eq!(none, json!({ "userStatusSubscriptionList": [] }));
    let many: Vec<String> = (0..101).map(|number| format!("u{number}")).collect();
    let minutes = |minutes: u64| json!({ "subscriptionDuration": minutes });
    let invalid = [
        (SUBSCRIBE, json!({ "userIDs": many, "config": minutes(1) }), "userIDs"),
        (SUBSCRIBE, json!({ "userIDs": [], "config": minutes(1) }), "userIDs"),
        (SUBSCRIBE, json!({ "userIDs": ["bob"] }), "config"),
        (SUBSCRIBE, json!({ "userIDs": ["bob"], "config": {} }), "subscriptionDuration"),
        (SUBSCRIBE, json!({ "userIDs": ["bob"], "config": minutes(0) }), "subscriptionDuration"),
        (
            SUBSCRIBE,
            json!({ "userIDs": ["bob"], "config": minutes(43_201) }),
            "subscriptionDuration",
        ),
        (UNSUBSCRIBE, json!({ "userIDs": many }), "userIDs"),
        (LIST, json!({ "config": { "userIDs": many } }), "config.userIDs"),
    ];
    for (method, body, field) in invalid {
        world.invalid("alice", method, body, field).await;
    }
    // A repeat publishes nothing: the next event is that of a later subscription.
    subscribe(&world, "alice", &["bob"]).await;
    subscribe(&world, "alice", &["carol"]).await;
    let list = shown(&mut events).await;
    assert!(list.iter().all(|status| status["userID"] == "carol"), "{list:?}");
    // Unsubscribing twice is success, and nothing follows: two later changes, of which the second is
    // shown a second after the first, are shown alone.
    for _ in 0..2 {
        world.ok("alice", UNSUBSCRIBE, json!({ "userIDs": ["bob"] })).await;
    }
    world.ok("bob", CUSTOM, json!({ "customStatus": "unseen" })).await;
    for text in ["first", "second"] {
        until_done(&world, "carol", CUSTOM, json!({ "customStatus": text })).await;
        let is_seen = |status: &Value| {
            assert_eq!(status["userID"], "carol");
            status["customStatus"] == text
        };
        until_shown(&world.client, "alice", &mut events, is_seen).await;
    }
    let mut refused = 0;
    for _ in 0..30 {
        let reply = world.call("bob", UNSUBSCRIBE, json!({ "userIDs": ["alice"] })).await;
        refused +=
            usize::from(reply.code.inspect(|code| assert_eq!(*code, RATE_LIMITED)).is_some());
    }
    assert!(refused > 0, "a flood is refused");
}
