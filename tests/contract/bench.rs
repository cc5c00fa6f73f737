//! `peerd bench`: measures a running deployment, and leaves nothing but messages behind.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::world::{FAST, World, keys, number};
use crate::support::{Cli, run_cli_env};

const DONE: i32 = 0;
const FAILED: i32 = 1;
const WRONG: i32 = 64;
const UNAVAILABLE: i32 = 69;
const DEADLINE: Duration = Duration::from_secs(20);
/// A load of a moment.
const SHORT: [&str; 6] = ["--pairs", "8", "--duration", "1s", "--warm-up", "200ms"];

async fn bench(world: &World, arguments: &[&str], envs: &[(&str, &str)]) -> Cli {
    let url = world.nats.url();
    let envs = [&[("PEERD__NATS__SERVERS", url.as_str())], envs].concat();
    run_cli_env(&[&["bench"], arguments].concat(), &envs).await
}

fn report(run: &Cli) -> Value {
    assert_eq!(run.code, Some(DONE), "{run:?}");
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run:?}"))
}

fn rounds(load: &Value) -> &[Value] {
    load["rounds"].as_array().unwrap_or_else(|| panic!("no rounds: {load}"))
}

/// Asserts that a round is complete, and that all that was sent was accepted.
fn assert_complete(round: &Value) {
    assert_eq!(
        keys(round),
        [
            "accepted",
            "acceptedPerSecond",
            "events",
            "lag",
            "load",
            "natsServer",
            "of",
            "received",
            "refused",
            "reply",
            "sent",
            "service",
        ]
    );
    assert!(number(round, "sent") > 0, "{round}");
    assert!(number(round, "accepted") > 0, "{round}");
    assert_eq!(round["refused"], Value::Array(Vec::new()), "{round}");
    for latencies in ["reply", "received"] {
        let latencies = &round[latencies];
        assert_eq!(keys(latencies), ["count", "maxUs", "p50Us", "p90Us", "p999Us", "p99Us"]);
        assert_eq!(number(latencies, "count"), number(round, "sent"), "{round}");
        let figures =
            ["p50Us", "p90Us", "p99Us", "p999Us", "maxUs"].map(|name| number(latencies, name));
        assert!(figures.is_sorted() && figures[0] > 0, "{round}");
    }
    for used in ["service", "natsServer", "load"] {
        let used = &round[used];
        assert_eq!(number(used, "processes"), 1, "{round}");
        assert!(used["cpuUsPerMessage"].as_f64().is_some_and(|us| us >= 0.0), "{round}");
        assert!(number(used, "memoryBytesMost") >= number(used, "memoryBytesLast"), "{round}");
    }
}

#[tokio::test]
async fn a_load_is_measured_on_both_sides_and_its_users_are_logged_out() {
    let world = World::with(&[FAST]).await;
    let run = bench(&world, &[&SHORT[..], &["--in-flight", "4", "--json"]].concat(), &[FAST]).await;
    let report = report(&run);
    assert_eq!(keys(&report), ["leftBehind", "loads", "release", "setting"]);
    assert_eq!(report["setting"]["pairs"], 8);
    assert_eq!(report["setting"]["receivers"], 8);
    let [load] = report["loads"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&load["inFlight"], &load["offeredPerSecond"]), (&Value::from(4), &Value::Null));
    assert_eq!(load["ratios"], Value::Null);
    let [round] = rounds(load) else { panic!("{report}") };
    assert_eq!(round["of"], "peerd");
    assert_complete(round);
    // What it says it left is what is there, the sentinels of the partitions aside.
    let stored = world.store.written("PEER_LOG_").await - 8;
    assert_eq!(number(&report["leftBehind"], "messages"), stored, "{report}");
    for user in ["bench-s0", "bench-r7"] {
        let (_, reason) = world.refused(user, "heartbeat", Value::Null).await;
        assert_eq!(reason, "not_logged_in");
    }
}

#[tokio::test]
async fn the_floor_is_measured_beside_it_and_leaves_no_stream_behind() {
    let world = World::with(&[FAST]).await;
    let before = world.store.stream_names().await;
    let floor = ["--floor", "--rounds", "2", "--in-flight", "4", "--json"];
    let run = bench(&world, &[&SHORT[..], &floor].concat(), &[FAST]).await;
    let report = report(&run);
    let load = &report["loads"][0];
    let of: Vec<_> = rounds(load).iter().map(|round| round["of"].as_str().unwrap()).collect();
    assert_eq!(of, ["peerd", "floor", "peerd", "floor"]);
    rounds(load).iter().for_each(assert_complete);
    for (name, ratio) in load["ratios"].as_object().unwrap() {
        let of_medians = ratio["ofMedians"].as_f64();
        assert!(of_medians.is_some_and(|ratio| ratio > 0.0), "{name}: {ratio}");
    }
    // As many events, of the same kinds, as peerd tells: three to the receiver, one to the sender.
    for round in rounds(load) {
        let (events, accepted) = (number(round, "events"), number(round, "accepted"));
        assert!(events.abs_diff(4 * accepted) <= 16 * 4, "{round}");
    }
    assert_eq!(world.store.stream_names().await, before);
}

#[tokio::test]
async fn a_rate_is_offered_and_drawn_and_people_read_a_table() {
    let world = World::with(&[FAST]).await;
    let picture = world.nats.dir().join("latency.svg");
    let rates = ["--rate", "50,100", "--encoding", "json", "--plot", picture.to_str().unwrap()];
    let rates = [&SHORT[..], &rates].concat();
    let run = bench(&world, &[&rates[..], &["--rounds", "2", "--json"]].concat(), &[FAST]).await;
    let report = report(&run);
    for (load, rate) in report["loads"].as_array().unwrap().iter().zip([50.0, 100.0]) {
        assert_eq!(load["offeredPerSecond"], rate, "{load}");
        assert_eq!(rounds(load).len(), 2);
        rounds(load).iter().for_each(assert_complete);
    }
    // No message was taken for a repeat of one in another round.
    let stored = world.store.written("PEER_LOG_").await - 8;
    assert_eq!(number(&report["leftBehind"], "messages"), stored, "{report}");
    let table = bench(&world, &rates, &[FAST]).await;
    for line in ["50/s offered", "100/s offered", "application/json", "left behind: "] {
        assert!(table.stdout.contains(line), "{line}: {table:?}");
    }
    let svg = std::fs::read_to_string(picture).unwrap();
    assert_eq!(svg.matches("<polyline").count(), 3, "{svg}");
}

#[tokio::test]
async fn what_the_senders_rate_bounds_is_refused_with_what_it_takes() {
    let world = World::start().await;
    let offered = bench(&world, &[&SHORT[..], &["--rate", "100"]].concat(), &[]).await;
    assert_eq!(offered.code, Some(WRONG), "{offered:?}");
    assert!(offered.stderr.contains("100 a second take 10 pairs"), "{offered:?}");
    let many = bench(&world, &[&SHORT[..], &["--in-flight", "8"]].concat(), &[]).await;
    assert_eq!(many.code, Some(FAILED), "{many:?}");
    assert!(many.stderr.contains("8 pairs send 80 a second at most"), "{many:?}");
    assert_eq!(many.stdout, "");
    let users = world.refused("bench-s0", "heartbeat", Value::Null).await;
    assert_eq!(users.1, "not_logged_in", "they are logged out all the same");
}

#[tokio::test]
async fn a_floor_whose_load_was_killed_removes_its_streams() {
    let world = World::with(&[FAST]).await;
    let before = world.store.stream_names().await;
    let url = world.nats.url();
    let mut command = crate::support::peerd_command(world.nats.dir());
    command.args(["bench", "--floor", "--pairs", "8", "--duration", "60s"]);
    command.env("PEERD__NATS__SERVERS", url).env(FAST.0, FAST.1);
    let mut load = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    until(async || world.store.stream_names().await.len() == before.len() + 8).await;
    load.kill().unwrap();
    load.wait().unwrap();
    until(async || world.store.stream_names().await == before).await;
}

async fn until(is_so: impl AsyncFn() -> bool) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < DEADLINE, "it did not come");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn without_a_deployment_there_is_nothing_to_measure() {
    let nats = crate::support::Nats::start().await;
    let run = run_cli_env(&["bench"], &[("PEERD__NATS__SERVERS", &nats.url())]).await;
    assert_eq!(run.code, Some(UNAVAILABLE), "{run:?}");
    assert!(run.stderr.contains("PEER_OWNERS"), "{run:?}");
}
