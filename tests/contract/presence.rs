//! The status of users: custom status, online or not, and who hides it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::world::{INVALID, RATE_LIMITED, World, keys, now_ms, number};
use crate::support::{Encoding, Events, Peerd};

const CUSTOM: &str = "update_user_custom_status";
const QUERY: &str = "query_users_status";
const SELF: &str = "query_self_user_info";
const PRIVACY: &str = "update_user_privacy";
const UPDATED: &str = "user_status_updated";

const ONLINE: u8 = 0;
const OFFLINE: u8 = 1;
const LOGOUT: u8 = 2;

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
/// Users are offline soon.
const SOON: [(&str, &str); 3] = [
    ("PEERD__SESSION__OFFLINE_AFTER_MS", "1500"),
    ("PEERD__SESSION__HEARTBEAT_INTERVAL_MS", "500"),
    ("PEERD__SESSION__LAST_SEEN_WRITE_INTERVAL_MS", "500"),
];

async fn set(world: &World, user: &str, text: &str, seconds: u64) {
    let body = json!({ "customStatus": text, "config": { "duration": seconds } });
    let began = Instant::now();
    let reply = loop {
        let reply = world.call(user, CUSTOM, body.clone()).await;
        if reply.code != Some(RATE_LIMITED) || began.elapsed() > PATIENCE {
            break reply.ok();
        }
        tokio::time::sleep(Duration::from_millis(number(&reply.body, "retryAfterMs"))).await;
    };
    assert_eq!(reply, json!({ "customStatus": text }));
}

/// The status of a user as another one sees it.
async fn seen(world: &World, by: &str, of: &str) -> Value {
    let reply = world.ok(by, QUERY, json!({ "userIDs": [of] })).await;
    assert_eq!(reply["errorUserList"], json!([]), "{reply}");
    let status = reply["userStatusList"][0].clone();
    assert_eq!(status["userID"], of);
    status
}

async fn online(world: &World, by: &str, of: &str) -> u64 {
    number(&seen(world, by, of).await, "onlineStatus")
}

async fn until(world: &World, by: &str, of: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let status = seen(world, by, of).await;
        if is_it(&status) {
            return status;
        }
        assert!(began.elapsed() < PATIENCE, "{status}");
        // The caller is there, unlike the other user; the queries keep below their rate.
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// The next event, about the user itself.
async fn updated(events: &mut Events) -> Value {
    let event = events.expect(&[UPDATED]).await.remove(0);
    assert_eq!(keys(&event.body), ["previousRevision", "revision", "userStatusList"]);
    assert_eq!(number(&event.body, "revision"), number(&event.body, "previousRevision"));
    assert_eq!(event.body["userStatusList"].as_array().unwrap().len(), 1);
    event.body["userStatusList"][0].clone()
}

#[tokio::test]
async fn a_custom_status_reaches_all_sessions_and_stays_over_a_restart() {
    let mut world = World::of(&["alice", "bob"]).await;
    world.ok("alice", "login", json!({ "deviceID": "other", "platform": "iOS" })).await;
    let mut sessions = [world.events("alice").await, world.events("alice").await];
    let began_ms = now_ms();
    set(&world, "alice", "on a train", 3600).await;
    let expected = json!({
        "userID": "alice", "onlineStatus": ONLINE, "onlinePlatforms": [2, 32],
        "customStatus": "on a train",
    });
    for events in &mut sessions {
        let status = updated(events).await;
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&status[field], value, "{field}");
        }
        let set_ms = number(&status, "lastCustomStatusUpdateTime");
        assert!((began_ms..=now_ms()).contains(&set_ms));
        assert_eq!(number(&status, "customStatusExpiredTime"), set_ms + 3_600_000);
        assert_eq!(number(&status, "lastUpdateTime"), set_ms);
    }
    let writes = world.store.writes().await;
    set(&world, "alice", "on a train", 3600).await;
    assert_eq!(world.store.writes().await, writes, "a repeated call changes nothing");
    for events in &mut sessions {
        assert!(events.drain().await.is_empty());
    }
    let before = seen(&world, "bob", "alice").await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    for encoding in Encoding::BOTH {
        let body = json!({ "userIDs": ["alice"] });
        let reply = world.client.call_as(encoding, "bob", QUERY, body).await.ok();
        assert_eq!(reply["userStatusList"], json!([before]));
        let own = world.client.call_as(encoding, "alice", SELF, json!({})).await.ok();
        assert_eq!(own["selfUserInfo"]["userStatus"], before);
    }
    // A day, unless the call says otherwise; and it can be taken away.
    set(&world, "alice", "all day", 0).await;
    let status = updated(&mut sessions[0]).await;
    let span_ms = 24 * 60 * 60 * 1000;
    let set_ms = number(&status, "lastCustomStatusUpdateTime");
    assert_eq!(number(&status, "customStatusExpiredTime"), set_ms + span_ms);
    set(&world, "alice", "", 0).await;
    let status = updated(&mut sessions[0]).await;
    assert_eq!(
        (&status["customStatus"], &status["customStatusExpiredTime"]),
        (&json!(""), &json!(0))
    );
    assert!(number(&status, "lastCustomStatusUpdateTime") > set_ms);
}

#[tokio::test]
async fn a_custom_status_expires_by_itself() {
    let world = World::of(&["alice", "bob"]).await;
    set(&world, "alice", "busy", 2).await;
    let busy = seen(&world, "bob", "alice").await;
    assert_eq!(busy["customStatus"], "busy");
    let none = until(&world, "bob", "alice", |status| status["customStatus"] == "").await;
    assert_eq!(none["customStatusExpiredTime"], 0);
    assert_eq!(none["lastCustomStatusUpdateTime"], busy["customStatusExpiredTime"]);
    let writes = world.store.writes().await;
    set(&world, "alice", "", 0).await;
    assert_eq!(world.store.writes().await, writes, "there was none");
}

#[tokio::test]
async fn a_custom_status_has_bounds_and_a_rate() {
    let world = World::of(&["alice"]).await;
    let began = Instant::now();
    let (mut set, mut refused) = (0, 0);
    while set < 3 {
        let text = format!("{set}{}", "x".repeat(63));
        let reply = world.call("alice", CUSTOM, json!({ "customStatus": text })).await;
        match reply.code {
            None => set += 1,
            Some(code) => {
                assert_eq!(code, RATE_LIMITED);
                assert!((1..=1000).contains(&number(&reply.body, "retryAfterMs")));
                refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    assert!(began.elapsed() >= 2 * SECOND && refused > 0);
    let invalid = [
        (json!({}), "customStatus"),
        (json!({ "customStatus": 1 }), "customStatus"),
        (json!({ "customStatus": "x".repeat(65) }), "customStatus"),
        (json!({ "customStatus": "x", "config": { "duration": 2_592_001 } }), "config.duration"),
        (json!({ "customStatus": "x", "config": { "duration": -1 } }), "config.duration"),
    ];
    for (body, field) in invalid {
        world.invalid("alice", CUSTOM, body, field).await;
    }
}

#[tokio::test]
async fn a_user_is_online_offline_or_logged_out() {
    let world = World::with(&SOON).await;
    world.login(&["bob", "alice"]).await;
    let login = world.ok("alice", "login", json!({ "deviceID": "d", "platform": "web" })).await;
    let status = seen(&world, "bob", "alice").await;
    assert_eq!(status["onlineStatus"], ONLINE);
    assert_eq!(status["onlinePlatforms"], json!([6, 32]));
    assert_eq!(status["lastUpdateTime"], status["lastOnlineStatusUpdateTime"]);
    assert_eq!(status["lastCustomStatusUpdateTime"], 0);
    // One of two sessions ends.
    let session = login["sessionID"].clone();
    world.ok("alice", "logout", json!({ "sessionID": session })).await;
    assert_eq!(seen(&world, "bob", "alice").await["onlinePlatforms"], json!([32]));
    // Without a call for a while.
    let is_offline = |status: &Value| status["onlineStatus"] == OFFLINE;
    let status = until(&world, "bob", "alice", is_offline).await;
    assert_eq!(status["onlinePlatforms"], json!([]));
    let seen_ms = number(&status, "lastOnlineStatusUpdateTime");
    assert!(now_ms() - seen_ms > 1500, "it is when alice was last seen");
    // Any call shows that the user is there.
    world.ok("alice", "query_blacklist", json!({})).await;
    assert_eq!(online(&world, "bob", "alice").await, u64::from(ONLINE));
    world.ok("alice", "logout", json!({})).await;
    assert_eq!(online(&world, "bob", "alice").await, u64::from(LOGOUT));
    world.login(&["alice"]).await;
    assert_eq!(online(&world, "bob", "alice").await, u64::from(ONLINE));
}

#[tokio::test]
async fn whoever_hides_the_status_is_offline_for_all_others() {
    let mut world = World::of(&["alice", "bob"]).await;
    set(&world, "alice", "busy", 3600).await;
    assert_eq!(online(&world, "bob", "alice").await, u64::from(ONLINE));
    world.ok("alice", PRIVACY, json!({ "hideOnlineStatus": true })).await;
    let hidden = json!({
        "userID": "alice", "onlineStatus": OFFLINE, "onlinePlatforms": [],
        "customStatus": "busy", "customStatusExpiredTime": 0, "lastUpdateTime": 0,
        "lastOnlineStatusUpdateTime": 0, "lastCustomStatusUpdateTime": 0,
    });
    assert_eq!(seen(&world, "bob", "alice").await, hidden);
    // The user sees more, in both methods.
    let own = seen(&world, "alice", "alice").await;
    assert_eq!(own["onlineStatus"], ONLINE);
    assert!(number(&own, "customStatusExpiredTime") > 0);
    let info = world.ok("alice", SELF, json!({})).await;
    assert_eq!(info["selfUserInfo"]["userStatus"], own);
    world.ok("alice", "logout", json!({})).await;
    assert_eq!(seen(&world, "bob", "alice").await, hidden, "also after a logout");
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(seen(&world, "bob", "alice").await, hidden, "and after a restart");
    world.login(&["alice"]).await;
    assert_eq!(seen(&world, "bob", "alice").await, hidden);
    world.ok("alice", PRIVACY, json!({ "hideOnlineStatus": false })).await;
    assert_eq!(online(&world, "bob", "alice").await, u64::from(ONLINE));
    // A block refuses messages, and hides nothing.
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    assert_eq!(online(&world, "bob", "alice").await, u64::from(ONLINE));
}

#[tokio::test]
async fn many_users_are_read_over_three_instances() {
    let users: Vec<String> = (0..98).map(|number| format!("u{number:02}")).collect();
    let world = World::of(&["alice", "bob"]).await;
    let mut others = [Peerd::start(&world.nats).await, Peerd::start(&world.nats).await];
    for user in &users {
        world.ok(user, "login", json!({ "platform": "ios" })).await;
    }
    for user in users.iter().step_by(2) {
        world.ok(user, "logout", json!({})).await;
    }
    set(&world, "alice", "busy", 3600).await;
    let mut ids: Vec<&str> = users.iter().map(String::as_str).collect();
    ids.extend(["nobody", "alice"]);
    for encoding in Encoding::BOTH {
        for by in ["alice", "bob"] {
            let reply = world.client.call_as(encoding, by, QUERY, json!({ "userIDs": ids })).await;
            let reply = reply.ok();
            assert_eq!(keys(&reply), ["errorUserList", "userStatusList"]);
            let unknown = json!([{ "userID": "nobody", "reason": 6_000_011 }]);
            assert_eq!(reply["errorUserList"], unknown);
            let list = reply["userStatusList"].as_array().unwrap();
            let mut sorted: Vec<&str> = users.iter().map(String::as_str).collect();
            sorted.insert(0, "alice");
            let shown: Vec<&str> =
                list.iter().map(|status| status["userID"].as_str().unwrap()).collect();
            assert_eq!(shown, sorted);
            assert_eq!(list[0]["customStatus"], "busy");
            for (number, status) in list[1..].iter().enumerate() {
                let expected = if number % 2 == 0 { LOGOUT } else { ONLINE };
                assert_eq!(status["onlineStatus"], expected, "{status}");
                let platforms = if number % 2 == 0 { json!([]) } else { json!([2]) };
                assert_eq!(status["onlinePlatforms"], platforms);
            }
        }
    }
    ids.push("bob");
    world.invalid("alice", QUERY, json!({ "userIDs": ids }), "userIDs").await;
    world.invalid("alice", QUERY, json!({ "userIDs": [] }), "userIDs").await;
    assert_eq!(world.refused("alice", QUERY, json!({ "userIDs": ["a*"] })).await.0, INVALID);
    for peerd in &mut others {
        assert!(peerd.terminate().await.success(), "{}", peerd.log());
    }
}

#[tokio::test]
async fn a_flood_of_queries_is_refused() {
    let world = World::of(&["alice", "bob"]).await;
    let began = Instant::now();
    let (mut answered, mut refused) = (0, 0);
    for _ in 0..40 {
        let reply = world.call("alice", QUERY, json!({ "userIDs": ["bob"] })).await;
        match reply.code {
            None => answered += 1,
            Some(code) => {
                assert_eq!(code, RATE_LIMITED);
                refused += 1;
            }
        }
    }
    let most = 10 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 1);
    assert!(answered <= most && answered + refused == 40, "{answered} answered");
    assert_eq!(online(&world, "bob", "alice").await, u64::from(ONLINE), "others are served");
}
