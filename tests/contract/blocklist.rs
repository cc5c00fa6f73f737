//! Blocking: a blocked user cannot send, and learns nothing else.

use futures::future::join_all;
use serde_json::{Value, json};

use super::world::{
    CHANGED, NO_CONVERSATION, RATE_LIMITED, RECEIVED, STORE, TOTAL, World, as_received, keys,
    number, of, string, text_to,
};
use crate::support::{Encoding, Event, Events, bin, partition};

const ADD: &str = "add_users_to_blacklist";
const REMOVE: &str = "remove_users_from_blacklist";
const QUERY: &str = "query_blacklist";
const CHECK: &str = "check_user_is_in_blacklist";
const BLACKLIST: &str = "blacklist_changed";

const OWN_ID: u32 = 6_000_805;
const FULL: u32 = 6_000_808;
const ADDED: u8 = 0;
const REMOVED: u8 = 1;

/// Blocks or unblocks users, without refusals.
async fn change(world: &World, method: &str, user: &str, others: &[&str]) {
    let reply = world.ok(user, method, json!({ "userIDs": others })).await;
    assert_eq!(reply, json!({ "errorUserList": [] }));
}

/// Users without a name.
fn users(ids: &[&str]) -> Value {
    ids.iter().map(|id| user_info(id, "")).collect()
}

fn user_info(id: &str, name: &str) -> Value {
    json!({ "userID": id, "userName": name, "userAvatarUrl": "", "userExtendedData": "" })
}

/// Checks that the next event names exactly these users.
async fn assert_published(events: &mut Events, action: u8, others: &[&str]) -> Event {
    let event = events.expect(&[BLACKLIST]).await.remove(0);
    assert_eq!(keys(&event.body), ["action", "previousRevision", "revision", "userList"]);
    assert_eq!(event.body["action"], action);
    assert_eq!(event.body["userList"], users(others));
    event
}

/// The whole block list of a user, page by page.
async fn listed(world: &World, user: &str, count: usize) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut flag = 0;
    loop {
        let body = json!({ "config": { "nextFlag": flag, "count": count } });
        let reply = world.ok(user, QUERY, body).await;
        assert_eq!(keys(&reply), ["blacklist", "nextFlag"]);
        let page = reply["blacklist"].as_array().unwrap();
        assert!(page.len() <= count);
        all.extend(page.iter().map(|one| one["userID"].as_str().unwrap().to_owned()));
        flag = number(&reply, "nextFlag");
        if flag == 0 {
            return all;
        }
        assert_eq!(page.len(), count, "a page that is not the last is full");
    }
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort_unstable();
    names
}

async fn is_blocked(world: &World, user: &str, other: &str) -> bool {
    let reply = world.ok(user, CHECK, json!({ "userID": other })).await;
    assert_eq!(keys(&reply), ["isUserInBlacklist"]);
    reply["isUserInBlacklist"].as_bool().unwrap()
}

fn command_to(to: &str) -> Value {
    json!({ "message": { "type": 2, "message": bin(b"c") }, "toUserID": to })
}

/// Asserts that no message of `from` reaches `to`, and that the attempts use no budget and leave no
/// trace.
async fn assert_shut_out(world: &World, from: &str, to: &str) {
    let (mut of_from, mut of_to) = (world.events(from).await, world.events(to).await);
    let writes = world.store.writes().await;
    for encoding in Encoding::BOTH {
        for body in [text_to(to, "let me in"), command_to(to)] {
            // More than both rate limits: refused sends do not use the budget.
            for _ in 0..20 {
                let call = world.client.call_as(encoding, from, "send_peer_message", body.clone());
                let reply = call.await;
                assert_eq!(reply.err(), (6_000_284, "blocked_by_receiver".to_owned()));
                let header = reply.headers.get("Nats-Service-Error-Code").unwrap();
                assert_eq!(header.as_str(), "6000284");
            }
        }
    }
    let body = json!({
        "message": { "type": 1, "message": "x" }, "toConversationID": to, "conversationType": 0,
    });
    assert_eq!(world.refused(from, "send_message", body).await.0, 6_000_284);
    assert_eq!(world.store.writes().await, writes);
    for events in [&mut of_from, &mut of_to] {
        // After a kill, recent events may be redelivered; they belong to no change.
        let published = events.drain().await.into_iter();
        let new =
            published.filter(|event| event.body["revision"] != event.body["previousRevision"]);
        assert_eq!(new.map(|event| event.name).collect::<Vec<_>>(), [""; 0]);
    }
}

#[tokio::test]
async fn a_blocked_sender_cannot_send_and_leaves_no_trace() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    change(&world, ADD, "bob", &["alice"]).await;
    assert_published(&mut of_bob, ADDED, &["alice"]).await;
    assert_shut_out(&world, "alice", "bob").await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let refused = world.refused(user, "query_conversation", of(other)).await;
        assert_eq!(refused.0, NO_CONVERSATION);
    }
    // The budgets of both kinds are unused.
    let texts =
        join_all((0..11).map(|_| world.call("alice", "send_peer_message", text_to("carol", "x"))));
    let texts = texts.await;
    assert_eq!(texts.iter().filter(|reply| reply.code.is_none()).count(), 10);
    let over: Vec<_> = texts.iter().filter_map(|reply| reply.code).collect();
    assert_eq!(over, [RATE_LIMITED]);
    let commands = (0..30).map(|_| world.ok("alice", "send_peer_message", command_to("carol")));
    join_all(commands).await;
    // Parameters and the rate limit are checked first.
    world.invalid("alice", "send_peer_message", text_to("bob", " "), "message").await;
    let refused = world.refused("alice", "send_peer_message", text_to("bob", "x")).await;
    assert_eq!(refused.0, RATE_LIMITED);

    // Blocking is one-way.
    of_alice.drain().await;
    let sent = world.send("bob", "alice", "I still may").await;
    let published = of_alice.expect(&[RECEIVED, CHANGED, TOTAL]).await;
    assert_eq!(published[0].body["messageList"], json!([as_received(&sent)]));
    of_bob.expect(&[CHANGED]).await;
    world.ok("bob", "send_peer_message", command_to("alice")).await;
    of_alice.expect(&[RECEIVED]).await;
}

#[tokio::test]
async fn conversations_stay_and_go_on_after_an_unblock() {
    let world = World::of(&["alice", "bob"]).await;
    let before = world.send("alice", "bob", "before").await;
    let mut of_bob = world.events("bob").await;
    let total = "query_conversation_total_unread_message_count";
    let before_it = world.ok("bob", total, json!({})).await["revision"].clone();
    change(&world, ADD, "bob", &["alice"]).await;
    let published = assert_published(&mut of_bob, ADDED, &["alice"]).await;
    assert_eq!(published.body["revision"], before_it, "no change of conversations");
    assert_shut_out(&world, "alice", "bob").await;
    assert_eq!(world.history("bob", "alice").await, [as_received(&before)]);
    assert_eq!(world.conversation("bob", "alice").await["unreadMessageCount"], 1);
    assert_eq!(world.totals("bob").await, (1, 1));
    world.set_status("bob", "alice", 2).await;
    world.clear("bob", "alice").await;
    of_bob.drain().await;

    change(&world, REMOVE, "bob", &["alice"]).await;
    assert_published(&mut of_bob, REMOVED, &["alice"]).await;
    let after = world.send("alice", "bob", "after").await;
    assert_eq!(after["messageSeq"], 2, "what was refused did not count");
    of_bob.expect(&[RECEIVED, CHANGED]).await;
    assert_eq!(world.history("bob", "alice").await, [as_received(&before), as_received(&after)]);
    world.ok("alice", "send_peer_message", command_to("bob")).await;
    of_bob.expect(&[RECEIVED]).await;
}

#[tokio::test]
async fn blocks_survive_a_kill_and_can_be_changed_after_it() {
    let mut world = World::of(&["alice", "bob", "carol", "dora"]).await;
    change(&world, ADD, "bob", &["alice", "carol", "a.b c"]).await;
    change(&world, REMOVE, "bob", &["carol"]).await;
    world.peerd.kill9();
    world.peerd.restart().await;
    // Bob is not in memory: he is first used as a receiver.
    assert_shut_out(&world, "alice", "bob").await;
    world.send("carol", "bob", "no longer blocked").await;
    assert_eq!(listed(&world, "bob", 1).await, ["a.b c", "alice"]);

    // Two existing entries, blocked and unblocked, and a missing one.
    change(&world, REMOVE, "bob", &["alice"]).await;
    change(&world, ADD, "bob", &["carol", "dora"]).await;
    change(&world, REMOVE, "bob", &["dora"]).await;
    change(&world, ADD, "bob", &["dora"]).await;
    world.peerd.kill9();
    world.peerd.restart().await;
    assert_eq!(listed(&world, "bob", 100).await, ["a.b c", "carol", "dora"]);
    world.send("alice", "bob", "back").await;
    assert_shut_out(&world, "carol", "bob").await;
    assert_shut_out(&world, "dora", "bob").await;
}

#[tokio::test]
async fn only_the_blockers_sessions_get_events_and_only_of_changes() {
    let world = World::of(&["alice", "bob", "bob"]).await;
    let mut of_alice = world.events("alice").await;
    let mut of_bob = [world.events("bob").await, world.events("bob").await];
    for (method, action) in [(ADD, ADDED), (REMOVE, REMOVED)] {
        change(&world, method, "bob", &["alice"]).await;
        for events in &mut of_bob {
            assert_published(events, action, &["alice"]).await;
        }
        // A repeat changes nothing, publishes nothing and writes nothing.
        let writes = world.store.writes().await;
        change(&world, method, "bob", &["alice", "alice"]).await;
        assert_eq!(world.store.writes().await, writes);
        // Only users whose block changed are published.
        change(&world, method, "bob", &["dora", "alice", "carol"]).await;
        for events in &mut of_bob {
            assert_published(events, action, &["carol", "dora"]).await;
            events.none().await;
        }
        assert_eq!(world.store.writes().await.state, writes.state + 2);
        assert_eq!(world.store.writes().await.log, writes.log);
    }
    of_alice.none().await;
}

#[tokio::test]
async fn calls_at_once_block_each_user_once() {
    let world = World::of(&["bob"]).await;
    let mut of_bob = world.events("bob").await;
    let names: Vec<String> = (10..30).map(|number| format!("u{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (first, second) = names.split_at(15);
    let overlapping = [&names[..], first, second, &names[..]];
    join_all(overlapping.map(|some| change(&world, ADD, "bob", some))).await;
    let published = of_bob.drain().await;
    let mut all: Vec<_> = published
        .iter()
        .flat_map(|event| event.body["userList"].as_array().unwrap())
        .map(|user| user["userID"].as_str().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all, names, "each user is in one event");
    assert_eq!(sorted(listed(&world, "bob", 7).await), names);
    join_all([first, second].map(|some| change(&world, REMOVE, "bob", some))).await;
    assert!(listed(&world, "bob", 7).await.is_empty());
}

#[tokio::test]
async fn the_list_is_the_callers_own_and_in_pages() {
    let world = World::of(&["alice", "bob"]).await;
    for encoding in Encoding::BOTH {
        let empty = world.client.call_as(encoding, "bob", QUERY, json!({})).await.ok();
        assert_eq!(empty, json!({ "blacklist": [], "nextFlag": 0 }));
    }
    change(&world, ADD, "bob", &["d", "b", ">", "a.b c", "alice"]).await;
    let sorted = [">", "a.b c", "alice", "b", "d"];
    for count in [1, 2, 4, 5, 100] {
        assert_eq!(listed(&world, "bob", count).await, sorted, "pages of {count}");
    }
    let reply = world.ok("bob", QUERY, json!({})).await;
    assert_eq!(reply, json!({ "blacklist": users(&sorted), "nextFlag": 0 }));
    // A page continues after a user who was unblocked meanwhile.
    let first = world.ok("bob", QUERY, json!({ "config": { "count": 3 } })).await;
    change(&world, REMOVE, "bob", &["alice"]).await;
    let body = json!({ "config": { "count": 3, "nextFlag": first["nextFlag"] } });
    assert_eq!(world.ok("bob", QUERY, body).await["blacklist"], users(&["b", "d"]));

    assert!(is_blocked(&world, "bob", "a.b c").await);
    assert!(!is_blocked(&world, "bob", "alice").await);
    assert!(!is_blocked(&world, "bob", "bob").await);
    assert!(listed(&world, "alice", 100).await.is_empty(), "nobody sees who blocked them");
    assert!(!is_blocked(&world, "alice", "bob").await);
}

/// A page of a user's list after a place: its users, and the next place.
async fn page(world: &World, encoding: Encoding, count: usize, place: u64) -> (Vec<String>, u64) {
    let body = json!({ "config": { "nextFlag": place, "count": count } });
    let reply = world.client.call_as(encoding, "bob", QUERY, body).await.ok();
    let shown = reply["blacklist"].as_array().unwrap().iter();
    let shown = shown.map(|one| string(one, "userID").to_owned());
    (shown.collect(), number(&reply, "nextFlag"))
}

#[tokio::test]
async fn a_page_of_the_block_list_neither_skips_nor_repeats_during_changes() {
    for encoding in Encoding::BOTH {
        let mut world = World::of(&["bob"]).await;
        // Blocks of one call are ordered by user ID, those of later calls come later.
        for some in [["m", "k"], ["d", "c"], ["z", "y"], ["b", "a"]] {
            change(&world, ADD, "bob", &some).await;
        }
        let (first, place) = page(&world, encoding, 3, 0).await;
        assert_eq!(first, ["k", "m", "c"]);
        // The user at the place and a later one are unblocked; a user who sorts before it is
        // blocked, and one who had been blocked before.
        change(&world, REMOVE, "bob", &["c", "y"]).await;
        change(&world, ADD, "bob", &["0", "y"]).await;
        let (second, place) = page(&world, encoding, 3, place).await;
        assert_eq!(second, ["d", "z", "a"]);
        // A restart of peerd does not matter either.
        world.peerd.kill9();
        world.peerd.restart().await;
        change(&world, REMOVE, "bob", &["z", "k"]).await;
        change(&world, ADD, "bob", &["00"]).await;
        let (third, place) = page(&world, encoding, 3, place).await;
        assert_eq!(third, ["b", "0", "y"]);
        assert_eq!(page(&world, encoding, 3, place).await, (vec!["00".to_owned()], 0));
        assert_eq!(page(&world, encoding, 3, (1 << 53) - 1).await, (Vec::new(), 0));
    }
}

#[tokio::test]
async fn block_lists_and_their_events_show_users_by_name() {
    let world = World::of(&["bob"]).await;
    world.ok("alice", "login", json!({ "userName": "Alice \u{1f600}" })).await;
    world.ok("carol", "login", json!({ "userName": "Carol" })).await;
    let mut of_bob = world.events("bob").await;
    let named = |name| json!([user_info("alice", name), user_info("ghost", "")]);
    for (method, action) in [(ADD, ADDED), (REMOVE, REMOVED), (ADD, ADDED)] {
        change(&world, method, "bob", &["ghost", "alice"]).await;
        let published = of_bob.expect(&[BLACKLIST]).await.remove(0);
        assert_eq!(published.body["action"], action);
        assert_eq!(published.body["userList"], named("Alice \u{1f600}"));
    }
    for encoding in Encoding::BOTH {
        let reply = world.client.call_as(encoding, "bob", QUERY, json!({})).await.ok();
        assert_eq!(reply, json!({ "blacklist": named("Alice \u{1f600}"), "nextFlag": 0 }));
    }
    world.ok("alice", "login", json!({ "userName": "Al" })).await;
    let reply = world.ok("bob", QUERY, json!({})).await;
    assert_eq!(reply["blacklist"], named("Al"), "the name is today's");
}

#[tokio::test]
async fn bounds_and_bad_parameters_are_refused_by_name_and_change_nothing() {
    let world = World::of(&["bob"]).await;
    let mut of_bob = world.events("bob").await;
    let writes = world.store.writes().await;
    let many: Vec<String> = (0..21).map(|number| format!("u{number}")).collect();
    for method in [ADD, REMOVE] {
        for (body, field) in [
            (json!({}), "userIDs"),
            (json!({ "userIDs": "alice" }), "userIDs"),
            (json!({ "userIDs": [] }), "userIDs"),
            (json!({ "userIDs": many }), "userIDs"),
            (json!({ "userIDs": ["alice", 7] }), "userIDs[1]"),
            (json!({ "userIDs": ["alice", null] }), "userIDs[1]"),
            (json!({ "userIDs": ["alice", ""] }), "userIDs[1]"),
            (json!({ "userIDs": ["alice", "a/b"] }), "userIDs[1]"),
            (json!({ "userIDs": ["alice", "*"] }), "userIDs[1]"),
            (json!({ "userIDs": ["x".repeat(65)] }), "userIDs[0]"),
            (json!({ "userIDs": [{ "userID": "alice" }] }), "userIDs[0]"),
        ] {
            world.invalid("bob", method, body, field).await;
        }
    }
    for (config, field) in [
        (json!({ "count": 0 }), "config.count"),
        (json!({ "count": 101 }), "config.count"),
        (json!({ "count": "1" }), "config.count"),
        (json!({ "nextFlag": "" }), "config.nextFlag"),
        (json!({ "nextFlag": -1 }), "config.nextFlag"),
        (json!({ "nextFlag": 1.5 }), "config.nextFlag"),
        (json!({ "nextFlag": 1_u64 << 53 }), "config.nextFlag"),
        (json!([]), "config"),
    ] {
        world.invalid("bob", QUERY, json!({ "config": config }), field).await;
    }
    for body in [json!({}), json!({ "userID": 7 }), json!({ "userID": "a*" })] {
        world.invalid("bob", CHECK, body, "userID").await;
    }
    assert!(listed(&world, "bob", 100).await.is_empty());
    assert_eq!(world.store.writes().await, writes);
    of_bob.none().await;

    // Only the own ID is refused; unblocking it succeeds.
    for encoding in Encoding::BOTH {
        let body = json!({ "userIDs": ["bob", "alice"] });
        let reply = world.client.call_as(encoding, "bob", ADD, body).await.ok();
        let refused = json!([{ "userID": "bob", "reason": OWN_ID }]);
        assert_eq!(reply, json!({ "errorUserList": refused }));
    }
    change(&world, REMOVE, "bob", &["bob"]).await;
    assert_published(&mut of_bob, ADDED, &["alice"]).await;
    of_bob.none().await;
    // Twenty are fine.
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    change(&world, ADD, "bob", &many[..20]).await;
    assert_eq!(listed(&world, "bob", 100).await.len(), 21);
}

#[tokio::test]
async fn a_full_list_takes_no_more_and_survives_a_kill() {
    let mut world = World::of(&["alice", "bob"]).await;
    let names: Vec<String> = (1_000..2_060).map(|number| format!("u{number}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    // With the users who were blocked before, more entries than one read returns.
    for some in names[1_000..].chunks(20) {
        change(&world, ADD, "bob", some).await;
        change(&world, REMOVE, "bob", some).await;
    }
    join_all(names[..990].chunks(20).map(|some| change(&world, ADD, "bob", some))).await;
    let mut of_bob = world.events("bob").await;
    let reply = world.ok("bob", ADD, json!({ "userIDs": names[985..1_002] })).await;
    let full = |id| json!({ "userID": id, "reason": FULL });
    assert_eq!(reply, json!({ "errorUserList": [full("u2000"), full("u2001")] }));
    assert_published(&mut of_bob, ADDED, &names[990..1_000]).await;
    let reply = world.ok("bob", ADD, json!({ "userIDs": ["alice", "u1000"] })).await;
    assert_eq!(reply, json!({ "errorUserList": [full("alice")] }));
    of_bob.none().await;

    world.peerd.kill9();
    world.peerd.restart().await;
    assert_eq!(sorted(listed(&world, "bob", 100).await), names[..1_000]);
    change(&world, REMOVE, "bob", &["u1000"]).await;
    change(&world, ADD, "bob", &["alice"]).await;
    assert_shut_out(&world, "alice", "bob").await;
}

#[tokio::test]
async fn without_a_store_nobody_is_blocked() {
    let world = World::with(&[("PEERD__LIMITS__CALL_DEADLINE_MS", "2000")]).await;
    world.login(&["alice", "bob"]).await;
    change(&world, ADD, "bob", &["carol"]).await;
    let mut of_bob = world.events("bob").await;
    let stream = format!("PEER_STATE_{}", partition("bob", 8));
    // A deleted stream would be created again.
    let mut config = world.store.info(&stream).await.config;
    config.sealed = true;
    world.store.jetstream().update_stream(config).await.unwrap();
    for (method, other) in [(ADD, "alice"), (REMOVE, "carol")] {
        let refused = world.refused("bob", method, json!({ "userIDs": [other] })).await;
        assert_eq!(refused.0, STORE, "{refused:?}");
    }
    of_bob.none().await;
}
