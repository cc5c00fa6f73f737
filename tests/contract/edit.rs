//! Editing: both users see the new content, and nothing else changes.

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, INVALID, RATE_LIMITED, World, number};
use crate::support::{Encoding, Peerd};

const EDIT: &str = "edit_message";
const EDITED: &str = "message_edited";
const CONFLICT: i64 = 6_000_205;
const REVOKED: i64 = 6_000_279;
const BLOCKED: i64 = 6_000_284;
const NOT_PERMITTED: i64 = 6_000_285;

const UNLIMITED: (&str, &str) = ("PEERD__LIMITS__AMENDMENTS_PER_SECOND", "100000");

/// The message as its sender has it, with another text.
fn body(message: &Value, text: &str) -> Value {
    let mut message = message.clone();
    message["message"] = json!(text);
    json!({ "message": message, "config": {} })
}

#[track_caller]
fn assert_edited(shown: &Value, original: &Value, text: &str) {
    for field in ["messageID", "messageSeq", "orderKey", "timestamp", "senderUserID", "type"] {
        assert_eq!(shown[field], original[field], "{field} of {shown}");
    }
    assert_eq!(shown["message"], text);
    assert_eq!(shown["editorUserID"], original["senderUserID"]);
    assert!(number(shown, "editedTime") >= number(original, "timestamp"));
}

#[tokio::test]
async fn both_users_see_the_new_content_and_counts_stay() {
    let mut world = World::of(&["alice", "bob"]).await;
    let first = world.send("alice", "bob", "frist").await;
    let last = world.send("alice", "bob", "lsat").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    let reply = world.ok("alice", EDIT, body(&first, "first")).await;
    assert_edited(&reply["message"], &first, "first");
    for events in [&mut of_alice, &mut of_bob] {
        let event = events.expect(&[EDITED]).await.remove(0);
        assert_edited(&event.body["messageList"][0], &first, "first");
    }
    let reply = world.ok("alice", EDIT, body(&last, "last")).await;
    assert_edited(&reply["message"], &last, "last");
    for events in [&mut of_alice, &mut of_bob] {
        let shown = events.expect(&[EDITED, CHANGED]).await;
        let conversation = &shown[1].body["infoList"][0]["conversation"];
        assert_edited(&conversation["lastMessage"], &last, "last");
    }
    // A repeat is success and publishes nothing.
    let again = world.ok("alice", EDIT, body(&last, "last")).await;
    assert_eq!(again, reply);
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
    for _ in 0..2 {
        for (user, other) in [("alice", "bob"), ("bob", "alice")] {
            let history = world.history(user, other).await;
            assert_edited(&history[0], &first, "first");
            assert_edited(&history[1], &last, "last");
        }
        assert_eq!(world.totals("bob").await, (2, 2));
        world.peerd.restart().await;
    }
}

#[tokio::test]
async fn of_two_edits_from_the_same_state_the_second_is_refused_if_it_says_so() {
    let world = World::of(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "one").await;
    let mut first = body(&message, "two");
    first["expectedEditedTime"] = json!(0);
    let edited = world.ok("alice", EDIT, first).await["message"].clone();
    let mut second = body(&message, "three");
    second["expectedEditedTime"] = json!(0);
    let refused = world.refused("alice", EDIT, second.clone()).await;
    assert_eq!(refused, (CONFLICT, "edited_meanwhile".to_owned()));
    second["expectedEditedTime"] = edited["editedTime"].clone();
    let reply = world.ok("alice", EDIT, second).await;
    assert_edited(&reply["message"], &message, "three");
    assert!(number(&reply["message"], "editedTime") > number(&edited, "editedTime"));
}

#[tokio::test]
async fn what_may_not_be_edited_is_refused() {
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "hello").await;
    let file = json!({ "type": 12, "fileDownloadUrl": "https://x/1" });
    let sent =
        world.ok("alice", "send_peer_message", json!({ "toUserID": "bob", "message": file }));
    let file = sent.await["message"].clone();
    let mut of_other_type = body(&message, "{}");
    of_other_type["message"]["type"] = json!(200);
    let mut new_file = json!({ "message": file });
    new_file["message"]["fileDownloadUrl"] = json!("https://x/2");
    for (body, problem) in [(of_other_type, "another type"), (new_file, "a file")] {
        assert_eq!(world.refused("alice", EDIT, body).await.0, NOT_PERMITTED, "{problem}");
    }
    let mut of_bob = body(&message, "mine");
    of_bob["message"]["conversationID"] = json!("alice");
    assert_eq!(world.refused("bob", EDIT, of_bob).await.0, NOT_PERMITTED);
    let long = body(&message, &"x".repeat(2049));
    world.invalid("alice", EDIT, long, "message").await;
    world.invalid("alice", EDIT, body(&message, ""), "message.message").await;
    world.ok("bob", "add_users_to_blacklist", json!({ "userIDs": ["alice"] })).await;
    assert_eq!(world.refused("alice", EDIT, body(&message, "blocked")).await.0, BLOCKED);
    world.ok("bob", "remove_users_from_blacklist", json!({ "userIDs": ["alice"] })).await;
    world.ok("alice", "revoke_message", json!({ "message": message })).await;
    assert_eq!(world.refused("alice", EDIT, body(&message, "again")).await.0, REVOKED);
}

#[tokio::test]
async fn it_works_in_both_encodings_and_over_two_instances() {
    let users = ["alice", "bob", "carol"];
    let world = World::with(&[FAST, UNLIMITED]).await;
    world.login(&users).await;
    let mut second = Peerd::start_with(&world.nats.url(), &[FAST, UNLIMITED]).await;
    for (index, from) in users.iter().enumerate() {
        for to in users.iter().filter(|to| *to != from) {
            let message = world.send(from, to, "hello").await;
            let mut of_receiver = world.events(to).await;
            let call = body(&message, "hello again");
            let reply =
                world.client.call_as(Encoding::BOTH[index % 2], from, EDIT, call).await.ok();
            assert_edited(&reply["message"], &message, "hello again");
            of_receiver.expect(&[EDITED, CHANGED]).await;
            for (user, other) in [(from, to), (to, from)] {
                let history = world.history(user, other).await;
                let shown = history.iter().find(|it| it["messageID"] == message["messageID"]);
                assert_edited(shown.unwrap(), &message, "hello again");
            }
        }
    }
    assert!(second.terminate().await.success(), "{}", second.log());
}

#[tokio::test]
async fn a_flood_of_edits_is_refused() {
    let world = World::of(&["alice", "bob"]).await;
    let message = world.send("alice", "bob", "0").await;
    let mut codes = Vec::new();
    for number in 1..40 {
        let reply = world.call("alice", EDIT, body(&message, &number.to_string())).await;
        codes.push(reply.code.unwrap_or_default());
    }
    assert!(codes.contains(&RATE_LIMITED) && !codes.contains(&INVALID), "{codes:?}");
    let mut of_bob = world.events("bob").await;
    world.send("bob", "alice", "still here").await;
    of_bob.expect(&[CHANGED]).await;
    assert_eq!(world.totals("bob").await, (1, 1));
}
