//! Reading up to a message, and marking a conversation as unread.

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, NO_CONVERSATION, RECEIVED, TOTAL, World, number, of, string};
use crate::support::{Encoding, Events};

const CLEAR: &str = "clear_conversation_unread_message_count";
const UNREAD: &str = "set_conversation_unread";

async fn read_up_to(world: &World, user: &str, other: &str, message: &Value) {
    let body = json!({
        "conversationID": other,
        "upToMessage": { "messageID": message["messageID"], "type": message["type"] },
    });
    assert_eq!(world.ok(user, CLEAR, body).await, of(other));
}

async fn mark_unread(world: &World, user: &str, other: &str, is_marked: bool) {
    let body = json!({
        "isMarkedUnread": is_marked, "conversationID": other, "conversationType": 0,
    });
    assert_eq!(world.ok(user, UNREAD, body).await, of(other));
}

async fn is_marked(world: &World, user: &str, other: &str) -> bool {
    world.conversation(user, other).await.get("isMarkedUnread") == Some(&json!(true))
}

/// The conversation in the events of a change, and the total after it.
async fn read(events: &mut Events) -> (Value, u64) {
    let events = events.expect(&[CHANGED, TOTAL]).await;
    let shown = events[0].body["infoList"][0]["conversation"].clone();
    (shown, number(&events[1].body, "totalUnreadMessageCount"))
}

#[tokio::test]
async fn reading_up_to_a_message_leaves_later_ones_unread() {
    let mut world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut sent = Vec::new();
    for number in 0..70 {
        let (from, to) = if number % 7 == 0 { ("alice", "bob") } else { ("bob", "alice") };
        sent.push(world.send(from, to, &number.to_string()).await);
    }
    let mut sessions = [world.events("alice").await, world.events("alice").await];
    let mut of_bob = world.events("bob").await;
    // Ten of the seventy are alice's own.
    assert_eq!(world.totals("alice").await, (60, 60));
    for (upto, unread) in [(5, 55), (36, 29), (35, 29), (34, 29), (36, 29), (42, 24), (68, 1)] {
        let before = number(&world.conversation("alice", "bob").await, "unreadMessageCount");
        let writes = world.store.writes().await;
        read_up_to(&world, "alice", "bob", &sent[upto]).await;
        if before == unread {
            assert_eq!(world.store.writes().await, writes, "nothing is left to read");
            sessions[0].none().await;
        } else {
            for session in &mut sessions {
                let (shown, total) = read(session).await;
                assert_eq!((number(&shown, "unreadMessageCount"), total), (unread, unread));
            }
        }
        assert_eq!(world.totals("alice").await, (unread, unread), "up to {upto}");
    }
    of_bob.none().await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    let shown = world.conversation("alice", "bob").await;
    // The newest received message before it is bob's sixtieth but one.
    assert_eq!((number(&shown, "unreadMessageCount"), number(&shown, "readMessageSeq")), (1, 59));
    read_up_to(&world, "alice", "bob", &sent[69]).await;
    assert_eq!(world.totals("alice").await, (0, 0));
}

#[tokio::test]
async fn what_was_deleted_is_not_unread_however_far_one_reads() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut sent = Vec::new();
    for number in 0..40 {
        sent.push(world.send("bob", "alice", &number.to_string()).await);
    }
    for index in [3, 10, 11, 30, 39] {
        let list = json!([{ "messageID": sent[index]["messageID"] }]);
        let body = json!({ "conversationID": "bob", "messageList": list });
        world.ok("alice", "delete_messages", body).await;
    }
    assert_eq!(world.totals("alice").await, (35, 35));
    // Up to a message that is deleted, too.
    for (upto, unread) in [(4, 31), (10, 26), (20, 17), (38, 0)] {
        read_up_to(&world, "alice", "bob", &sent[upto]).await;
        assert_eq!(world.totals("alice").await, (unread, unread), "up to {upto}");
    }
    world.send("bob", "alice", "one more").await;
    assert_eq!(world.totals("alice").await, (1, 1));
}

#[tokio::test]
async fn only_a_message_of_the_conversation_can_be_read_up_to() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    world.send("bob", "alice", "hello").await;
    let of_carol = world.send("carol", "alice", "hello").await;
    for id in [&of_carol["messageID"], &json!("12345")] {
        let body = json!({ "conversationID": "bob", "upToMessage": { "messageID": id } });
        world.invalid("alice", CLEAR, body, "upToMessage.messageID").await;
        let body = json!({ "conversationID": "nobody", "upToMessage": { "messageID": id } });
        world.invalid("alice", CLEAR, body, "upToMessage.messageID").await;
    }
    for up_to in [json!({}), json!("12345"), json!({ "messageID": "x" })] {
        let body = json!({ "conversationID": "bob", "upToMessage": up_to });
        world.invalid("alice", CLEAR, body, "upToMessage").await;
    }
    assert_eq!(world.totals("alice").await, (2, 2));
}

#[tokio::test]
async fn a_mark_as_unread_counts_in_no_total_and_goes_away_with_reading_or_sending() {
    let mut world = World::of(&["alice", "bob"]).await;
    world.ok("alice", "login", json!({ "deviceID": "other" })).await;
    world.send("alice", "bob", "hello").await;
    let mut sessions = [world.events("alice").await, world.events("alice").await];
    let mut of_bob = world.events("bob").await;
    for encoding in Encoding::BOTH {
        let body = json!({ "isMarkedUnread": true, "conversationID": "bob" });
        let reply = world.client.call_as(encoding, "alice", UNREAD, body).await.ok();
        assert_eq!(reply, of("bob"));
    }
    for session in &mut sessions {
        let events = session.expect(&[CHANGED]).await;
        let shown = &events[0].body["infoList"][0]["conversation"];
        assert_eq!(
            (&shown["isMarkedUnread"], &shown["unreadMessageCount"]),
            (&json!(true), &json!(0))
        );
        session.none().await;
    }
    assert_eq!(world.totals("alice").await, (0, 0));
    of_bob.none().await;
    assert!(!is_marked(&world, "bob", "alice").await);

    // A message of the other's leaves it, and so does a restart.
    world.send("bob", "alice", "hello").await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert!(is_marked(&world, "alice", "bob").await);
    // Taking it away reads nothing.
    let mut of_alice = world.events("alice").await;
    mark_unread(&world, "alice", "bob", false).await;
    let events = of_alice.expect(&[CHANGED]).await;
    assert_eq!(events[0].body["infoList"][0]["conversation"]["unreadMessageCount"], 1);
    let writes = world.store.writes().await;
    mark_unread(&world, "alice", "bob", false).await;
    assert_eq!(world.store.writes().await, writes);
    of_alice.none().await;

    let sent = world.send("bob", "alice", "again").await;
    for way in 0..4 {
        mark_unread(&world, "alice", "bob", true).await;
        assert!(is_marked(&world, "alice", "bob").await, "{way}");
        match way {
            0 => world.clear("alice", "bob").await,
            1 => read_up_to(&world, "alice", "bob", &sent).await,
            2 => _ = world.send("alice", "bob", "hi").await,
            _ => {
                let method = "clear_conversation_total_unread_message_count";
                world.ok("alice", method, json!({})).await;
            }
        }
        assert!(!is_marked(&world, "alice", "bob").await, "{way}");
        of_alice.drain().await;
    }
    world.clear("alice", "bob").await;
    of_alice.none().await;
}

#[tokio::test]
async fn a_mark_as_unread_is_of_the_callers_own_conversation() {
    let world = World::of(&["alice"]).await;
    let own = json!({ "isMarkedUnread": true, "conversationID": "alice" });
    world.invalid("alice", UNREAD, own, "conversationID").await;
    world.invalid("alice", UNREAD, of("bob"), "isMarkedUnread").await;
    let refused = world.refused("alice", "query_conversation", of("bob")).await;
    assert_eq!(refused.0, NO_CONVERSATION);
    // As it may be muted in advance.
    mark_unread(&world, "alice", "bob", true).await;
    let list = world.conversations("alice").await;
    assert_eq!(list.len(), 1);
    assert_eq!(
        (string(&list[0], "conversationID"), &list[0]["isMarkedUnread"]),
        ("bob", &json!(true))
    );
    world.login(&["bob"]).await;
    let mut of_alice = world.events("alice").await;
    world.send("bob", "alice", "hi").await;
    let events = of_alice.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    assert_eq!(events[1].body["infoList"][0]["conversation"]["isMarkedUnread"], true);
}
