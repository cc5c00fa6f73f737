//! Lasting problems of the store: the answers to callers, the log, `peerd status`, and the
//! recovery.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::world::{FAST, STORE, World, number, text_to};
use crate::support::{Cli, Client, Nats, Peerd, Store, login, run_cli_env};

const ONE_PARTITION: (&str, &str) = ("PEERD__PARTITIONS", "1");
/// How long a recovery may take; that from a lost bucket of owners is the longest.
const DEADLINE: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(100);
const KNOWN: &str = "store_unavailable";

async fn status(world: &World) -> Cli {
    let url = world.nats.url();
    let run = run_cli_env(&["status"], &[("PEERD__NATS__SERVERS", url.as_str())]).await;
    // In the text for people, lines may break between words.
    Cli { stdout: run.stdout.split_whitespace().collect::<Vec<_>>().join(" "), ..run }
}

async fn until_well(world: &World) {
    let started = Instant::now();
    loop {
        let run = status(world).await;
        if run.code == Some(0) {
            return;
        }
        assert!(started.elapsed() < DEADLINE, "still not well: {run:?}\n{}", world.peerd.log());
        sleep(POLL).await;
    }
}

/// Lines of the log at ERROR that contain all of these words.
fn errors(peerd: &Peerd, words: &[&str]) -> Vec<String> {
    let log = peerd.log();
    let lines = log.lines().filter(|line| line.contains("ERROR"));
    lines.filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
}

/// Repeats a call until it succeeds; returns its body, and the earlier refusals.
async fn until_ok(world: &World, user: &str, method: &str, body: Value) -> (Value, Vec<String>) {
    let started = Instant::now();
    let mut refusals = Vec::new();
    loop {
        let reply = world.call(user, method, body.clone()).await;
        if reply.code.is_none() {
            return (reply.body, refusals);
        }
        let refusal = reply.err().1;
        assert!(started.elapsed() < DEADLINE, "still {refusal}\n{}", world.peerd.log());
        refusals.push(refusal);
        sleep(POLL).await;
    }
}

/// Sends large messages until one is refused.
async fn fill(world: &World) -> (i64, String) {
    let text = "x".repeat(1_000);
    for _ in 0..1_000 {
        let reply = world.call("alice", "send_peer_message", text_to("bob", &text)).await;
        if reply.code.is_some() {
            return reply.err();
        }
    }
    panic!("it took everything");
}

#[tokio::test]
async fn a_full_stream_is_named_once_and_goes_on_when_there_is_room() {
    let limit = ("PEERD__STREAM__MAX_BYTES", "100000");
    let world = World::with(&[ONE_PARTITION, FAST, limit]).await;
    world.login(&["alice", "bob"]).await;
    let mut refused = vec![fill(&world).await];
    for _ in 0..5 {
        refused.push(fill(&world).await);
    }
    assert_eq!(refused, vec![(STORE, KNOWN.to_owned()); 6]);
    let reported = errors(&world.peerd, &["PEER_LOG_0"]);
    assert_eq!(reported.len(), 1, "{reported:#?}");
    assert!(reported[0].contains("maximum bytes exceeded"), "{reported:?}");
    assert!(reported[0].contains("stream.max_bytes"), "the remedy: {reported:?}");
    let run = status(&world).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("stream PEER_LOG_0 is full"), "{}", run.stdout);
    assert!(world.history("bob", "alice").await.len() > 50, "reads go on");
    let log = world.store.jetstream().get_stream("PEER_LOG_0").await.unwrap();
    log.purge().await.unwrap();
    until_ok(&world, "alice", "send_peer_message", text_to("bob", "there is room")).await;
    until_well(&world).await;
    assert_eq!(errors(&world.peerd, &["PEER_LOG_0"]).len(), 1);
}

#[tokio::test]
async fn an_account_at_its_limit_is_named_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("account.conf");
    let config = "jetstream {}\nno_auth_user: x\naccounts { CHAT { jetstream: { max_file: 200000, \
                  max_memory: 0 }, users: [ { user: x, password: x } ] } }\n";
    std::fs::write(&path, config).unwrap();
    let nats = Nats::start_with_config(&path, &[]).await;
    let peerd = Peerd::start_with(&nats.url(), &[ONE_PARTITION, FAST]).await;
    let client = Client::connect(&nats.url()).await;
    let store = Store::new(&client);
    let world = World { peerd, client, store, nats };
    world.login(&["alice", "bob"]).await;
    for _ in 0..3 {
        assert_eq!(fill(&world).await, (STORE, KNOWN.to_owned()));
    }
    let reported = errors(&world.peerd, &["account", "limit"]);
    assert_eq!(reported.len(), 1, "{}", world.peerd.log());
    assert!(reported[0].contains("PEER_LOG_0") && reported[0].contains("remedy"), "{reported:?}");
    let run = status(&world).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("max_storage"), "{}", run.stdout);
}

#[tokio::test]
async fn the_owners_bucket_comes_back_by_itself_and_nobody_acts_before_its_time() {
    let ttl = ("PEERD__CLUSTER__MEMBER_TTL_MS", "2000");
    let world = World::with(&[ttl]).await;
    world.login(&["alice", "bob"]).await;
    let first = world.send("alice", "bob", "first").await;
    let js = world.store.jetstream();
    js.delete_stream("KV_PEER_OWNERS").await.unwrap();
    let started = Instant::now();
    while js.get_stream("KV_PEER_OWNERS").await.is_err() {
        assert!(started.elapsed() < DEADLINE, "not made anew\n{}", world.peerd.log());
        sleep(POLL).await;
    }
    let second = until_ok(&world, "alice", "send_peer_message", text_to("bob", "second"));
    let (second, _) = second.await;
    assert!(number(&second["message"], "orderKey") > number(&first, "orderKey"));
    until_well(&world).await;
    // Once the members of the former bucket cannot act any more, all partitions are owned again.
    until_ok(&world, "bob", "heartbeat", json!({})).await;
    assert_eq!(world.history("bob", "alice").await.len(), 2);
    let reported = errors(&world.peerd, &["KV_PEER_OWNERS"]);
    assert_eq!(reported.len(), 1, "{reported:#?}");
    assert_eq!(errors(&world.peerd, &[]).len(), 1, "{}", world.peerd.log());
}

#[tokio::test]
async fn a_deleted_log_is_recreated_and_reported() {
    let world = World::with(&[ONE_PARTITION]).await;
    world.login(&["alice", "bob"]).await;
    for text in ["one", "two", "three"] {
        world.send("alice", "bob", text).await;
    }
    world.store.jetstream().delete_stream("PEER_LOG_0").await.unwrap();
    let sent = until_ok(&world, "alice", "send_peer_message", text_to("bob", "four")).await;
    assert!(sent.1.iter().all(|refusal| refusal == KNOWN), "{:?}", sent.1);
    let seq = number(&sent.0["message"], "messageSeq");
    assert!(seq > 3, "a messageSeq was given again: {}", sent.0);
    let started = Instant::now();
    while world.history("bob", "alice").await.len() != 1 {
        assert!(started.elapsed() < DEADLINE, "{:?}", world.history("bob", "alice").await);
        sleep(POLL).await;
    }
    let reported = errors(&world.peerd, &["PEER_LOG_0"]);
    assert_eq!(reported.len(), 1, "{reported:#?}");
    assert!(reported[0].contains("all messages in it"), "{reported:?}");
    // A loss is reported even after the recovery.
    let run = status(&world).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("stream PEER_LOG_0 is gone"), "{}", run.stdout);
}

#[tokio::test]
async fn a_state_stream_that_is_deleted_is_made_anew_and_users_log_in_again() {
    let world = World::with(&[ONE_PARTITION]).await;
    world.login(&["alice", "bob"]).await;
    world.send("alice", "bob", "kept").await;
    world.store.jetstream().delete_stream("PEER_STATE_0").await.unwrap();
    let started = Instant::now();
    while errors(&world.peerd, &["PEER_STATE_0"]).is_empty() {
        assert!(started.elapsed() < DEADLINE, "not reported\n{}", world.peerd.log());
        sleep(POLL).await;
    }
    for user in ["alice", "bob"] {
        until_ok(&world, user, "login", json!({})).await;
    }
    until_ok(&world, "alice", "send_peer_message", text_to("bob", "more")).await;
    assert_eq!(world.history("bob", "alice").await.len(), 2);
    let reported = errors(&world.peerd, &["PEER_STATE_0"]);
    assert_eq!(reported.len(), 1, "{reported:#?}");
}

#[tokio::test]
async fn a_push_stream_that_is_deleted_holds_no_end_up() {
    let mut world = World::with(&[ONE_PARTITION]).await;
    world.login(&["alice"]).await;
    world.store.jetstream().delete_stream("PEER_PUSH").await.unwrap();
    let mut body = text_to("bob", "hi");
    body["config"] = json!({ "pushConfig": { "title": "t", "content": "c" } });
    world.ok("alice", "send_peer_message", body).await;
    let started = Instant::now();
    assert!(world.peerd.terminate().await.success());
    assert!(started.elapsed() < Duration::from_secs(5), "took {:?}", started.elapsed());
    assert_eq!(errors(&world.peerd, &["PEER_PUSH"]).len(), 1, "{}", world.peerd.log());
}

async fn publish(world: &World, subject: &str) -> u64 {
    let js: &jetstream::Context = world.store.jetstream();
    let ack = js.publish(subject.to_owned(), "garbage".into()).await.unwrap();
    ack.await.unwrap().sequence
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_left_out_counted_and_named_once() {
    let mut world = World::with(&[ONE_PARTITION]).await;
    world.login(&["alice", "bob", "carol"]).await;
    world.send("carol", "bob", "beside").await;
    for text in ["one", "two"] {
        world.send("alice", "bob", text).await;
    }
    let subject = "peer.log.0.bob.alice";
    let first = publish(&world, subject).await;
    world.send("alice", "bob", "three").await;
    let second = publish(&world, subject).await;
    // The first record of a pair, and one on a subject that is no pair's.
    publish(&world, "peer.log.0.bob.dave").await;
    publish(&world, "peer.log.0.bob.===").await;
    for is_restarted in [false, true] {
        if is_restarted {
            assert!(world.peerd.terminate().await.success());
            world.peerd.restart().await;
        }
        for (user, other) in [("bob", "alice"), ("alice", "bob")] {
            let history = world.history(user, other).await;
            let texts: Vec<&str> =
                history.iter().map(|it| it["message"].as_str().unwrap()).collect();
            assert_eq!(texts, ["one", "two", "three"], "{user}");
            let page = world.page(user, other, json!({ "count": 2, "reverse": false })).await;
            assert_eq!(page.len(), 2);
        }
        let list = world.conversations("bob").await;
        assert_eq!(list.len(), 2, "{list:?}");
        let alices = list.iter().find(|it| it["conversationID"] == "alice").unwrap();
        assert_eq!(alices["lastMessage"]["message"], "three");
        assert_eq!(alices["unreadMessageCount"], 3);
        assert_eq!(world.totals("bob").await.0, 4);
    }
    let log = world.peerd.log();
    for seq in [first, second] {
        let seq = format!("seq={seq}");
        let reported = errors(&world.peerd, &["PEER_LOG_0", subject, &seq]);
        // Once by each process.
        assert!((1..=2).contains(&reported.len()), "{seq}: {reported:#?}\n{log}");
    }
    let run = status(&world).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("stored records that it cannot read"), "{}", run.stdout);
    // Each may have been a message: their numbers are not used again.
    let sent = world.send("alice", "bob", "four").await;
    assert_eq!(sent["messageSeq"], 6);
    world.login(&["dave"]).await;
    world.send("dave", "bob", "five").await;
    assert_eq!(world.history("bob", "dave").await.len(), 1);
    let url = world.nats.url();
    let audit = run_cli_env(&["audit", "bob"], &[("PEERD__NATS__SERVERS", url.as_str())]).await;
    assert_eq!(audit.code, Some(1), "{audit:?}");
    assert!(audit.stdout.contains(&format!("{subject} {first} cannot be read")), "{audit:?}");
    assert!(audit.stdout.contains(" 0 differences"), "{audit:?}");
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_keeps_nobody_out() {
    let ttl = ("PEERD__CLUSTER__MEMBER_TTL_MS", "1000");
    let mut world = World::with(&[ONE_PARTITION, ttl]).await;
    world.login(&["alice", "bob", "carol"]).await;
    world.send("alice", "bob", "one").await;
    assert!(world.peerd.terminate().await.success());
    for entry in ["bob.account", "bob.conversation.alice", "bob.blocked.carol"] {
        publish(&world, &format!("peer.state.0.{entry}")).await;
    }
    world.peerd.restart().await;
    login(&world.client, "bob").await;
    assert_eq!(world.conversations("bob").await.len(), 1);
    assert_eq!(world.history("bob", "alice").await.len(), 1);
    world.send("alice", "bob", "two").await;
    // A block whose entry cannot be read counts as one.
    let refused = world.call("carol", "send_peer_message", text_to("bob", "x")).await;
    assert_eq!(refused.code, Some(6_000_284), "{}", refused.body);
    world.ok("bob", "remove_users_from_blacklist", json!({ "userIDs": ["carol"] })).await;
    world.send("carol", "bob", "three").await;
    for entry in ["bob.account", "bob.conversation.alice", "bob.blocked.carol"] {
        let reported = errors(&world.peerd, &["PEER_STATE_0", entry, "seq="]);
        assert_eq!(reported.len(), 1, "{entry}: {reported:#?}");
    }
    // The owner of a partition with a damaged entry drops it, and it is claimed again.
    let before = world.peerd.log().matches("owned").count();
    publish(&world, "$KV.PEER_OWNERS.owner.0").await;
    let started = Instant::now();
    while world.peerd.log().matches("owned").count() == before {
        assert!(started.elapsed() < DEADLINE, "not taken again\n{}", world.peerd.log());
        sleep(POLL).await;
    }
    until_ok(&world, "bob", "heartbeat", json!({})).await;
}
