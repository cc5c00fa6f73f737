//! Revoking: the content of a message is gone for both users, and nothing else changes.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, INVALID, RATE_LIMITED, RECEIVED, TOTAL, World, number, of};
use crate::support::{Encoding, Event, Peerd, login};

const REVOKE: &str = "revoke_message";
const REVOKED_EVENT: &str = "message_revoke_received";
const TOO_LATE: i64 = 6_000_278;
const REVOKED: i64 = 6_000_279;
const NOT_PERMITTED: i64 = 6_000_285;
const REVOKE_TYPE: u64 = 31;

/// The rate of changes does not disturb tests of other properties.
const UNLIMITED: (&str, &str) = ("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "100000");

fn body(other: &str, message: &Value) -> Value {
    json!({
        "message": {
            "messageID": message["messageID"], "conversationID": other, "conversationType": 0,
        },
        "config": { "revokeExtendedData": "sorry" },
    })
}

async fn revoke(world: &World, user: &str, other: &str, message: &Value) -> Value {
    world.ok(user, REVOKE, body(other, message)).await["message"].clone()
}

#[track_caller]
fn assert_revoked(shown: &Value, original: &Value, text: &str) {
    for field in ["messageID", "messageSeq", "orderKey", "timestamp", "senderUserID"] {
        assert_eq!(shown[field], original[field], "{field} of {shown}");
    }
    assert_eq!(number(shown, "type"), REVOKE_TYPE);
    assert_eq!(number(shown, "originalMessageType"), number(original, "type"));
    assert_eq!(shown["originalTextMessageContent"], text);
    assert_eq!(shown["operatedUserID"], original["senderUserID"]);
    assert_eq!(shown["revokeExtendedData"], "sorry");
    assert_eq!((number(shown, "revokeType"), number(shown, "revokeStatus")), (0, 0));
    assert!(number(shown, "revokeTimestamp") >= number(original, "timestamp"));
    assert_eq!(shown["extendedData"], "");
    assert_eq!(shown.get("message"), None);
}

#[track_caller]
fn revoked_in(event: &Event) -> &Value {
    let list = event.body["messageList"].as_array().unwrap();
    assert_eq!(list.len(), 1);
    &list[0]
}

#[tokio::test]
async fn both_users_see_that_it_was_revoked_and_the_unread_count_follows() {
    let world = World::of(&["alice", "bob"]).await;
    let first = world.send("alice", "bob", "the first").await;
    let last = world.send("alice", "bob", "the last").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;

    let reply = revoke(&world, "alice", "bob", &first).await;
    assert_revoked(&reply, &first, "the first");
    let events = of_bob.expect(&[REVOKED_EVENT, CHANGED, TOTAL]).await;
    assert_revoked(revoked_in(&events[0]), &first, "");
    assert_eq!(number(revoked_in(&events[0]), "direction"), 1);
    let conversation = &events[1].body["infoList"][0]["conversation"];
    assert_eq!(conversation["unreadMessageCount"], 1);
    assert_eq!(conversation["lastMessage"]["messageID"], last["messageID"]);
    assert_eq!(events[2].body["totalUnreadMessageCount"], 1);
    let revisions: Vec<_> =
        events.iter().map(|event| number(&event.body, "previousRevision")).collect();
    assert!(revisions.iter().all(|revision| *revision == revisions[0]), "{revisions:?}");
    // It is not the last message: the sender's conversation stays as it is.
    let events = of_alice.expect(&[REVOKED_EVENT]).await;
    assert_revoked(revoked_in(&events[0]), &first, "");
    assert_eq!(number(revoked_in(&events[0]), "direction"), 0);

    let reply = revoke(&world, "alice", "bob", &last).await;
    assert_revoked(&reply, &last, "the last");
    let events = of_bob.expect(&[REVOKED_EVENT, CHANGED, TOTAL]).await;
    let conversation = &events[1].body["infoList"][0]["conversation"];
    assert_eq!(conversation["unreadMessageCount"], 0);
    assert_revoked(&conversation["lastMessage"], &last, "");
    let events = of_alice.expect(&[REVOKED_EVENT, CHANGED]).await;
    let conversation = &events[1].body["infoList"][0]["conversation"];
    assert_revoked(&conversation["lastMessage"], &last, "");

    let next = world.send("alice", "bob", "and on").await;
    assert_eq!(number(&next, "messageSeq"), 3);
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let history = world.history(user, other).await;
        assert_eq!(history.len(), 3);
        assert_revoked(&history[0], &first, "");
        assert_revoked(&history[1], &last, "");
        assert_eq!(history[2]["message"], "and on");
    }
    assert_eq!(world.totals("bob").await, (1, 1));
}

#[tokio::test]
async fn the_content_is_physically_gone_when_the_call_is_answered() {
    let mut world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let mut sent = Vec::new();
    for number in 0..40 {
        sent.push(world.send("alice", "bob", &format!("secret-{number}-end")).await);
    }
    // In the middle, in a page before, and the newest.
    for index in [7, 33, 39] {
        assert!(is_in_files(world.nats.dir(), &format!("secret-{index}-end")));
        revoke(&world, "alice", "bob", &sent[index]).await;
        assert!(!is_in_files(world.nats.dir(), &format!("secret-{index}-end")), "{index}");
    }
    assert!(is_in_files(world.nats.dir(), "secret-8-end"));
    world.peerd.restart().await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let history = world.history(user, other).await;
        assert_eq!(history.len(), 40);
        for (index, message) in history.iter().enumerate() {
            match index {
                7 | 33 | 39 => assert_revoked(message, &sent[index], ""),
                _ => assert_eq!(message["message"], format!("secret-{index}-end")),
            }
        }
    }
    let conversation = world.conversation("bob", "alice").await;
    assert_eq!(conversation["unreadMessageCount"], 37);
    assert_revoked(&conversation["lastMessage"], &sent[39], "");
    let audit = crate::support::run_cli(&["audit", "--server", &world.nats.url()]).await;
    assert_eq!(audit.code, Some(0), "{}{}", audit.stdout, audit.stderr);
}

#[tokio::test]
async fn a_push_that_waits_is_gone_with_its_message() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice"]).await;
    let send = async |to: &str, text: &str| {
        let push = json!({ "title": "Alice", "content": format!("{text}-pushed") });
        let message = json!({ "type": 1, "message": text });
        let config = json!({ "pushConfig": push });
        let body = json!({ "message": message, "toUserID": to, "config": config });
        world.ok("alice", "send_peer_message", body).await["message"].clone()
    };
    let (_, secret) = (send("bob", "first").await, send("bob", "secret").await);
    send("bob", "last").await;
    send("carol", "other").await;
    revoke(&world, "alice", "bob", &secret).await;
    assert!(!is_in_files(world.nats.dir(), "secret-pushed"));
    let queue = world.store.jetstream().get_stream("PEER_PUSH").await.unwrap();
    let waiting = async {
        loop {
            // They are handed over beside the replies.
            let mut left = Vec::new();
            for seq in 1..=4 {
                left.extend(queue.get_raw_message(seq).await.ok().map(|push| push.payload));
            }
            if left.len() >= 3 {
                return left;
            }
        }
    };
    let left = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("three pushes");
    for text in ["first-pushed", "last-pushed", "other-pushed"] {
        let is_it = |push: &bytes::Bytes| push.windows(text.len()).any(|at| at == text.as_bytes());
        assert!(left.iter().any(is_it), "{text}");
    }
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
async fn a_message_that_was_read_or_deleted_counts_nothing_when_it_is_revoked() {
    let world = World::of(&["alice", "bob"]).await;
    let read = world.send("alice", "bob", "read").await;
    world.clear("bob", "alice").await;
    let deleted = world.send("alice", "bob", "deleted").await;
    world.send("alice", "bob", "unread").await;
    let mut body = of("alice");
    body["messageList"] = json!([{ "messageID": deleted["messageID"] }]);
    world.ok("bob", "delete_messages", body).await;
    let mut of_bob = world.events("bob").await;
    revoke(&world, "alice", "bob", &read).await;
    of_bob.expect(&[REVOKED_EVENT]).await;
    // Bob had deleted this one, so he gets no event.
    revoke(&world, "alice", "bob", &deleted).await;
    assert!(of_bob.drain().await.is_empty());
    assert_eq!(world.totals("bob").await, (1, 1));
    let history = world.history("bob", "alice").await;
    assert_eq!(history.len(), 2);
    assert_revoked(&history[0], &read, "");
    // A revoked message can be deleted like any other.
    let mut body = of("alice");
    body["messageList"] = json!([{ "messageID": read["messageID"] }]);
    world.ok("bob", "delete_messages", body).await;
    assert_eq!(world.history("bob", "alice").await.len(), 1);
    assert_eq!(world.totals("bob").await, (1, 1));
    world.clear("bob", "alice").await;
    world.send("alice", "bob", "one more").await;
    assert_eq!(world.totals("bob").await, (1, 1));
}

#[tokio::test]
async fn only_the_sender_revokes_once_and_in_time() {
    let window = ("PEERD__LIMITS__REVOKE_WINDOW_MS", "2000");
    let world = World::with(&[window, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let refused = world.refused("bob", REVOKE, body("alice", &message)).await;
    assert_eq!(refused, (NOT_PERMITTED, "not_permitted".to_owned()));
    revoke(&world, "alice", "bob", &message).await;
    let mut of_bob = world.events("bob").await;
    let refused = world.refused("alice", REVOKE, body("bob", &message)).await;
    assert_eq!(refused, (REVOKED, "message_revoked".to_owned()));
    assert!(of_bob.drain().await.is_empty());
    let late = world.send("alice", "bob", "late").await;
    let refused = loop {
        let other = world.send("alice", "bob", "other").await;
        if number(&other, "timestamp") > number(&late, "timestamp") + 2_000 {
            break world.refused("alice", REVOKE, body("bob", &late)).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    };
    assert_eq!(refused, (TOO_LATE, "too_late_to_revoke".to_owned()));
}

#[tokio::test]
async fn bad_calls_are_refused() {
    let world = World::with(&[("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "2")]).await;
    world.login(&["alice", "bob", "carol"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let id = &message["messageID"];
    world.invalid("alice", REVOKE, json!({}), "message").await;
    let nameless = json!({ "message": { "messageID": id } });
    world.invalid("alice", REVOKE, nameless, "conversationID").await;
    let twice = json!({
        "conversationID": "carol", "message": { "messageID": id, "conversationID": "bob" },
    });
    world.invalid("alice", REVOKE, twice, "conversationID").await;
    let mut long = body("bob", &message);
    long["config"]["revokeExtendedData"] = json!("x".repeat(201));
    world.invalid("alice", REVOKE, long, "config.revokeExtendedData").await;
    world.invalid("alice", REVOKE, body("carol", &message), "message.messageID").await;
    let unknown = json!({ "messageID": "12345" });
    let mut codes = Vec::new();
    for _ in 0..3 {
        codes.push(world.refused("alice", REVOKE, body("bob", &unknown)).await.0);
    }
    assert!(codes.contains(&INVALID) && codes.contains(&RATE_LIMITED), "{codes:?}");
}

#[tokio::test]
async fn it_works_in_both_encodings_offline_and_over_two_instances() {
    let users = ["alice", "bob", "carol", "dave"];
    let mut world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&users).await;
    let mut second = Peerd::start_with(&world.nats.url(), &[FAST, UNLIMITED]).await;
    for (index, from) in users.iter().enumerate() {
        for to in users.iter().filter(|to| *to != from) {
            let encoding = Encoding::BOTH[index % 2];
            let message = world.send(from, to, "hello").await;
            let mut of_receiver = world.events(to).await;
            let reply = world.client.call_as(encoding, from, REVOKE, body(to, &message)).await.ok();
            assert_revoked(&reply["message"], &message, "hello");
            of_receiver.expect(&[REVOKED_EVENT, CHANGED, TOTAL]).await;
            // On either instance, nothing of the content is in memory.
            for (user, other) in [(to, from), (from, to)] {
                let history = world.history(user, other).await;
                let shown = history.iter().find(|it| it["messageID"] == message["messageID"]);
                assert_revoked(shown.unwrap(), &message, "");
            }
        }
    }
    assert!(second.terminate().await.success(), "{}", second.log());

    // A user who was offline does not receive it at login, and sees the revocation in the history.
    world.ok("bob", "logout", json!({})).await;
    let message = world.send("alice", "bob", "while away").await;
    let kept = world.send("alice", "bob", "kept").await;
    revoke(&world, "alice", "bob", &message).await;
    world.peerd.restart().await;
    let mut of_bob = world.events("bob").await;
    login(&world.client, "bob").await;
    let events = of_bob.expect(&[RECEIVED]).await;
    assert_eq!(events[0].body["messageList"].as_array().unwrap().len(), 1);
    assert_eq!(events[0].body["messageList"][0]["messageID"], kept["messageID"]);
    let history = world.history("bob", "alice").await;
    assert_revoked(&history[history.len() - 2], &message, "");
}
