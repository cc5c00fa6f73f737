//! Applications in an account of their own, which imports calls and events:
//! `deploy/nats/accounts.conf`, with several instances.

use std::{collections::BTreeSet, path::Path, time::Duration};

use async_nats::ConnectOptions;
use futures::{StreamExt as _, future::join_all};
use serde_json::{Value, json};

use super::world::{RECEIVED, number, text_to};
use crate::support::{Client, Encoding, Events, Nats, Peerd, decode, run_cli_env};

const INSTANCES: usize = 3;
const USERS: usize = 100;
const DEADLINE: Duration = Duration::from_secs(20);
const PASSWORDS: [(&str, &str); 4] = [
    ("PEERD_PASSWORD", "peerd-secret"),
    ("OPERATOR_PASSWORD", "operator-secret"),
    ("ALICE_PASSWORD", "alice-secret"),
    ("APP_PASSWORD", "app-secret"),
];

/// The shipped configuration, with peerd on it, and a backend in the account APP.
struct Accounts {
    peerds: Vec<Peerd>,
    app: Client,
    nats: Nats,
}

impl Accounts {
    async fn start(envs: &[(&str, &str)]) -> Self {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats/accounts.conf");
        Self::start_with(&config, envs).await
    }

    async fn start_with(config: &Path, envs: &[(&str, &str)]) -> Self {
        let nats = Nats::start_with_config(config, &PASSWORDS).await;
        let mut settings = vec![
            ("PEERD__NATS__USER", "peerd"),
            ("PEERD__NATS__PASSWORD", "peerd-secret"),
            ("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000"),
        ];
        settings.extend(envs);
        let mut peerds = Vec::new();
        for _ in 0..INSTANCES {
            let operator = ("operator", "operator-secret");
            peerds.push(Peerd::start_probed_by(operator, &nats.url(), &settings).await);
        }
        let app = client(&nats, "app", "_INBOX").await;
        let accounts = Self { peerds, app, nats };
        accounts.until_shared().await;
        accounts
    }

    /// Waits until a new instance owns partitions, so that many calls arrive at the other.
    async fn until_shared(&self) {
        let operator = client(&self.nats, "operator", "_INBOX").await;
        let shared = async {
            loop {
                for peerd in &self.peerds[1..] {
                    let subject = format!("$SRV.STATS.peerd.{}", peerd.instance_id());
                    let stats = operator.nats().request(subject, "".into()).await.unwrap();
                    let stats: Value = serde_json::from_slice(&stats.payload).unwrap();
                    if number(&stats["endpoints"][0]["data"], "partitions") > 0 {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(DEADLINE, shared).await.unwrap();
    }

    /// All users log in and send concurrently; each call is answered once.
    async fn all_log_in_and_send(&self) {
        let user = |number: usize| format!("user{number}");
        let logins = (0..USERS).map(|number| async move {
            self.app.call(&user(number), "login", json!({})).await.ok();
        });
        join_all(logins).await;
        let events = format!("{}.event.*.{RECEIVED}", self.app.prefix());
        let mut events = self.app.nats().subscribe(events).await.unwrap();
        self.app.call("user0", "heartbeat", json!({})).await.ok();
        let sends = (0..USERS).map(|number| async move {
            let to = user((number + 1) % USERS);
            let reply = self.app.call(&user(number), "send_peer_message", text_to(&to, "hi")).await;
            reply.ok()["message"]["messageID"].as_str().unwrap().to_owned()
        });
        let mut sent = join_all(sends).await;
        let mut received = Vec::new();
        while received.len() < sent.len() {
            let event = tokio::time::timeout(DEADLINE, events.next()).await;
            let event = event.unwrap().unwrap();
            let encoding = Encoding::of_headers(event.headers.as_ref()).unwrap();
            let body = decode(encoding, &event.payload);
            received.push(body["messageList"][0]["messageID"].as_str().unwrap().to_owned());
        }
        sent.sort_unstable();
        received.sort_unstable();
        assert_eq!(sent, received);
    }
}

async fn client(nats: &Nats, user: &str, inbox: &str) -> Client {
    let options = ConnectOptions::new()
        .user_and_password(user.to_owned(), format!("{user}-secret"))
        .custom_inbox_prefix(inbox);
    Client::new(options.connect(nats.url()).await.unwrap(), "peer")
}

#[tokio::test]
async fn calls_through_an_import_are_answered_by_whichever_instance_has_them() {
    let accounts = Accounts::start(&[]).await;
    accounts.all_log_in_and_send().await;
    // Refusals and repeats keep their headers, which the client checks.
    let body = json!({
        "message": { "type": 1, "message": "again", "localMessageID": "l1" }, "toUserID": "user1",
    });
    for number in 0..9 {
        let user = format!("user{number}");
        let app = &accounts.app;
        assert!(app.call(&user, "no_such_method", json!({})).await.code.is_some());
        if number == 1 {
            continue;
        }
        let first = app.call(&user, "send_peer_message", body.clone()).await;
        let again = app.call(&user, "send_peer_message", body.clone()).await;
        assert!(!first.is_duplicate() && again.is_duplicate());
        assert_eq!(first.ok(), again.ok());
    }
    // No instance named a reply subject that the server refuses.
    for peerd in &accounts.peerds {
        assert!(!peerd.log().contains("\"_R_."), "{}", peerd.log());
    }
}

#[tokio::test]
async fn a_user_of_the_importing_account_is_bound_to_itself() {
    let accounts = Accounts::start(&[]).await;
    let alice = client(&accounts.nats, "alice", "_INBOX_alice").await;
    alice.call("alice", "login", json!({})).await.ok();
    let mut events = Events::subscribe_without_round_trip(&alice, &accounts.app, "alice").await;
    alice.call("alice", "heartbeat", json!({})).await.ok();
    accounts.app.call("bob", "login", json!({})).await.ok();
    accounts.app.call("bob", "send_peer_message", text_to("alice", "hi")).await.ok();
    events.expect(&[RECEIVED]).await;
    let forged = alice.nats().request("peer.api.bob.heartbeat", "{}".into());
    let forged = tokio::time::timeout(Duration::from_millis(500), forged).await;
    assert!(forged.is_err(), "alice acts as bob");
}

#[tokio::test]
async fn the_operator_may_use_the_commands_of_an_operator() {
    let accounts = Accounts::start(&[]).await;
    let url = accounts.nats.url();
    let envs = [
        ("PEERD__NATS__SERVERS", url.as_str()),
        ("PEERD__NATS__USER", "operator"),
        ("PEERD__NATS__PASSWORD", "operator-secret"),
    ];
    for args in [&["call", "alice", "login"][..], &["status"], &["audit", "alice"]] {
        let run = run_cli_env(args, &envs).await;
        assert_eq!(run.code, Some(0), "{args:?}: {run:?}");
    }
}

/// The subjects in the permissions of a user.
fn permitted(config: &str, user: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats").join(config);
    let text = std::fs::read_to_string(path).unwrap();
    let name = format!("user: {user}");
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let is_own = |line: &&str| !line.starts_with("user: ") && !line.starts_with("imports");
    let own = lines.skip_while(|line| *line != name).skip(1).take_while(is_own);
    own.flat_map(|line| line.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn peerd_and_the_operator_have_the_permissions_of_a_single_account() {
    for user in ["peerd", "operator"] {
        let one = permitted("users.conf", user);
        assert!(one.contains("_INBOX.>"), "{one:?}");
        assert_eq!(permitted("accounts.conf", user), one);
    }
}

/// A single permit for calls: further calls are refused, and relayed calls need a permit too.
#[tokio::test]
async fn relayed_calls_are_bounded_and_refused_beyond() {
    let accounts = Accounts::start(&[("PEERD__LIMITS__CALLS_UNDER_WAY", "4")]).await;
    let calls = (0..200).map(|number| {
        let app = &accounts.app;
        async move { app.call(&format!("user{number}"), "login", json!({})).await }
    });
    // Each is answered: with a session, or `overloaded`.
    for reply in join_all(calls).await {
        assert!(reply.code.is_none() || reply.err().1 == "overloaded", "{}", reply.body);
    }
}

#[tokio::test]
async fn an_end_in_order_answers_the_calls_that_are_relayed() {
    let mut accounts = Accounts::start(&[]).await;
    let user = |number: usize| format!("user{number}");
    for number in 0..20 {
        accounts.app.call(&user(number), "login", json!({})).await.ok();
    }
    let app = accounts.app.clone();
    let (stop, stopping) = tokio::sync::watch::channel(false);
    let load = tokio::spawn(async move {
        let mut calls = 0;
        while !*stopping.borrow() {
            for number in 0..20 {
                app.call(&user(number), "heartbeat", json!({})).await.ok();
                calls += 1;
            }
        }
        calls
    });
    for peerd in &mut accounts.peerds[..2] {
        assert!(peerd.terminate().await.success());
    }
    stop.send_replace(true);
    assert!(load.await.unwrap() > 0);
}

/// With the mapping, calls go directly to their owner, and the mapped subject needs no permission
/// of the caller.
#[tokio::test]
async fn calls_through_an_import_may_be_mapped_to_their_owner() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats");
    let shipped = std::fs::read_to_string(folder.join("accounts.conf")).unwrap();
    let line = "# include \"mapping.conf\"";
    assert!(shipped.contains(line));
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder.join("mapping.conf"), dir.path().join("mapping.conf")).unwrap();
    let config = dir.path().join("accounts.conf");
    std::fs::write(&config, shipped.replace(line, "include \"mapping.conf\"")).unwrap();
    let accounts = Accounts::start_with(&config, &[]).await;
    accounts.all_log_in_and_send().await;
    let alice = client(&accounts.nats, "alice", "_INBOX_alice").await;
    alice.call("alice", "login", json!({})).await.ok();
}
