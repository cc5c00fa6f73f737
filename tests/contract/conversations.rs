//! The conversation list, single conversations, notification status.

use serde_json::{Value, json};

use super::world::{CHANGED, NO_CONVERSATION, RECEIVED, TOTAL, World, keys, number, of, string};
use crate::support::Encoding;

fn others(conversations: &[Value]) -> Vec<&str> {
    conversations.iter().map(|conversation| string(conversation, "conversationID")).collect()
}

#[tokio::test]
async fn the_list_is_newest_first_and_pages_without_gaps() {
    let world = World::of(&["alice"]).await;
    // Seven conversations that alice began, and two that others began.
    let began = ["u0", "u1", "u2", "u3", "u4", "u5", "u6"];
    for other in began {
        world.send("alice", other, "hi").await;
    }
    world.login(&["u7", "u8", "u2"]).await;
    for from in ["u7", "u8", "u2"] {
        world.send(from, "alice", "hi").await;
    }
    let expected = ["u2", "u8", "u7", "u6", "u5", "u4", "u3", "u1", "u0"];
    let all = world.conversations("alice").await;
    assert_eq!(others(&all), expected);
    let order: Vec<_> = all.iter().map(|one| number(one, "orderKey")).collect();
    assert!(order.is_sorted_by(|one, next| one > next), "{order:?}");
    for conversation in &all {
        let other = string(conversation, "conversationID");
        assert_eq!(*conversation, world.conversation("alice", other).await);
    }

    let mut paged: Vec<Value> = Vec::new();
    loop {
        let mut config = json!({ "count": 2 });
        if let Some(last) = paged.last() {
            config["nextConversation"] = last.clone();
        }
        let body = json!({ "config": config });
        let reply = world.ok("alice", "query_conversation_list", body).await;
        assert_eq!(keys(&reply), ["conversationList"]);
        let page = reply["conversationList"].as_array().unwrap();
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page.iter().cloned());
    }
    assert_eq!(paged, all);

    let only_unread = json!({
        "config": { "count": 100 }, "option": { "isOnlyUnreadConversation": true },
    });
    let reply = world.ok("alice", "query_conversation_list", only_unread).await;
    let unread = reply["conversationList"].as_array().unwrap();
    assert_eq!(others(unread), ["u2", "u8", "u7"]);
}

#[tokio::test]
async fn a_conversation_is_answered_whole_in_both_encodings_or_not_found() {
    let world = World::of(&["alice", "bob"]).await;
    let sent = world.send("alice", "bob", "hi").await;
    for encoding in Encoding::BOTH {
        let call = |user, body| world.client.call_as(encoding, user, "query_conversation", body);
        let reply = call("alice", of("bob")).await.ok();
        assert_eq!(keys(&reply), ["conversation"]);
        let conversation = &reply["conversation"];
        assert_eq!(
            keys(conversation),
            [
                "conversationID",
                "conversationName",
                "draft",
                "isPinned",
                "lastMessage",
                "marks",
                "mentionedInfoList",
                "notificationStatus",
                "orderKey",
                "pinnedTime",
                "readMessageSeq",
                "type",
                "unreadMessageCount"
            ]
        );
        assert_eq!(conversation["lastMessage"], sent);
        assert_eq!(conversation["orderKey"], sent["orderKey"]);
        let missing = call("alice", of("carol")).await.err();
        assert_eq!(missing, (NO_CONVERSATION, "conversation_not_found".to_owned()));
    }
    for (body, field) in [
        (json!({}), "conversationID"),
        (json!({ "conversationID": 5 }), "conversationID"),
        (json!({ "conversationID": "" }), "conversationID"),
        (json!({ "conversationID": "a/b" }), "conversationID"),
        (json!({ "conversationID": "bob", "conversationType": 9 }), "conversationType"),
    ] {
        for method in
            ["query_conversation", "clear_conversation_unread_message_count", "delete_all_message"]
        {
            world.invalid("alice", method, body.clone(), field).await;
        }
    }
    for (body, field) in [
        (json!({}), "config"),
        (json!({ "config": {} }), "count"),
        (json!({ "config": { "count": "5" } }), "count"),
        (json!({ "config": { "count": -5 } }), "count"),
        (json!({ "config": { "count": 5, "nextConversation": 1 } }), "nextConversation"),
    ] {
        world.invalid("alice", "query_conversation_list", body, field).await;
    }
}

#[tokio::test]
async fn muting_moves_the_total_and_says_so_once() {
    let world = World::of(&["alice", "bob"]).await;
    world.send("alice", "bob", "a").await;
    world.send("alice", "bob", "b").await;
    let mut of_bob = world.events("bob").await;
    let mut of_alice = world.events("alice").await;
    for (status, total) in [(2, 0), (1, 2)] {
        world.set_status("bob", "alice", status).await;
        let published = of_bob.expect(&[CHANGED, TOTAL]).await;
        let info = &published[0].body["infoList"][0];
        assert_eq!(info["event"], 1);
        assert_eq!(info["conversation"]["notificationStatus"], status);
        assert_eq!(info["conversation"]["unreadMessageCount"], 2);
        assert_eq!(published[1].body["totalUnreadMessageCount"], total);
        assert_eq!(published[1].body["totalUnreadMessageCountIncludingMuted"], 2);
        assert_eq!(world.totals("bob").await, (total, 2));

        // Setting it again is success and changes nothing.
        let writes = world.store.writes().await;
        world.set_status("bob", "alice", status).await;
        of_bob.none().await;
        assert_eq!(world.store.writes().await, writes);
    }
    world.clear("bob", "alice").await;
    of_bob.expect(&[CHANGED, TOTAL]).await;
    world.set_status("bob", "alice", 2).await;
    of_bob.expect(&[CHANGED]).await;
    of_bob.none().await;
    of_alice.none().await;
    assert_eq!(world.conversation("alice", "bob").await["notificationStatus"], 1);
    for status in [json!(0), json!(3), json!("2"), json!(null)] {
        let body = json!({ "status": status, "conversationID": "alice" });
        let method = "set_conversation_notification_status";
        world.invalid("bob", method, body, "status").await;
    }
}

#[tokio::test]
async fn a_conversation_may_be_muted_ahead_and_stays_so() {
    let mut world = World::of(&["alice", "bob"]).await;
    let mut of_bob = world.events("bob").await;
    world.set_status("bob", "alice", 2).await;
    let published = of_bob.expect(&[CHANGED]).await;
    assert_eq!(published[0].body["infoList"][0]["event"], 1);
    of_bob.none().await;
    let ahead = world.conversation("bob", "alice").await;
    assert_eq!(ahead["notificationStatus"], 2);
    assert!(ahead.get("lastMessage").is_none_or(Value::is_null));
    assert_eq!(
        world.refused("alice", "query_conversation", of("bob")).await.0,
        NO_CONVERSATION,
        "it is bob's alone"
    );

    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    let mut of_bob = world.events("bob").await;
    world.send("alice", "bob", "hi").await;
    let published = of_bob.expect(&[RECEIVED, CHANGED]).await;
    let info = &published[1].body["infoList"][0];
    assert_eq!(info["event"], 0, "its first message adds it");
    assert_eq!(info["conversation"]["notificationStatus"], 2);
    of_bob.none().await;
    assert_eq!(world.totals("bob").await, (0, 1));
}
