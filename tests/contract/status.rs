//! `peerd status`: members, owners, and streams.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::world::{World, keys, number};
use crate::support::{Cli, Nats, Peerd, free_port, run_cli_env};

const ALL_IS_WELL: i32 = 0;
const SOMETHING_IS_WRONG: i32 = 1;
const UNAVAILABLE: i32 = 69;
const DEADLINE: Duration = Duration::from_secs(20);
/// Short, so that the death of an instance shows soon.
const SHORT_TTL: (&str, &str) = ("PEERD__CLUSTER__MEMBER_TTL_MS", "1000");

async fn run(url: &str, args: &[&str], envs: &[(&str, &str)]) -> Cli {
    let args = [&["status"], args].concat();
    run_cli_env(&args, &[&[("PEERD__NATS__SERVERS", url)], envs].concat()).await
}

/// The exit code and the report.
async fn report(url: &str, envs: &[(&str, &str)]) -> (Option<i32>, Value) {
    let run = run(url, &["--json"], envs).await;
    let report = serde_json::from_str(&run.stdout);
    (run.code, report.unwrap_or_else(|error| panic!("{error}: {run:?}")))
}

fn list<'a>(report: &'a Value, field: &str) -> &'a [Value] {
    report[field].as_array().unwrap_or_else(|| panic!("no {field}: {report}"))
}

fn problems(report: &Value) -> Vec<&str> {
    list(report, "problems").iter().map(|problem| problem.as_str().unwrap()).collect()
}

#[tokio::test]
async fn all_is_well_with_an_instance_that_owns_everything() {
    let world = World::of(&["alice", "bob"]).await;
    let url = world.nats.url();
    let (code, report) = report(&url, &[]).await;
    assert_eq!(code, Some(ALL_IS_WELL), "{report}");
    assert_eq!(report["subjectPrefix"], "peer");
    assert_eq!(problems(&report), Vec::<&str>::new());
    let id = world.peerd.instance_id();
    let [member] = list(&report, "members") else { panic!("not one member: {report}") };
    assert_eq!(member["id"], id);
    assert_eq!(number(member, "pid"), u64::from(world.peerd.pid()));
    assert_eq!(member["release"], env!("CARGO_PKG_VERSION"));
    assert_eq!(member["leaving"], false);
    assert!(number(member, "renewedMsAgo") < 5_000, "{member}");
    assert_eq!(number(member, "partitions"), 8);
    assert_eq!(number(member, "usersInMemory"), 2);
    for field in ["startedMs", "callsUnderWay", "deliveriesUnderWay", "routed", "outgoing"] {
        number(member, field);
    }
    assert!(number(member, "tasks") > 0, "{member}");
    for (place, partition) in list(&report, "partitions").iter().enumerate() {
        assert_eq!(number(partition, "partition"), u64::try_from(place).unwrap());
        assert_eq!(partition["owner"], id);
        assert_eq!(partition["isOwnerAlive"], true);
        assert!(number(partition, "epoch") > 0, "{partition}");
        assert!(number(partition, "sinceMs") > 0, "{partition}");
        assert_eq!(partition["next"], Value::Null);
    }
    let streams = list(&report, "streams");
    let names: Vec<&str> = streams.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(list(&report, "partitions").len(), 8);
    assert_eq!(names.len(), 18);
    for name in ["PEER_LOG_0", "PEER_LOG_7", "PEER_STATE_0", "KV_PEER_OWNERS", "PEER_PUSH"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    for stream in streams {
        assert_eq!(keys(stream), ["bytes", "leader", "messages", "name", "replicas"]);
        assert!(stream["leader"].is_string(), "{stream}");
    }
    let text = run(&url, &[], &[]).await;
    assert_eq!(text.code, Some(ALL_IS_WELL), "{text:?}");
    let summary = text.stdout.lines().next().unwrap();
    assert_eq!(summary, "1 member, 8 partitions all owned, 18 streams healthy");
    assert!(text.stdout.lines().all(|line| line.chars().count() <= 100), "{}", text.stdout);
}

#[tokio::test]
async fn the_death_of_the_owner_is_seen_at_once_and_then_that_nobody_owns() {
    let mut world = World::with(&[SHORT_TTL]).await;
    let url = world.nats.url();
    let id = world.peerd.instance_id().to_owned();
    world.peerd.kill9();
    let (code, first) = report(&url, &[SHORT_TTL]).await;
    assert_eq!(code, Some(SOMETHING_IS_WRONG), "{first}");
    if let [member] = list(&first, "members") {
        for field in ["partitions", "callsUnderWay", "routed", "usersInMemory", "outgoing"] {
            assert_eq!(member[field], Value::Null, "{member}");
        }
        let silent = format!("member {id} did not answer");
        assert!(problems(&first).contains(&silent.as_str()), "{first}");
    }
    let started = Instant::now();
    let seen = loop {
        let (code, seen) = report(&url, &[SHORT_TTL]).await;
        assert_eq!(code, Some(SOMETHING_IS_WRONG), "{seen}");
        if list(&seen, "members").is_empty() {
            break seen;
        }
        assert!(started.elapsed() < DEADLINE, "still a member: {seen}");
    };
    assert!(problems(&seen).contains(&"partitions 0-7 have no live owner"), "{seen}");
    assert_eq!(seen["partitions"][3]["owner"], id);
    assert_eq!(seen["partitions"][3]["isOwnerAlive"], false);
    let text = run(&url, &[], &[SHORT_TTL]).await;
    assert!(text.stdout.contains("8 partitions (8 without a live owner)"), "{}", text.stdout);
}

#[tokio::test]
async fn a_stream_that_is_gone_is_wrong() {
    let world = World::start().await;
    world.store.jetstream().delete_stream("PEER_STATE_5").await.unwrap();
    let (code, report) = report(&world.nats.url(), &[]).await;
    assert_eq!(code, Some(SOMETHING_IS_WRONG), "{report}");
    let problems = problems(&report);
    // It may have been created again since: then the instance reports the loss.
    assert!(problems.iter().any(|problem| problem.contains("PEER_STATE_5")), "{problems:?}");
}

#[tokio::test]
async fn two_deployments_on_one_account_are_kept_apart() {
    let world = World::start().await;
    let url = world.nats.url();
    let other = [("PEERD__SUBJECT_PREFIX", "other.chat"), ("PEERD__PARTITIONS", "2")];
    let second = Peerd::start_with(&url, &other).await;
    let of = async |peerd: &Peerd, envs: &[(&str, &str)]| {
        let (code, report) = report(&url, envs).await;
        assert_eq!(code, Some(ALL_IS_WELL), "{report}");
        let [member] = list(&report, "members") else { panic!("not one member: {report}") };
        assert_eq!(member["id"], peerd.instance_id());
        report
    };
    of(&world.peerd, &[]).await;
    // The number of partitions is taken from the store, not from this command's configuration.
    let seen = of(&second, &other[..1]).await;
    assert_eq!(list(&seen, "partitions").len(), 2);
    assert_eq!(list(&seen, "streams").len(), 6);
}

#[tokio::test]
async fn without_nats_or_without_a_deployment_there_is_nothing_to_look_at() {
    let nobody = format!("nats://127.0.0.1:{}", free_port());
    let away = run(&nobody, &["--json"], &[]).await;
    assert_eq!(away.code, Some(UNAVAILABLE), "{away:?}");
    assert_eq!(away.stdout, "");
    let nats = Nats::start().await;
    let empty = run(&nats.url(), &[], &[]).await;
    assert_eq!(empty.code, Some(UNAVAILABLE), "{empty:?}");
    assert!(empty.stderr.contains("PEER_OWNERS"), "{empty:?}");
}
