//! The streams: their content, the number of writes for a message, and that streams with other
//! configurations are left alone.

use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use serde_json::json;

use super::world::{World, text_to};
use crate::support::{
    Client, Nats, Peerd, Store, fnv1a32, login, partition, run_cli_env, send_text, token,
};

const PARTITIONS: u32 = 8;

/// The entries of a user in the state stream.
async fn state_subjects(world: &World, user: &str) -> Vec<(String, usize)> {
    let p = partition(user, PARTITIONS);
    let filter = format!("peer.state.{p}.{}.>", token(user));
    let stream = format!("PEER_STATE_{p}");
    world.store.subjects(&stream, &filter).await
}

#[tokio::test]
async fn the_streams_hold_what_the_contract_says_where_it_says() {
    let world = World::of(&["alice", "b.b"]).await;
    let names = world.store.stream_names().await;
    for p in 0..PARTITIONS {
        let log = world.store.info(&format!("PEER_LOG_{p}")).await.config;
        assert_eq!(log.subjects, [format!("peer.log.{p}.*.*")]);
        assert_eq!(log.retention, RetentionPolicy::Limits);
        assert_eq!(log.storage, StorageType::File);
        assert_eq!(log.num_replicas, 1);
        assert!(log.allow_direct, "batched reads are direct gets");
        assert_eq!((log.max_messages_per_subject, log.max_messages), (-1, -1));
        let state = world.store.info(&format!("PEER_STATE_{p}")).await.config;
        assert_eq!(state.subjects, [format!("peer.state.{p}.>")]);
        assert_eq!(state.max_messages_per_subject, 1);
        assert!(state.allow_direct);
    }
    assert!(names.contains(&"PEER_PUSH".to_owned()), "{names:?}");
    assert!(!names.contains(&format!("PEER_LOG_{PARTITIONS}")));

    let pairs = [("b.b", "alice"), ("alice", "b.b")];
    let mut entries = Vec::new();
    for (_, user) in pairs {
        entries.push(state_subjects(&world, user).await.len());
    }
    assert!(entries.iter().all(|count| *count > 0), "sessions are kept");
    for (receiver, sender) in pairs {
        world.send(sender, receiver, "hi").await;
    }
    for ((receiver, sender), before) in pairs.into_iter().zip(entries) {
        let p = partition(receiver, PARTITIONS);
        let subject = format!("peer.log.{p}.{}.{}", token(receiver), token(sender));
        let stream = format!("PEER_LOG_{p}");
        let found = world.store.subjects(&stream, &subject).await;
        assert_eq!(found, [(subject, 1)]);
        // The sender's conversation entry.
        assert_eq!(state_subjects(&world, sender).await.len(), before + 1);
    }
    let sentinel = "peer.log.0.=.=";
    let found = world.store.subjects("PEER_LOG_0", sentinel).await;
    assert_eq!(found, [(sentinel.to_owned(), 1)]);
}

#[tokio::test]
async fn a_message_is_one_durable_write_and_two_at_first_contact() {
    let world = World::of(&["alice", "bob"]).await;
    let mut before = world.store.writes().await;
    for (text, log, state) in [("first", 1, 1), ("second", 1, 0), ("third", 1, 0)] {
        world.send("alice", "bob", text).await;
        let after = world.store.writes().await;
        assert_eq!(after.log - before.log, log, "{text}");
        assert_eq!(after.state - before.state, state, "{text}");
        assert_eq!(after.push, before.push, "{text}");
        before = after;
    }
    // Reading writes nothing.
    world.history("alice", "bob").await;
    world.conversations("bob").await;
    world.totals("bob").await;
    assert_eq!(world.store.writes().await, before);
}

#[tokio::test]
async fn partitions_are_those_of_the_servers_subject_mapping() {
    // Known values of 32-bit FNV-1a.
    assert_eq!(fnv1a32(b""), 0x811c_9dc5);
    assert_eq!(fnv1a32(b"a"), 0xe40c_292c);
    assert_eq!(fnv1a32(b"foobar"), 0xbf9c_f968);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("mapped.conf");
    let mapping = "peer.part.{{partition(8,1)}}.{{wildcard(1)}}.{{wildcard(2)}}";
    let config = format!("jetstream {{}}\nmappings {{ \"peer.api.*.*\": \"{mapping}\" }}\n");
    std::fs::write(&path, config).unwrap();
    let nats = Nats::start_with_config(&path, &[]).await;
    let client = Client::connect(&nats.url()).await;
    let users = ["alice", "bob", "a.b c", "0", "Zo", "~"];
    let mut received = client.nats().subscribe("peer.part.>").await.unwrap();
    for user in users {
        let subject = format!("peer.api.{}.check", token(user));
        client.nats().publish(subject, "".into()).await.unwrap();
        let message = futures::StreamExt::next(&mut received).await.unwrap();
        let p = partition(user, PARTITIONS);
        let expected = format!("peer.part.{p}.{}.check", token(user));
        assert_eq!(message.subject.as_str(), expected);
    }
    drop(received);
    // With this mapping, calls arrive where an instance would have forwarded them.
    let _peerd = Peerd::start(&nats).await;
    for user in users {
        login(&client, user).await;
    }
    let sent = send_text(&client, users[0], users[2], "mapped").await;
    assert_eq!(sent["messageSeq"], 1);
}

/// Runs a daemon that must refuse to start; returns its standard error.
pub(super) async fn refusal_to_serve(nats: &Nats, envs: &[(&str, &str)]) -> String {
    let url = nats.url();
    let mut all = vec![("PEERD__NATS__SERVERS", url.as_str())];
    all.extend(envs);
    let run = run_cli_env(&["serve"], &all).await;
    assert!(run.code.is_some_and(|code| code != 0), "ended with {:?}: {}", run.code, run.stderr);
    run.stderr
}

#[tokio::test]
async fn a_stream_that_differs_is_refused_and_left_alone() {
    for (name, config) in [
        (
            "PEER_LOG_3",
            Config {
                subjects: vec!["peer.log.3.*.*".to_owned()],
                max_messages: 5,
                ..Config::default()
            },
        ),
        (
            "PEER_STATE_0",
            Config {
                subjects: vec!["peer.state.0.>".to_owned()],
                max_messages_per_subject: 64,
                ..Config::default()
            },
        ),
    ] {
        let nats = Nats::start().await;
        let store = Store::new(&Client::connect(&nats.url()).await);
        let config = Config { name: name.to_owned(), ..config };
        store.jetstream().create_stream(config).await.unwrap();
        let subject = name.to_lowercase().replace('_', ".") + ".a.b";
        let ack = store.jetstream().publish(subject, "mine".into()).await;
        ack.unwrap().await.unwrap();
        let before = store.info(name).await;
        let refusal = refusal_to_serve(&nats, &[]).await;
        assert!(refusal.contains(name), "the stream is not named: {refusal}");
        let after = store.info(name).await;
        assert_eq!(after.config, before.config);
        assert_eq!(after.state.messages, 1);
    }
}

#[tokio::test]
async fn provisioned_streams_are_found_again_with_a_fixed_partition_count() {
    let partitions = ("PEERD__PARTITIONS", "2");
    let mut world = World::with(&[partitions]).await;
    world.login(&["alice", "bob"]).await;
    world.send("alice", "bob", "kept").await;
    let names = world.store.stream_names().await;
    assert!(names.contains(&"PEER_LOG_1".to_owned()));
    assert!(!names.contains(&"PEER_LOG_2".to_owned()));
    assert!(world.peerd.terminate().await.success());
    let writes = world.store.writes().await;
    let refusal = refusal_to_serve(&world.nats, &[("PEERD__PARTITIONS", "4")]).await;
    assert!(refusal.contains("artition"), "{refusal}");
    assert_eq!(world.store.stream_names().await, names);
    assert_eq!(world.store.writes().await, writes);
    world.peerd.restart().await;
    assert_eq!(world.history("bob", "alice").await[0]["message"], "kept");
}

#[tokio::test]
async fn the_streams_take_storage_age_and_bytes_from_the_configuration() {
    let world = World::with(&[
        ("PEERD__PARTITIONS", "1"),
        ("PEERD__STREAM__STORAGE", "memory"),
        ("PEERD__STREAM__MAX_AGE_SECONDS", "3600"),
        ("PEERD__STREAM__MAX_BYTES", "104857600"),
    ])
    .await;
    let log = world.store.info("PEER_LOG_0").await.config;
    assert_eq!(log.storage, StorageType::Memory);
    assert_eq!(log.max_age.as_secs(), 3_600);
    assert_eq!(log.max_bytes, 104_857_600);
    let state = world.store.info("PEER_STATE_0").await.config;
    assert_eq!(state.max_age.as_secs(), 0, "what users decided does not age");
    world.login(&["alice"]).await;
    let reply = world.ok("alice", "send_peer_message", text_to("bob", "x")).await;
    assert_eq!(reply["message"]["messageSeq"], json!(1));
}
