//! The configurations in `deploy` besides the NATS permissions: their options work, alone and
//! together.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use super::permissions::{Deployed, Limited};
use super::queue;
use super::world::{RECEIVED, of};
use crate::support::{Client, Store, partition, run_cli, send_text};

const DEADLINE: Duration = Duration::from_secs(20);

fn shipped(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(shipped(path)).unwrap()
}

const MAPPING: &str = "include \"mapping.conf\"";
/// The permissions that go with it.
const MAPPED: &str = "\"peer.part.*.";
const PUSH_GATEWAY: &str = "{ include \"push-gateway.conf\" }";

/// The shipped configuration of nats-server with some of its options, as an operator uncomments
/// them.
fn with_options(options: &[&str]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in ["nats-server.conf", "users.conf", "mapping.conf", "push-gateway.conf"] {
        let mut text = read(&format!("deploy/nats/{file}"));
        for option in options {
            text = text.replace(&format!("# {option}"), option);
        }
        std::fs::write(dir.path().join(file), text).unwrap();
    }
    dir
}

#[tokio::test]
async fn users_chat_where_the_server_maps_calls_to_their_owner() {
    let dir = with_options(&[MAPPING, MAPPED, PUSH_GATEWAY]);
    let mut deployed = Deployed::with(&dir.path().join("nats-server.conf")).await;
    let mut of_bob = deployed.events_of_bob().await;
    let sent = send_text(&deployed.alice.client, "alice", "bob", "hi").await;
    let event = of_bob.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(event.body["messageList"][0]["messageID"], sent["messageID"]);
    // The operator may act as any user.
    deployed.operator.call("bob", "query_conversation", of("alice")).await.ok();
    // Calls are mapped: an instance was reached without a hop.
    let stats = deployed.operator.nats().request("$SRV.STATS.peerd", "".into()).await.unwrap();
    let stats: Value = serde_json::from_slice(&stats.payload).unwrap();
    assert_eq!(stats["endpoints"][0]["data"]["routed"], 0, "{stats}");

    // The permissions for the mapping give alice no access to bob's subjects, and she is herself in
    // every partition.
    let nats = deployed.alice.client.nats().clone();
    let wrong = (partition("alice", 8) + 1) % 8;
    let reply = nats.request(format!("peer.part.{wrong}.alice.heartbeat"), "{}".into()).await;
    let reply = reply.unwrap();
    let headers = reply.headers.unwrap_or_default();
    assert!(headers.get("Nats-Service-Error-Code").is_none(), "{:?}", reply.payload);
    for subject in ["peer.part.0.bob.logout", "peer.part.0.alice", "peer.api.bob.logout"] {
        nats.publish(subject, "{}".into()).await.unwrap();
        // The server names the mapped subject of a call.
        let refused = if subject.starts_with("peer.api") {
            format!("peer.part.{}.bob.logout", partition("bob", 8))
        } else {
            subject.to_owned()
        };
        deployed.alice.expect_violation(&refused).await;
    }
    deployed.bob.client.call("bob", "heartbeat", json!({})).await.ok();
}

/// Sends bob, who is offline, a text with a push; returns the message's ID.
async fn push(alice: &Client, text: &str) -> String {
    let body = json!({
        "message": { "type": 1, "message": text }, "toUserID": "bob",
        "config": { "pushConfig": { "title": "Alice", "content": text } },
    });
    let reply = alice.call("alice", "send_peer_message", body).await.ok();
    reply["message"]["messageID"].as_str().unwrap().to_owned()
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < DEADLINE, "it did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_gateway_takes_pushes_with_its_own_permissions_and_may_do_nothing_else() {
    let dir = with_options(&[PUSH_GATEWAY]);
    let deployed = Deployed::with(&dir.path().join("nats-server.conf")).await;
    deployed.bob.client.call("bob", "logout", json!({})).await.ok();
    queue::create(deployed.operator.nats().clone()).await.unwrap();
    // A repeat changes nothing.
    queue::create(deployed.operator.nats().clone()).await.unwrap();
    let mut gateway = Limited::connect(&deployed.nats, "gateway", "gateway-secret").await;
    let nats = gateway.client.nats().clone();

    let taken = Arc::new(Mutex::new(Vec::new()));
    let seen = taken.clone();
    let deliver = async move |push: &Value| {
        let mut seen = seen.lock().unwrap();
        seen.push(push.clone());
        // The vendor refuses the first push once.
        if seen.len() == 1 { Err("away".to_owned()) } else { Ok(()) }
    };
    let running = tokio::spawn(queue::run(nats.clone(), deliver));
    let mut ids = Vec::new();
    for text in ["one", "two", "three"] {
        ids.push(push(&deployed.alice.client, text).await);
    }
    // All pushes arrive, the refused one twice.
    until(async || taken.lock().unwrap().len() == 4).await;
    let taken = taken.lock().unwrap().clone();
    let count = |id: &str| taken.iter().filter(|push| push["messageID"] == id).count();
    let counts: Vec<usize> = ids.iter().map(|id| count(id)).collect();
    assert_eq!(counts.iter().sum::<usize>(), 4, "{taken:?}");
    assert_eq!(count(taken[0]["messageID"].as_str().unwrap()), 2, "{taken:?}");
    assert!(taken.iter().all(|push| push["to"] == "bob" && push["title"] == "Alice"), "{taken:?}");
    // Acknowledged pushes are removed.
    let peerd = async_nats::ConnectOptions::new()
        .user_and_password("peerd".to_owned(), "peerd-secret".to_owned())
        .connect(deployed.nats.url())
        .await
        .unwrap();
    let store = Store::new(&Client::new(peerd, "peer"));
    until(async || store.count(queue::STREAM).await == 0).await;
    assert!(!running.is_finished());

    for subject in [
        "peer.api.bob.logout",
        "peer.part.0.bob.logout",
        "peer.event.bob.x",
        "peer.push.bob",
        "peer.log.0.bob.alice",
        "$JS.API.CONSUMER.CREATE.PEER_PUSH.gateway",
        "$JS.API.CONSUMER.DELETE.PEER_PUSH.gateway",
        "$JS.API.CONSUMER.CREATE.PEER_PUSH.other",
        "$JS.API.CONSUMER.MSG.NEXT.PEER_LOG_0.gateway",
        "$JS.API.STREAM.PURGE.PEER_PUSH",
        "$JS.API.STREAM.MSG.GET.PEER_PUSH",
        "$JS.API.STREAM.INFO.PEER_PUSH",
        "$SRV.PING",
    ] {
        nats.publish(subject, "{}".into()).await.unwrap();
        gateway.expect_violation(subject).await;
    }
    for subject in ["peer.>", "peer.push.>", "peer.event.>", "_INBOX.>", "$JS.>"] {
        let _subscriber = nats.subscribe(subject).await.unwrap();
        gateway.expect_violation(subject).await;
    }
    running.abort();
}

#[test]
fn messages_are_kept_in_a_folder_that_outlives_a_restart_of_the_machine() {
    // nats-server's own default is below /tmp, so every command names a folder.
    let texts = ["README.md", "nats/nats-server.conf", "nats/cluster.conf"];
    let texts = texts.map(|file| read(&format!("deploy/{file}"))).join("\n");
    let is_command = |line: &&str| line.contains("-c deploy/nats/");
    let commands: Vec<&str> = texts.lines().filter(is_command).collect();
    assert!(commands.len() >= 4, "{commands:?}");
    for command in commands {
        assert!(command.contains("-sd /var/lib/nats"), "{command}");
    }
}

/// The text below `<key>: |` in a YAML file, without its indentation.
fn block(yaml: &str, key: &str) -> String {
    let indented = |line: &&str| line.is_empty() || line.starts_with("    ");
    let after = yaml.split_once(&format!("  {key}: |\n")).unwrap().1;
    let lines: Vec<&str> = after.lines().take_while(indented).map(str::trim_start).collect();
    lines.join("\n")
}

#[tokio::test]
async fn every_configuration_that_is_shipped_or_shown_is_a_right_one() {
    let mut shown = vec![block(&read("deploy/kubernetes/sidecar.yaml"), "peerd.toml")];
    let readme = read("deploy/README.md");
    let blocks = readme.split("```toml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    shown.extend(blocks.map(str::to_owned));
    assert!(shown.len() >= 2, "{shown:?}");
    for toml in shown {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), &toml).unwrap();
        let run = run_cli(&["check-config", "--config", file.path().to_str().unwrap()]).await;
        assert_eq!(run.code, Some(0), "{toml}\n{run:?}");
    }
    let help = run_cli(&["serve", "--help"]).await;
    assert!(help.stdout.contains("--config"), "the unit and the sidecar use it: {help:?}");
}
