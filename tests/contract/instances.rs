//! Several instances on one NATS are one service.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, future::join_all};
use serde_json::{Value, json};

use super::{
    limits::{accepted_timestamps, assert_at_most_ten_in_any_second, flood},
    world::{FAST, FAULT, RATE_LIMITED, STORE, World, now_ms, number, text_to, texts},
};
use crate::support::{Client, Peerd, Store, login, partition};

const PARTITIONS: u32 = 8;

#[tokio::test]
async fn the_rate_holds_over_two_instances_and_over_a_change_of_owners() {
    let mut world = World::of(&["alice", "bob"]).await;
    let mut second = Peerd::start(&world.nats).await;
    let clients = [world.client.clone(), Client::connect(&world.nats.url()).await];
    let mut replies = flood(&clients, "alice", "bob", Duration::from_millis(1_500)).await;
    // Whichever instance owns alice: after the first one leaves, the other does.
    let leaving = async {
        assert!(world.peerd.terminate().await.success());
    };
    let flooding = flood(&clients, "alice", "bob", Duration::from_millis(2_500));
    let ((), during) = tokio::join!(leaving, flooding);
    replies.extend(during);
    // While alice or bob has no owner, a call may be refused for the moment, but each is answered.
    for code in replies.iter().filter_map(|reply| reply.code) {
        assert!([RATE_LIMITED, FAULT].contains(&code), "{code}");
    }
    let timestamps = accepted_timestamps(&replies);
    assert!(timestamps.len() > 20, "{} accepted", timestamps.len());
    assert_at_most_ten_in_any_second(timestamps);
    assert!(second.is_running());
}

#[tokio::test]
async fn many_users_chat_over_two_instances_and_every_count_agrees() {
    let world = World::with(&[FAST]).await;
    let mut second = Peerd::start_with(&world.nats.url(), &[FAST]).await;
    let users: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let world = &world;
    join_all(users.iter().map(|user| login(&world.client, user))).await;
    let sends = users.iter().flat_map(|from| {
        users.iter().filter(move |to| *to != from).map(move |to| {
            let body = text_to(to, &format!("{from} to {to}"));
            async move { world.ok(from, "send_peer_message", body).await }
        })
    });
    for reply in join_all(sends).await {
        assert_eq!(reply["message"]["messageSeq"], 1);
    }
    assert!(second.terminate().await.success(), "{}", second.log());
    for user in &users {
        assert_eq!(world.totals(user).await, (11, 11), "{user}");
        let conversations = world.conversations(user).await;
        assert_eq!(conversations.len(), 11);
        let keys: Vec<_> =
            conversations.iter().map(|conversation| number(conversation, "orderKey")).collect();
        // Messages of different conversations, with clocks of their own, may have the same key.
        assert!(keys.is_sorted_by(|one, next| one >= next), "{keys:?}");
    }
    let history = world.history("user0", "user1").await;
    let mut texts = texts(&history);
    texts.sort_unstable();
    assert_eq!(texts, ["user0 to user1", "user1 to user0"]);
    world.ok("user0", "logout", json!({})).await;
}

/// A member that owns alice's partition, answers nothing, and sends heartbeats for a while.
#[tokio::test]
async fn a_call_without_an_owner_is_put_off_as_long_as_there_is_none() {
    const OWNER_WAIT: Duration = Duration::from_millis(700);
    const MEMBER_TTL: Duration = Duration::from_secs(2);
    const LIFE: Duration = Duration::from_secs(5);
    const SLACK: Duration = Duration::from_secs(2);
    let (wait, ttl) = (OWNER_WAIT.as_millis().to_string(), MEMBER_TTL.as_millis().to_string());
    let mut world = World::with(&[
        ("PEERD__CLUSTER__OWNER_WAIT_MS", &wait),
        ("PEERD__CLUSTER__MEMBER_TTL_MS", &ttl),
    ])
    .await;
    let p = partition("alice", PARTITIONS);
    assert_ne!(p, partition("bob", PARTITIONS));
    assert!(world.peerd.terminate().await.success());
    let held = json!({
        "version": 1, "holder": "stranger", "next": null, "epoch": 1_000, "key": 0,
        "sinceMs": now_ms(),
    });
    put(&world.store, &format!("owner.{p}"), &held, None).await;
    let joined = Instant::now();
    beat(&world.store, 0, MEMBER_TTL).await;
    let (store, beats) = (world.store.clone(), MEMBER_TTL / 5);
    let living = tokio::spawn(async move {
        for number in 1.. {
            if joined.elapsed() >= LIFE {
                return;
            }
            tokio::time::sleep(beats).await;
            beat(&store, number, MEMBER_TTL).await;
        }
    });
    world.peerd.restart().await;

    let (reply, took) = loop {
        // A call that is forwarded to an owner that has just become silent is lost with it.
        let asked = Instant::now();
        let call = world.call("alice", "login", json!({}));
        if let Ok(reply) = tokio::time::timeout(OWNER_WAIT + SLACK, call).await {
            break (reply, asked.elapsed());
        }
        assert!(joined.elapsed() < LIFE, "not answered as long as there is no owner");
    };
    assert_eq!(reply.err(), (FAULT, "overloaded".to_owned()));
    assert!(number(&reply.body, "retryAfterMs") > 0, "{}", reply.body);
    assert!((OWNER_WAIT..OWNER_WAIT + SLACK).contains(&took), "answered after {took:?}");
    login(&world.client, "bob").await;

    loop {
        let reply = world.call("alice", "login", json!({})).await;
        let lived = joined.elapsed();
        if reply.code.is_none() {
            assert!(lived > LIFE, "taken from its owner after {lived:?}");
            break;
        }
        let bound = LIFE + MEMBER_TTL + 2 * SLACK;
        assert!(lived < bound, "{lived:?}, and still {}", reply.body);
        tokio::time::sleep(Duration::from_millis(number(&reply.body, "retryAfterMs"))).await;
    }
    living.await.unwrap();
}

/// A member that owns bob's partition, receives requests, and answers nothing.
#[tokio::test]
async fn an_append_that_another_owner_may_have_made_has_an_unknown_outcome() {
    const MEMBER_TTL: Duration = Duration::from_secs(60);
    let ttl = MEMBER_TTL.as_millis().to_string();
    let mut world = World::with(&[
        ("PEERD__CLUSTER__MEMBER_TTL_MS", &ttl),
        ("PEERD__CLUSTER__OWNER_WAIT_MS", "500"),
        ("PEERD__LIMITS__CALL_DEADLINE_MS", "1500"),
    ])
    .await;
    let p = partition("bob", PARTITIONS);
    assert_ne!(p, partition("alice", PARTITIONS));
    assert!(world.peerd.terminate().await.success());
    let held = json!({
        "version": 1, "holder": "stranger", "next": null, "epoch": 1_000, "key": 0,
        "sinceMs": now_ms(),
    });
    put(&world.store, &format!("owner.{p}"), &held, None).await;
    beat(&world.store, 0, MEMBER_TTL).await;
    // This includes probes.
    let mut asked = world.client.nats().subscribe("peer.part.>").await.unwrap();
    world.client.round_trip().await;
    world.peerd.restart().await;
    login(&world.client, "alice").await;

    let body = json!({ "conversationID": "bob", "isTyping": true });
    let refused = world.refused("alice", "send_typing", body).await;
    assert_eq!(refused, (STORE, "outcome_unknown".to_owned()));
    let request = format!("peer.part.{p}.bob");
    loop {
        let next = asked.next().await.expect("the member is asked");
        if next.subject.as_str() == request {
            break;
        }
    }
}

/// A heartbeat of the member. It is leaving, so that it gets no other partition.
async fn beat(store: &Store, beat: u64, ttl: Duration) {
    let member = json!({
        "version": 1, "host": "elsewhere", "pid": 1, "realm": "", "began": 0, "release": "0.1.0",
        "startedMs": now_ms(), "leaving": true, "beat": beat,
    });
    put(store, "member.stranger", &member, Some(ttl)).await;
}

/// Writes an entry of the bucket of owners as a member would.
async fn put(store: &Store, key: &str, entry: &Value, life: Option<Duration>) {
    let mut headers = async_nats::HeaderMap::new();
    if let Some(life) = life {
        headers.insert("Nats-TTL", format!("{}s", life.as_secs()));
    }
    let subject = format!("$KV.PEER_OWNERS.{key}");
    let publishing =
        store.jetstream().publish_with_headers(subject, headers, entry.to_string().into());
    publishing.await.unwrap().await.unwrap();
}
