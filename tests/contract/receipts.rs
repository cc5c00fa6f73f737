//! Read receipts: both users see which messages were confirmed as read, and nothing else changes.

use serde_json::{Value, json};

use super::world::{FAST, INVALID, RATE_LIMITED, RECEIVED, World, number, of};
use crate::support::{Encoding, Event, Peerd, login};

const READ: &str = "send_conversation_message_receipt_read";
const READ_MESSAGES: &str = "send_message_receipts_read";
const MESSAGES_EVENT: &str = "message_receipt_changed";
const TOO_MANY: (i64, &str) = (6_000_282, "too_many_receipts");
const INFOS: &str = "query_message_receipts_info";
const READ_EVENT: &str = "conversation_message_receipt_changed";
const BLOCKED: (i64, &str) = (6_000_284, "blocked_by_receiver");

/// The code and reason of a refusal, to be compared.
fn is(refused: &(i64, String), expected: (i64, &str)) -> bool {
    (refused.0, refused.1.as_str()) == expected
}

/// Sends a text that requests a receipt.
async fn send(world: &World, from: &str, to: &str, text: &str) -> Value {
    let body = json!({
        "toUserID": to, "message": { "type": 1, "message": text },
        "config": { "hasReceipt": true },
    });
    let message = world.ok(from, "send_peer_message", body).await["message"].clone();
    assert_eq!(message["receiptStatus"], 1);
    message
}

/// Stops the daemon in order, so that it redelivers nothing, and starts it again.
async fn restart(world: &mut World) {
    assert!(world.peerd.terminate().await.success(), "{}", world.peerd.log());
    world.peerd.restart().await;
}

async fn read(world: &World, reader: &str, author: &str) {
    assert_eq!(world.ok(reader, READ, of(author)).await, of(author));
}

#[track_caller]
fn assert_receipt(event: &Event, message: &Value, other: &str, is_author: bool) {
    let expected = json!([{
        "status": 2,
        "messageID": message["messageID"],
        "conversationID": other,
        "conversationType": 0,
        "readMemberCount": u8::from(is_author),
        "unreadMemberCount": 0,
        "deliveredMemberCount": 0,
        "isSelfOperated": !is_author,
        "readTime": 0,
    }]);
    assert_eq!(event.body["infos"], expected);
    assert!(number(&event.body, "revision") > number(&event.body, "previousRevision"));
}

/// The statuses of a history, oldest first, which both users see alike.
async fn statuses(world: &World, one: &str, other: &str) -> Vec<u64> {
    let of = |history: Vec<Value>| -> Vec<u64> {
        history.iter().map(|message| number(message, "receiptStatus")).collect()
    };
    let seen = of(world.history(one, other).await);
    assert_eq!(of(world.history(other, one).await), seen);
    seen
}

async fn query(world: &World, user: &str, other: &str, messages: &[&Value]) -> Value {
    let list: Vec<Value> =
        messages.iter().map(|message| json!({ "messageID": message["messageID"] })).collect();
    let mut body = of(other);
    body["messageList"] = json!(list);
    world.ok(user, INFOS, body).await
}

#[tokio::test]
async fn both_users_and_all_their_sessions_see_what_was_read() {
    let mut world = World::of(&["alice", "bob"]).await;
    login(&world.client, "bob").await;
    send(&world, "alice", "bob", "one").await;
    world.send("alice", "bob", "without a receipt").await;
    let last = send(&world, "alice", "bob", "two").await;
    send(&world, "bob", "alice", "mine").await;
    let mut of_alice = world.events("alice").await;
    let (mut of_bob, mut also_of_bob) = (world.events("bob").await, world.events("bob").await);
    assert_eq!(statuses(&world, "alice", "bob").await, [1, 0, 1, 1]);
    assert_eq!(world.totals("bob").await, (3, 3));

    read(&world, "bob", "alice").await;
    assert_receipt(&of_alice.expect(&[READ_EVENT]).await[0], &last, "bob", true);
    for sessions in [&mut of_bob, &mut also_of_bob] {
        assert_receipt(&sessions.expect(&[READ_EVENT]).await[0], &last, "alice", false);
    }
    assert_eq!(statuses(&world, "alice", "bob").await, [2, 0, 2, 1]);
    assert_eq!(world.totals("bob").await, (3, 3), "a receipt changes no count");

    // Without new messages nothing happens.
    let writes = world.store.writes().await;
    read(&world, "bob", "alice").await;
    assert_eq!(world.store.writes().await, writes);
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());

    // The last message of the conversation shows it, too; a later message does not.
    read(&world, "alice", "bob").await;
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        assert_eq!(world.conversation(user, other).await["lastMessage"]["receiptStatus"], 2);
    }
    let next = send(&world, "alice", "bob", "three").await;
    restart(&mut world).await;
    assert_eq!(statuses(&world, "alice", "bob").await, [2, 0, 2, 2, 1]);
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        assert_eq!(world.conversation(user, other).await["lastMessage"]["receiptStatus"], 1);
    }
    let mut of_alice = world.events("alice").await;
    read(&world, "bob", "alice").await;
    assert_receipt(&of_alice.expect(&[READ_EVENT]).await[0], &next, "bob", true);
    assert_eq!(statuses(&world, "alice", "bob").await, [2, 0, 2, 2, 2]);
}

#[tokio::test]
async fn only_messages_that_request_a_receipt_are_confirmed() {
    let world = World::of(&["alice", "bob"]).await;
    world.send("alice", "bob", "hello").await;
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    let writes = world.store.writes().await;
    read(&world, "bob", "alice").await;
    read(&world, "bob", "carol").await;
    assert_eq!(world.store.writes().await, writes);
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
    let message = send(&world, "alice", "bob", "please confirm").await;
    world.send("alice", "bob", "no need").await;
    of_alice.drain().await;
    read(&world, "bob", "alice").await;
    assert_receipt(&of_alice.expect(&[READ_EVENT]).await[0], &message, "bob", true);
    assert_eq!(statuses(&world, "alice", "bob").await, [0, 2, 0]);
}

#[tokio::test]
async fn whoever_hides_receipts_sends_none_and_is_sent_none() {
    let world = World::of(&["alice", "bob"]).await;
    send(&world, "alice", "bob", "to bob").await;
    send(&world, "bob", "alice", "to alice").await;
    let hide = |on: bool| json!({ "hideReadReceipts": on });
    world.ok("alice", "update_user_privacy", hide(true)).await;
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    for (reader, author) in [("alice", "bob"), ("bob", "alice"), ("bob", "alice")] {
        read(&world, reader, author).await;
        assert_eq!(statuses(&world, "alice", "bob").await, [1, 1]);
    }
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
    world.ok("alice", "update_user_privacy", hide(false)).await;
    of_alice.drain().await;
    for (reader, author) in [("alice", "bob"), ("bob", "alice")] {
        read(&world, reader, author).await;
    }
    of_alice.expect(&[READ_EVENT, READ_EVENT]).await;
    assert_eq!(statuses(&world, "alice", "bob").await, [2, 2]);
    // What was seen before stays.
    world.ok("alice", "update_user_privacy", hide(true)).await;
    assert_eq!(statuses(&world, "alice", "bob").await, [2, 2]);
}

#[tokio::test]
async fn a_blocked_reader_is_refused_and_nothing_changes() {
    let mut world = World::of(&["alice", "bob"]).await;
    send(&world, "alice", "bob", "one").await;
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    for _ in 0..2 {
        assert!(is(&world.refused("bob", READ, of("alice")).await, BLOCKED));
    }
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
    assert_eq!(statuses(&world, "alice", "bob").await, [1]);
    restart(&mut world).await;
    assert_eq!(statuses(&world, "alice", "bob").await, [1]);
    world.ok("alice", "remove_users_from_blacklist", json!({ "userIDs": ["bob"] })).await;
    read(&world, "bob", "alice").await;
    assert_eq!(statuses(&world, "alice", "bob").await, [2]);
}

#[tokio::test]
async fn receipts_are_queried_and_messages_without_one_are_named() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let first = send(&world, "alice", "bob", "one").await;
    let plain = world.send("alice", "bob", "without").await;
    let elsewhere = send(&world, "alice", "carol", "elsewhere").await;
    let deleted = send(&world, "alice", "bob", "deleted").await;
    let mut body = of("bob");
    body["messageList"] = json!([{ "messageID": deleted["messageID"] }]);
    world.ok("alice", "delete_messages", body).await;
    let all = [&first, &plain, &elsewhere, &deleted, &first];
    let info = |status: u8, read: u8, unread: u8, other: &str| {
        json!({
            "status": status, "messageID": first["messageID"], "conversationID": other,
            "conversationType": 0, "readMemberCount": read, "unreadMemberCount": unread,
            "deliveredMemberCount": 0, "isSelfOperated": false, "readTime": 0,
        })
    };
    let reply = query(&world, "alice", "bob", &all).await;
    assert_eq!(reply["infos"], json!([info(1, 0, 1, "bob")]));
    let errors = reply["errorMessageIDs"].as_array().unwrap();
    assert_eq!(errors.len(), 3);
    for message in [&plain, &elsewhere, &deleted] {
        assert!(errors.contains(&message["messageID"]), "{reply}");
    }
    read(&world, "bob", "alice").await;
    let reply = query(&world, "alice", "bob", &[&first]).await;
    assert_eq!(reply, json!({ "infos": [info(2, 1, 0, "bob")], "errorMessageIDs": [] }));
    // The numbers of members are shown to the sender only.
    let reply = query(&world, "bob", "alice", &[&first]).await;
    assert_eq!(reply, json!({ "infos": [info(2, 0, 0, "alice")], "errorMessageIDs": [] }));
    let mut body = of("bob");
    body["messageList"] = json!(vec![json!({ "messageID": "1" }); 101]);
    world.invalid("alice", INFOS, body, "messageList").await;
    world.invalid("alice", INFOS, of("bob"), "messageList").await;
}

#[tokio::test]
async fn bad_calls_and_floods_are_refused() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    world.invalid("alice", READ, json!({}), "conversationID").await;
    world.invalid("alice", READ, of("alice"), "conversationID").await;
    let mut group = of("bob");
    group["conversationType"] = json!(2);
    world.invalid("alice", READ, group, "conversationType").await;
    let began = std::time::Instant::now();
    let mut codes = Vec::new();
    while codes.len() < 60 {
        send(&world, "alice", "bob", "hello").await;
        codes.push(world.call("bob", READ, of("alice")).await.code);
    }
    let most = 30 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 1);
    let taken = codes.iter().filter(|code| code.is_none()).count();
    assert!(taken <= most, "{taken} in {:?}", began.elapsed());
    assert!(codes.iter().flatten().all(|code| *code == RATE_LIMITED), "{codes:?}");
}

#[tokio::test]
async fn it_works_in_both_encodings_offline_and_over_three_instances() {
    let users = ["alice", "bob", "carol", "dave"];
    let mut world = World::with(&[FAST]).await;
    world.login(&users).await;
    let mut second = Peerd::start_with(&world.nats.url(), &[FAST]).await;
    let mut third = Peerd::start_with(&world.nats.url(), &[FAST]).await;
    for (index, author) in users.iter().enumerate() {
        for reader in users.iter().filter(|reader| *reader != author) {
            let encoding = Encoding::BOTH[index % 2];
            let message = send(&world, author, reader, "hello").await;
            let mut of_author = world.events(author).await;
            let mut of_reader = world.events(reader).await;
            let reply = world.client.call_as(encoding, reader, READ, of(author)).await.ok();
            assert_eq!(reply, of(author));
            assert_receipt(&of_author.expect(&[READ_EVENT]).await[0], &message, reader, true);
            assert_receipt(&of_reader.expect(&[READ_EVENT]).await[0], &message, author, false);
            for (user, other) in [(author, reader), (reader, author)] {
                let last = world.conversation(user, other).await["lastMessage"].clone();
                assert_eq!(last["receiptStatus"], 2);
                let edited = query(&world, user, other, &[&message]).await;
                assert_eq!(edited["infos"][0]["status"], 2);
            }
        }
    }
    assert!(second.terminate().await.success(), "{}", second.log());
    assert!(third.terminate().await.success(), "{}", third.log());

    // An author who is offline sees it later; a replay shows what another device has confirmed.
    world.ok("alice", "logout", json!({})).await;
    let message = send(&world, "bob", "alice", "while away").await;
    login(&world.client, "alice").await;
    world.ok("bob", "logout", json!({})).await;
    read(&world, "alice", "bob").await;
    restart(&mut world).await;
    login(&world.client, "bob").await;
    let history = world.history("bob", "alice").await;
    assert_eq!(history.last().unwrap()["receiptStatus"], 2);
    let mut of_alice = world.events("alice").await;
    let before = number(&message, "orderKey") - 1;
    world.ok("alice", "login", json!({ "replayAfter": before })).await;
    let replayed = of_alice.expect(&[RECEIVED]).await.remove(0).body["messageList"][0].clone();
    assert_eq!(replayed["messageID"], message["messageID"]);
    assert_eq!(replayed["receiptStatus"], 2);
}

#[tokio::test]
async fn an_edited_message_stays_confirmed_and_a_client_catches_up() {
    let world = World::of(&["alice", "bob"]).await;
    let mut message = send(&world, "alice", "bob", "one").await;
    let revision = world.ok("alice", "query_changes", json!({ "revision": 0 })).await;
    read(&world, "bob", "alice").await;
    let since = json!({ "revision": revision["revision"] });
    let changes = world.ok("alice", "query_changes", since).await;
    let list = changes["conversationList"].as_array().unwrap();
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["lastMessage"]["receiptStatus"], 2);
    message["message"] = json!("one, edited");
    let mut of_bob = world.events("bob").await;
    let mut of_alice = world.events("alice").await;
    let reply = world.ok("alice", "edit_message", json!({ "message": message })).await;
    assert_eq!(reply["message"]["receiptStatus"], 2);
    for events in [&mut of_bob, &mut of_alice] {
        let events = events.expect(&["message_edited", super::world::CHANGED]).await;
        assert_eq!(events[0].body["messageList"][0]["receiptStatus"], 2);
        let conversation = &events[1].body["infoList"][0]["conversation"];
        assert_eq!(conversation["lastMessage"]["receiptStatus"], 2);
    }
    let mut body = of("alice");
    body["messageList"] = json!([{ "messageID": message["messageID"] }]);
    world.ok("bob", "delete_messages", body).await;
    let event = of_bob.expect(&["message_deleted"]).await.remove(0);
    assert_eq!(event.body["messageList"][0]["receiptStatus"], 2);
}

fn listed(other: &str, messages: &[&Value]) -> Value {
    let ids = messages.iter().map(|message| json!({ "messageID": message["messageID"] }));
    let mut body = of(other);
    body["messageList"] = ids.collect();
    body
}

/// Confirms messages; returns those that could not be confirmed.
async fn read_messages(world: &World, reader: &str, author: &str, messages: &[&Value]) -> Value {
    let reply = world.ok(reader, READ_MESSAGES, listed(author, messages)).await;
    assert_eq!((&reply["conversationID"], &reply["conversationType"]), (&json!(author), &json!(0)));
    reply["errorMessageIDs"].clone()
}

/// The event of messages that were confirmed; returns when.
#[track_caller]
fn assert_read(event: &Event, messages: &[&Value], other: &str, is_author: bool) -> u64 {
    let at_ms = number(&event.body["infos"][0], "readTime");
    let info = |message: &&Value| {
        json!({
            "status": 2,
            "messageID": message["messageID"],
            "conversationID": other,
            "conversationType": 0,
            "readMemberCount": u8::from(is_author),
            "unreadMemberCount": 0,
            "deliveredMemberCount": 0,
            "isSelfOperated": !is_author,
            "readTime": at_ms,
        })
    };
    let infos: Vec<Value> = messages.iter().map(info).collect();
    assert_eq!(event.body["infos"], json!(infos));
    assert!(messages.iter().all(|message| number(message, "timestamp") <= at_ms));
    at_ms
}

#[tokio::test]
async fn single_messages_are_confirmed_with_one_event_and_the_time() {
    let mut world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    login(&world.client, "bob").await;
    let mut sent = Vec::new();
    // Over two pages of amendments.
    for index in 0..40 {
        sent.push(send(&world, "alice", "bob", &format!("text {index}")).await);
    }
    let plain = world.send("alice", "bob", "without a receipt").await;
    let own = send(&world, "bob", "alice", "mine").await;
    let mut of_alice = world.events("alice").await;
    let (mut of_bob, mut also_of_bob) = (world.events("bob").await, world.events("bob").await);
    let read = [&sent[3], &sent[39]];
    let errors =
        read_messages(&world, "bob", "alice", &[&sent[39], &plain, &sent[3], &own, &sent[3]]).await;
    assert_eq!(errors, json!([plain["messageID"], own["messageID"]]));
    let at_ms = assert_read(&of_alice.expect(&[MESSAGES_EVENT]).await[0], &read, "bob", true);
    for sessions in [&mut of_bob, &mut also_of_bob] {
        let event = sessions.expect(&[MESSAGES_EVENT]).await.remove(0);
        assert_eq!(assert_read(&event, &read, "alice", false), at_ms);
    }
    assert_eq!(world.totals("bob").await, (41, 41));
    let confirmed = |index: usize| u64::from(index < 40) + u64::from([3, 39].contains(&index));
    let expected: Vec<u64> = (0..41).map(confirmed).chain([1]).collect();
    assert_eq!(statuses(&world, "alice", "bob").await, expected);

    // A repeat changes nothing, and is success.
    let writes = world.store.writes().await;
    assert_eq!(read_messages(&world, "bob", "alice", &read).await, json!([]));
    assert_eq!(world.store.writes().await, writes);
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
    restart(&mut world).await;
    assert_eq!(statuses(&world, "alice", "bob").await, expected);
    for (user, other) in [("alice", "bob"), ("bob", "alice")] {
        let reply = query(&world, user, other, &[&sent[3]]).await;
        assert_eq!(number(&reply["infos"][0], "readTime"), at_ms);
    }
    // The messages may name their conversation, which is one for all.
    let named = json!([{ "messageID": sent[3]["messageID"], "conversationID": "alice" }]);
    for method in [READ_MESSAGES, INFOS] {
        let reply = world.ok("bob", method, json!({ "messageList": named })).await;
        assert_eq!(reply["errorMessageIDs"], json!([]));
        let body = json!({ "messageList": [{ "messageID": sent[3]["messageID"] }] });
        let (code, _) = world.refused("bob", method, body).await;
        assert_eq!(code, INVALID);
        // Named beside, it may be what the other user calls it in the messages.
        let body = json!({ "messageList": [&sent[3]], "conversationID": "alice" });
        assert_eq!(world.ok("bob", method, body).await["errorMessageIDs"], json!([]));
    }
    // Both ways of confirming go together.
    self::read(&world, "bob", "alice").await;
    let expected: Vec<u64> = (0..40).map(|_| 2).chain([0, 1]).collect();
    assert_eq!(statuses(&world, "alice", "bob").await, expected);
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    assert_eq!(read_messages(&world, "bob", "alice", &[&sent[5]]).await, json!([]));
    assert!(of_alice.drain().await.is_empty() && of_bob.drain().await.is_empty());
}

#[tokio::test]
async fn single_messages_are_not_confirmed_if_it_is_hidden_or_blocked_or_too_much() {
    let world = World::of(&["alice", "bob"]).await;
    let message = send(&world, "alice", "bob", "one").await;
    let id = json!({ "messageID": message["messageID"] });
    let mut many = of("alice");
    many["messageList"] = json!(vec![id; 11]);
    assert!(is(&world.refused("bob", READ_MESSAGES, many).await, TOO_MANY));
    world.invalid("bob", READ_MESSAGES, listed("alice", &[]), "messageList").await;
    world.invalid("bob", READ_MESSAGES, of("alice"), "messageList").await;
    world.invalid("bob", READ_MESSAGES, listed("bob", &[&message]), "conversationID").await;
    let hide = |on: bool| json!({ "hideReadReceipts": on });
    let (mut of_alice, mut of_bob) = (world.events("alice").await, world.events("bob").await);
    for hider in ["alice", "bob"] {
        world.ok(hider, "update_user_privacy", hide(true)).await;
        assert_eq!(read_messages(&world, "bob", "alice", &[&message]).await, json!([]));
        world.ok(hider, "update_user_privacy", hide(false)).await;
    }
    world.ok("alice", "add_users_to_blacklist", json!({ "userIDs": ["bob"] })).await;
    let refused = world.refused("bob", READ_MESSAGES, listed("alice", &[&message])).await;
    assert!(is(&refused, BLOCKED));
    for events in [&mut of_alice, &mut of_bob] {
        let names = events.drain().await;
        assert!(names.iter().all(|event| event.name != MESSAGES_EVENT), "{names:?}");
    }
    assert_eq!(statuses(&world, "alice", "bob").await, [1]);
    world.ok("alice", "remove_users_from_blacklist", json!({ "userIDs": ["bob"] })).await;
    // Over another instance, in the other encoding.
    let mut second = Peerd::start_with(&world.nats.url(), &[]).await;
    let body = listed("alice", &[&message]);
    world.client.call_as(Encoding::MessagePack, "bob", READ_MESSAGES, body).await.ok();
    assert_eq!(statuses(&world, "alice", "bob").await, [2]);
    assert!(second.terminate().await.success(), "{}", second.log());
    assert_eq!(statuses(&world, "alice", "bob").await, [2]);
}
