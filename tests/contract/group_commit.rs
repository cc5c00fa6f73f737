//! Group commit: what waits at the same time is stored as one batch, and nothing else changes.

use std::{collections::BTreeMap, ops::Range};

use async_nats::{HeaderMap, jetstream};
use futures::future::{join, join_all};
use serde_json::json;

use super::world::{FAST, World, number};
use crate::support::{Client, Nats, Peerd, Store, send_text};

const PAIRS: usize = 64;
const ROUNDS: u64 = 6;
/// Pairs whose messages cannot be stored, one after another.
const DISTURBED: usize = 6;
const GROUPED: [(&str, &str); 3] =
    [("PEERD__STREAM__GROUP_COMMIT", "true"), ("PEERD__PARTITIONS", "1"), FAST];

async fn world() -> World {
    let nats = Nats::start_synced().await;
    let peerd = Peerd::start_with(&nats.url(), &GROUPED).await;
    let client = Client::connect(&nats.url()).await;
    let store = Store::new(&client);
    let world = World { peerd, client, store, nats };
    for pair in 0..PAIRS {
        world.login(&[&sender(pair), &receiver(pair)]).await;
    }
    world
}

fn sender(pair: usize) -> String {
    format!("from{pair}")
}

fn receiver(pair: usize) -> String {
    format!("to{pair}")
}

/// Those pairs send at the same time; answers the number of each message.
async fn all_send(world: &World, pairs: Range<usize>) -> Vec<u64> {
    let sends = pairs.map(|pair| async move {
        let sent = send_text(&world.client, &sender(pair), &receiver(pair), "hi").await;
        number(&sent, "messageSeq")
    });
    join_all(sends).await
}

/// The sizes of the batches that a stream holds.
async fn batches(world: &World, stream: &str) -> Vec<usize> {
    let stream: jetstream::stream::Stream =
        world.store.jetstream().get_stream(stream).await.unwrap();
    let mut batches = BTreeMap::<String, usize>::new();
    for seq in 1..=stream.cached_info().state.last_sequence {
        let message = stream.get_raw_message(seq).await.unwrap();
        let headers: &HeaderMap = &message.headers;
        if let Some(id) = headers.get("Nats-Batch-Id") {
            *batches.entry(id.to_string()).or_default() += 1;
        }
    }
    batches.into_values().collect()
}

#[tokio::test]
async fn messages_that_wait_at_the_same_time_are_stored_as_a_batch_and_each_is_numbered() {
    let world = world().await;
    for round in 1..=ROUNDS {
        assert_eq!(all_send(&world, 0..PAIRS).await, [round; PAIRS]);
    }
    assert_eq!(world.store.count("PEER_LOG_0").await, PAIRS as u64 * ROUNDS + 1, "and a sentinel");
    let batches = batches(&world, "PEER_LOG_0").await;
    assert!(batches.iter().any(|size| *size > 1), "{batches:?}");
    for pair in [0, PAIRS - 1] {
        let (from, to) = (sender(pair), receiver(pair));
        assert_eq!(world.history(&to, &from).await.len() as u64, ROUNDS);
        assert_eq!(world.totals(&to).await, (ROUNDS, ROUNDS));
    }
}

#[tokio::test]
async fn one_that_cannot_be_stored_keeps_no_other_from_it() {
    let world = world().await;
    let (disturbed, others) = (0..DISTURBED, DISTURBED..PAIRS);
    all_send(&world, 0..PAIRS).await;
    let stream = world.store.jetstream().get_stream("PEER_LOG_0").await.unwrap();
    for pair in disturbed {
        // Somebody else's record is where peerd expects none.
        let subject = format!("peer.log.0.{}.{}", receiver(pair), sender(pair));
        let last = stream.get_last_raw_message_by_subject(&subject).await.unwrap();
        let published = world.store.jetstream().publish(subject, last.payload).await.unwrap();
        published.await.unwrap();
        let body = json!({ "toUserID": receiver(pair), "message": { "type": 1, "message": "x" } });
        let from = sender(pair);
        let one = world.client.call(&from, "send_peer_message", body);
        let (one, others) = join(one, all_send(&world, others.clone())).await;
        assert!(one.code.is_some(), "{}", one.body);
        let round = u64::try_from(pair).unwrap() + 2;
        assert_eq!(others, [round; PAIRS - DISTURBED]);
    }
    // What was disturbed leaves no batch behind: all may have been in one group each time.
    for _ in 0..ROUNDS {
        all_send(&world, others.clone()).await;
    }
    let batches = batches(&world, "PEER_LOG_0").await;
    assert!(batches.iter().any(|size| *size > 1), "{batches:?}");
}

#[tokio::test]
async fn streams_that_take_no_batches_are_refused_only_where_groups_are_asked_for() {
    let world = World::start().await;
    let mut config = world.store.info("PEER_LOG_3").await.config;
    assert!(config.allow_atomic_publish, "so that group_commit can be set at any time");
    config.allow_atomic_publish = false;
    world.store.jetstream().update_stream(config).await.unwrap();
    let World { nats, peerd, .. } = world;
    drop(peerd);
    drop(Peerd::start_with(&nats.url(), &[]).await);
    let refusal =
        super::provisioning::refusal_to_serve(&nats, &[("PEERD__STREAM__GROUP_COMMIT", "true")])
            .await;
    assert!(refusal.contains("PEER_LOG_3: allow_atomic is false, should be true"), "{refusal}");
}
