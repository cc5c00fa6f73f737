//! Deleting: for the caller only.

use serde_json::{Value, json};

use super::world::{CHANGED, DELETED, FAST, INVALID, TOTAL, World, keys, number, of, texts};
use crate::support::Event;

fn ids(messages: &[&Value]) -> Value {
    messages.iter().map(|message| json!({ "messageID": message["messageID"] })).collect()
}

async fn delete(world: &World, user: &str, other: &str, messages: &[&Value]) {
    let mut body = of(other);
    body["messageList"] = ids(messages);
    body["config"] = json!({ "isAlsoDeleteServerMessage": true });
    assert_eq!(
        world.ok(user, "delete_messages", body).await,
        json!({}),
        "delete_messages answers nothing"
    );
}

async fn delete_all(world: &World, user: &str, other: &str) {
    let reply = world.ok(user, "delete_all_message", of(other)).await;
    assert_eq!(reply, json!({}));
}

#[track_caller]
fn assert_deleted(event: &Event, kind: u8, other: &str, messages: &[&Value]) {
    assert_eq!(
        keys(&event.body),
        [
            "conversationID",
            "conversationType",
            "isDeleteConversationAllMessage",
            "messageDeleteType",
            "messageList",
            "previousRevision",
            "revision"
        ]
    );
    assert_eq!(event.body["conversationID"], other);
    assert_eq!(event.body["conversationType"], 0);
    assert_eq!(event.body["messageDeleteType"], kind);
    assert_eq!(event.body["isDeleteConversationAllMessage"], kind == 1);
    let published: Vec<_> = event.body["messageList"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| &message["messageID"])
        .collect();
    let expected: Vec<_> = messages.iter().map(|message| &message["messageID"]).collect();
    assert_eq!(published, expected);
}

fn conversation_in(event: &Event) -> &Value {
    assert_eq!(event.body["infoList"].as_array().map(Vec::len), Some(1));
    assert_eq!(event.body["infoList"][0]["event"], 1);
    &event.body["infoList"][0]["conversation"]
}

#[tokio::test]
async fn deleted_messages_are_gone_for_the_caller_alone() {
    let mut world = World::of(&["alice", "bob"]).await;
    let mut sent = Vec::new();
    for number in 0..5 {
        sent.push(world.send("alice", "bob", &format!("m{number}")).await);
    }
    sent.push(world.send("bob", "alice", "m5").await);
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;

    delete(&world, "bob", "alice", &[&sent[1], &sent[3], &sent[5]]).await;
    let published = of_bob.expect(&[DELETED, CHANGED, TOTAL]).await;
    assert_deleted(&published[0], 0, "alice", &[&sent[1], &sent[3], &sent[5]]);
    let conversation = conversation_in(&published[1]);
    assert_eq!(conversation["unreadMessageCount"], 3, "two were unread");
    assert_eq!(conversation["lastMessage"]["messageID"], sent[4]["messageID"]);
    assert_eq!(published[2].body["totalUnreadMessageCount"], 3);
    assert_eq!(published[2].body["totalUnreadMessageCountIncludingMuted"], 3);
    of_bob.none().await;
    of_alice.none().await;
    assert_eq!(texts(&world.history("bob", "alice").await), ["m0", "m2", "m4"]);
    assert_eq!(world.history("alice", "bob").await.len(), 6);

    // A repeat changes and publishes nothing.
    let writes = world.store.writes().await;
    delete(&world, "bob", "alice", &[&sent[1]]).await;
    of_bob.none().await;
    assert_eq!(world.store.writes().await, writes);

    // A message that was read is deleted without moving the total.
    world.clear("bob", "alice").await;
    of_bob.expect(&[CHANGED, TOTAL]).await;
    delete(&world, "bob", "alice", &[&sent[0]]).await;
    let published = of_bob.expect(&[DELETED, CHANGED]).await;
    assert_eq!(conversation_in(&published[1])["unreadMessageCount"], 0);
    of_bob.none().await;

    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(texts(&world.history("bob", "alice").await), ["m2", "m4"]);
    assert_eq!(world.totals("bob").await, (0, 0));
    let conversation = world.conversation("bob", "alice").await;
    assert_eq!(conversation["lastMessage"]["messageID"], sent[4]["messageID"]);
}

#[tokio::test]
async fn pages_stay_full_where_messages_were_deleted() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut sent = Vec::new();
    for number in 0..150 {
        sent.push(world.send("alice", "bob", &format!("m{number}")).await);
    }
    let doomed: Vec<_> = sent[20..120].iter().collect();
    delete(&world, "bob", "alice", &doomed).await;
    let newest = json!({ "count": 40, "reverse": true });
    let page = world.page("bob", "alice", newest).await;
    assert_eq!(page.len(), 40);
    assert_eq!(page[0]["message"], "m10");
    assert_eq!(world.totals("bob").await, (50, 50));
    let anchor = json!({ "messageID": sent[100]["messageID"] });
    let around_a_deleted_one = json!({ "count": 2, "reverse": true, "nextMessage": anchor });
    let page = world.page("bob", "alice", around_a_deleted_one).await;
    assert_eq!(texts(&page), ["m18", "m19"]);
}

#[tokio::test]
async fn delete_all_empties_one_side_and_later_messages_appear() {
    let mut world = World::of(&["alice", "bob"]).await;
    for text in ["a", "b", "c"] {
        world.send("alice", "bob", text).await;
    }
    world.send("bob", "alice", "d").await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = world.events("bob").await;
    delete_all(&world, "bob", "alice").await;
    let published = of_bob.expect(&[DELETED, CHANGED, TOTAL]).await;
    assert_deleted(&published[0], 1, "alice", &[]);
    let conversation = conversation_in(&published[1]);
    assert_eq!(conversation["unreadMessageCount"], 0);
    assert!(conversation.get("lastMessage").is_none_or(Value::is_null));
    assert_eq!(published[2].body["totalUnreadMessageCount"], 0);
    of_alice.none().await;
    delete_all(&world, "bob", "alice").await;
    of_bob.none().await;

    assert_eq!(world.history("bob", "alice").await, Vec::<Value>::new());
    assert_eq!(world.history("alice", "bob").await.len(), 4);
    let later = world.send("alice", "bob", "e").await;
    assert_eq!(later["messageSeq"], 4, "counting goes on");
    assert_eq!(texts(&world.history("bob", "alice").await), ["e"]);
    assert_eq!(world.totals("bob").await, (1, 1));
    world.send("bob", "alice", "f").await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(texts(&world.history("bob", "alice").await), ["e", "f"]);
    assert_eq!(world.history("alice", "bob").await.len(), 6);
}

#[tokio::test]
async fn muted_deletes_do_not_move_the_total() {
    let world = World::of(&["alice", "bob"]).await;
    let first = world.send("alice", "bob", "a").await;
    world.send("alice", "bob", "b").await;
    world.set_status("bob", "alice", 2).await;
    let mut of_bob = world.events("bob").await;
    delete(&world, "bob", "alice", &[&first]).await;
    of_bob.expect(&[DELETED, CHANGED]).await;
    assert_eq!(world.totals("bob").await, (0, 1));
    delete_all(&world, "bob", "alice").await;
    of_bob.expect(&[DELETED, CHANGED]).await;
    of_bob.none().await;
    assert_eq!(world.totals("bob").await, (0, 0));
}

#[tokio::test]
async fn bad_deletes_are_refused_and_change_nothing() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let to_bob = world.send("alice", "bob", "x").await;
    let to_carol = world.send("alice", "carol", "x").await;
    let mut of_alice = world.events("alice").await;
    let writes = world.store.writes().await;
    let list = |list: Value| {
        let mut body = of("bob");
        body["messageList"] = list;
        body
    };
    let unknown = number(&to_bob, "orderKey").to_string();
    for body in [
        list(json!([{ "messageID": unknown }])),
        list(ids(&[&to_carol])),
        // One unknown ID refuses the whole call.
        list(ids(&[&to_bob, &to_carol])),
    ] {
        let refused = world.refused("alice", "delete_messages", body).await;
        assert_eq!(refused.0, INVALID);
    }
    for (body, field) in [
        (list(json!([{ "messageID": 5 }])), "messageID"),
        (list(json!([{ "messageID": "no ID" }])), "messageID"),
        (list(json!([{}])), "messageID"),
        (list(json!("all")), "messageList"),
        (list(ids(&[&to_bob; 101])), "messageList"),
        (of("bob"), "messageList"),
        (json!({ "messageList": ids(&[&to_bob]) }), "conversationID"),
    ] {
        world.invalid("alice", "delete_messages", body, field).await;
    }
    for method in ["delete_messages", "delete_all_message"] {
        let mut body = list(ids(&[&to_bob]));
        body["conversationType"] = json!(1);
        world.invalid("alice", method, body, "conversationType").await;
    }
    // A user cannot delete messages between other users.
    let mut body = of("bob");
    body["messageList"] = ids(&[&to_bob]);
    let refused = world.refused("carol", "delete_messages", body).await;
    assert_eq!(refused.0, INVALID);
    // Deleting in a conversation that does not exist succeeds.
    delete_all(&world, "alice", "dave").await;
    assert_eq!(world.store.writes().await, writes);
    of_alice.none().await;
    assert_eq!(world.history("alice", "bob").await, [to_bob]);
}
