//! Sessions: login, logout, heartbeat, kicks, and the methods that need a login.

use std::time::Duration;

use serde_json::{Value, json};

use super::world::{
    CONNECTION, INVALID, NOT_LOGGED_IN, World, keys, now_ms, number, of, string, text_to,
};
use crate::support::{Encoding, run_cli};

/// Every method but `login`, with a body that a logged-in user could send.
#[expect(clippy::too_many_lines, reason = "an entry for each method")]
fn methods_that_need_a_session() -> Vec<(&'static str, Value)> {
    let message = json!({ "messageID": "12345", "conversationID": "bob" });
    vec![
        ("logout", json!({})),
        ("heartbeat", json!({})),
        ("send_peer_message", text_to("bob", "hi")),
        (
            "send_message",
            json!({
                "message": { "type": 1, "message": "hi" },
                "toConversationID": "bob", "conversationType": 0,
            }),
        ),
        (
            "query_history_message",
            json!({ "conversationID": "bob", "config": { "count": 1, "reverse": true } }),
        ),
        (
            "delete_messages",
            json!({ "conversationID": "bob", "messageList": [{ "messageID": "1" }] }),
        ),
        ("delete_all_message", of("bob")),
        ("query_conversation_list", json!({ "config": { "count": 10 } })),
        ("query_conversation", of("bob")),
        ("clear_conversation_unread_message_count", of("bob")),
        ("clear_conversation_total_unread_message_count", json!({})),
        ("query_conversation_total_unread_message_count", json!({})),
        (
            "set_conversation_notification_status",
            json!({ "status": 2, "conversationID": "bob", "conversationType": 0 }),
        ),
        ("add_users_to_blacklist", json!({ "userIDs": ["bob"] })),
        ("remove_users_from_blacklist", json!({ "userIDs": ["bob"] })),
        ("query_blacklist", json!({})),
        ("check_user_is_in_blacklist", json!({ "userID": "bob" })),
        ("send_typing", json!({ "conversationID": "bob", "isTyping": true })),
        (
            "update_conversation_pinned_state",
            json!({ "isPinned": true, "conversationID": "bob", "conversationType": 0 }),
        ),
        ("query_conversation_pinned_list", json!({ "config": { "count": 10 } })),
        ("set_conversation_draft", json!({ "draft": "hi", "conversationID": "bob" })),
        (
            "set_conversation_mark",
            json!({ "markType": 1, "enable": true, "conversationInfos": [{ "conversationID": "bob" }] }),
        ),
        ("update_user_name", json!({ "userName": "Alice" })),
        ("update_user_avatar_url", json!({ "userAvatarUrl": "https://example.com/a.png" })),
        ("update_user_extended_data", json!({ "extendedData": "x" })),
        ("query_users_info", json!({ "userIDs": ["bob"] })),
        ("query_self_user_info", json!({})),
        ("update_user_privacy", json!({ "hideTyping": true })),
        ("revoke_message", json!({ "message": message })),
        (
            "edit_message",
            json!({
                "message": {
                    "messageID": "12345", "conversationID": "bob", "type": 1, "message": "hi",
                },
            }),
        ),
        (
            "set_conversation_unread",
            json!({ "isMarkedUnread": true, "conversationID": "bob", "conversationType": 0 }),
        ),
        ("delete_conversation", of("bob")),
        ("delete_all_conversations", json!({})),
        ("delete_all_conversation_messages", json!({})),
        ("query_messages", json!({ "messageSeqs": [1], "conversationID": "bob" })),
        (
            "query_combine_message_detail",
            json!({ "message": { "messageID": "1", "conversationID": "bob" } }),
        ),
        ("query_changes", json!({ "revision": 0 })),
        ("send_conversation_message_receipt_read", of("bob")),
        (
            "query_message_receipts_info",
            json!({ "conversationID": "bob", "messageList": [{ "messageID": "1" }] }),
        ),
        ("add_message_reaction", json!({ "reactionType": "a", "message": message })),
        ("delete_message_reaction", json!({ "reactionType": "a", "message": message })),
        ("delete_message_all_reactions", json!({ "message": message })),
        (
            "query_message_reaction_user_list",
            json!({ "message": message, "config": { "reactionType": "a" } }),
        ),
        (
            "send_message_receipts_read",
            json!({ "conversationID": "bob", "messageList": [{ "messageID": "1" }] }),
        ),
        ("query_users_status", json!({ "userIDs": ["bob"] })),
        ("update_user_custom_status", json!({ "customStatus": "busy" })),
        ("pin_message", json!({ "message": message, "isPinned": true })),
        ("query_pinned_message_list", of("bob")),
        (
            "reply_message",
            json!({ "message": { "type": 1, "message": "x" }, "toOriginalMessage": message }),
        ),
        (
            "subscribe_users_status",
            json!({ "userIDs": ["bob"], "config": { "subscriptionDuration": 5 } }),
        ),
        ("unsubscribe_users_status", json!({ "userIDs": ["bob"] })),
        ("query_subscribed_user_status_list", json!({ "config": { "userIDs": [] } })),
        ("query_message_replied_list", json!({ "message": message, "config": { "count": 1 } })),
    ]
}

#[tokio::test]
async fn the_methods_that_need_a_session_are_all_that_the_command_line_lists_but_login() {
    let help = run_cli(&["call", "--help"]).await.stdout;
    let lines = help.lines().skip_while(|line| *line != "Methods:").skip(1);
    let listed = lines.take_while(|line| !line.is_empty());
    // A long summary continues on a line without a name.
    let name = |line: &str| line.trim_start().split_once("  ").map(|(name, _)| name.to_owned());
    let mut listed: Vec<String> = listed.filter_map(name).collect();
    listed.retain(|method| *method != "login");
    let known = methods_that_need_a_session();
    assert_eq!(listed, known.iter().map(|(method, _)| *method).collect::<Vec<_>>(), "{help}");
}

#[tokio::test]
async fn login_and_heartbeat_answer_what_the_contract_lists() {
    let world = World::start().await;
    for encoding in Encoding::BOTH {
        let before = now_ms();
        let body = json!({ "userName": "Alice", "platform": "web", "deviceID": "d1", "more": 1 });
        let reply = world.client.call_as(encoding, "alice", "login", body).await.ok();
        assert_eq!(
            keys(&reply),
            [
                "heartbeatIntervalMs",
                "revision",
                "serverTime",
                "sessionID",
                "totalUnreadMessageCount"
            ]
        );
        assert!(!string(&reply, "sessionID").is_empty());
        assert!((before..=now_ms()).contains(&number(&reply, "serverTime")));
        let interval_ms = number(&reply, "heartbeatIntervalMs");
        assert!((1..35_000).contains(&interval_ms), "{interval_ms} ms");
        assert_eq!(reply["totalUnreadMessageCount"], 0);
        assert!(number(&reply, "revision") < 1 << 53);

        let before = now_ms();
        let reply = world.client.call_as(encoding, "alice", "heartbeat", json!({})).await.ok();
        assert_eq!(keys(&reply), ["serverTime"]);
        assert!((before..=now_ms()).contains(&number(&reply, "serverTime")));
    }
    for bad in [json!("0"), json!(-1), json!(0.5), json!(1_u64 << 53), json!([])] {
        world.invalid("alice", "login", json!({ "replayAfter": bad }), "replayAfter").await;
    }
    let long = json!({ "deviceID": "d".repeat(129) });
    world.invalid("alice", "login", long, "deviceID").await;
    for field in ["userName", "platform", "deviceID"] {
        world.invalid("alice", "login", json!({ field: {} }), field).await;
    }
}

#[tokio::test]
async fn every_call_but_login_needs_a_session_and_says_so_before_it_reads_the_body() {
    let world = World::of(&["bob"]).await;
    let writes = world.store.writes().await;
    for (method, body) in methods_that_need_a_session() {
        let (code, reason) = world.refused("alice", method, body).await;
        assert_eq!((code, reason.as_str()), (NOT_LOGGED_IN, "not_logged_in"), "{method}");
        let garbage = world.client.call_raw("alice", method, None, "\u{1}garbage".into()).await;
        assert_eq!(garbage.code, Some(NOT_LOGGED_IN), "{method} with garbage");
        let bad_user = world.client.call_raw("%61lice", method, None, "{}".into()).await;
        assert_eq!(bad_user.code, Some(INVALID), "{method} by a bad user token");
    }
    for user in ["alice", "bob"] {
        let (code, reason) = world.refused(user, "no_such_method", json!({})).await;
        assert_eq!((code, reason.as_str()), (INVALID, "unknown_method"));
    }
    assert_eq!(world.store.writes().await, writes);
}

#[tokio::test]
async fn logout_ends_one_session_or_all() {
    let world = World::start().await;
    let first = world.ok("alice", "login", json!({})).await;
    let second = world.ok("alice", "login", json!({})).await;
    assert_ne!(first["sessionID"], second["sessionID"]);

    let body = json!({ "sessionID": first["sessionID"] });
    assert_eq!(world.ok("alice", "logout", body).await, json!({}));
    world.ok("alice", "heartbeat", json!({})).await;
    let body = json!({ "sessionID": second["sessionID"] });
    world.ok("alice", "logout", body).await;
    assert_eq!(world.refused("alice", "heartbeat", json!({})).await.0, NOT_LOGGED_IN);

    world.login(&["alice", "alice", "alice"]).await;
    assert_eq!(world.ok("alice", "logout", json!({})).await, json!({}));
    for (method, body) in methods_that_need_a_session() {
        assert_eq!(
            world.refused("alice", method, body).await.0,
            NOT_LOGGED_IN,
            "{method} after logout"
        );
    }
    world.invalid("alice", "login", json!({ "userName": 7 }), "userName").await;
    world.login(&["alice"]).await;
    world.invalid("alice", "logout", json!({ "sessionID": 7 }), "sessionID").await;
}

#[tokio::test]
async fn past_the_bound_of_sessions_the_earliest_is_kicked_with_an_event() {
    let world = World::with(&[("PEERD__SESSION__MAX_SESSIONS", "2")]).await;
    let mut events = world.events("alice").await;
    let first = world.ok("alice", "login", json!({})).await;
    let second = world.ok("alice", "login", json!({})).await;
    events.none().await;

    let third = world.ok("alice", "login", json!({})).await;
    let kicked = events.expect(&[CONNECTION]).await.remove(0).body;
    let fields = ["event", "extendedData", "previousRevision", "revision", "sessionID", "state"];
    assert_eq!(keys(&kicked), fields);
    assert_eq!(kicked["sessionID"], first["sessionID"]);
    // Disconnected and KickedOut, in the SDK's numbers.
    assert_eq!(kicked["state"], 0);
    assert_eq!(kicked["event"], 4);
    assert_eq!(kicked["extendedData"], "{}");
    events.none().await;

    for session in [&second, &third] {
        world.ok("alice", "heartbeat", json!({})).await;
        let body = json!({ "sessionID": session["sessionID"] });
        world.ok("alice", "logout", body).await;
    }
    assert_eq!(
        world.refused("alice", "heartbeat", json!({})).await.0,
        NOT_LOGGED_IN,
        "the kicked session must not count"
    );
}

#[tokio::test]
async fn a_session_outlives_the_daemon() {
    let mut world = World::start().await;
    let session = world.ok("alice", "login", json!({})).await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    world.ok("alice", "heartbeat", json!({})).await;
    let body = json!({ "sessionID": session["sessionID"] });
    world.ok("alice", "logout", body).await;
    assert_eq!(world.refused("alice", "heartbeat", json!({})).await.0, NOT_LOGGED_IN);
    world.peerd.restart().await;
    assert_eq!(
        world.refused("alice", "heartbeat", json!({})).await.0,
        NOT_LOGGED_IN,
        "a logout outlives the daemon too"
    );
}

#[tokio::test]
async fn a_session_ends_at_its_idle_limit() {
    let world = World::with(&[
        ("PEERD__SESSION__IDLE_LIMIT_MS", "1500"),
        ("PEERD__SESSION__OFFLINE_AFTER_MS", "1000"),
        ("PEERD__SESSION__HEARTBEAT_INTERVAL_MS", "300"),
    ])
    .await;
    let session = world.ok("alice", "login", json!({})).await;
    assert_eq!(session["heartbeatIntervalMs"], 300);
    world.ok("alice", "heartbeat", json!({})).await;
    // This waits for time to pass: a call in between would count.
    tokio::time::sleep(Duration::from_millis(1_700)).await;
    assert_eq!(world.refused("alice", "heartbeat", json!({})).await.0, NOT_LOGGED_IN);
}
