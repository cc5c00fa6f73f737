//! Rates and overload.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, future::join_all, stream};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::world::{FAULT, INVALID, RATE_LIMITED, World, number, text_to};
use crate::support::{Client, Reply, bin, login};

/// Sends texts concurrently; returns the replies.
async fn burst(client: &Client, from: &str, to: &str, count: usize) -> Vec<Reply> {
    let calls = (0..count).map(|_| client.call(from, "send_peer_message", text_to(to, "x")));
    join_all(calls).await
}

fn accepted(replies: &[Reply]) -> usize {
    replies.iter().filter(|reply| reply.code.is_none()).count()
}

/// Asserts that every refusal is `rate_limited` and says how long to wait.
#[track_caller]
fn assert_only_rate_limited(replies: &[Reply]) {
    for reply in replies.iter().filter(|reply| reply.code.is_some()) {
        assert_eq!(reply.err(), (RATE_LIMITED, "rate_limited".to_owned()));
        let retry_after_ms = number(&reply.body, "retryAfterMs");
        assert!((1..=1_000).contains(&retry_after_ms), "{}", reply.body);
    }
}

/// Asserts that no second contains more than ten of these messages.
#[track_caller]
pub(super) fn assert_at_most_ten_in_any_second(mut timestamps: Vec<u64>) {
    timestamps.sort_unstable();
    for window in timestamps.windows(11) {
        assert!(window[10] - window[0] >= 1_000, "eleven within a second: {window:?}");
    }
}

/// The timestamps of the accepted messages among these replies.
pub(super) fn accepted_timestamps(replies: &[Reply]) -> Vec<u64> {
    replies
        .iter()
        .filter(|reply| reply.code.is_none())
        .map(|reply| number(&reply.body["message"], "timestamp"))
        .collect()
}

/// Sends as fast as replies arrive, for the given time.
pub(super) async fn flood(clients: &[Client], from: &str, to: &str, time: Duration) -> Vec<Reply> {
    let started = Instant::now();
    let lanes = clients.iter().flat_map(|client| [client; 4]).map(|client| {
        stream::repeat(())
            .take_while(move |()| std::future::ready(started.elapsed() < time))
            .then(move |()| client.call(from, "send_peer_message", text_to(to, "x")))
            .collect::<Vec<_>>()
    });
    join_all(lanes).await.concat()
}

#[tokio::test]
async fn the_eleventh_message_at_once_is_refused_and_fits_after_the_wait() {
    let world = World::of(&["alice", "bob", "carol"]).await;
    let before = world.store.writes().await;
    let replies = burst(&world.client, "alice", "bob", 11).await;
    assert_eq!(accepted(&replies), 10);
    assert_only_rate_limited(&replies);
    assert_eq!(world.store.writes().await.log, before.log + 10);
    assert_eq!(world.totals("bob").await, (10, 10));

    // The limit is for the sender, over all receivers; other senders have their own.
    let replies = burst(&world.client, "alice", "carol", 1).await;
    assert_only_rate_limited(&replies);
    assert_eq!(accepted(&burst(&world.client, "bob", "alice", 10).await), 10);
    if let Some(retry_after_ms) = replies[0].body["retryAfterMs"].as_u64() {
        tokio::time::sleep(Duration::from_millis(retry_after_ms)).await;
        world.send("alice", "carol", "after the wait").await;
    } else {
        panic!("the twelfth message was accepted: {}", replies[0].body);
    }
}

#[tokio::test]
async fn refused_and_invalid_sends_do_not_use_the_budget() {
    let world = World::of(&["alice", "bob"]).await;
    let invalid = || text_to("bob", " ");
    let bad: Vec<_> =
        join_all((0..30).map(|_| world.call("alice", "send_peer_message", invalid()))).await;
    assert!(bad.iter().all(|reply| reply.code == Some(INVALID)));
    let replies = burst(&world.client, "alice", "bob", 40).await;
    assert_eq!(accepted(&replies), 10);
    assert_only_rate_limited(&replies);
    // Parameters are checked before the rate.
    let reply = world.call("alice", "send_peer_message", invalid()).await;
    assert_eq!(reply.code, Some(INVALID));
    // The thirty refusals did not extend the window: the wait follows from the first ten messages.
    let reply = world.call("alice", "send_peer_message", text_to("bob", "x")).await;
    let retry_after_ms = reply.body["retryAfterMs"].as_u64().unwrap_or_default();
    tokio::time::sleep(Duration::from_millis(retry_after_ms)).await;
    world.send("alice", "bob", "fits").await;
}

#[tokio::test]
async fn the_window_slides_strictly() {
    let world = World::of(&["alice", "bob"]).await;
    let clients = [world.client.clone()];
    let replies = flood(&clients, "alice", "bob", Duration::from_millis(3_200)).await;
    assert_only_rate_limited(&replies);
    let timestamps = accepted_timestamps(&replies);
    let count = timestamps.len();
    assert!((31..=40).contains(&count), "{count} accepted in 3.2 s");
    assert_at_most_ten_in_any_second(timestamps);
    assert_eq!(world.totals("bob").await.1, u64::try_from(count).unwrap(), "accepted is stored");
}

#[tokio::test]
async fn commands_have_a_budget_of_thirty() {
    let world = World::of(&["alice", "bob"]).await;
    let command = json!({ "message": { "type": 2, "message": bin(b"c") }, "toUserID": "bob" });
    let calls = (0..31).map(|_| world.call("alice", "send_peer_message", command.clone()));
    let replies = join_all(calls).await;
    assert_eq!(accepted(&replies), 30);
    assert_only_rate_limited(&replies);
    assert_eq!(accepted(&burst(&world.client, "alice", "bob", 10).await), 10);
}

#[tokio::test]
async fn the_rates_can_be_set() {
    let world = World::with(&[
        ("PEERD__LIMITS__MESSAGES_PER_SECOND", "2"),
        ("PEERD__LIMITS__COMMANDS_PER_SECOND", "1"),
    ])
    .await;
    world.login(&["alice", "bob"]).await;
    assert_eq!(accepted(&burst(&world.client, "alice", "bob", 5).await), 2);
    let command = json!({ "message": { "type": 2, "message": bin(b"c") }, "toUserID": "bob" });
    let calls = (0..3).map(|_| world.call("alice", "send_peer_message", command.clone()));
    assert_eq!(accepted(&join_all(calls).await), 1);
}

#[tokio::test]
async fn beyond_the_calls_under_way_the_answer_is_overloaded_at_once() {
    let world = World::with(&[
        ("PEERD__LIMITS__CALLS_UNDER_WAY", "1"),
        ("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000"),
    ])
    .await;
    login(&world.client, "alice").await;
    let replies = burst(&world.client, "alice", "bob", 300).await;
    let mut overloaded = 0;
    for reply in &replies {
        if reply.code.is_some() {
            assert_eq!(reply.err(), (FAULT, "overloaded".to_owned()));
            assert!(number(&reply.body, "retryAfterMs") > 0);
            overloaded += 1;
        }
    }
    assert!(overloaded > 0, "300 calls at once, and none was refused");
    assert!(accepted(&replies) > 0, "an overloaded daemon still works");
    let sent: Value = world.send("alice", "bob", "after").await;
    assert_eq!(sent["messageSeq"], accepted(&replies) + 1, "what was refused was not stored");
}

#[tokio::test]
async fn of_a_flood_every_call_is_answered_once() {
    const CALLS: usize = 20_000;
    let world = World::with(&[("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000000")]).await;
    login(&world.client, "alice").await;
    let nats = world.client.nats();
    let inbox = nats.new_inbox();
    let mut replies = nats.subscribe(format!("{inbox}.*")).await.expect("a subscription");
    let body = text_to("bob", "x").to_string();
    for call in 0..CALLS {
        let subject = format!("{}.api.alice.send_peer_message", world.client.prefix());
        let reply_to = format!("{inbox}.{call}");
        nats.publish_with_reply(subject, reply_to, body.clone().into()).await.expect("published");
    }
    let (mut answered, mut accepted) = (HashSet::new(), 0);
    while answered.len() < CALLS {
        let reply = timeout(Duration::from_secs(20), replies.next()).await;
        let reply = reply.unwrap_or_else(|_| panic!("only {} were answered", answered.len()));
        let reply = reply.expect("a message");
        assert!(answered.insert(reply.subject.to_string()), "{} twice", reply.subject);
        let body: Value = serde_json::from_slice(&reply.payload).expect("a JSON body");
        match body.get("reason") {
            None => accepted += 1,
            Some(reason) => assert_eq!(reason, "overloaded", "{body}"),
        }
    }
    assert!(accepted > 0, "an overloaded daemon still works");
    let sent = world.send("alice", "bob", "after").await;
    assert_eq!(sent["messageSeq"], accepted + 1, "what was refused was not stored");
}
