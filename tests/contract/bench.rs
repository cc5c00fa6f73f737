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

/// Asserts that a round is complete, and that every message was accepted.
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
    assert_eq!(keys(&report), ["leftBehind", "loads", "release", "setting", "warnings"]);
    assert_eq!(report["setting"]["pairs"], 8);
    assert_eq!(report["setting"]["receivers"], 8);
    let [load] = report["loads"].as_array().unwrap().as_slice() else { panic!("{report}") };
    assert_eq!((&load["inFlight"], &load["offeredPerSecond"]), (&Value::from(4), &Value::Null));
    assert_eq!(load["ratios"], Value::Null);
    let [round] = rounds(load) else { panic!("{report}") };
    assert_eq!(round["of"], "peerd");
    assert_complete(round);
    // The reported messages are those in the store, apart from the sentinels.
    let stored = world.store.written("PEER_LOG_").await - 8;
    assert_eq!(number(&report["leftBehind"], "messages"), stored, "{report}");
    for user in ["bench-s0", "bench-r7"] {
        let (_, reason) = world.refused(user, "heartbeat", Value::Null).await;
        assert_eq!(reason, "not_logged_in");
    }
}

#[tokio::test]
async fn baseline_and_limit_are_measured_beside_it_and_leave_no_stream_behind() {
    let world = World::with(&[FAST]).await;
    let before = world.store.stream_names().await;
    let baseline = ["--baseline", "--rounds", "2", "--in-flight", "4", "--json"];
    let run = bench(&world, &[&SHORT[..], &baseline].concat(), &[FAST]).await;
    let report = report(&run);
    let load = &report["loads"][0];
    let of: Vec<_> = rounds(load).iter().map(|round| round["of"].as_str().unwrap()).collect();
    assert_eq!(of, ["peerd", "baseline", "limit", "peerd", "baseline", "limit"]);
    rounds(load).iter().for_each(assert_complete);
    assert_eq!(keys(&load["ratios"]), ["baseline", "limit"]);
    for side in ["baseline", "limit"] {
        let ratios = load["ratios"][side].as_object().unwrap();
        assert_eq!(ratios.len(), 9, "{ratios:?}");
        // CPU time has a resolution of 10 ms: that of the limit may be 0 here.
        for (name, ratio) in ratios.iter().filter(|(name, _)| !name.contains("CpuPerMessage")) {
            let of_medians = ratio["ofMedians"].as_f64();
            assert!(of_medians.is_some_and(|ratio| ratio > 0.0), "{side} {name}: {ratio}");
        }
    }
    // The same number of events as peerd: three to the receiver, one to the sender.
    for round in rounds(load) {
        let (events, accepted) = (number(round, "events"), number(round, "accepted"));
        assert!(events.abs_diff(4 * accepted) <= 16 * 4, "{round}");
    }
    assert_eq!(world.store.stream_names().await, before);
}

/// A short table with the baseline.
async fn beside_the_baseline(envs: &[(&str, &str)]) -> Cli {
    let arguments = ["bench", "--baseline", "--rounds", "1", "--in-flight", "4"];
    let run = run_cli_env(&[&arguments[..], &SHORT].concat(), envs).await;
    assert_eq!(run.code, Some(DONE), "{run:?}");
    run
}

#[tokio::test]
async fn the_limit_logs_in_with_a_user_and_a_password() {
    const USER: (&str, &str) = ("bench", "p4");
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("nats.conf");
    let text = format!("authorization {{ user: {}, password: {} }}\n", USER.0, USER.1);
    std::fs::write(&config, text).unwrap();
    let nats = crate::support::Nats::start_with_config(&config, &[]).await;
    let login = [FAST, ("PEERD__NATS__USER", USER.0), ("PEERD__NATS__PASSWORD", USER.1)];
    let _peerd = crate::support::Peerd::start_probed_by(USER, &nats.url(), &login).await;
    let url = nats.url();
    let server = [("PEERD__NATS__SERVERS", url.as_str())];
    let run = beside_the_baseline(&[&login[..], &server].concat()).await;
    assert!(run.stdout.contains("\nlimit: max ") && !run.stdout.contains("left out"), "{run:?}");
}

#[tokio::test]
async fn the_limit_is_left_out_with_other_credentials() {
    let world = World::with(&[FAST]).await;
    // A server without authentication accepts any token.
    let url = world.nats.url().replace("nats://", "nats://token@");
    let run = beside_the_baseline(&[("PEERD__NATS__SERVERS", &url), FAST]).await;
    let why = "warning: the limit is left out: it speaks plain TCP with a user and password, and \
               other credentials are configured\n";
    assert!(run.stderr.contains(why) && run.stdout.contains(why), "{run:?}");
    assert!(run.stdout.contains("\nbaseline: max ") && !run.stdout.contains("\nlimit"), "{run:?}");
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
    // No message was mistaken for a repeat of one in another round.
    let stored = world.store.written("PEER_LOG_").await - 8;
    assert_eq!(number(&report["leftBehind"], "messages"), stored, "{report}");
    let table = bench(&world, &rates, &[FAST]).await;
    for line in ["50/s offered", "100/s offered", "application/json", "left behind: "] {
        assert!(table.stdout.contains(line), "{line}: {table:?}");
    }
    let svg = std::fs::read_to_string(picture).unwrap();
    // Latencies, and below them accepted and refused messages.
    let curves = ["p50", "p99", "p99.9", "accepted", "refused"];
    for name in curves.map(|curve| format!("\npeerd {curve}\n")) {
        assert!(svg.contains(&name), "{name}: {svg}");
    }
    assert_eq!(svg.matches("<circle").count(), 2 * curves.len(), "{svg}");
    for tick in [">\n0\n<", ">\n20\n<", ">\n100\n<"] {
        assert!(svg.contains(tick), "{tick}: {svg}");
    }
}

/// The messages that peerd refused for a reason, in one round.
fn refused(round: &Value, reason: &str) -> u64 {
    let lines = round["refused"].as_array().unwrap();
    let line = lines.iter().find(|line| line["reason"] == reason);
    line.map_or(0, |line| number(line, "count"))
}

#[track_caller]
fn assert_warned(report: &Value, text: &str) {
    let warnings = report["warnings"].as_array().unwrap();
    let is_it = |warning: &Value| warning.as_str().is_some_and(|warning| warning.contains(text));
    assert!(warnings.iter().any(is_it), "{text}: {report}");
}

/// The figures of a run that ended early, with exit code 1.
#[track_caller]
fn report_until(code: Option<i32>, stdout: &str, stderr: &str) -> Value {
    assert_eq!(code, Some(FAILED), "{stdout}{stderr}");
    serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}{stderr}"))
}

#[tokio::test]
async fn a_load_bounded_by_the_senders_rate_counts_the_refusals() {
    let world = World::start().await;
    // Several slots for each sender, and more senders than slots.
    for (pairs, in_flight) in [("8", "8"), ("8", "32"), ("40", "4")] {
        let load = ["--duration", "2s", "--json", "--pairs", pairs, "--in-flight", in_flight];
        let run = bench(&world, &[&SHORT[4..], &load].concat(), &[]).await;
        let report = report(&run);
        let [round] = rounds(&report["loads"][0]) else { panic!("{report}") };
        let most = 10 * pairs.parse::<u64>().unwrap();
        let accepted = round["acceptedPerSecond"].as_f64().unwrap();
        let all = f64::from(u32::try_from(most).unwrap());
        assert!(accepted > 0.5 * all && accepted < 1.5 * all, "of {most}: {round}");
        assert!(refused(round, "rate_limited") > 0, "{round}");
        // Waiting senders are skipped: a refused send is not repeated at once.
        let refusals = refused(round, "rate_limited");
        assert!(refusals < 10 * number(round, "accepted"), "{round}");
        assert_warned(&report, &format!("{pairs} pairs send {most} a second at most"));
        assert!(run.stderr.contains("for the rate of their senders"), "{run:?}");
    }
    let offered = bench(&world, &[&SHORT[..], &["--rate", "200", "--json"]].concat(), &[]).await;
    let report = report(&offered);
    assert_warned(&report, "200 a second take 20 pairs");
    assert!(refused(&rounds(&report["loads"][0])[0], "rate_limited") > 0, "{report}");
}

#[tokio::test]
async fn a_picture_of_what_the_senders_rate_bounds_is_drawn() {
    let world = World::start().await;
    let picture = world.nats.dir().join("bounded.svg");
    let load = ["--rate", "40,200", "--plot", picture.to_str().unwrap()];
    let run = bench(&world, &[&SHORT[..], &load].concat(), &[]).await;
    assert_eq!(run.code, Some(DONE), "{run:?}");
    assert!(run.stdout.contains("not accepted: "), "{run:?}");
    let svg = std::fs::read_to_string(picture).unwrap();
    assert!(svg.contains("peerd refused"), "{svg}");
}

#[tokio::test]
async fn debug_builds_are_warned_of() {
    let world = World::with(&[FAST]).await;
    let run = bench(&world, &[&SHORT[..], &["--json"]].concat(), &[FAST]).await;
    let report = report(&run);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    assert_eq!(report["setting"]["build"], build);
    assert_eq!(report["setting"]["peerdBuilds"], serde_json::json!([build]));
    let is_warned = report["warnings"].to_string().contains("peerd is a debug build");
    assert_eq!(is_warned, build == "debug", "{report}");
    assert_eq!(run.stderr.contains("peerd is a debug build"), build == "debug", "{run:?}");
}

#[tokio::test]
async fn an_unwritable_output_is_reported_before_the_measurement() {
    let world = World::with(&[FAST]).await;
    let run = bench(&world, &[&SHORT[..], &["--plot", "/no/such/x.svg"]].concat(), &[FAST]).await;
    assert_eq!(run.code, Some(WRONG), "{run:?}");
    assert!(run.stderr.contains("/no/such/x.svg"), "{run:?}");
    assert_eq!(world.store.written("PEER_LOG_").await - 8, 0);
}

/// A bench without a warm-up that has sent some messages.
async fn under_way(world: &World, duration: &str, load: &[&str]) -> tokio::process::Child {
    let before = world.store.written("PEER_LOG_").await;
    let mut command = crate::support::peerd_command(world.nats.dir());
    command.args(["bench", "--pairs", "8", "--warm-up", "0s", "--json"]);
    command.args(["--duration", duration]).args(load);
    command.env("PEERD__NATS__SERVERS", world.nats.url()).env(FAST.0, FAST.1);
    let mut command = tokio::process::Command::from(command);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.kill_on_drop(true).spawn().unwrap();
    until(async || world.store.written("PEER_LOG_").await > before + 100).await;
    child
}

fn signal(child: &tokio::process::Child, name: &str) {
    let id = child.id().unwrap().to_string();
    let status = std::process::Command::new("kill").arg(format!("-{name}")).arg(id).status();
    assert!(status.unwrap().success());
}

/// The exit code and the output of a bench that [`under_way`] started.
async fn ended(child: tokio::process::Child) -> (Option<i32>, String, String) {
    let output = tokio::time::timeout(2 * DEADLINE, child.wait_with_output());
    let output = output.await.unwrap().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn an_interrupted_run_prints_what_it_has_measured_and_logs_out() {
    let world = World::with(&[FAST]).await;
    for (name, load) in [("INT", ["--in-flight", "4"]), ("TERM", ["--rate", "100"])] {
        let child = under_way(&world, "60s", &load).await;
        signal(&child, name);
        let (code, stdout, stderr) = ended(child).await;
        let report = report_until(code, &stdout, &stderr);
        let [round] = rounds(&report["loads"][0]) else { panic!("{report}") };
        assert!(number(round, "accepted") > 0 && number(round, "sent") > 0, "{round}");
        assert!(round["acceptedPerSecond"].as_f64().unwrap() > 1.0, "of the time it ran: {round}");
        assert!(stderr.contains("interrupted"), "{stderr}");
        let (_, reason) = world.refused("bench-s0", "heartbeat", Value::Null).await;
        assert_eq!(reason, "not_logged_in");
    }
}

#[tokio::test]
async fn a_run_whose_peerd_dies_ends_with_figures() {
    let mut world = World::with(&[FAST]).await;
    let child = under_way(&world, "60s", &["--in-flight", "4"]).await;
    world.peerd.kill9();
    signal(&child, "INT");
    let (code, stdout, stderr) = ended(child).await;
    let report = report_until(code, &stdout, &stderr);
    let [round] = rounds(&report["loads"][0]) else { panic!("{report}") };
    assert!(number(round, "accepted") > 0, "{round}");
    assert_warned(&report, "not every user was logged out");
}

#[tokio::test]
async fn a_run_whose_nats_server_dies_ends_with_figures() {
    for load in [["--in-flight", "4"], ["--rate", "200"]] {
        let mut world = World::with(&[FAST]).await;
        let child = under_way(&world, "60s", &load).await;
        world.nats.kill9();
        signal(&child, "INT");
        let (code, stdout, stderr) = ended(child).await;
        let report = report_until(code, &stdout, &stderr);
        let [round] = rounds(&report["loads"][0]) else { panic!("{report}") };
        assert!(number(round, "accepted") > 0, "{round}");
    }
}

#[tokio::test]
async fn a_run_goes_on_over_a_restart_of_peerd() {
    let mut world = World::with(&[FAST]).await;
    let child = under_way(&world, "6s", &["--in-flight", "4"]).await;
    world.peerd.restart().await;
    let (code, stdout, stderr) = ended(child).await;
    assert_eq!(code, Some(DONE), "{stdout}{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    let [round] = rounds(&report["loads"][0]) else { panic!("{report}") };
    assert!(number(round, "accepted") > 0, "{round}");
    assert_ne!(round["refused"], Value::Array(Vec::new()), "what was not answered shows: {round}");
}

#[tokio::test]
async fn responders_whose_load_was_killed_remove_their_streams() {
    let world = World::with(&[FAST]).await;
    let before = world.store.stream_names().await;
    let url = world.nats.url();
    let mut command = crate::support::peerd_command(world.nats.dir());
    command.args(["bench", "--baseline", "--pairs", "8", "--duration", "60s"]);
    command.env("PEERD__NATS__SERVERS", url).env(FAST.0, FAST.1);
    let mut load = command.stdout(std::process::Stdio::null()).spawn().unwrap();
    until(async || world.store.stream_names().await.len() == before.len() + 2 * 8).await;
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
