//! Logins by token: the auth callout of nats-server with its shipped configuration
//! (`deploy/nats/callout.conf`), over TCP and WebSocket.

mod renewal;
mod scene;

use std::time::Duration;

use async_nats::ConnectOptions;
use serde_json::json;
use tokio::time::{Instant, timeout};

use self::scene::{ISSUER, SOON, Scene, Server, claims, connected, now_s, user, with};
use super::world::{RECEIVED, of};
use crate::support::{Events, Peerd, Signer, key_set, run_cli, run_cli_env, send_text, token};

/// What nats-server says to a client that it refuses.
const REFUSED: &str = "authorization violation";

async fn assert_refused(options: ConnectOptions, address: &str, what: &str) {
    let Err(error) = connected(options, address).await else { panic!("{what}: accepted") };
    let says_so =
        error.to_lowercase().contains(REFUSED) || error.contains("AuthorizationViolation");
    assert!(says_so, "{what}: {error}");
}

#[tokio::test]
async fn users_chat_with_tokens_of_each_algorithm_over_tcp_and_websocket() {
    let signers = [Signer::ed25519("1"), Signer::p256("2"), Signer::rsa("3")];
    let scene = Scene::with_keys(&signers.each_ref(), &[]).await;
    let [tcp, websocket] = scene.addresses();
    let mut alice = user(&tcp, "alice", &signers[0].sign(&claims("alice"))).await;
    let bob = user(&websocket, "bob", &signers[1].sign(&claims("bob"))).await;
    let carol = user(&websocket, "carol", &signers[2].sign(&claims("carol"))).await;
    for (id, user) in [("alice", &alice), ("bob", &bob), ("carol", &carol)] {
        user.client.call(id, "login", json!({})).await.ok();
    }
    let mut of_bob = Events::subscribe_without_round_trip(&bob.client, &bob.client, "bob").await;
    bob.client.call("bob", "heartbeat", json!({})).await.ok();
    let sent = send_text(&alice.client, "alice", "bob", "hi").await;
    let event = of_bob.expect(&[RECEIVED]).await.remove(0);
    assert_eq!(event.body["messageList"][0]["messageID"], sent["messageID"]);

    // A user has exactly its own subjects.
    let nats = alice.client.nats().clone();
    for subject in [
        "peer.api.bob.logout",
        "peer.part.0.bob.logout",
        "peer.event.alice.x",
        "peer.push.bob",
        "$JS.API.STREAM.LIST",
        "$SYS.REQ.USER.AUTH",
        "_INBOX_bob.x",
        "_INBOX.x",
    ] {
        nats.publish(subject, "{}".into()).await.unwrap();
        alice.expect_violation(subject).await;
    }
    for subject in [
        "peer.event.bob.>",
        "peer.event.>",
        "peer.>",
        "_INBOX_bob.>",
        "_INBOX.>",
        ">",
        "$SYS.REQ.USER.AUTH",
    ] {
        let _subscriber = nats.subscribe(subject).await.unwrap();
        alice.expect_violation(subject).await;
    }
    let reply = alice.client.call("alice", "query_conversation", of("bob")).await.ok();
    assert_eq!(reply["conversation"]["lastMessage"]["messageID"], sent["messageID"]);
    assert_eq!(scene.ended("accepted").await, 3);
}

#[tokio::test]
async fn a_secret_that_issuer_and_peerd_share_signs_tokens() {
    let secret = "0123456789abcdef0123456789abcdef";
    let settings = [("PEERD__CALLOUT__SECRET", secret)];
    let scene = Scene::start(tempfile::tempdir().unwrap(), Server::default(), &settings).await;
    assert!(scene.accepts(&Signer::secret(secret.as_bytes()).sign(&claims("alice"))).await);
    assert!(!scene.accepts(&Signer::secret(&[b'x'; 32]).sign(&claims("alice"))).await);
    assert!(!scene.peerd.log().contains(secret));
}

#[tokio::test]
async fn each_bad_token_is_refused_at_once_over_tcp_and_websocket() {
    let (key, thief) = (Signer::ed25519("k"), Signer::ed25519("k"));
    let public_as_secret = Signer::secret(&key.public());
    let scene = Scene::with_keys(&[&key], &[]).await;
    let (none, hs256) = (json!({ "alg": "none" }), json!({ "alg": "HS256", "kid": "k" }));
    let unsigned = key.sign_with(&none, &claims("alice"));
    let unsigned = format!("{}.", unsigned.rsplit_once('.').unwrap().0);
    let cases = [
        ("expired", key.sign(&with("exp", now_s() - 1))),
        ("not_yet_valid", key.sign(&with("nbf", now_s() + 60))),
        ("audience", key.sign(&with("aud", "other"))),
        ("issuer", key.sign(&with("iss", "https://evil.example"))),
        ("no_expiry", key.sign(&json!({ "iss": ISSUER, "aud": "chat", "sub": "alice" }))),
        ("signature", thief.sign(&claims("alice"))),
        ("unknown_key", Signer::ed25519("other").sign(&claims("alice"))),
        ("algorithm", unsigned),
        ("algorithm", public_as_secret.sign_with(&hs256, &claims("alice"))),
        ("algorithm", key.sign_with(&json!({ "alg": "RS256", "kid": "k" }), &claims("alice"))),
        ("user", key.sign(&claims("*"))),
        ("user", key.sign(&claims("alice/../bob"))),
        ("user", key.sign(&claims(""))),
        ("malformed", "guess".to_owned()),
    ];
    for (reason, signed) in cases {
        let before = scene.ended(reason).await;
        for address in scene.addresses() {
            let began = Instant::now();
            let options = ConnectOptions::with_token(signed.clone());
            assert_refused(options, &address, reason).await;
            assert!(
                began.elapsed() < Duration::from_millis(1500),
                "{reason}: {:?}",
                began.elapsed()
            );
        }
        scene.until(async || scene.ended(reason).await == before + 2).await;
        assert!(!scene.peerd.log().contains(&signed), "{reason}: the log has the token");
        assert!(!scene.nats.log().contains(&signed), "{reason}: the server's log has the token");
    }
    assert_refused(ConnectOptions::new(), &scene.nats.url(), "no token").await;
    scene.until(async || scene.ended("no_token").await == 1).await;
    let guessed = ConnectOptions::with_user_and_password("peerd".into(), "guess".into());
    assert_refused(guessed, &scene.nats.url(), "the password of a user of the server").await;
    assert_eq!(scene.ended("accepted").await, 0);
}

#[tokio::test]
async fn a_user_id_with_dots_and_escapes_gets_no_other_subjects() {
    let key = Signer::ed25519("k");
    let scene = Scene::with_keys(&[&key], &[]).await;
    for id in ["a.b", "..", ">", "a.>", "%2A", "alice%", "a b", "=", "_INBOX"] {
        let mut its = user(&scene.nats.url(), id, &key.sign(&claims(id))).await;
        its.client.call(id, "login", json!({})).await.ok();
        let nats = its.client.nats().clone();
        for subject in ["peer.api.a.b.login", "peer.api.a.login", "peer.api.alice.login"] {
            nats.publish(subject, "{}".into()).await.unwrap();
            its.expect_violation(subject).await;
        }
        for subject in ["peer.event.>", "peer.event.*.>", "_INBOX_a.>", "_INBOX.>"] {
            let _subscriber = nats.subscribe(subject).await.unwrap();
            its.expect_violation(subject).await;
        }
        // And nobody else has its subjects.
        let mut alice = user(&scene.nats.url(), "alice", &key.sign(&claims("alice"))).await;
        let subject = format!("peer.api.{}.heartbeat", token(id));
        alice.client.nats().publish(subject.clone(), "{}".into()).await.unwrap();
        alice.expect_violation(&subject).await;
    }
}

#[tokio::test]
async fn a_token_for_bob_that_alice_uses_gives_her_nothing_of_alice() {
    let key = Signer::ed25519("k");
    let scene = Scene::with_keys(&[&key], &[]).await;
    let of_bob = key.sign(&claims("bob"));
    // The name that a client gives must be that of the token.
    let named = |name: &str, signed: &str| {
        ConnectOptions::with_user_and_password(name.to_owned(), signed.to_owned())
    };
    assert_refused(named("alice", &of_bob), &scene.nats.url(), "bob's token").await;
    scene.until(async || scene.ended("other_user").await == 1).await;
    assert!(connected(named("bob", &of_bob), &scene.nats.url()).await.is_ok());
    // Without a name, the token alone says who it is.
    let mut bob = user(&scene.nats.url(), "bob", &of_bob).await;
    bob.client.call("bob", "login", json!({})).await.ok();
    let nats = bob.client.nats().clone();
    nats.publish("peer.api.alice.login", "{}".into()).await.unwrap();
    bob.expect_violation("peer.api.alice.login").await;
    for subject in ["peer.event.alice.>", "_INBOX_alice.>"] {
        let _subscriber = nats.subscribe(subject).await.unwrap();
        bob.expect_violation(subject).await;
    }
}

#[tokio::test]
async fn a_connection_ends_when_its_token_expires() {
    let key = Signer::p256("k");
    let scene = Scene::with_keys(&[&key], &[]).await;
    let ends_s = now_s() + 4;
    let signed = key.sign(&with("exp", ends_s));
    let [tcp, websocket] = scene.addresses();
    let mut connections =
        [user(&tcp, "alice", &signed).await, user(&websocket, "alice", &signed).await];
    for alice in &mut connections {
        alice.client.call("alice", "login", json!({})).await.ok();
    }
    for alice in &mut connections {
        let ended = timeout(SOON, async {
            while alice.errors.recv().await.is_some_and(|text| text != "disconnected") {}
        });
        ended.await.unwrap();
        let now_s = now_s();
        assert!((ends_s..ends_s + 5).contains(&now_s), "until {ends_s}, and ended at {now_s}");
    }
    assert!(!scene.accepts(&signed).await);
}

#[tokio::test]
async fn callouts_are_encrypted_where_both_have_keys() {
    let key = Signer::ed25519("k");
    let dir = tempfile::tempdir().unwrap();
    let keys = dir.path().join("keys.json");
    std::fs::write(&keys, key_set(&[&key]).to_string()).unwrap();
    let keys = keys.to_str().unwrap().to_owned();
    let settings = [("PEERD__CALLOUT__KEYS_FILE", keys.as_str())];
    let mut scene = Scene::start(dir, Server { is_encrypted: true }, &settings).await;
    let good = key.sign(&claims("alice"));
    assert!(scene.accepts(&good).await);
    assert!(!scene.accepts(&key.sign(&with("aud", "other"))).await);
    assert_eq!(scene.ended("audience").await, 1, "a refusal is encrypted too");
    // A peerd without the key cannot read requests: nobody gets in, and its log says why.
    scene.peerd.kill9();
    let seed = scene.dir.path().join("issuer.nk");
    let mut without = Peerd::spawn(&scene.nats.url(), &of_peerd(&seed, &keys));
    without.until_ready().await.unwrap();
    assert!(!scene.accepts(&good).await);
    let log = without.log();
    assert!(log.contains("callout.xkey_seed_file"), "{log}");
    let xkey_seed = std::fs::read_to_string(scene.dir.path().join("xkey.nk")).unwrap();
    assert!(xkey_seed.starts_with("SX") && !scene.peerd.log().contains(xkey_seed.trim()));
}

/// The settings of a peerd that is not started by the scene.
fn of_peerd(seed: &std::path::Path, keys: &str) -> Vec<(String, String)> {
    let settings = [
        ("PEERD__NATS__USER", "peerd"),
        ("PEERD__NATS__PASSWORD", "peerd-secret"),
        ("PEERD__CALLOUT__ENABLED", "true"),
        ("PEERD__CALLOUT__ISSUER_SEED_FILE", seed.to_str().unwrap()),
        ("PEERD__CALLOUT__ACCOUNT", "CHAT"),
        ("PEERD__CALLOUT__USER", "callout"),
        ("PEERD__CALLOUT__PASSWORD", "callout-secret"),
        ("PEERD__CALLOUT__TOKEN_ISSUER", ISSUER),
        ("PEERD__CALLOUT__TOKEN_AUDIENCE", "chat"),
        ("PEERD__CALLOUT__KEYS_FILE", keys),
    ];
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()
}

#[tokio::test]
async fn without_peerd_nobody_gets_in_and_those_who_are_in_stay() {
    let key = Signer::ed25519("k");
    let mut scene = Scene::with_keys(&[&key], &[]).await;
    let good = key.sign(&claims("alice"));
    let alice = user(&scene.nats.url(), "alice", &good).await;
    assert!(scene.peerd.terminate().await.success());
    assert!(!scene.accepts(&good).await);
    let operator =
        ConnectOptions::with_user_and_password("operator".into(), "operator-secret".into());
    assert!(connected(operator, &scene.nats.url()).await.is_ok(), "the server knows it by itself");
    scene.peerd.restart().await;
    scene.until(async || scene.accepts(&good).await).await;
    alice.client.call("alice", "login", json!({})).await.ok();
}

#[tokio::test]
async fn a_refusal_may_be_silence() {
    let key = Signer::ed25519("k");
    let scene = Scene::with_keys(&[&key], &[("PEERD__CALLOUT__WHEN_REFUSED", "drop")]).await;
    let began = Instant::now();
    assert!(!scene.accepts(&key.sign(&with("aud", "other"))).await);
    // The server's `authorization.timeout`.
    assert!(began.elapsed() > Duration::from_millis(1800), "{:?}", began.elapsed());
    assert!(scene.accepts(&key.sign(&claims("alice"))).await);
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let (seed, keys) = (dir.path().join("seed"), dir.path().join("keys"));
    std::fs::write(&seed, "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY").unwrap();
    std::fs::write(&keys, "{}").unwrap();
    let envs = of_peerd(&seed, keys.to_str().unwrap());
    let envs: Vec<_> = envs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let again = run_cli(&["new-seed", "issuer", seed.to_str().unwrap()]).await;
    assert_eq!(again.code, Some(1), "a file is never replaced: {again:?}");
    for command in ["check-config", "serve"] {
        let run = run_cli_env(&[command], &envs).await;
        assert_eq!(run.code, Some(64), "{run:?}");
        for option in ["callout.issuer_seed_file: ", "callout.keys_file: "] {
            assert!(run.stderr.contains(option), "{option}: {run:?}");
        }
        assert!(!run.stderr.contains("SUACSSL3"), "{run:?}");
    }
}
