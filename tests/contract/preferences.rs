//! The settings of conversations: pins, drafts, marks; and the lists that filter by them.

use serde_json::{Value, json};

use super::world::{CHANGED, FAST, RECEIVED, TOTAL, World, keys, now_ms, number, of, string};
use crate::support::{Encoding, Events};

const PIN: &str = "update_conversation_pinned_state";
const DRAFT: &str = "set_conversation_draft";
const MARK: &str = "set_conversation_mark";
const LIST: &str = "query_conversation_list";

async fn pin(world: &World, user: &str, other: &str, is_pinned: bool) {
    let body = json!({ "isPinned": is_pinned, "conversationID": other, "conversationType": 0 });
    assert_eq!(world.ok(user, PIN, body).await, of(other));
}

async fn draft(world: &World, user: &str, other: &str, text: &str) {
    let body = json!({ "draft": text, "conversationID": other, "conversationType": 0 });
    assert_eq!(world.ok(user, DRAFT, body).await, of(other));
}

/// Answers the conversations that were not marked.
async fn mark(world: &World, user: &str, others: &[&str], mark: u8, on: bool) -> Value {
    let infos: Vec<Value> = others.iter().map(|other| of(other)).collect();
    let body = json!({ "markType": mark, "enable": on, "conversationInfos": infos });
    let reply = world.ok(user, MARK, body).await;
    assert_eq!(keys(&reply), ["failedConversationInfos"]);
    reply["failedConversationInfos"].clone()
}

async fn listed(world: &World, user: &str, method: &str, option: Value) -> Vec<String> {
    let body = json!({ "config": { "count": 1000 }, "option": option });
    let reply = world.ok(user, method, body).await;
    let list = reply["conversationList"].as_array().unwrap();
    list.iter().map(|one| string(one, "conversationID").to_owned()).collect()
}

/// The conversation in the one event that was published to both sessions.
async fn changed(sessions: &mut [Events]) -> Value {
    let mut shown = Vec::new();
    for events in sessions {
        let event = events.expect(&[CHANGED]).await.remove(0);
        let info = event.body["infoList"][0].clone();
        assert_eq!((&info["event"], &info["action"]), (&json!(1), &json!(2)));
        shown.push(info["conversation"].clone());
    }
    assert!(shown.windows(2).all(|pair| pair[0] == pair[1]));
    shown.remove(0)
}

/// Two users who wrote to each other, and alice's events as two of her devices receive them.
async fn two() -> (World, Vec<Events>, Events) {
    let world = World::of(&["alice", "bob"]).await;
    world.ok("alice", "login", json!({ "deviceID": "other" })).await;
    world.send("bob", "alice", "hello").await;
    let sessions = vec![world.events("alice").await, world.events("alice").await];
    let of_bob = world.events("bob").await;
    (world, sessions, of_bob)
}

#[tokio::test]
async fn a_pin_reaches_all_sessions_of_its_user_and_nobody_else() {
    let (mut world, mut of_alice, mut of_bob) = two().await;
    let before = now_ms();
    pin(&world, "alice", "bob", true).await;
    let shown = changed(&mut of_alice).await;
    assert_eq!(shown["isPinned"], true);
    let pinned_ms = number(&shown, "pinnedTime");
    assert!((before..=now_ms()).contains(&pinned_ms), "{pinned_ms}");
    assert_eq!(shown, world.conversation("alice", "bob").await);

    let writes = world.store.writes().await;
    pin(&world, "alice", "bob", true).await;
    assert_eq!(world.store.writes().await, writes);
    of_alice[0].none().await;
    of_bob.none().await;
    assert_eq!(world.conversation("bob", "alice").await["isPinned"], false);

    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(world.conversation("alice", "bob").await["pinnedTime"], pinned_ms);
    let mut of_alice = vec![world.events("alice").await];
    pin(&world, "alice", "bob", false).await;
    let shown = changed(&mut of_alice).await;
    assert_eq!((&shown["isPinned"], &shown["pinnedTime"]), (&json!(false), &json!(0)));
    world
        .invalid("alice", PIN, json!({ "isPinned": 1, "conversationID": "bob" }), "isPinned")
        .await;
    world.invalid("alice", PIN, of("bob"), "isPinned").await;
    let own = json!({ "isPinned": true, "conversationID": "alice" });
    world.invalid("alice", PIN, own, "conversationID").await;
}

#[tokio::test]
async fn pinned_conversations_come_first_and_have_a_list_of_their_own() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice"]).await;
    let others = ["u0", "u1", "u2", "u3", "u4"];
    for other in others {
        world.send("alice", other, "hi").await;
    }
    for other in ["u3", "u0", "u1"] {
        pin(&world, "alice", other, true).await;
    }
    assert_eq!(listed(&world, "alice", LIST, json!({})).await, ["u3", "u1", "u0", "u4", "u2"]);
    let pinned_list = "query_conversation_pinned_list";
    assert_eq!(listed(&world, "alice", pinned_list, json!({})).await, ["u3", "u1", "u0"]);
    for (filter, expected) in
        [(0, &["u3", "u1", "u0", "u4", "u2"][..]), (1, &["u3", "u1", "u0"]), (2, &["u4", "u2"])]
    {
        let option = json!({ "pinnedFilter": filter });
        assert_eq!(listed(&world, "alice", LIST, option).await, expected, "{filter}");
    }
    let body = json!({ "config": { "count": 1 }, "option": { "pinnedFilter": 3 } });
    world.invalid("alice", LIST, body, "option.pinnedFilter").await;
    // Page by page, in both encodings.
    for encoding in Encoding::BOTH {
        for (method, expected) in
            [(LIST, &["u3", "u1", "u0", "u4", "u2"][..]), (pinned_list, &["u3", "u1", "u0"])]
        {
            let (mut paged, mut last) = (Vec::new(), Value::Null);
            loop {
                let body = json!({ "config": { "count": 2, "nextConversation": last } });
                let reply = world.client.call_as(encoding, "alice", method, body).await.ok();
                assert_eq!(keys(&reply), ["conversationList"]);
                let page = reply["conversationList"].as_array().unwrap();
                let Some(end) = page.last() else { break };
                last = end.clone();
                paged.extend(page.iter().map(|one| string(one, "conversationID").to_owned()));
            }
            assert_eq!(paged, expected, "{method}");
        }
    }
}

#[tokio::test]
async fn a_hundred_conversations_are_pinned_and_no_more() {
    let world = World::of(&["alice", "u0"]).await;
    for number in 0..100 {
        pin(&world, "alice", &format!("u{number}"), true).await;
    }
    let mut of_alice = world.events("alice").await;
    let body = |on| json!({ "isPinned": on, "conversationID": "one-more" });
    let full = (6_000_604, "pinned_list_full".to_owned());
    assert_eq!(world.refused("alice", PIN, body(true)).await, full);
    // With a full list, a pinned conversation may be pinned again; unpinning one makes room.
    pin(&world, "alice", "u7", true).await;
    world.ok("alice", PIN, body(false)).await;
    of_alice.none().await;
    pin(&world, "alice", "u7", false).await;
    world.ok("alice", PIN, body(true)).await;
    of_alice.expect(&[CHANGED, CHANGED]).await;
    // The first message adds a conversation that was pinned in advance, as with muting.
    world.send("u0", "alice", "hi").await;
    let events = of_alice.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    let info = &events[1].body["infoList"][0];
    assert_eq!((&info["event"], &info["conversation"]["isPinned"]), (&json!(0), &json!(true)));
}

#[tokio::test]
async fn a_draft_reaches_all_sessions_of_its_user_and_stays() {
    let (mut world, mut of_alice, mut of_bob) = two().await;
    let text = "Dear Bob,\n\u{1f600} \u{1}";
    draft(&world, "alice", "bob", text).await;
    let shown = changed(&mut of_alice).await;
    assert_eq!((&shown["draft"], &shown["unreadMessageCount"]), (&json!(text), &json!(1)));
    let writes = world.store.writes().await;
    draft(&world, "alice", "bob", text).await;
    assert_eq!(world.store.writes().await, writes);
    of_alice[0].none().await;
    of_bob.none().await;
    assert_eq!(world.conversation("bob", "alice").await["draft"], "");

    // The other settings of the conversation leave it as it is, and so does a message.
    world.set_status("alice", "bob", 2).await;
    world.send("alice", "bob", "hi").await;
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    for encoding in Encoding::BOTH {
        let reply =
            world.client.call_as(encoding, "alice", "query_conversation", of("bob")).await.ok();
        assert_eq!(reply["conversation"]["draft"], text);
    }
    let mut of_alice = vec![world.events("alice").await];
    draft(&world, "alice", "bob", "").await;
    assert_eq!(changed(&mut of_alice).await["draft"], "");
    assert_eq!(world.conversation("alice", "bob").await["draft"], "");
}

#[tokio::test]
async fn a_draft_has_up_to_four_kilobytes() {
    let world = World::of(&["alice"]).await;
    let longest = "\u{1}".repeat(4096);
    draft(&world, "alice", "bob", &longest).await;
    assert_eq!(world.conversation("alice", "bob").await["draft"], longest.as_str());
    let body = |draft: Value| json!({ "draft": draft, "conversationID": "bob" });
    world.invalid("alice", DRAFT, body(json!("x".repeat(4097))), "draft").await;
    world.invalid("alice", DRAFT, body(json!(5)), "draft").await;
    world.invalid("alice", DRAFT, of("bob"), "draft").await;
    let own = json!({ "draft": "x", "conversationID": "alice" });
    world.invalid("alice", DRAFT, own, "conversationID").await;
}

#[tokio::test]
async fn marks_are_put_on_many_conversations_and_filter_lists_and_totals() {
    let (mut world, mut of_alice, mut of_bob) = two().await;
    world.login(&["carol"]).await;
    world.send("carol", "alice", "hello").await;
    world.send("carol", "alice", "again").await;
    for events in &mut of_alice {
        events.drain().await;
    }
    let nobody = json!([]);
    assert_eq!(mark(&world, "alice", &["bob", "carol", "bob", "dan"], 20, true).await, nobody);
    for events in &mut of_alice {
        let event = events.expect(&[CHANGED]).await.remove(0);
        let infos = event.body["infoList"].as_array().unwrap();
        let mut shown: Vec<(&str, &Value)> = infos
            .iter()
            .map(|info| &info["conversation"])
            .map(|shown| (string(shown, "conversationID"), &shown["marks"]))
            .collect();
        shown.sort_by_key(|(other, _)| *other);
        let marks = json!([20]);
        assert_eq!(shown, [("bob", &marks), ("carol", &marks), ("dan", &marks)]);
    }
    let writes = world.store.writes().await;
    assert_eq!(mark(&world, "alice", &["bob", "carol"], 20, true).await, nobody);
    assert_eq!(mark(&world, "alice", &["bob"], 3, false).await, nobody);
    assert_eq!(world.store.writes().await, writes);
    of_alice[0].none().await;
    of_bob.none().await;
    assert_eq!(world.conversation("bob", "alice").await["marks"], json!([]));

    // The caller's own conversation does not exist: it is refused, the others are marked.
    let own = json!([of("alice")]);
    assert_eq!(mark(&world, "alice", &["alice", "carol"], 3, true).await, own);
    assert_eq!(mark(&world, "alice", &["dan"], 20, false).await, nobody);
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert_eq!(world.conversation("alice", "carol").await["marks"], json!([3, 20]));
    for (marks, expected, unread) in [
        (json!([]), &["dan", "carol", "bob"][..], 3),
        (json!([3]), &["carol"], 2),
        (json!([3, 20]), &["carol", "bob"], 3),
        (json!([5]), &[], 0),
        (json!([-1]), &["carol", "bob"], 3),
        (json!([0]), &["dan"], 0),
        (json!([0, 3]), &["dan", "carol"], 2),
    ] {
        let option = json!({ "marks": marks, "conversationTypes": [0] });
        let mut shown = listed(&world, "alice", LIST, option).await;
        shown.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(shown, expected, "{marks}");
        if marks.as_array().unwrap().iter().all(|mark| mark.as_i64() > Some(0)) {
            let method = "query_conversation_total_unread_message_count";
            let body = json!({ "config": { "marks": marks } });
            let totals = world.ok("alice", method, body).await;
            assert_eq!(totals["unreadMessageCount"], unread, "{marks}");
            assert_eq!(totals["unreadMessageCountIncludingMuted"], unread, "{marks}");
        }
    }
    let other_type = json!({ "conversationTypes": [2] });
    assert!(listed(&world, "alice", LIST, other_type).await.is_empty());
    let unread = json!({ "marks": [3], "isOnlyUnreadConversation": true });
    assert_eq!(listed(&world, "alice", LIST, unread).await, ["carol"]);
}

#[tokio::test]
async fn a_mark_is_a_number_from_one_to_twenty_and_a_call_names_up_to_a_hundred_conversations() {
    let world = World::of(&["alice"]).await;
    let bob = json!([{ "conversationID": "bob" }]);
    let body = |mark: Value, infos: &Value| json!({ "markType": mark, "enable": true, "conversationInfos": infos });
    for number in [json!(0), json!(21), json!(-1), json!("1"), Value::Null] {
        world.invalid("alice", MARK, body(number, &bob), "markType").await;
    }
    let many = |count: usize| -> Value {
        (0..count).map(|number| json!({ "conversationID": format!("u{number}") })).collect()
    };
    let field = "conversationInfos";
    world.invalid("alice", MARK, body(json!(1), &many(101)), field).await;
    world.invalid("alice", MARK, body(json!(1), &json!([])), field).await;
    world.invalid("alice", MARK, body(json!(1), &json!(["bob"])), field).await;
    world
        .invalid("alice", MARK, json!({ "markType": 1, "conversationInfos": bob }), "enable")
        .await;
    world.ok("alice", MARK, body(json!(1), &many(100))).await;
    for (marks, field) in [(json!([21]), "option.marks[0]"), (json!([1, -2]), "option.marks[1]")] {
        let body = json!({ "config": { "count": 1 }, "option": { "marks": marks } });
        world.invalid("alice", LIST, body, field).await;
    }
}

#[tokio::test]
async fn a_thousand_conversations_are_marked_and_no_more() {
    let world = World::of(&["alice"]).await;
    for hundred in 0..10 {
        let others: Vec<String> = (0..100).map(|one| format!("u{hundred}.{one}")).collect();
        let others: Vec<&str> = others.iter().map(String::as_str).collect();
        assert_eq!(mark(&world, "alice", &others, 1, true).await, json!([]));
    }
    // A marked one takes further marks.
    let refused = mark(&world, "alice", &["u0.0", "one-more"], 2, true).await;
    assert_eq!(refused, json!([of("one-more")]));
    for number in [1, 2] {
        assert_eq!(mark(&world, "alice", &["u0.0"], number, false).await, json!([]));
    }
    assert_eq!(mark(&world, "alice", &["one-more"], 2, true).await, json!([]));
}

#[tokio::test]
async fn a_thousand_conversations_are_muted_and_no_more() {
    let world = World::of(&["alice"]).await;
    for number in 0..1000 {
        world.set_status("alice", &format!("u{number}"), 2).await;
    }
    let method = "set_conversation_notification_status";
    let body = |other: &str, status| json!({ "conversationID": other, "status": status });
    let full = (6_000_601, "muted_list_full".to_owned());
    assert_eq!(world.refused("alice", method, body("one-more", 2)).await, full);
    world.set_status("alice", "u0", 2).await;
    world.set_status("alice", "one-more", 1).await;
    world.set_status("alice", "u0", 1).await;
    world.set_status("alice", "one-more", 2).await;
}
