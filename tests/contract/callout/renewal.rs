//! Keys that change, tokens that are revoked, and many requests at once.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::scene::{SOON, Scene, Server, accepted, claims, now_s, with};
use crate::support::http::{Pages, sum};
use crate::support::{Signer, key_set};

const DISCOVERY: &str = "/.well-known/openid-configuration";

/// A scene whose keys are fetched from a server, whose issuer that server is.
async fn fetching(pages: &Pages, settings: &[(&str, &str)]) -> Scene {
    let issuer = pages.url("");
    let own = [
        ("PEERD__CALLOUT__DISCOVERY", "true"),
        ("PEERD__CALLOUT__TOKEN_ISSUER", issuer.as_str()),
        ("PEERD__CALLOUT__KEYS_REFETCH_SECONDS", "1"),
    ];
    let settings = [&own[..], settings].concat();
    Scene::start(tempfile::tempdir().unwrap(), Server::default(), &settings).await
}

async fn issuer(keys: &[&Signer]) -> Pages {
    let pages = Pages::start().await;
    let discovery = json!({ "issuer": pages.url(""), "jwks_uri": pages.url("/keys") });
    pages.set(DISCOVERY, &discovery.to_string());
    pages.set("/keys", &key_set(keys).to_string());
    pages
}

fn signed(pages: &Pages, signer: &Signer, user: &str) -> String {
    let mut claims = claims(user);
    claims["iss"] = pages.url("").into();
    signer.sign(&claims)
}

#[tokio::test]
async fn keys_are_rotated_without_a_refused_login_and_unknown_keys_are_no_flood() {
    let (old, new) = (Signer::ed25519("old"), Signer::rsa("new"));
    let pages = issuer(&[&old]).await;
    let scene = fetching(&pages, &[]).await;
    assert!(scene.accepts(&signed(&pages, &old, "alice")).await);
    tokio::time::sleep(Duration::from_secs(1)).await; // `keys_refetch_seconds`
    pages.set("/keys", &key_set(&[&new]).to_string());
    // The first token with the new key leads to a fetch, and waits for it.
    assert!(scene.accepts(&signed(&pages, &new, "alice")).await);
    assert!(!scene.accepts(&signed(&pages, &old, "alice")).await, "the old key is gone");

    let (began, before) = (Instant::now(), pages.served());
    let mut tokens = JoinSet::new();
    for number in 0..100 {
        let made_up = signed(&pages, &Signer::ed25519(&format!("made-up-{number}")), "alice");
        let port = scene.nats.port();
        tokens.spawn(async move { accepted(port, &made_up).await });
    }
    while let Some(accepted) = tokens.join_next().await {
        assert!(!accepted.unwrap());
    }
    // Two pages for each fetch, and one fetch a second.
    let most = 2 * (usize::try_from(began.elapsed().as_secs()).unwrap() + 2);
    let fetched = pages.served() - before;
    assert!(fetched <= most, "{fetched} pages in {:?}", began.elapsed());
    assert!(scene.accepts(&signed(&pages, &new, "alice")).await);
}

#[tokio::test]
async fn without_keys_nobody_gets_in_and_the_instance_is_not_ready() {
    let key = Signer::p256("k");
    let pages = issuer(&[&key]).await;
    pages.set("/keys", "away");
    let scene = fetching(&pages, &[]).await;
    let token = signed(&pages, &key, "alice");
    assert!(!scene.accepts(&token).await);
    let page = scene.page("/readyz").await;
    assert!(page.contains("login: no client can log in with a token: http://127.0.0.1"), "{page}");
    pages.set("/keys", &key_set(&[&key]).to_string());
    scene.until(async || scene.accepts(&token).await).await;
    scene.until(async || scene.page("/readyz").await.starts_with("ready")).await;
    // Keys that are known stay in use while the issuer is away.
    pages.set("/keys", "away");
    assert!(!scene.accepts(&signed(&pages, &Signer::p256("other"), "alice")).await);
    assert!(scene.accepts(&token).await);
}

#[tokio::test]
async fn keys_that_are_too_old_are_not_used() {
    let key = Signer::p256("k");
    let pages = issuer(&[&key]).await;
    let settings = [
        ("PEERD__CALLOUT__KEYS_REFRESH_SECONDS", "1"),
        ("PEERD__CALLOUT__KEYS_MAX_AGE_SECONDS", "3"),
    ];
    let scene = fetching(&pages, &settings).await;
    let token = signed(&pages, &key, "alice");
    assert!(scene.accepts(&token).await);
    pages.set("/keys", "away");
    scene.until(async || !scene.accepts(&token).await).await;
    assert!(scene.ended("no_keys").await >= 1);
    pages.set("/keys", &key_set(&[&key]).to_string());
    scene.until(async || scene.accepts(&token).await).await;
}

#[tokio::test]
async fn the_configuration_of_another_issuer_is_not_used() {
    let key = Signer::p256("k");
    let pages = issuer(&[&key]).await;
    let other = json!({ "issuer": "https://evil.example", "jwks_uri": pages.url("/keys") });
    pages.set(DISCOVERY, &other.to_string());
    let scene = fetching(&pages, &[]).await;
    assert!(!scene.accepts(&signed(&pages, &key, "alice")).await);
    assert!(scene.peerd.log().contains("is that of another issuer"), "{}", scene.peerd.log());
}

#[tokio::test]
async fn tokens_are_revoked_while_peerd_runs() {
    let key = Signer::ed25519("k");
    let list = tempfile::NamedTempFile::new().unwrap();
    let file = list.path().to_str().unwrap();
    let scene = Scene::with_keys(&[&key], &[("PEERD__CALLOUT__REVOCATION_FILE", file)]).await;
    let (stolen, other) = (key.sign(&with("jti", "stolen")), key.sign(&claims("bob")));
    assert!(scene.accepts(&stolen).await && scene.accepts(&other).await);
    std::fs::write(file, "token stolen\n").unwrap();
    scene.until(async || !scene.accepts(&stolen).await).await;
    assert!(scene.accepts(&other).await);
    std::fs::write(file, "token stolen\nuser 2126-01-01T00:00:00Z bob\n").unwrap();
    scene.until(async || !scene.accepts(&other).await).await;
    // A list that cannot be read revokes nothing more, and nothing less.
    std::fs::write(file, "everybody\n").unwrap();
    scene.until(async || scene.peerd.log().contains("cannot read the list of revoked")).await;
    assert!(!scene.accepts(&stolen).await && !scene.accepts(&other).await);
}

/// The part of the answers that took at most so many seconds, as the metrics have it.
fn within(metrics: &str, seconds: &str) -> (u64, u64) {
    const NAME: &str = "peerd_callout_duration_seconds";
    let bound = format!("le=\"{seconds}\"");
    let within = sum(metrics, &format!("{NAME}_bucket"), &[&bound]);
    (within, sum(metrics, &format!("{NAME}_count"), &[]))
}

/// The goal is 5 ms; a debug build on a busy machine gets five times as long.
#[tokio::test]
#[expect(clippy::print_stdout, reason = "shows what was measured")]
async fn logins_are_answered_within_milliseconds() {
    let key = Signer::ed25519("k");
    let scene = Scene::with_keys(&[&key], &[]).await;
    for number in 0..200 {
        assert!(scene.accepts(&key.sign(&claims(&format!("user-{number}")))).await);
    }
    scene.until(async || scene.ended("accepted").await == 200).await;
    let metrics = scene.page("/metrics").await;
    for bound in ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025"] {
        println!("{} of 200 within {bound} s", within(&metrics, bound).0);
    }
    assert!(within(&metrics, "0.025").0 >= 198, "{metrics}");
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "shows what was measured")]
async fn good_tokens_are_answered_in_time_during_a_flood_of_bad_ones() {
    const LONGEST: Duration = Duration::from_secs(2);
    let (key, thief) = (Signer::ed25519("k"), Signer::ed25519("k"));
    let scene = Scene::with_keys(&[&key], &[]).await;
    let began = Instant::now();
    let mut flood = JoinSet::new();
    for number in 0..16 {
        let bad = match number % 4 {
            0 => thief.sign(&claims("alice")),
            1 => Signer::ed25519("made-up").sign(&claims("alice")),
            2 => key.sign(&with("exp", now_s() - 1)),
            _ => "x".repeat(3_000),
        };
        let port = scene.nats.port();
        flood.spawn(async move {
            while began.elapsed() < Duration::from_secs(4) {
                assert!(!accepted(port, &bad).await);
            }
        });
    }
    let (mut logins, mut slowest) = (0, Duration::ZERO);
    while began.elapsed() < Duration::from_secs(4) {
        let one = Instant::now();
        assert!(scene.accepts(&key.sign(&claims("bob"))).await, "{}", scene.peerd.log());
        slowest = slowest.max(one.elapsed());
        logins += 1;
    }
    while let Some(ended) = flood.join_next().await {
        ended.unwrap();
    }
    let metrics = scene.page("/metrics").await;
    let [(fast, all), (decent, _)] = ["0.005", "0.1"].map(|bound| within(&metrics, bound));
    println!("{logins} logins, slowest {slowest:?}; {fast} of {all} answers within 5 ms");
    assert!(logins >= 4 && slowest < LONGEST, "{logins} logins, slowest {slowest:?}");
    assert!(all > 50 && decent * 100 >= all * 99, "{decent} of {all} within 100 ms");
    // A flood is no flood of lines.
    let lines = scene.peerd.log().matches("refused a login").count();
    assert!(lines <= usize::try_from(began.elapsed().as_secs()).unwrap() + 2, "{lines} lines");
    assert!(began.elapsed() < SOON);
}
