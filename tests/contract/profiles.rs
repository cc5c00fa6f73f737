//! Profiles and privacy settings, and who sees their changes.

use futures::future::join_all;
use serde_json::{Value, json};

use super::world::{CHANGED, INVALID, RATE_LIMITED, RECEIVED, World, keys, number, of};
use crate::support::{Encoding, Events, Peerd};

const NAME: &str = "update_user_name";
const AVATAR: &str = "update_user_avatar_url";
const DATA: &str = "update_user_extended_data";
const INFOS: &str = "query_users_info";
const SELF: &str = "query_self_user_info";
const PRIVACY: &str = "update_user_privacy";
const INFO_UPDATED: &str = "user_info_updated";
const RULE_UPDATED: &str = "user_rule_updated";
const URL: &str = "https://example.com/alice.png";

fn info(id: &str, name: &str, avatar: &str, data: &str) -> Value {
    json!({
        "baseInfo": {
            "userID": id, "userName": name, "userAvatarUrl": avatar, "userExtendedData": data,
        },
        "userAvatarUrl": avatar,
        "extendedData": data,
    })
}

/// Sets a value, which the reply shows.
async fn set(world: &World, method: &str, field: &str, value: &str) {
    let body = json!({ field: value });
    assert_eq!(world.ok("alice", method, body.clone()).await, body);
}

/// The event of each session says the same.
async fn updated(sessions: &mut [Events], name: &str, field: &str) -> Value {
    let mut shown = Vec::new();
    for events in sessions {
        let event = events.expect(&[name]).await.remove(0);
        assert_eq!(keys(&event.body).len(), 3, "{:?}", event.body);
        assert_eq!(number(&event.body, "revision"), number(&event.body, "previousRevision"));
        shown.push(event.body[field].clone());
    }
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]));
    shown.remove(0)
}

/// The conversation in an event that leaves the revision.
async fn shown(events: &mut Events) -> Value {
    let event = events.expect(&[CHANGED]).await.remove(0);
    assert_eq!(number(&event.body, "revision"), number(&event.body, "previousRevision"));
    let change = &event.body["infoList"][0];
    assert_eq!((&change["event"], &change["action"]), (&json!(1), &json!(2)));
    change["conversation"].clone()
}

#[tokio::test]
async fn a_profile_reaches_all_sessions_and_stays_over_a_restart() {
    let mut world = World::of(&["alice", "bob"]).await;
    world.ok("alice", "login", json!({ "deviceID": "other", "platform": "iOS" })).await;
    let mut sessions = vec![world.events("alice").await, world.events("alice").await];
    set(&world, NAME, "userName", "Alice").await;
    let expected = info("alice", "Alice", "", "");
    assert_eq!(updated(&mut sessions, INFO_UPDATED, "info").await, expected);
    set(&world, AVATAR, "userAvatarUrl", URL).await;
    let expected = info("alice", "Alice", URL, "");
    assert_eq!(updated(&mut sessions, INFO_UPDATED, "info").await, expected);
    set(&world, DATA, "extendedData", "{\"mood\":\n1}").await;
    let expected = info("alice", "Alice", URL, "{\"mood\":\n1}");
    assert_eq!(updated(&mut sessions, INFO_UPDATED, "info").await, expected);
    let writes = world.store.writes().await;
    set(&world, NAME, "userName", "Alice").await;
    set(&world, DATA, "extendedData", "{\"mood\":\n1}").await;
    assert_eq!(world.store.writes().await, writes, "a repeated call changes nothing");
    for events in &mut sessions {
        assert!(events.drain().await.is_empty());
    }
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    let unknown = json!([{ "userID": "nobody", "reason": 6_000_011 }]);
    for encoding in Encoding::BOTH {
        let body = json!({ "userIDs": ["nobody", "bob", "alice", "bob"], "config": {} });
        for user in ["alice", "bob"] {
            let reply = world.client.call_as(encoding, user, INFOS, body.clone()).await.ok();
            assert_eq!(keys(&reply), ["errorUserList", "userList"]);
            assert_eq!(reply["userList"], json!([expected, info("bob", "", "", "")]));
            assert_eq!(reply["errorUserList"], unknown);
        }
        let reply = world.client.call_as(encoding, "alice", SELF, json!({})).await.ok();
        let own = &reply["selfUserInfo"];
        assert_eq!(keys(own), ["userFullInfo", "userRule", "userStatus"]);
        assert_eq!(own["userFullInfo"], expected);
        assert_eq!(own["userStatus"]["onlineStatus"], 0);
        assert_eq!(own["userStatus"]["onlinePlatforms"], json!([2, 32]));
    }
    // Block lists show the avatar.
    world.ok("bob", "add_users_to_blacklist", json!({ "userIDs": ["alice"] })).await;
    let list = world.ok("bob", "query_blacklist", json!({})).await;
    let listed = json!({
        "userID": "alice", "userName": "Alice", "userAvatarUrl": URL, "userExtendedData": "",
    });
    assert_eq!(list["blacklist"], json!([listed]));
    // A later login keeps it, and may set the name. Empty values take away.
    world.ok("alice", "login", json!({})).await;
    world.ok("alice", "login", json!({ "userName": "A." })).await;
    set(&world, AVATAR, "userAvatarUrl", "").await;
    let own = world.ok("alice", SELF, json!({})).await;
    let expected = info("alice", "A.", "", "{\"mood\":\n1}");
    assert_eq!(own["selfUserInfo"]["userFullInfo"], expected);
}

#[tokio::test]
async fn conversations_show_a_new_name_and_avatar() {
    let world = World::of(&["alice", "bob", "carol", "dora"]).await;
    world.send("alice", "bob", "hello").await;
    world.send("carol", "alice", "hello").await;
    world.ok("carol", "add_users_to_blacklist", json!({ "userIDs": ["alice"] })).await;
    let mut of = Vec::new();
    for user in ["bob", "carol", "dora"] {
        of.push(world.events(user).await);
    }
    set(&world, NAME, "userName", "Alice").await;
    let conversation = shown(&mut of[0]).await;
    assert_eq!(conversation["conversationName"], "Alice");
    assert_eq!(conversation.get("conversationAvatarUrl"), None);
    assert_eq!(conversation, world.conversation("bob", "alice").await);
    set(&world, AVATAR, "userAvatarUrl", URL).await;
    let conversation = shown(&mut of[0]).await;
    assert_eq!(conversation["conversationAvatarUrl"], URL);
    assert_eq!(conversation, world.conversation("bob", "alice").await);
    // Whether the renamed user deleted the conversation makes no difference to the other.
    world.ok("alice", "delete_conversation", super::world::of("bob")).await;
    set(&world, NAME, "userName", "Alicia").await;
    assert_eq!(shown(&mut of[0]).await["conversationName"], "Alicia");
    set(&world, NAME, "userName", "Alice").await;
    assert_eq!(shown(&mut of[0]).await["conversationName"], "Alice");
    set(&world, DATA, "extendedData", "x").await;
    for events in &mut of {
        assert!(events.drain().await.is_empty(), "a blocker, a stranger, and extended data");
    }
    // Messages show both, in either direction.
    world.send("alice", "bob", "again").await;
    let event = of[0].expect(&[RECEIVED, CHANGED, super::world::TOTAL]).await.remove(1);
    let conversation = &event.body["infoList"][0]["conversation"];
    assert_eq!(conversation["conversationAvatarUrl"], URL);
    world.send("bob", "alice", "and back").await;
    let event = of[0].expect(&[CHANGED]).await.remove(0);
    let conversation = &event.body["infoList"][0]["conversation"];
    assert_eq!(conversation["conversationAvatarUrl"], URL);
    assert_eq!(conversation["conversationName"], "Alice");
    assert_eq!(world.conversation("carol", "alice").await["conversationAvatarUrl"], URL);
}

#[tokio::test]
async fn conversations_show_a_new_name_over_two_instances() {
    let users = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let world = World::of(&users).await;
    let mut second = Peerd::start(&world.nats).await;
    for to in &users[1..] {
        world.send("alice", to, "hello").await;
    }
    let mut of = Vec::new();
    for user in &users[1..] {
        // Users without a call since the change of owners are not in memory.
        world.ok(user, "heartbeat", json!({})).await;
        of.push(world.events(user).await);
    }
    set(&world, AVATAR, "userAvatarUrl", URL).await;
    for (events, user) in of.iter_mut().zip(&users[1..]) {
        assert_eq!(shown(events).await["conversationAvatarUrl"], URL, "{user}");
        world.send("alice", user, "again").await;
        let event = events.expect(&[RECEIVED, CHANGED, super::world::TOTAL]).await.remove(1);
        let conversation = &event.body["infoList"][0]["conversation"];
        assert_eq!(conversation["conversationAvatarUrl"], URL, "{user}");
    }
    assert!(second.terminate().await.success(), "{}", second.log());
}

#[tokio::test]
async fn a_profile_has_bounds() {
    let world = World::of(&["alice"]).await;
    for (method, field, most) in
        [(NAME, "userName", 256), (AVATAR, "userAvatarUrl", 500), (DATA, "extendedData", 2048)]
    {
        set(&world, method, field, &"x".repeat(most)).await;
        let longer = json!({ field: "x".repeat(most + 1) });
        world.invalid("alice", method, longer, field).await;
        world.invalid("alice", method, json!({}), field).await;
        world.invalid("alice", method, json!({ field: 1 }), field).await;
    }
    world.invalid("alice", NAME, json!({ "userName": " " }), "userName").await;
    world.invalid("alice", AVATAR, json!({ "userAvatarUrl": "a\nb" }), "userAvatarUrl").await;
    let eleven: Vec<String> = (0..11).map(|number| format!("u{number}")).collect();
    world.invalid("alice", INFOS, json!({ "userIDs": eleven }), "userIDs").await;
    world.invalid("alice", INFOS, json!({ "userIDs": [] }), "userIDs").await;
    assert_eq!(world.refused("alice", INFOS, json!({ "userIDs": ["a*"] })).await.0, INVALID);
}

#[tokio::test]
async fn a_flood_of_changes_is_refused() {
    let world = World::of(&["alice", "bob"]).await;
    world.send("alice", "bob", "hello").await;
    let mut of_bob = world.events("bob").await;
    let began = std::time::Instant::now();
    let mut refused = 0;
    for number in 0..40 {
        let body = json!({ "userName": format!("Alice {number}") });
        let reply = world.call("alice", NAME, body).await;
        if let Some(code) = reply.code {
            assert_eq!(code, RATE_LIMITED);
            assert!(number_of_ms(&reply.body) > 0);
            refused += 1;
        }
    }
    let most = 5 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 1);
    let shown = of_bob.drain().await.len();
    assert!(shown <= most && shown + refused == 40, "{shown} shown, {refused} refused");
}

fn number_of_ms(body: &Value) -> u64 {
    number(body, "retryAfterMs")
}

/// Of equal changes at the same time, the first is the change; the others find nothing to change.
#[tokio::test]
async fn equal_changes_at_the_same_time_are_one() {
    let world = World::of(&["alice"]).await;
    let mut events = world.events("alice").await;
    join_all((0..20).map(|_| set(&world, NAME, "userName", "Alice"))).await;
    events.expect(&[INFO_UPDATED]).await;
    events.none().await;
}

#[tokio::test]
async fn whoever_hides_typing_shows_none_and_is_shown_none() {
    let mut world = World::of(&["alice", "bob"]).await;
    let mut sessions = vec![world.events("alice").await, world.events("alice").await];
    let mut of_bob = world.events("bob").await;
    let hidden = json!({
        "hideReadReceipts": false, "hideTyping": true, "hideOnlineStatus": false,
    });
    assert_eq!(world.ok("alice", PRIVACY, json!({ "hideTyping": true })).await, hidden);
    let mut rule = hidden.clone();
    rule["offlinePushRule"] =
        json!({ "onlinePlatforms": [], "notToReceiveOfflinePushPlatforms": [] });
    assert_eq!(updated(&mut sessions, RULE_UPDATED, "userRule").await, rule);
    assert_eq!(world.ok("alice", PRIVACY, json!({ "hideTyping": true })).await, hidden);
    assert_eq!(world.ok("alice", PRIVACY, json!({})).await, hidden);
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    let own = world.ok("alice", SELF, json!({})).await;
    assert_eq!(own["selfUserInfo"]["userRule"], rule);
    for (from, to) in [("alice", "bob"), ("bob", "alice")] {
        let mut typing = of(to);
        typing["isTyping"] = json!(true);
        assert_eq!(world.ok(from, "send_typing", typing).await, json!({}));
    }
    assert!(of_bob.drain().await.is_empty());
    for events in &mut sessions {
        assert!(events.drain().await.is_empty());
    }
    let all = json!({ "hideReadReceipts": true, "hideTyping": false, "hideOnlineStatus": true });
    assert_eq!(world.ok("alice", PRIVACY, all.clone()).await, all);
    assert_eq!(updated(&mut sessions, RULE_UPDATED, "userRule").await["hideTyping"], false);
    let mut typing = of("bob");
    typing["isTyping"] = json!(true);
    world.ok("alice", "send_typing", typing).await;
    of_bob.expect(&["typing"]).await;
    world.invalid("alice", PRIVACY, json!({ "hideTyping": 1 }), "hideTyping").await;
}
