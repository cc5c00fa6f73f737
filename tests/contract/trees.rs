//! Trees of replies: their number, and the list.

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, NOT_LOGGED_IN, RECEIVED, TOTAL, World, number, texts};
use crate::support::{Encoding, Event};

const REPLY: &str = "reply_message";
const LIST: &str = "query_message_replied_list";
const COUNT: &str = "message_replied_count_changed";
const UNLIMITED: (&str, &str) = ("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "100000");

fn named(other: &str, message: &Value) -> Value {
    json!({ "messageID": message["messageID"], "conversationID": other, "conversationType": 0 })
}

async fn world(users: &[&str]) -> World {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(users).await;
    world
}

async fn reply(world: &World, user: &str, other: &str, original: &Value, text: &str) -> Value {
    let body = json!({
        "message": { "type": 1, "message": text }, "toOriginalMessage": named(other, original),
    });
    world.ok(user, REPLY, body).await["message"].clone()
}

async fn page(
    world: &World,
    (user, other): (&str, &str),
    message: &Value,
    (next, count): (u64, u64),
) -> Value {
    let config = json!({ "nextFlag": next, "count": count });
    world.ok(user, LIST, json!({ "message": named(other, message), "config": config })).await
}

/// The texts of a tree, read with pages of this size.
async fn tree(
    world: &World,
    users: (&str, &str),
    message: &Value,
    count: u64,
) -> (Vec<String>, u64) {
    let (mut all, mut next, mut pages) = (Vec::new(), 0, 0);
    loop {
        let page = page(world, users, message, (next, count)).await;
        let list = page["messageList"].as_array().unwrap();
        assert!(list.len() as u64 <= count);
        all.extend(texts(list).into_iter().map(str::to_owned));
        let reached = number(&page, "nextFlag");
        pages += 1;
        if reached == 0 {
            return (all, pages);
        }
        assert!(reached > next, "{reached} after {next}");
        next = reached;
    }
}

/// A number of replies in an event, to a message.
#[track_caller]
fn assert_counted(event: &Event, other: &str, root: &Value, count: u64) {
    let info = json!({
        "messageID": root["messageID"],
        "conversationID": other,
        "conversationType": 0,
        "count": count,
    });
    assert_eq!((event.name.as_str(), &event.body["infos"]), (COUNT, &json!([info])));
    assert_eq!(event.body["revision"], event.body["previousRevision"]);
}

#[tokio::test]
async fn replies_to_replies_are_one_tree_that_both_see() {
    let mut world = World::of(&["alice", "bob"]).await;
    let root = world.send("alice", "bob", "root").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = [world.events("bob").await, world.events("bob").await];
    let first = reply(&world, "bob", "alice", &root, "one").await;
    let second = reply(&world, "alice", "bob", &first, "two").await;
    reply(&world, "bob", "alice", &second, "three").await;
    assert_eq!(first.get("rootRepliedCount"), None);
    let received = [RECEIVED, CHANGED, TOTAL, COUNT];
    let sent = [CHANGED, COUNT];
    let events = of_alice.expect(&[&received[..], &sent, &received].concat()).await;
    for (index, count) in [(3, 1), (5, 2), (9, 3)] {
        assert_counted(&events[index], "bob", &root, count);
    }
    for events in &mut of_bob {
        let events = events.expect(&[&sent[..], &received, &sent].concat()).await;
        for (index, count) in [(1, 1), (5, 2), (7, 3)] {
            assert_counted(&events[index], "alice", &root, count);
        }
    }
    for restarted in [false, true] {
        if restarted {
            world.peerd.restart().await;
        }
        for users @ (user, other) in [("alice", "bob"), ("bob", "alice")] {
            let history = world.history(user, other).await;
            assert_eq!(history[0]["rootRepliedCount"], 3);
            assert!(history[1..].iter().all(|reply| reply.get("rootRepliedCount").is_none()));
            // From any message of the tree.
            for message in &history {
                let list = page(&world, users, message, (0, 100)).await;
                assert_eq!(list["messageList"], json!(history[1..]));
                let info = json!({
                    "state": 0,
                    "message": history[0],
                    "senderUserID": "alice",
                    "sentTime": root["timestamp"],
                    "repliedCount": 3,
                });
                assert_eq!((&list["rootRepliedInfo"], &list["nextFlag"]), (&info, &json!(0)));
            }
            for count in [1, 2, 3] {
                let (all, pages) = tree(&world, users, &root, count).await;
                assert_eq!(
                    (all, pages),
                    (vec!["one".into(), "two".into(), "three".into()], 4 - count)
                );
            }
        }
    }
}

/// What was sent stays counted. A revocation shows in the list, a deletion in that of its user.
#[tokio::test]
async fn revoked_and_deleted_replies_are_counted() {
    let mut world = world(&["alice", "bob"]).await;
    let root = world.send("alice", "bob", "root").await;
    let first = reply(&world, "bob", "alice", &root, "first").await;
    let second = reply(&world, "bob", "alice", &first, "second").await;
    let third = reply(&world, "alice", "bob", &root, "third").await;
    // The newest of its sender, and one that is not.
    for revoked in [&second, &first] {
        let revoked = json!({ "message": named("alice", revoked) });
        world.ok("bob", "revoke_message", revoked).await;
    }
    let delete = json!({ "conversationID": "bob", "messageList": [named("bob", &third)] });
    world.ok("alice", "delete_messages", delete).await;
    for number in 0..40 {
        world.send("bob", "alice", &format!("more {number}")).await;
    }
    let late = reply(&world, "bob", "alice", &root, "last").await;
    for restarted in [false, true] {
        if restarted {
            world.peerd.restart().await;
        }
        for (users @ (user, other), shown) in
            [(("alice", "bob"), vec![31, 31, 1]), (("bob", "alice"), vec![31, 31, 1, 1])]
        {
            let list = page(&world, users, &root, (0, 100)).await;
            let types = list["messageList"].as_array().unwrap().iter();
            assert_eq!(types.map(|shown| number(shown, "type")).collect::<Vec<_>>(), shown);
            assert_eq!(list["rootRepliedInfo"]["repliedCount"], 4);
            let first = world.page(user, other, json!({ "count": 1 })).await.remove(0);
            assert_eq!(first["rootRepliedCount"], 4);
        }
    }
    // A revoked root shows no number, and its tree goes on.
    let mut of_bob = world.events("bob").await;
    world.ok("alice", "revoke_message", json!({ "message": named("bob", &root) })).await;
    of_bob.drain().await;
    let more = reply(&world, "alice", "bob", &late, "more").await;
    of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    of_bob.none().await;
    for users in [("alice", "bob"), ("bob", "alice")] {
        let list = page(&world, users, &more, (0, 100)).await;
        let info = json!({
            "state": 1,
            "senderUserID": "alice",
            "sentTime": root["timestamp"],
            "repliedCount": 5,
        });
        assert_eq!(list["rootRepliedInfo"], info);
        let newest = list["messageList"].as_array().unwrap().last().unwrap();
        assert_eq!(newest["messageID"], more["messageID"]);
        let first = world.page(users.0, users.1, json!({ "count": 1 })).await.remove(0);
        assert_eq!((number(&first, "type"), first.get("rootRepliedCount")), (31, None));
    }
}

/// A tree on many pages, far apart, with pages in between that have none of its replies.
#[tokio::test]
async fn a_large_tree_is_counted_and_listed() {
    let world = world(&["alice", "bob"]).await;
    let root = world.send("alice", "bob", "root").await;
    let other = world.send("alice", "bob", "another").await;
    let mut expected = Vec::new();
    let mut newest = root.clone();
    for number in 0..200 {
        world.send("bob", "alice", "more").await;
        world.send("alice", "bob", "and more").await;
        if number % 40 < 2 {
            for (user, peer) in [("bob", "alice"), ("alice", "bob")] {
                let text = format!("{user} {number}");
                newest = reply(&world, user, peer, &newest, &text).await;
                expected.push(text);
            }
            reply(&world, "bob", "alice", &other, "to another").await;
        }
    }
    for users in [("alice", "bob"), ("bob", "alice")] {
        for count in [3, 100] {
            assert_eq!(tree(&world, users, &newest, count).await.0, expected);
        }
        let first = world.page(users.0, users.1, json!({ "count": 2 })).await;
        let counts = first.iter().map(|shown| number(shown, "rootRepliedCount"));
        assert_eq!(counts.collect::<Vec<_>>(), [20, 10]);
    }
}

#[tokio::test]
async fn a_user_who_was_away_reads_the_number() {
    let world = world(&["alice", "bob"]).await;
    let root = world.send("bob", "alice", "root").await;
    world.ok("bob", "logout", json!({})).await;
    let mut of_bob = world.events("bob").await;
    let mut of_alice = world.events("alice").await;
    reply(&world, "alice", "bob", &root, "first").await;
    assert_counted(&of_alice.expect(&[CHANGED, COUNT]).await[1], "bob", &root, 1);
    assert!(of_bob.drain().await.iter().all(|event| event.name != COUNT));
    world.login(&["bob"]).await;
    assert_eq!(world.history("bob", "alice").await[0]["rootRepliedCount"], 1);
    // For a user who deleted the root there is no number.
    let delete = json!({ "conversationID": "alice", "messageList": [named("alice", &root)] });
    world.ok("bob", "delete_messages", delete).await;
    of_bob.drain().await;
    reply(&world, "alice", "bob", &root, "second").await;
    of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    of_bob.none().await;
    let newest = world.history("bob", "alice").await.pop().unwrap();
    let list = page(&world, ("bob", "alice"), &newest, (0, 1)).await;
    assert_eq!(list["rootRepliedInfo"]["state"], 1);
    assert_eq!(list["rootRepliedInfo"].get("message"), None);
    assert_eq!(list["rootRepliedInfo"]["repliedCount"], 2);
}

#[tokio::test]
async fn the_list_has_bounds_and_errors() {
    let world = world(&["alice", "bob"]).await;
    let root = world.send("alice", "bob", "root").await;
    let body = |message: Value, config: Value| json!({ "message": message, "config": config });
    let of_bob = named("alice", &root);
    for (config, field) in [
        (json!({}), "config.count"),
        (json!({ "count": 0 }), "config.count"),
        (json!({ "count": 101 }), "config.count"),
        (json!({ "count": 1, "nextFlag": -1 }), "config.nextFlag"),
    ] {
        world.invalid("bob", LIST, body(of_bob.clone(), config), field).await;
    }
    let one = json!({ "count": 1 });
    let nowhere = json!({ "messageID": root["messageID"] });
    world.invalid("bob", LIST, body(nowhere, one.clone()), "message.conversationID").await;
    let unknown = json!({ "messageID": "12345", "conversationID": "alice" });
    world.invalid("bob", LIST, body(unknown, one.clone()), "message.messageID").await;
    let list = world.ok("bob", LIST, body(of_bob.clone(), one.clone())).await;
    assert_eq!((&list["messageList"], &list["nextFlag"]), (&json!([]), &json!(0)));
    assert_eq!(list["rootRepliedInfo"]["repliedCount"], 0);
    // A block stops replies, and not reading.
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    reply(&world, "alice", "bob", &root, "still").await;
    assert_eq!(tree(&world, ("bob", "alice"), &root, 1).await.0, ["still"]);
    let delete = json!({ "conversationID": "alice", "messageList": [of_bob] });
    world.ok("bob", "delete_messages", delete).await;
    world.invalid("bob", LIST, body(of_bob.clone(), one.clone()), "message.messageID").await;
    let refused = world.refused("dave", LIST, body(of_bob, one)).await;
    assert_eq!(refused.0, NOT_LOGGED_IN);
}

#[tokio::test]
async fn trees_work_in_both_encodings_and_over_three_instances() {
    let users = ["alice", "bob", "carol"];
    let world = world(&users).await;
    let others = world.two_more(&[FAST, UNLIMITED]).await;
    for (index, from) in users.iter().enumerate() {
        for to in users.iter().filter(|to| *to != from) {
            let root = world.send(from, to, "root").await;
            let encoding = Encoding::BOTH[index % 2];
            let mut newest = root.clone();
            for (count, (user, other)) in [(to, from), (from, to), (to, from)].iter().enumerate() {
                let (count, mut events) =
                    (count as u64 + 1, [world.events(user).await, world.events(other).await]);
                newest = reply(&world, user, other, &newest, "a reply").await;
                let [own, of_other] = &mut events;
                assert_counted(&own.expect(&[CHANGED, COUNT]).await[1], other, &root, count);
                let received = of_other.expect(&[RECEIVED, CHANGED, TOTAL, COUNT]).await;
                assert_counted(&received[3], user, &root, count);
            }
            for (user, other) in [(from, to), (to, from)] {
                let body = json!({ "message": named(other, &newest), "config": { "count": 9 } });
                let list = world.client.call_as(encoding, user, LIST, body).await.ok();
                assert_eq!(list["rootRepliedInfo"]["repliedCount"], 3);
                assert_eq!(list["rootRepliedInfo"]["message"]["messageID"], root["messageID"]);
                assert_eq!(list["messageList"].as_array().unwrap().len(), 3);
            }
        }
    }
    for mut other in others {
        assert!(other.terminate().await.success(), "{}", other.log());
    }
}
