//! The configurations that peerd ships.

use std::path::Path;

use peerd_dataplane::{Client, Credentials, Publish};

use crate::nats::{Nats, reserved_port};
use crate::support::{options, soon, to};

const PASSWORDS: [(&str, &str); 4] = [
    ("PEERD_PASSWORD", "peerd-secret"),
    ("OPERATOR_PASSWORD", "operator-secret"),
    ("ALICE_PASSWORD", "alice-secret"),
    ("BOB_PASSWORD", "bob-secret"),
];

async fn connect(nats: &Nats, user: &str, inbox_prefix: &str) -> (Client, crate::support::Events) {
    let (mut options, events) = options(&nats.url());
    let password = format!("{user}-secret");
    options.credentials = Credentials::UserAndPassword(user.to_owned(), password);
    options.inbox_prefix = inbox_prefix.to_owned();
    (Client::connect(options).await.expect("a connection"), events)
}

/// As in peerd: a call of a user is forwarded and answered on its reply subject.
async fn serves(nats: &Nats) {
    let (peerd, events) = connect(nats, "peerd", "_INBOX").await;
    let mut calls = peerd.subscribe("peer.api.*.*", Some("peerd"));
    // It is forwarded to another instance: on one connection a server lets peerd answer only once
    // on each reply subject.
    let (owner, owners) = connect(nats, "peerd", "_INBOX").await;
    let mut routed = owner.subscribe("peer.part.1.>", Some("peerd"));
    soon(peerd.round_trip()).await.expect("a connection");
    soon(owner.round_trip()).await.expect("a connection");
    let serving = async {
        let call = calls.next().await.expect("a call");
        let subject = b"peer.part.1.alice.login";
        let passed_on = Publish { subject, reply: call.reply.as_deref(), ..Publish::default() };
        peerd.publish(&passed_on).await.expect("a connection");
        let call = routed.next().await.expect("the call");
        let reply = call.reply.expect("the reply subject");
        let answer = Publish { subject: &reply, payload: b"hi", ..Publish::default() };
        owner.publish(&answer).await.expect("a connection");
    };
    let (alice, alices) = connect(nats, "alice", "_INBOX_alice").await;
    let reply = alice.new_reply_subject();
    let call = Publish { reply: Some(reply.as_bytes()), ..to("peer.api.alice.login", b"{}") };
    let calling = async {
        let answer = alice.request(&call, |_| true).await.expect("an answer");
        assert_eq!(&answer.payload[..], b"hi");
    };
    soon(async { tokio::join!(serving, calling) }).await;
    soon(calls.drain()).await;
    soon(routed.drain()).await;
    for events in [events, owners, alices] {
        assert_eq!(events.all().len(), 1, "connected, and nothing else: {:?}", events.all());
    }
}

fn shipped(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats").join(name)
}

#[tokio::test]
async fn one_server() {
    serves(&Nats::start_with_config(shipped("nats-server.conf"), &PASSWORDS).await).await;
}

#[tokio::test]
async fn a_node_of_the_cluster() {
    let route = format!("nats://route:secret@127.0.0.1:{}", reserved_port());
    let envs = [
        ("NODE_NAME", "nats-1"),
        ("ROUTE_PASSWORD", "secret"),
        ("ROUTE_1", &route),
        ("ROUTE_2", &route),
        ("ROUTE_3", &route),
    ];
    // The port for routes in the file may be in use by another test.
    let text = std::fs::read_to_string(shipped("cluster.conf")).unwrap();
    let users = std::fs::read_to_string(shipped("users.conf")).unwrap();
    let dir = tempfile::tempdir().unwrap();
    crate::support::file(&dir, "users.conf", &users);
    let text = text.replace("0.0.0.0:6222", &format!("127.0.0.1:{}", reserved_port()));
    let config = crate::support::file(&dir, "cluster.conf", &text);
    let envs: Vec<_> = PASSWORDS.into_iter().chain(envs).collect();
    serves(&Nats::start_with_config(config, &envs).await).await;
}
