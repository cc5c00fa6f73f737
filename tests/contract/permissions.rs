//! NATS permissions as the access control: `deploy/nats/nats-server.conf`.

use std::{path::Path, time::Duration};

use async_nats::{ConnectOptions, Event, ServerError};
use serde_json::json;
use tokio::sync::mpsc;

use super::world::{RECEIVED, of, text_to, texts};
use crate::support::{Client, Events, Nats, Peerd, partition, run_cli_env, send_text};

const DEADLINE: Duration = Duration::from_secs(5);

/// A connection as one NATS user, and the violations that the server reported to it.
pub(super) struct Limited {
    pub(super) client: Client,
    pub(super) errors: mpsc::UnboundedReceiver<String>,
}

impl Limited {
    pub(super) async fn connect(nats: &Nats, user: &str, password: &str) -> Self {
        let (sender, errors) = mpsc::unbounded_channel();
        let nats = ConnectOptions::new()
            .user_and_password(user.to_owned(), password.to_owned())
            .custom_inbox_prefix(format!("_INBOX_{user}"))
            .event_callback(move |event| {
                if let Event::ServerError(ServerError::Other(text)) = event {
                    // The receiver is gone only when the test is over.
                    let _ = sender.send(text);
                }
                async {}
            })
            .connect(nats.url())
            .await
            .unwrap();
        let client = Client::new(nats, "peer");
        Self { client, errors }
    }

    /// Waits until the server has refused this connection that subject.
    pub(super) async fn expect_violation(&mut self, subject: &str) {
        let quoted = format!("\"{}\"", subject.to_lowercase());
        loop {
            let next = tokio::time::timeout(DEADLINE, self.errors.recv()).await;
            let Ok(Some(error)) = next else { panic!("the server did not refuse {subject}") };
            let error = error.to_lowercase();
            assert!(error.contains("permissions violation"), "{error}");
            if error.contains(&quoted) {
                return;
            }
        }
    }
}

/// The shipped configuration, with peerd on it, and alice, bob and the operator connected.
pub(super) struct Deployed {
    _peerd: Peerd,
    pub(super) alice: Limited,
    pub(super) bob: Limited,
    pub(super) operator: Client,
    pub(super) nats: Nats,
}

impl Deployed {
    async fn start() -> Self {
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats/nats-server.conf");
        Self::with(&config).await
    }

    /// The same with a configuration made of the shipped one.
    pub(super) async fn with(config: &Path) -> Self {
        let passwords = [
            ("PEERD_PASSWORD", "peerd-secret"),
            ("OPERATOR_PASSWORD", "operator-secret"),
            ("ALICE_PASSWORD", "alice-secret"),
            ("BOB_PASSWORD", "bob-secret"),
            ("GATEWAY_PASSWORD", "gateway-secret"),
        ];
        let nats = Nats::start_with_config(config, &passwords).await;
        let settings = [("PEERD__NATS__USER", "peerd"), ("PEERD__NATS__PASSWORD", "peerd-secret")];
        let operator = ("operator", "operator-secret");
        let peerd = Peerd::start_probed_by(operator, &nats.url(), &settings).await;
        let operator = ConnectOptions::new()
            .user_and_password("operator".to_owned(), "operator-secret".to_owned())
            .connect(nats.url())
            .await
            .unwrap();
        let alice = Limited::connect(&nats, "alice", "alice-secret").await;
        let bob = Limited::connect(&nats, "bob", "bob-secret").await;
        for (user, limited) in [("alice", &alice), ("bob", &bob)] {
            let reply = limited.client.call(user, "login", json!({})).await;
            reply.ok();
        }
        Self { _peerd: peerd, alice, bob, operator: Client::new(operator, "peer"), nats }
    }

    /// The events that bob receives over his own connection.
    pub(super) async fn events_of_bob(&self) -> Events {
        let client = &self.bob.client;
        let events = Events::subscribe_without_round_trip(client, client, "bob").await;
        client.call("bob", "heartbeat", json!({})).await.ok();
        events
    }
}

#[tokio::test]
async fn users_chat_over_the_shipped_configuration() {
    let deployed = Deployed::start().await;
    let mut of_bob = deployed.events_of_bob().await;
    let sent = send_text(&deployed.alice.client, "alice", "bob", "hi").await;
    let event = of_bob.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(event.body["messageList"][0]["messageID"], sent["messageID"]);
    send_text(&deployed.bob.client, "bob", "alice", "ho").await;
    let body = json!({ "conversationID": "bob", "config": { "count": 9, "reverse": true } });
    let reply = deployed.alice.client.call("alice", "query_history_message", body).await.ok();
    assert_eq!(texts(reply["messageList"].as_array().unwrap()), ["hi", "ho"]);
    // The operator may act for anybody.
    let reply = deployed.operator.call("bob", "query_conversation", of("alice"));
    reply.await.ok();
}

#[tokio::test]
async fn the_operator_may_look_at_the_status_and_a_user_may_not() {
    let deployed = Deployed::start().await;
    let url = deployed.nats.url();
    let status = async |user: &str| {
        let password = format!("{user}-secret");
        let inbox = if user == "alice" { "_INBOX_alice" } else { "_INBOX" };
        let envs = [
            ("PEERD__NATS__SERVERS", url.as_str()),
            ("PEERD__NATS__USER", user),
            ("PEERD__NATS__PASSWORD", password.as_str()),
            ("PEERD__NATS__INBOX_PREFIX", inbox),
        ];
        run_cli_env(&["status"], &envs).await
    };
    let run = status("operator").await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = status("alice").await;
    assert_eq!(run.code, Some(69), "{run:?}");
    assert_eq!(run.stdout, "");
}

#[tokio::test]
async fn alice_can_neither_act_as_bob_nor_receive_his_events() {
    let mut deployed = Deployed::start().await;
    let mut of_bob = deployed.events_of_bob().await;
    let p = partition("bob", 8);
    let nats = deployed.alice.client.nats().clone();
    let body = text_to("alice", "forged").to_string();
    for subject in [
        "peer.api.bob.send_peer_message".to_owned(),
        "peer.api.bob.logout".to_owned(),
        "peer.event.bob.peer_message_received".to_owned(),
        "peer.event.alice.peer_message_received".to_owned(),
        format!("peer.part.{p}.bob.logout"),
        format!("peer.log.{p}.bob.alice"),
        format!("peer.state.{p}.bob.session.x"),
        "peer.push.bob".to_owned(),
        "$JS.API.STREAM.LIST".to_owned(),
        "$SRV.PING".to_owned(),
        "_INBOX_bob.x".to_owned(),
    ] {
        nats.publish(subject.clone(), body.clone().into()).await.unwrap();
        deployed.alice.expect_violation(&subject).await;
    }
    for subject in [
        "peer.event.bob.>",
        "peer.event.*.>",
        "peer.event.>",
        "peer.api.>",
        "peer.api.alice.>",
        "peer.push.>",
        "peer.log.>",
        "_INBOX_bob.>",
        "_INBOX.>",
        ">",
    ] {
        let _subscriber = nats.subscribe(subject).await.unwrap();
        deployed.alice.expect_violation(subject).await;
    }
    let bob = &deployed.bob.client;
    bob.call("bob", "heartbeat", json!({})).await.ok();
    let forged = bob.call("bob", "query_conversation", of("alice")).await;
    assert!(forged.code.is_some(), "{}", forged.body);
    assert_nothing_received(&deployed, &mut of_bob).await;
}

/// Bob may not publish to his own events, so the proof is a message that he receives next.
async fn assert_nothing_received(deployed: &Deployed, of_bob: &mut Events) {
    let sent = send_text(&deployed.alice.client, "alice", "bob", "next").await;
    let event = of_bob.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(event.body["messageList"][0]["messageID"], sent["messageID"]);
}

/// NATS does not check the reply subject of a request against the caller's permissions, and peerd
/// may publish where its callers may not: it must not answer into its own subjects for them.
#[tokio::test]
async fn a_reply_subject_does_not_carry_a_caller_past_its_permissions() {
    let deployed = Deployed::start().await;
    let mut of_bob = deployed.events_of_bob().await;
    let p = partition("bob", 8);
    let nats = deployed.alice.client.nats();
    for reply_to in [
        "peer.event.bob.peer_message_received".to_owned(),
        "peer.api.bob.logout".to_owned(),
        format!("peer.part.{p}.bob.logout"),
        format!("peer.log.{p}.bob.carol"),
        format!("peer.state.{p}.bob.conversation.carol"),
        "peer.push.bob".to_owned(),
        "$JS.API.STREAM.PURGE.PEER_PUSH".to_owned(),
    ] {
        nats.publish_with_reply("peer.api.alice.heartbeat", reply_to, "{}".into()).await.unwrap();
    }
    let alice = &deployed.alice.client;
    alice.call("alice", "heartbeat", json!({})).await.ok();
    let bob = &deployed.bob.client;
    bob.call("bob", "heartbeat", json!({})).await.ok();
    let reply = bob.call("bob", "query_conversation", of("carol")).await;
    assert!(reply.code.is_some(), "{}", reply.body);
    assert_nothing_received(&deployed, &mut of_bob).await;
}
