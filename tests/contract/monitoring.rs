//! Metrics and health by HTTP: they agree with the calls made, and within ten seconds each fault
//! shows in the metrics, in the readiness, in `peerd status` and in the log.
//!
//! With `RECORD_METRICS=<folder>` the metrics of each fault are written there as a test of
//! promtool: `deploy/prometheus/record` does so.

mod recording;

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use self::recording::Recording;
use super::world::{FAST, World, of};
use crate::support::http::{Page, get, sum};
use crate::support::{Client, Nats, Peerd, Store, login, reserved_port, run_cli_env};

const LISTEN: (&str, &str) = ("PEERD__HTTP__LISTEN", "127.0.0.1:0");
const TWO_PARTITIONS: (&str, &str) = ("PEERD__PARTITIONS", "2");
/// How soon a fault must show everywhere.
const SOON: Duration = Duration::from_secs(10);
/// How long a start or a recovery may take.
const RECOVERY: Duration = Duration::from_secs(40);
const POLL: Duration = Duration::from_millis(50);

/// A page of an instance.
async fn page(peerd: &Peerd, path: &str) -> Page {
    let address = peerd.http_address().unwrap();
    get(&address, path).await.unwrap_or_else(|error| panic!("{path}: {error}\n{}", peerd.log()))
}

/// Waits until a page of an instance is as expected.
async fn until(
    peerd: &Peerd,
    path: &str,
    within: Duration,
    is_expected: impl Fn(&Page) -> bool,
) -> Page {
    let began = Instant::now();
    loop {
        let page = page(peerd, path).await;
        if is_expected(&page) {
            return page;
        }
        let log = peerd.log();
        assert!(began.elapsed() < within, "{path} is still {page:?} after {within:?}\n{log}");
        sleep(POLL).await;
    }
}

async fn until_ready(peerd: &Peerd) {
    until(peerd, "/readyz", RECOVERY, |page| page.status == 200).await;
}

/// Waits for the address of an instance that was spawned.
async fn until_listening(peerd: &Peerd) {
    let began = Instant::now();
    while peerd.http_address().is_none() {
        assert!(began.elapsed() < RECOVERY, "{}", peerd.log());
        sleep(POLL).await;
    }
}

/// What must show a fault, and how.
struct Shows<'s> {
    /// In the body of `/readyz`, with its status.
    readiness: (u16, &'s str),
    /// A metric with the texts of its labels, that is at least one.
    metric: (&'s str, &'s [&'s str]),
    /// The exit code of `peerd status` and a word that it says, with its credentials.
    status: (i32, &'s str, &'s [(&'s str, &'s str)]),
    /// In the log.
    log: &'s str,
}

/// Checks that a fault shows everywhere within ten seconds, while the instance counts as live.
async fn until_shown(peerd: &Peerd, url: &str, shows: Shows<'_>) {
    let began = Instant::now();
    let (code, text) = shows.readiness;
    let readyz =
        until(peerd, "/readyz", SOON, |page| page.status == code && page.body.contains(text));
    readyz.await;
    let (name, labels) = shows.metric;
    until(peerd, "/metrics", SOON, |page| sum(&page.body, name, labels) >= 1).await;
    let is_ready = u64::from(code == 200);
    until(peerd, "/metrics", SOON, |page| sum(&page.body, "peerd_ready", &[]) == is_ready).await;
    while !peerd.log().contains(shows.log) {
        assert!(began.elapsed() < SOON, "no {:?} in the log:\n{}", shows.log, peerd.log());
        sleep(POLL).await;
    }
    let (code, word, credentials) = shows.status;
    loop {
        let mut envs = vec![("PEERD__NATS__SERVERS", url), TWO_PARTITIONS];
        envs.extend(credentials);
        let run = run_cli_env(&["status"], &envs).await;
        let text = format!("{} {}", run.stdout, run.stderr);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        if run.code == Some(code) && text.contains(word) {
            break;
        }
        assert!(began.elapsed() < SOON, "status: {run:?}");
        sleep(POLL).await;
    }
    assert_eq!(page(peerd, "/livez").await.status, 200, "a restart would not help");
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_metrics_agree_with_the_calls_made_while_clients_are_slow() {
    let world = World::with(&[LISTEN, FAST]).await;
    let address = world.peerd.http_address().unwrap();
    let mut slow = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // The oldest are closed for the newer ones.
        let _ = stream.write_all(b"GET /metrics HTTP/1.1\r\nX: ").await;
        slow.push(stream);
    }
    until_ready(&world.peerd).await;
    let recording = Recording::begin("well", &world.peerd, None).await;
    let target = address.clone();
    let scraper = tokio::spawn(async move {
        loop {
            let page = get(&target, "/metrics").await.unwrap();
            assert_eq!(page.status, 200);
        }
    });
    world.login(&["alice", "bob"]).await;
    for number in 0..30 {
        world.send("alice", "bob", &format!("secret-{number}")).await;
    }
    world.refused("carol", "query_conversation", of("alice")).await;
    for method in ["frobnicate", "frobnicate_2"] {
        world.refused("alice", method, json!({})).await;
    }
    world.refused("alice", "create_group", json!({})).await;
    let calls = |page: &Page, labels: &[&str]| sum(&page.body, "peerd_calls_total", labels);
    // A call may be counted a moment after its reply.
    let page = until(&world.peerd, "/metrics", SOON, |page| calls(page, &[]) >= 36).await;
    assert_eq!(calls(&page, &[]), 36, "{}", page.body);
    for (method, code, count) in [
        ("login", "0", 2),
        ("send_peer_message", "0", 30),
        ("query_conversation", "6000121", 1),
        ("unknown", "6000001", 2),
        ("unsupported", "6000013", 1),
    ] {
        let labels = [&*format!("method=\"{method}\""), &*format!("code=\"{code}\"")];
        assert_eq!(calls(&page, &labels), count, "{labels:?} in {}", page.body);
    }
    let sends = ["method=\"send_peer_message\""];
    assert_eq!(sum(&page.body, "peerd_call_duration_seconds_count", &sends), 30);
    let appends = sum(&page.body, "peerd_store_wait_seconds_count", &["operation=\"append\""]);
    assert!(appends >= 30, "{appends}");
    for secret in ["alice", "bob", "carol", "secret-", "frobnicate"] {
        assert!(!page.body.contains(secret), "{secret} in {}", page.body);
    }
    let stats = world.client.nats().request("$SRV.STATS.peerd", "".into()).await.unwrap();
    let stats: serde_json::Value = serde_json::from_slice(&stats.payload).unwrap();
    assert_eq!(stats["endpoints"][0]["num_requests"], 36);
    assert_eq!(stats["endpoints"][0]["num_errors"], 4);
    until(&world.peerd, "/metrics", SOON, |page| {
        sum(&page.body, "peerd_users_in_memory", &[]) >= 2
            && sum(&page.body, "peerd_partitions_owned", &[]) == 8
            && sum(&page.body, "peerd_partitions_without_owner", &[]) == 0
    })
    .await;
    assert!(!scraper.is_finished(), "every scrape was answered");
    scraper.abort();
    recording.end().await;
}

#[tokio::test]
async fn nothing_listens_unless_it_is_configured() {
    let world = World::start().await;
    assert_eq!(world.peerd.http_address(), None, "{}", world.peerd.log());
}

#[tokio::test]
async fn a_start_without_nats_is_live_and_says_what_it_waits_for() {
    let port = reserved_port();
    let envs = [(LISTEN.0.to_owned(), LISTEN.1.to_owned())];
    let mut peerd = Peerd::spawn(&format!("nats://127.0.0.1:{port}"), &envs);
    until_listening(&peerd).await;
    let waits = format!("starting: waits for NATS at nats://127.0.0.1:{port}: ");
    until(&peerd, "/readyz", SOON, |page| page.status == 503 && page.body.contains(&waits)).await;
    assert_eq!(page(&peerd, "/livez").await.status, 200);
    let metrics = page(&peerd, "/metrics").await.body;
    assert_eq!(sum(&metrics, "peerd_unready", &["starting"]), 1, "{metrics}");
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("nats.conf");
    std::fs::write(&config, "jetstream {}\n").unwrap();
    let _nats = Nats::start_at(port, &config).await;
    peerd.until_ready().await.unwrap();
    until_ready(&peerd).await;
}

#[tokio::test]
async fn a_nats_server_that_is_killed_shows_and_so_does_its_return() {
    let mut world = World::with(&[LISTEN, TWO_PARTITIONS]).await;
    until_ready(&world.peerd).await;
    let recording = Recording::begin("nats_killed", &world.peerd, "PeerdNatsDisconnected").await;
    world.nats.kill9();
    let shows = Shows {
        readiness: (503, "nats: no connection (bus): "),
        metric: ("peerd_unready", &["nats"]),
        status: (69, "Connection refused", &[]),
        log: "disconnected from NATS",
    };
    until_shown(&world.peerd, &world.nats.url(), shows).await;
    let metrics = page(&world.peerd, "/metrics").await.body;
    assert_eq!(sum(&metrics, "peerd_nats_connected", &[]), 0, "{metrics}");
    recording.end().await;
    world.nats.restart().await;
    until_ready(&world.peerd).await;
    until(&world.peerd, "/metrics", SOON, |page| {
        sum(&page.body, "peerd_nats_connected", &[]) == 2
            && sum(&page.body, "peerd_nats_reconnects_total", &[]) >= 2
    })
    .await;
}

#[tokio::test]
async fn jetstream_that_is_off_shows() {
    let mut world = World::with(&[LISTEN, TWO_PARTITIONS]).await;
    until_ready(&world.peerd).await;
    let recording = Recording::begin("jetstream_off", &world.peerd, "PeerdStoreTrouble").await;
    world.nats.restart_without_jetstream().await;
    let shows = Shows {
        readiness: (503, "store: JetStream does not serve stream KV_PEER_OWNERS"),
        metric: ("peerd_store_troubles", &["no_jetstream"]),
        status: (1, "JetStream", &[]),
        log: "JetStream does not serve stream KV_PEER_OWNERS",
    };
    until_shown(&world.peerd, &world.nats.url(), shows).await;
    recording.end().await;
}

#[tokio::test]
async fn a_stream_that_is_deleted_shows() {
    let world = World::with(&[LISTEN, TWO_PARTITIONS]).await;
    until_ready(&world.peerd).await;
    let recording = Recording::begin("stream_deleted", &world.peerd, "PeerdStoreTrouble").await;
    world.store.jetstream().delete_stream("PEER_LOG_1").await.unwrap();
    let shows = Shows {
        readiness: (200, "warning: stream PEER_LOG_1 is gone"),
        metric: ("peerd_store_troubles", &["gone"]),
        status: (1, "stream PEER_LOG_1 is gone", &[]),
        log: "stream PEER_LOG_1 is gone",
    };
    until_shown(&world.peerd, &world.nats.url(), shows).await;
    recording.end().await;
}

#[tokio::test]
async fn credentials_that_are_revoked_show() {
    const OPERATOR: [(&str, &str); 2] =
        [("PEERD__NATS__USER", "operator"), ("PEERD__NATS__PASSWORD", "y")];
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("nats.conf");
    let user = "{ user: peerd, password: x }, ";
    let text = |user: &str| {
        let operator = "{ user: operator, password: y }";
        format!("jetstream {{}}\nauthorization {{ users: [ {user}{operator} ] }}\n")
    };
    std::fs::write(&config, text(user)).unwrap();
    let nats = Nats::start_with_config(&config, &[]).await;
    let envs = [LISTEN, TWO_PARTITIONS, ("PEERD__NATS__USER", "peerd"), (OPERATOR[1].0, "x")];
    let peerd = Peerd::start_probed_by(("operator", "y"), &nats.url(), &envs).await;
    until_ready(&peerd).await;
    let recording = Recording::begin("user_revoked", &peerd, "PeerdNatsDisconnected").await;
    std::fs::write(&config, text("")).unwrap();
    nats.signal("HUP");
    let shows = Shows {
        readiness: (503, "the server refuses the NATS user"),
        metric: ("peerd_unready", &["nats"]),
        status: (1, "no instance is running", &OPERATOR),
        log: "NATS refuses the connection",
    };
    until_shown(&peerd, &nats.url(), shows).await;
    recording.end().await;
}

#[tokio::test]
async fn a_certificate_that_has_expired_shows() {
    let tls = |name: &str| format!("{}/tests/contract/tls/{name}.pem", env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("nats.conf");
    let text = |certificate: &str| {
        let (certificate, key) = (tls(certificate), tls("key"));
        let tls = format!("tls {{ cert_file: \"{certificate}\", key_file: \"{key}\" }}");
        format!("jetstream {{}}\n{tls}\nallow_non_tls: true\n")
    };
    std::fs::write(&config, text("server")).unwrap();
    let mut nats = Nats::start_with_config(&config, &[]).await;
    let url = format!("tls://localhost:{}", nats.port());
    let authority = tls("ca");
    let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let envs = [LISTEN, TWO_PARTITIONS, ("PEERD__NATS__TLS_CA_FILE", &*authority)].map(own);
    let mut peerd = Peerd::spawn(&url, &envs);
    peerd.until_ready().await.unwrap();
    until_ready(&peerd).await;
    let alert = "PeerdNatsDisconnected";
    let recording = Recording::begin("certificate_expired", &peerd, alert).await;
    std::fs::write(&config, text("expired")).unwrap();
    nats.restart().await;
    let shows = Shows {
        readiness: (503, "the server's certificate has expired"),
        metric: ("peerd_unready", &["nats"]),
        status: (69, "certificate has expired", &[("PEERD__NATS__TLS_CA_FILE", &*authority)]),
        log: "certificate has expired",
    };
    until_shown(&peerd, &url, shows).await;
    recording.end().await;
}

#[tokio::test]
async fn a_full_disk_shows() {
    let nats = Nats::start_on_disk("6m").await;
    let peerd = Peerd::start_with(&nats.url(), &[LISTEN, TWO_PARTITIONS, FAST]).await;
    let client = Client::connect(&nats.url()).await;
    let store = Store::new(&client);
    until_ready(&peerd).await;
    let recording = Recording::begin("disk_full", &peerd, "PeerdStoreTrouble").await;
    for user in ["alice", "bob"] {
        login(&client, user).await;
    }
    let text = "x".repeat(2_000);
    let filling = async {
        loop {
            let body = json!({ "toUserID": "bob", "message": { "type": 1, "message": text } });
            if client.call("alice", "send_peer_message", body).await.code.is_some() {
                break;
            }
        }
    };
    timeout(RECOVERY, filling).await.unwrap();
    drop(store);
    let shows = Shows {
        readiness: (503, "store: "),
        metric: ("peerd_unready", &["store"]),
        status: (1, "disk", &[]),
        log: "disk",
    };
    until_shown(&peerd, &nats.url(), shows).await;
    recording.end().await;
}

#[tokio::test]
async fn a_draining_instance_is_not_ready_and_the_listener_ends_last() {
    let mut world = World::with(&[LISTEN, TWO_PARTITIONS]).await;
    until_ready(&world.peerd).await;
    // The hand-over waits for the server, up to the shutdown deadline.
    world.nats.signal("STOP");
    world.peerd.signal("TERM");
    let draining = |page: &Page| page.status == 503 && page.body.contains("draining: ");
    until(&world.peerd, "/readyz", SOON, draining).await;
    assert_eq!(page(&world.peerd, "/livez").await.status, 200);
    world.nats.signal("CONT");
    let address = world.peerd.http_address().unwrap();
    assert!(world.peerd.ended().await.success(), "{}", world.peerd.log());
    assert!(get(&address, "/readyz").await.is_err());
}
