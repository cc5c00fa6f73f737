//! Replies: they show their original as it is, to each of the two users.

use std::path::Path;

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, INVALID, RATE_LIMITED, RECEIVED, TOTAL, World, number};
use crate::support::{Encoding, Event, partition};

const REPLY: &str = "reply_message";
const COUNT: &str = "message_replied_count_changed";
const INFO_CHANGED: &str = "message_replied_info_changed";
const NORMAL: u64 = 0;
const DELETED: u64 = 1;
const NOT_FOUND: u64 = 2;
const REVOKED: i64 = 6_000_279;
const BLOCKED: i64 = 6_000_284;
const NOT_LOGGED_IN: i64 = 6_000_121;

const UNLIMITED: (&str, &str) = ("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "100000");

fn named(other: &str, original: &Value) -> Value {
    json!({ "messageID": original["messageID"], "conversationID": other, "conversationType": 0 })
}

fn body(other: &str, original: &Value, text: &str) -> Value {
    json!({ "message": { "type": 1, "message": text }, "toOriginalMessage": named(other, original) })
}

async fn reply(world: &World, user: &str, other: &str, original: &Value, text: &str) -> Value {
    world.ok(user, REPLY, body(other, original, text)).await["message"].clone()
}

async fn edit(world: &World, user: &str, other: &str, message: &Value, text: &str) {
    let mut message = named(other, message);
    message["type"] = json!(1);
    message["message"] = json!(text);
    world.ok(user, "edit_message", json!({ "message": message })).await;
}

async fn revoke(world: &World, user: &str, other: &str, message: &Value) {
    world.ok(user, "revoke_message", json!({ "message": named(other, message) })).await;
}

/// The state and the content that a reply shows of its original.
#[track_caller]
fn info(reply: &Value, original: &Value) -> (u64, Value) {
    let shown = &reply["repliedInfo"];
    for (field, of_original) in [
        ("messageID", "messageID"),
        ("messageSeq", "messageSeq"),
        ("senderUserID", "senderUserID"),
        ("sentTime", "timestamp"),
    ] {
        assert_eq!(shown[field], original[of_original], "{field} of {reply}");
    }
    (number(shown, "state"), shown["messageInfo"].clone())
}

fn text(text: &str) -> (u64, Value) {
    (NORMAL, json!({ "type": 1, "message": text }))
}

fn deleted() -> (u64, Value) {
    (DELETED, json!({ "type": 31 }))
}

/// The messages in an event about replies.
#[track_caller]
fn replies(event: &Event) -> &[Value] {
    assert_eq!(event.name, INFO_CHANGED);
    event.body["messageList"].as_array().unwrap()
}

#[tokio::test]
async fn a_reply_is_a_message_that_shows_its_original_to_both() {
    let mut world = World::of(&["alice", "bob"]).await;
    let question = world.send("alice", "bob", "Coffee?").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    let mut also_of_bob = world.events("bob").await;
    let answer = reply(&world, "bob", "alice", &question, "Yes!").await;
    assert_eq!(info(&answer, &question), text("Coffee?"));
    let events = of_alice.expect(&[RECEIVED, CHANGED, TOTAL, COUNT]).await;
    let received = &events[0].body["messageList"][0];
    assert_eq!(
        (&received["message"], info(received, &question)),
        (&json!("Yes!"), text("Coffee?"))
    );
    let last = &events[1].body["infoList"][0]["conversation"]["lastMessage"];
    assert_eq!(info(last, &question), text("Coffee?"));
    for events in [&mut of_bob, &mut also_of_bob] {
        let events = events.expect(&[CHANGED, COUNT]).await;
        let last = &events[0].body["infoList"][0]["conversation"]["lastMessage"];
        assert_eq!(last, &answer);
    }
    // To one's own message, and to a reply.
    let more = reply(&world, "alice", "bob", &question, "Or tea?").await;
    let again = reply(&world, "alice", "bob", &answer, "Good").await;
    let received = [RECEIVED, CHANGED, TOTAL, COUNT];
    of_bob.expect(&[received, received].concat()).await;
    for restarted in [false, true] {
        if restarted {
            world.peerd.restart().await;
        }
        for (user, other) in [("alice", "bob"), ("bob", "alice")] {
            let history = world.history(user, other).await;
            assert_eq!(history.len(), 4);
            assert_eq!(history[0].get("repliedInfo"), None);
            assert_eq!(info(&history[1], &question), text("Coffee?"));
            assert_eq!(info(&history[2], &question), text("Coffee?"));
            assert_eq!(info(&history[3], &answer), text("Yes!"));
            assert_eq!(history[2]["messageID"], more["messageID"]);
            let shown = world.conversation(user, other).await;
            assert_eq!(shown["lastMessage"], history[3]);
            assert_eq!(shown["lastMessage"]["messageID"], again["messageID"]);
            let numbered = json!({ "conversationID": other, "messageSeqs": [1, 2, 3] });
            let numbered = world.ok(user, "query_messages", numbered).await;
            assert_eq!(numbered["messageList"], json!(history));
        }
        assert_eq!(world.totals("bob").await, (3, 3));
    }
}

#[tokio::test]
async fn a_change_of_the_original_shows_in_its_replies() {
    let mut world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "one").await;
    let other = world.send("alice", "bob", "unrelated").await;
    let first = reply(&world, "bob", "alice", &original, "first").await;
    reply(&world, "bob", "alice", &other, "to another").await;
    let second = reply(&world, "alice", "bob", &original, "second").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    let mut also_of_bob = world.events("bob").await;
    edit(&world, "alice", "bob", &original, "two").await;
    for events in [&mut of_alice, &mut of_bob, &mut also_of_bob] {
        let events = events.expect(&["message_edited", INFO_CHANGED, CHANGED]).await;
        let last = &events[2].body["infoList"][0]["conversation"]["lastMessage"];
        assert_eq!(
            (&last["messageID"], info(last, &original)),
            (&second["messageID"], text("two"))
        );
        let shown = replies(&events[1]);
        let ids: Vec<&Value> = shown.iter().map(|shown| &shown["messageID"]).collect();
        assert_eq!(ids, [&first["messageID"], &second["messageID"]]);
        assert!(shown.iter().all(|shown| info(shown, &original) == text("two")));
        assert_eq!(events[0].body["revision"], events[1].body["revision"]);
    }
    // An edit that changes nothing in it publishes nothing about replies.
    let mut same = named("bob", &original);
    same["type"] = json!(1);
    same["message"] = json!("two");
    same["extendedData"] = json!("e");
    world.ok("alice", "edit_message", json!({ "message": same })).await;
    of_bob.expect(&["message_edited"]).await;
    revoke(&world, "alice", "bob", &original).await;
    let events = of_bob.expect(&["message_revoke_received", INFO_CHANGED, CHANGED, TOTAL]).await;
    assert!(replies(&events[1]).iter().all(|shown| info(shown, &original) == deleted()));
    let last = &events[2].body["infoList"][0]["conversation"]["lastMessage"];
    assert_eq!((&last["messageID"], info(last, &original)), (&second["messageID"], deleted()));
    let events = ["message_edited", "message_revoke_received", INFO_CHANGED, CHANGED];
    of_alice.expect(&events).await;
    for restarted in [false, true] {
        if restarted {
            world.peerd.restart().await;
        }
        for (user, other) in [("alice", "bob"), ("bob", "alice")] {
            let history = world.history(user, other).await;
            assert_eq!(info(&history[2], &original), deleted());
            assert_eq!(info(&history[4], &original), deleted());
            let shown = world.conversation(user, other).await;
            assert_eq!(shown["lastMessage"], history[4]);
        }
    }
    // The reply itself can be revoked. Then it is no reply any more.
    let second = json!({ "messageID": second["messageID"] });
    revoke(&world, "alice", "bob", &second).await;
    assert_eq!(world.history("bob", "alice").await[4].get("repliedInfo"), None);
}

#[tokio::test]
async fn a_revoked_original_is_nowhere_in_the_store() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "secret-original").await;
    for number in 0..3 {
        reply(&world, "bob", "alice", &original, &format!("b{number}")).await;
        reply(&world, "alice", "bob", &original, &format!("a{number}")).await;
    }
    assert!(is_in_files(world.nats.dir(), "secret-original"));
    revoke(&world, "alice", "bob", &original).await;
    assert!(!is_in_files(world.nats.dir(), "secret-original"));
    assert!(is_in_files(world.nats.dir(), "b2"));
}

/// Whether a text is in a file of a folder.
fn is_in_files(folder: &Path, text: &str) -> bool {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return is_in_files(&path, text);
        }
        // A file may go while the folder is read.
        let bytes = std::fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test]
async fn who_deleted_the_original_sees_so() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "one").await;
    let first = reply(&world, "alice", "bob", &original, "first").await;
    let second = reply(&world, "bob", "alice", &original, "second").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    // A reply that is deleted together with its original is not shown.
    let ids = json!([{ "messageID": original["messageID"] }, { "messageID": first["messageID"] }]);
    let delete = json!({ "conversationID": "alice", "messageList": ids });
    world.ok("bob", "delete_messages", delete).await;
    let events = of_bob.expect(&["message_deleted", INFO_CHANGED, CHANGED, TOTAL]).await;
    let [shown] = replies(&events[1]) else { panic!("{}", events[1].body) };
    assert_eq!((&shown["messageID"], info(shown, &original)), (&second["messageID"], deleted()));
    assert_eq!(info(&world.history("bob", "alice").await[0], &original), deleted());
    assert_eq!(info(&world.history("alice", "bob").await[2], &original), text("one"));
    // A change of it is shown to the other only, and so is it in a new reply.
    edit(&world, "alice", "bob", &original, "two").await;
    let events = of_alice.expect(&["message_edited", INFO_CHANGED]).await;
    assert_eq!(replies(&events[1]).len(), 2);
    let third = reply(&world, "alice", "bob", &original, "third").await;
    assert_eq!(info(&third, &original), text("two"));
    let events = of_bob.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    assert_eq!(info(&events[0].body["messageList"][0], &original), deleted());
    world.invalid("bob", REPLY, body("alice", &original, "x"), "toOriginalMessage.messageID").await;
}

#[tokio::test]
async fn replies_are_replayed_with_their_originals() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("bob", "alice", "one").await;
    world.ok("bob", "logout", json!({})).await;
    reply(&world, "alice", "bob", &original, "first").await;
    let own = world.send("alice", "bob", "own").await;
    reply(&world, "alice", "bob", &own, "second").await;
    edit(&world, "alice", "bob", &own, "edited").await;
    let mut of_bob = world.events("bob").await;
    world.login(&["bob"]).await;
    let event = loop {
        let event = of_bob.next().await;
        if event.name == RECEIVED {
            break event;
        }
    };
    assert_eq!(event.body["info"]["isOfflineMessage"], true);
    let list = event.body["messageList"].as_array().unwrap();
    assert_eq!(info(&list[0], &original), text("one"));
    assert_eq!(info(&list[2], &own), text("edited"));
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first() {
    let mut world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "one").await;
    let another = world.send("alice", "bob", "another").await;
    let mut call = body("alice", &original, "Yes!");
    call["message"]["localMessageID"] = json!("l-1");
    let first = world.ok("bob", REPLY, call.clone()).await;
    assert_eq!(world.ok("bob", REPLY, call.clone()).await["message"], first["message"]);
    // The same text to another message, or to none, is another message.
    let mut other = call.clone();
    other["toOriginalMessage"] = named("alice", &another);
    assert_eq!(world.refused("bob", REPLY, other).await.1, "local_message_id_reused");
    let plain = json!({ "toUserID": "alice", "message": call["message"] });
    assert_eq!(world.refused("bob", "send_peer_message", plain).await.1, "local_message_id_reused");
    // Also after the original is gone.
    revoke(&world, "alice", "bob", &original).await;
    for restarted in [false, true] {
        if restarted {
            world.peerd.restart().await;
        }
        let repeated = world.ok("bob", REPLY, call.clone()).await["message"].clone();
        assert_eq!(repeated["messageID"], first["message"]["messageID"]);
        assert_eq!(info(&repeated, &original), deleted());
    }
    call["message"]["localMessageID"] = json!("l-2");
    assert_eq!(world.refused("bob", REPLY, call).await.0, REVOKED);
    assert_eq!(world.history("bob", "alice").await.len(), 3);
}

#[tokio::test]
async fn what_is_no_reply_is_refused() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob", "carol"]).await;
    let original = world.send("alice", "bob", "one").await;
    let of_others = world.send("alice", "carol", "to carol").await;
    let mut unknown = original.clone();
    unknown["messageID"] = json!("12345");
    for named in [&unknown, &of_others] {
        let refused = body("alice", named, "x");
        world.invalid("bob", REPLY, refused, "toOriginalMessage.messageID").await;
    }
    let mut command = body("alice", &original, "");
    command["message"] = json!({ "type": 2, "message": "AAE=" });
    world.invalid("bob", REPLY, command, "message.type").await;
    let mut nowhere = body("alice", &original, "x");
    nowhere["toOriginalMessage"] = json!({ "messageID": original["messageID"] });
    world.invalid("bob", REPLY, nowhere.clone(), "toOriginalMessage.conversationID").await;
    nowhere["conversationID"] = json!("alice");
    world.ok("bob", REPLY, nowhere).await;
    let long = body("alice", &original, &"x".repeat(3000));
    world.invalid("bob", REPLY, long, "message").await;
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    for _ in 0..2 {
        assert_eq!(world.refused("bob", REPLY, body("alice", &original, "x")).await.0, BLOCKED);
    }
    reply(&world, "alice", "bob", &original, "still").await;
    let refused = world.refused("dave", REPLY, body("alice", &original, "x")).await;
    assert_eq!(refused.0, NOT_LOGGED_IN);
}

#[tokio::test]
async fn replies_are_sent_at_the_rate_of_messages() {
    let world = World::of(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "one").await;
    let mut codes = Vec::new();
    for _ in 0..30 {
        let reply = world.call("bob", REPLY, body("alice", &original, "x")).await;
        codes.push(reply.code.unwrap_or_default());
    }
    assert!(codes.contains(&RATE_LIMITED) && !codes.contains(&INVALID), "{codes:?}");
    let taken = codes.iter().filter(|code| **code == 0).count();
    assert_eq!(world.history("bob", "alice").await.len(), 1 + taken);
}

/// Each type as an original, and where there is not room for both.
#[tokio::test]
async fn each_type_is_shown_and_a_large_original_gives_way() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    for (message, shown) in [
        (json!({ "type": 200, "message": "{}", "subType": 7 }), None),
        (json!({ "type": 11, "fileDownloadUrl": "https://x/1", "originalImageWidth": 3 }), None),
        (json!({ "type": 13, "fileDownloadUrl": "https://x/2", "audioDuration": 3 }), None),
        (json!({ "type": 10, "messageInfoList": [{ "type": 1, "message": "a" }] }), None),
        (
            json!({
                "type": 100, "title": "T", "summary": "S",
                "messageList": [{ "type": 1, "message": "inside" }],
            }),
            Some(json!({ "type": 100, "title": "T", "summary": "S" })),
        ),
    ] {
        let sent = json!({ "toUserID": "bob", "message": message });
        let original = world.ok("alice", "send_peer_message", sent).await["message"].clone();
        let call = json!({
            "message": message, "toOriginalMessage": named("alice", &original),
        });
        let answer = world.ok("bob", REPLY, call).await["message"].clone();
        assert_eq!(info(&answer, &original), (NORMAL, shown.unwrap_or(message)));
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
            let original = world.send(from, to, "hello").await;
            let encoding = Encoding::BOTH[index % 2];
            for (user, other) in [(to, from), (from, to)] {
                let mut of_other = world.events(other).await;
                let call = body(other, &original, "a reply");
                let answer = world.client.call_as(encoding, user, REPLY, call).await.ok();
                assert_eq!(info(&answer["message"], &original), text("hello"));
                let events = of_other.expect(&[RECEIVED, CHANGED, TOTAL]).await;
                let received = &events[0].body["messageList"][0];
                assert_eq!(info(received, &original), text("hello"));
            }
            let mut of_to = world.events(to).await;
            edit(&world, from, to, &original, "edited").await;
            let events = of_to.expect(&["message_edited", INFO_CHANGED]).await;
            assert_eq!(replies(&events[1]).len(), 2);
            for (user, other) in [(from, to), (to, from)] {
                let history = world.history(user, other).await;
                let shown = history.iter().filter(|message| message.get("repliedInfo").is_some());
                let shown: Vec<_> = shown
                    .filter(|shown| shown["repliedInfo"]["messageID"] == original["messageID"])
                    .collect();
                assert_eq!(shown.len(), 2);
                assert!(shown.iter().all(|shown| info(shown, &original) == text("edited")));
            }
        }
    }
    for mut other in others {
        assert!(other.terminate().await.success(), "{}", other.log());
    }
}

/// Replies lie on several pages, among other messages, and the originals, too.
#[tokio::test]
async fn replies_far_from_their_original_are_found() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "one").await;
    let mut sent = Vec::new();
    for number in 0..100 {
        world.send("bob", "alice", "more").await;
        world.send("alice", "bob", "and more").await;
        if number % 45 == 0 {
            sent.push(reply(&world, "bob", "alice", &original, "b").await);
            sent.push(reply(&world, "alice", "bob", &original, "a").await);
        }
    }
    let mut of_bob = world.events("bob").await;
    edit(&world, "alice", "bob", &original, "two").await;
    let events = of_bob.expect(&["message_edited", INFO_CHANGED]).await;
    let shown: Vec<_> = replies(&events[1]).iter().map(|shown| &shown["messageID"]).collect();
    assert_eq!(shown, sent.iter().map(|sent| &sent["messageID"]).collect::<Vec<_>>());
    let page = json!({
        "conversationID": "alice", "config": { "count": 100, "reverse": true },
    });
    let page = world.ok("bob", "query_history_message", page).await;
    let list = page["messageList"].as_array().unwrap();
    let shown: Vec<_> = list.iter().filter(|shown| shown.get("repliedInfo").is_some()).collect();
    assert!(!shown.is_empty());
    assert!(shown.iter().all(|shown| info(shown, &original) == text("two")));
}

/// An original that has aged out, or that no one can read, is not found.
#[tokio::test]
async fn an_original_that_is_not_there_is_not_found() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let original = world.send("alice", "bob", "one").await;
    world.send("alice", "bob", "in between").await;
    reply(&world, "bob", "alice", &original, "first").await;
    let stream = format!("PEER_LOG_{}", partition("bob", 8));
    let log = world.store.jetstream().get_stream(stream).await.unwrap();
    let first = log.get_first_raw_message_by_subject("peer.log.*.bob.alice", 1).await.unwrap();
    assert!(log.delete_message(first.sequence).await.is_ok());
    let history = world.history("bob", "alice").await;
    assert_eq!(history.len(), 2);
    assert_eq!(info(&history[1], &original), (NOT_FOUND, json!({ "type": 31 })));
}
