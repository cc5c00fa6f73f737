//! Reactions: both users of a message see the same ones, and nothing else changes.

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, INVALID, RATE_LIMITED, World, number, string};
use crate::support::{Encoding, Event};

const ADD: &str = "add_message_reaction";
const DELETE: &str = "delete_message_reaction";
const DELETE_ALL: &str = "delete_message_all_reactions";
const USERS: &str = "query_message_reaction_user_list";
const REACTED: &str = "message_reactions_changed";
const REVOKED: i64 = 6_000_279;
const UNCHANGED: i64 = 6_000_280;
const BLOCKED: i64 = 6_000_284;
const NOT_LOGGED_IN: i64 = 6_000_121;

const UNLIMITED: (&str, &str) = ("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "100000");

fn body(other: &str, message: &Value, kind: &str) -> Value {
    json!({
        "reactionType": kind,
        "message": {
            "messageID": message["messageID"], "conversationID": other, "conversationType": 0,
        },
    })
}

fn increase(other: &str, message: &Value, kind: &str, count: u64) -> Value {
    let mut body = body(other, message, kind);
    body["config"] = json!({ "increaseCount": count });
    body
}

/// The reactions that a message shows: type, users, and sum.
fn reactions(message: &Value) -> Vec<(String, Vec<String>, u64)> {
    let shown = message["reactions"].as_array().cloned().unwrap_or_default();
    let one = |reaction: &Value| {
        let users = reaction["userList"].as_array().unwrap();
        let users: Vec<String> =
            users.iter().map(|user| string(user, "userID").to_owned()).collect();
        assert_eq!(number(reaction, "totalCount"), users.len() as u64, "{reaction}");
        assert_eq!(reaction["messageID"], message["messageID"]);
        assert_eq!(reaction["conversationID"], message["conversationID"]);
        assert_eq!(reaction["conversationType"], 0);
        (string(reaction, "reactionType").to_owned(), users, number(reaction, "sumCount"))
    };
    shown.iter().map(one).collect()
}

fn reaction(kind: &str, users: &[&str], sum: u64) -> (String, Vec<String>, u64) {
    (kind.to_owned(), users.iter().map(|user| (*user).to_owned()).collect(), sum)
}

/// The change in an event: user, type, action, and sum; and the message.
#[track_caller]
fn change(event: &Event) -> (&Value, Vec<(&str, &str, u64, u64)>) {
    let infos = event.body["changeInfoList"].as_array().unwrap();
    assert_eq!(infos.len(), 1, "{}", event.body);
    let changes = infos[0]["userChangeInfoList"].as_array().unwrap();
    let one = |change| {
        let (user, kind) = (string(change, "userID"), string(change, "reactionType"));
        (user, kind, number(change, "action"), number(change, "sumCount"))
    };
    let kinds: Vec<&str> = changes.iter().map(|change| string(change, "reactionType")).collect();
    let shown = event.body["reactions"].as_array().unwrap();
    let shown: Vec<&str> = shown.iter().map(|shown| string(shown, "reactionType")).collect();
    assert_eq!(shown, kinds);
    (&infos[0]["message"], changes.iter().map(one).collect())
}

#[tokio::test]
async fn both_users_see_the_reactions_of_both_and_counts_stay() {
    let mut world = World::of(&["alice", "bob"]).await;
    let first = world.send("alice", "bob", "first").await;
    let last = world.send("alice", "bob", "last").await;
    // Two sessions of one user share the events.
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    let mut also_of_bob = world.events("bob").await;
    // The receiver reacts, then the sender.
    let reply = world.ok("bob", ADD, body("alice", &last, "👍")).await;
    let shown = json!({
        "reactionType": "👍", "conversationID": "alice", "conversationType": 0,
        "messageID": last["messageID"], "totalCount": 1, "isSelfIncluded": true,
        "userList": [{ "userID": "bob" }], "sumCount": 1,
    });
    assert_eq!(reply, json!({ "reaction": shown }));
    for (events, is_own) in [(&mut of_alice, false), (&mut of_bob, true), (&mut also_of_bob, true)]
    {
        let events = events.expect(&[REACTED, CHANGED]).await;
        let (message, changes) = change(&events[0]);
        assert_eq!(changes, [("bob", "👍", 0, 1)]);
        assert_eq!(reactions(message), [reaction("👍", &["bob"], 1)]);
        assert_eq!(message["reactions"][0]["isSelfIncluded"], is_own);
        assert_eq!(message["message"], "last");
        let conversation = &events[1].body["infoList"][0]["conversation"];
        assert_eq!(reactions(&conversation["lastMessage"]), [reaction("👍", &["bob"], 1)]);
        assert_eq!(events[0].body["revision"], events[1].body["revision"]);
    }
    world.ok("alice", ADD, body("bob", &last, "👍")).await;
    world.ok("alice", ADD, body("bob", &first, "\u{2764}")).await;
    for events in [&mut of_alice, &mut of_bob] {
        let events = events.expect(&[REACTED, CHANGED, REACTED]).await;
        assert_eq!(change(&events[0]).1, [("alice", "👍", 0, 2)]);
        // It is not the last message.
        assert_eq!(change(&events[2]).1, [("alice", "\u{2764}", 0, 1)]);
    }
    for restarted in [false, true] {
        if restarted {
            world.peerd.restart().await;
        }
        for (user, other) in [("alice", "bob"), ("bob", "alice")] {
            let history = world.history(user, other).await;
            assert_eq!(reactions(&history[0]), [reaction("\u{2764}", &["alice"], 1)]);
            assert_eq!(reactions(&history[1]), [reaction("👍", &["alice", "bob"], 2)]);
            let shown = world.conversation(user, other).await;
            assert_eq!(shown["lastMessage"], history[1]);
        }
        assert_eq!(world.totals("bob").await, (2, 2));
    }
}

#[tokio::test]
async fn a_repeat_needs_increase_count_and_what_is_not_there_is_not_deleted() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let unchanged = (UNCHANGED, "reaction_unchanged".to_owned());
    assert_eq!(world.refused("bob", DELETE, body("alice", &message, "a")).await, unchanged);
    world.ok("bob", ADD, increase("alice", &message, "a", 0)).await;
    let mut of_alice = world.events("alice").await;
    assert_eq!(world.refused("bob", ADD, body("alice", &message, "a")).await, unchanged);
    assert_eq!(world.refused("alice", DELETE, body("bob", &message, "a")).await, unchanged);
    let reply = world.ok("bob", ADD, increase("alice", &message, "a", 5)).await;
    assert_eq!(number(&reply["reaction"], "sumCount"), 6);
    let reply = world.ok("alice", ADD, increase("bob", &message, "a", 2)).await;
    assert_eq!(number(&reply["reaction"], "sumCount"), 8);
    assert_eq!(number(&reply["reaction"], "totalCount"), 2);
    let reply = world.ok("bob", DELETE, body("alice", &message, "a")).await;
    let shown = (number(&reply["reaction"], "sumCount"), &reply["reaction"]["isSelfIncluded"]);
    assert_eq!(shown, (2, &json!(false)));
    for kind in ["b", "c"] {
        world.ok("bob", ADD, body("alice", &message, kind)).await;
    }
    assert_eq!(world.ok("bob", DELETE_ALL, body("alice", &message, "")).await, json!({}));
    // A repeat is success and publishes nothing.
    assert_eq!(world.ok("bob", DELETE_ALL, body("alice", &message, "")).await, json!({}));
    let events = of_alice.drain().await;
    let reacted: Vec<&Event> = events.iter().filter(|event| event.name == REACTED).collect();
    let all: Vec<_> = reacted.iter().map(|event| change(event).1).collect();
    let expected = [
        vec![("bob", "a", 0, 6)],
        vec![("alice", "a", 0, 8)],
        vec![("bob", "a", 1, 2)],
        vec![("bob", "b", 0, 1)],
        vec![("bob", "c", 0, 1)],
        vec![("bob", "b", 1, 0), ("bob", "c", 1, 0)],
    ];
    assert_eq!(all, expected);
    assert_eq!(reactions(change(reacted[5]).0), [reaction("a", &["alice"], 2)]);
    let history = world.history("bob", "alice").await;
    assert_eq!(reactions(&history[0]), [reaction("a", &["alice"], 2)]);
    world.ok("alice", DELETE, body("bob", &message, "a")).await;
    assert_eq!(world.history("bob", "alice").await[0].get("reactions"), None);
}

#[tokio::test]
async fn the_users_who_reacted_are_read_in_pages() {
    let world = World::of(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    world.ok("bob", ADD, increase("alice", &message, "a", 3)).await;
    world.ok("alice", ADD, body("bob", &message, "a")).await;
    world.ok("alice", ADD, body("bob", &message, "b")).await;
    let users = |config: Value| {
        let named = body("alice", &message, "");
        let body = json!({ "message": named["message"], "config": config });
        world.ok("bob", USERS, body)
    };
    let all = users(json!({ "reactionType": "a" })).await;
    let alice = json!({ "userID": "alice", "reactions": [
        { "reactionType": "a", "sumCount": 1 }, { "reactionType": "b", "sumCount": 1 },
    ]});
    let bob = json!({ "userID": "bob", "reactions": [{ "reactionType": "a", "sumCount": 3 }] });
    assert_eq!(all["userInfoList"], json!([alice, bob]));
    assert_eq!(all["userList"], json!([{ "userID": "alice" }, { "userID": "bob" }]));
    assert_eq!((&all["totalCount"], &all["nextFlag"]), (&json!(2), &json!(0)));
    assert_eq!(
        (&all["reactionType"], all["message"]["message"].as_str()),
        (&json!("a"), Some("hello"))
    );
    let page = users(json!({ "reactionType": "a", "count": 1, "nextFlag": 0 })).await;
    assert_eq!(page["userInfoList"], json!([alice]));
    let rest = json!({ "reactionType": "a", "count": 1, "nextFlag": page["nextFlag"] });
    let rest = users(rest).await;
    assert_eq!((&rest["userInfoList"], &rest["nextFlag"]), (&json!([bob]), &json!(0)));
    let nobody = users(json!({ "reactionType": "z", "count": 0 })).await;
    assert_eq!((&nobody["totalCount"], &nobody["userList"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn what_may_not_be_reacted_to_is_refused() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let of_bob = world.send("bob", "alice", "hello back").await;
    for (kind, problem) in [
        (" ", "reactionType must not be blank"),
        (&"x".repeat(33), "reactionType must be 32 bytes or shorter"),
        (
            "a\nb",
            "reactionType must not have control characters, line breaks or bidirectional overrides",
        ),
    ] {
        let refused = world.call("bob", ADD, body("alice", &message, kind)).await;
        assert_eq!((refused.code, string(&refused.body, "message")), (Some(INVALID), problem));
    }
    world
        .invalid("bob", ADD, increase("alice", &message, "a", 1_000_001), "config.increaseCount")
        .await;
    world.ok("bob", ADD, increase("alice", &message, "a", 1_000_000)).await;
    world.invalid("bob", ADD, increase("alice", &message, "a", 1), "config.increaseCount").await;
    for number in 1..100 {
        world.ok("bob", ADD, body("alice", &message, &number.to_string())).await;
    }
    world.invalid("alice", ADD, body("bob", &message, "100"), "reactionType").await;
    world.ok("alice", ADD, body("bob", &message, "99")).await;
    assert_eq!(world.history("alice", "bob").await[0]["reactions"].as_array().unwrap().len(), 100);
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    // A blocked user changes nothing, neither on own messages nor on those of the other; the user
    // who blocks may.
    for target in [&message, &of_bob] {
        for (method, kind) in [(ADD, "50"), (DELETE, "1"), (DELETE_ALL, "")] {
            let refused = world.refused("bob", method, increase("alice", target, kind, 1)).await;
            let expected = if method == DELETE && target == &of_bob { UNCHANGED } else { BLOCKED };
            assert_eq!(refused.0, expected, "{method}");
        }
        world.ok("alice", ADD, body("bob", target, "50")).await;
    }
    let mut unknown = message.clone();
    unknown["messageID"] = json!("12345");
    world.invalid("alice", ADD, body("bob", &unknown, "a"), "message.messageID").await;
    world.ok("alice", "revoke_message", json!({ "message": message })).await;
    assert_eq!(world.history("bob", "alice").await[0].get("reactions"), None);
    for (method, kind) in [(ADD, "a"), (DELETE, "50"), (DELETE_ALL, "")] {
        assert_eq!(world.refused("alice", method, body("bob", &message, kind)).await.0, REVOKED);
    }
    let users = json!({ "message": message, "config": { "reactionType": "50" } });
    assert_eq!(world.ok("alice", USERS, users).await["totalCount"], 0);
    assert_eq!(world.refused("carol", ADD, body("bob", &message, "a")).await.0, NOT_LOGGED_IN);
}

#[tokio::test]
async fn an_edit_keeps_the_reactions_and_a_reaction_keeps_the_edit() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "one").await;
    world.ok("bob", ADD, body("alice", &message, "a")).await;
    let mut edit = message.clone();
    edit["message"] = json!("two");
    let reply = world.ok("alice", "edit_message", json!({ "message": edit })).await;
    assert_eq!(reactions(&reply["message"]), [reaction("a", &["bob"], 1)]);
    world.ok("bob", ADD, body("alice", &message, "b")).await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let shown = &world.history(user, other).await[0];
        assert_eq!((shown["message"].as_str(), reactions(shown).len()), (Some("two"), 2));
        assert!(number(shown, "editedTime") > 0);
    }
}

/// A message that its user deleted changes for the other only; who was away sees it in the history.
#[tokio::test]
async fn users_who_deleted_it_or_were_away_get_no_event() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    world.send("alice", "bob", "and more").await;
    let named = json!([{ "messageID": message["messageID"] }]);
    let deleted = json!({ "conversationID": "alice", "messageList": named });
    world.ok("bob", "delete_messages", deleted).await;
    let mut of_bob = world.events("bob").await;
    let mut of_alice = world.events("alice").await;
    world.ok("alice", ADD, body("bob", &message, "a")).await;
    of_alice.expect(&[REACTED]).await;
    assert!(of_bob.drain().await.is_empty());
    world.ok("bob", "logout", json!({})).await;
    let newest = world.history("alice", "bob").await.pop().unwrap();
    world.ok("alice", ADD, body("bob", &newest, "b")).await;
    world.login(&["bob"]).await;
    let history = world.history("bob", "alice").await;
    assert_eq!(reactions(&history[0]), [reaction("b", &["alice"], 1)]);
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
            for (user, other, kind) in [(to, from, "r"), (from, to, "s")] {
                let mut of_other = world.events(other).await;
                let call = body(other, &message, kind);
                let reply = world.client.call_as(encoding, user, ADD, call).await.ok();
                assert_eq!(reply["reaction"]["userList"], json!([{ "userID": user }]));
                let events = of_other.expect(&[REACTED, CHANGED]).await;
                assert_eq!(change(&events[0]).1, [(*user, kind, 0, 1)]);
            }
            for (user, other) in [(from, to), (to, from)] {
                let history = world.history(user, other).await;
                let shown = history.iter().find(|it| it["messageID"] == message["messageID"]);
                let expected = [reaction("r", &[*to], 1), reaction("s", &[*from], 1)];
                assert_eq!(reactions(shown.unwrap()), expected);
            }
        }
    }
    for mut other in others {
        assert!(other.terminate().await.success(), "{}", other.log());
    }
}

#[tokio::test]
async fn a_flood_of_reactions_is_refused() {
    let world = World::of(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let mut codes = Vec::new();
    for _ in 0..60 {
        let reply = world.call("bob", ADD, increase("alice", &message, "a", 1)).await;
        codes.push(reply.code.unwrap_or_default());
    }
    assert!(codes.contains(&RATE_LIMITED) && !codes.contains(&INVALID), "{codes:?}");
    let taken = codes.iter().filter(|code| **code == 0).count() as u64;
    let shown = world.history("alice", "bob").await;
    assert_eq!(reactions(&shown[0]), [reaction("a", &["bob"], taken)]);
}
