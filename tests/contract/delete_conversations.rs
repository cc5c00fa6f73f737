//! Deleting conversations: they leave the list, and their messages stay.

use serde_json::{Value, json};

use super::world::{
    CHANGED, NO_CONVERSATION, RECEIVED, TOTAL, World, keys, number, of, string, texts,
};
use crate::support::Encoding;

const DELETE: &str = "delete_conversation";
const DELETE_ALL: &str = "delete_all_conversations";
const ALL_DELETED: &str = "conversations_all_deleted";

async fn delete(world: &World, user: &str, other: &str) {
    assert_eq!(world.ok(user, DELETE, of(other)).await, of(other));
}

async fn listed(world: &World, user: &str) -> Vec<String> {
    let list = world.conversations(user).await;
    list.iter().map(|one| string(one, "conversationID").to_owned()).collect()
}

#[tokio::test]
async fn a_deleted_conversation_leaves_the_list_and_its_messages_stay() {
    let mut world = World::of(&["alice", "bob"]).await;
    world.ok("alice", "login", json!({ "deviceID": "other" })).await;
    world.send("bob", "alice", "one").await;
    world.send("alice", "bob", "two").await;
    world.send("bob", "alice", "three").await;
    let pinned = json!({ "isPinned": true, "conversationID": "bob" });
    world.ok("alice", "update_conversation_pinned_state", pinned).await;
    world
        .ok("alice", "set_conversation_draft", json!({ "draft": "x", "conversationID": "bob" }))
        .await;
    let mut sessions = [world.events("alice").await, world.events("alice").await];
    let mut of_bob = world.events("bob").await;
    assert_eq!(world.totals("alice").await, (2, 2));
    delete(&world, "alice", "bob").await;
    for session in &mut sessions {
        let events = session.expect(&[CHANGED, TOTAL]).await;
        let info = &events[0].body["infoList"][0];
        assert_eq!((&info["event"], &info["action"]), (&json!(3), &json!(1)));
        assert_eq!(info["conversation"]["conversationID"], "bob");
        assert_eq!(info["conversation"]["unreadMessageCount"], 0);
        assert_eq!(number(&events[1].body, "totalUnreadMessageCount"), 0);
    }
    let gone = async |world: &World| {
        assert!(listed(world, "alice").await.is_empty());
        let refused = world.refused("alice", "query_conversation", of("bob")).await;
        assert_eq!(refused, (NO_CONVERSATION, "conversation_not_found".to_owned()));
        assert_eq!(world.totals("alice").await, (0, 0));
        assert_eq!(texts(&world.history("alice", "bob").await), ["one", "two", "three"]);
    };
    gone(&world).await;
    // Once more, and for a conversation that never existed: success, and nothing is written.
    let writes = world.store.writes().await;
    for other in ["bob", "nobody", "alice"] {
        delete(&world, "alice", other).await;
    }
    world.clear("alice", "bob").await;
    assert_eq!(world.store.writes().await, writes);
    sessions[0].none().await;
    of_bob.none().await;
    assert_eq!(listed(&world, "bob").await, ["alice"]);

    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    gone(&world).await;

    // A message brings it back, as it was.
    let mut of_alice = world.events("alice").await;
    world.send("bob", "alice", "four").await;
    let events = of_alice.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    let info = &events[1].body["infoList"][0];
    assert_eq!((&info["event"], &info["action"]), (&json!(0), &json!(0)), "it is added");
    let shown = &info["conversation"];
    assert_eq!((&shown["unreadMessageCount"], &shown["isPinned"]), (&json!(1), &json!(true)));
    assert_eq!(shown["draft"], "");
    assert_eq!(*shown, world.conversation("alice", "bob").await);
    world.send("bob", "alice", "five").await;
    let events = of_alice.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    assert_eq!(events[1].body["infoList"][0]["event"], 1);
    // The user's own message too.
    delete(&world, "alice", "bob").await;
    of_alice.expect(&[CHANGED, TOTAL]).await;
    world.send("alice", "bob", "six").await;
    let events = of_alice.expect(&[CHANGED]).await;
    assert_eq!(events[0].body["infoList"][0]["event"], 0);
    assert_eq!(listed(&world, "alice").await, ["bob"]);
}

#[tokio::test]
async fn messages_of_a_deleted_conversation_can_be_deleted_and_it_stays_deleted() {
    let world = World::of(&["alice", "bob"]).await;
    let sent = world.send("bob", "alice", "one").await;
    world.send("bob", "alice", "two").await;
    delete(&world, "alice", "bob").await;
    let mut of_alice = world.events("alice").await;
    let list = json!([{ "messageID": sent["messageID"] }]);
    let body = json!({ "conversationID": "bob", "messageList": list });
    world.ok("alice", "delete_messages", body).await;
    of_alice.expect(&["message_deleted"]).await;
    world.ok("alice", "delete_all_message", of("bob")).await;
    of_alice.expect(&["message_deleted"]).await;
    of_alice.none().await;
    assert!(listed(&world, "alice").await.is_empty());
    assert!(world.history("alice", "bob").await.is_empty());
    // A setting brings it back.
    world.set_status("alice", "bob", 2).await;
    let events = of_alice.expect(&[CHANGED]).await;
    assert_eq!(events[0].body["infoList"][0]["event"], 0, "it is added");
    assert_eq!(listed(&world, "alice").await, ["bob"]);
    world.send("bob", "alice", "three").await;
    let events = of_alice.expect(&[RECEIVED, CHANGED]).await;
    assert_eq!(events[1].body["infoList"][0]["event"], 1, "alice has it already");
}

#[tokio::test]
async fn all_conversations_are_deleted_at_once() {
    let mut world = World::of(&["alice", "bob", "carol"]).await;
    for from in ["bob", "carol"] {
        world.send(from, "alice", "hello").await;
    }
    world.set_status("alice", "carol", 2).await;
    world.set_status("alice", "dan", 2).await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    for encoding in Encoding::BOTH {
        let body = json!({ "config": { "isAlsoDeleteServerConversation": true } });
        let reply = world.client.call_as(encoding, "alice", DELETE_ALL, body).await.ok();
        assert_eq!(reply, json!({}));
    }
    let events = of_alice.expect(&[ALL_DELETED, TOTAL]).await;
    assert_eq!(keys(&events[0].body), ["count", "previousRevision", "revision"]);
    assert_eq!(events[0].body["count"], 3);
    assert_eq!(number(&events[1].body, "totalUnreadMessageCountIncludingMuted"), 0);
    of_alice.none().await;
    of_bob.none().await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(world.conversations("alice").await, [Value::Null; 0]);
    assert_eq!(texts(&world.history("alice", "carol").await), ["hello"]);
    let mut of_alice = world.events("alice").await;
    world.send("carol", "alice", "again").await;
    let events = of_alice.expect(&[RECEIVED, CHANGED]).await;
    let info = &events[1].body["infoList"][0];
    assert_eq!(
        (&info["event"], &info["conversation"]["notificationStatus"]),
        (&json!(0), &json!(2))
    );
    assert_eq!(listed(&world, "alice").await, ["carol"]);
}
