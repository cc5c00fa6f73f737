//! `peerd audit` and the background audit recount users from the log.

use std::time::Duration;

use rmpv::Value as MessagePack;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::world::{FAST, World, number, of};
use crate::support::{Cli, partition, run_cli_env};

const NOTHING_DIFFERS: i32 = 0;
const SOMETHING_DIFFERS: i32 = 1;
const WRONG_ARGUMENTS: i32 = 64;
const UNAVAILABLE: i32 = 69;
const DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(200);
const BUSY_AUDIT: (&str, &str) = ("PEERD__AUDIT__READS_PER_SECOND", "1000");
const NO_AUDIT: (&str, &str) = ("PEERD__AUDIT__READS_PER_SECOND", "0");
/// The fields of a record that tests damage: the number, and the count.
const SEQ: usize = 2;
const COUNTED: usize = 3;
const KEY: usize = 1;

async fn run(world: &World, args: &[&str]) -> Cli {
    let url = world.nats.url();
    run_cli_env(&[&["audit"], args].concat(), &[("PEERD__NATS__SERVERS", &url)]).await
}

async fn report(world: &World, args: &[&str]) -> (Option<i32>, Value) {
    let run = run(world, &[args, &["--json"]].concat()).await;
    let report = serde_json::from_str(&run.stdout);
    (run.code, report.unwrap_or_else(|error| panic!("{error}: {run:?}")))
}

/// The differences: user, conversation and subject.
fn differing(report: &Value) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let lines = report["differences"].as_array().unwrap().iter();
    lines
        .map(|line| (text(&line["user"]), text(&line["conversation"]), text(&line["what"])))
        .collect()
}

fn difference(user: &str, other: &str, what: &str) -> (String, String, String) {
    (user.to_owned(), other.to_owned(), what.to_owned())
}

/// Publishes a falsified copy of alice's last message to bob.
async fn forge(world: &World, change: impl FnOnce(&mut Vec<MessagePack>)) {
    let partition = partition("bob", 8);
    let jetstream = world.store.jetstream();
    let log = jetstream.get_stream(format!("PEER_LOG_{partition}")).await.unwrap();
    let subject = format!("peer.log.{partition}.bob.alice");
    let last = log.get_last_raw_message_by_subject(&subject).await.unwrap();
    let record = rmpv::decode::read_value(&mut &last.payload[..]).unwrap();
    let MessagePack::Array(mut fields) = record else { panic!("not a record: {record}") };
    add(&mut fields, SEQ, 1);
    add(&mut fields, COUNTED, 1);
    add(&mut fields, KEY, 4096);
    change(&mut fields);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &MessagePack::Array(fields)).unwrap();
    jetstream.publish(subject, bytes.into()).await.unwrap().await.unwrap();
}

fn add(fields: &mut [MessagePack], field: usize, more: u64) {
    fields[field] = MessagePack::from(fields[field].as_u64().unwrap() + more);
}

/// Two users with messages in both directions, some read, some deleted.
async fn world(envs: &[(&str, &str)]) -> World {
    let world = World::with(&[&[FAST], envs].concat()).await;
    world.login(&["alice", "bob"]).await;
    for number in 0..40 {
        world.send("alice", "bob", &format!("{number}")).await;
    }
    world.send("bob", "alice", "Yes?").await;
    world.ok("bob", "clear_conversation_unread_message_count", of("alice")).await;
    let mut last = Value::Null;
    for number in 0..5 {
        last = world.send("alice", "bob", &format!("more {number}")).await;
    }
    let mut body = of("alice");
    body["messageList"] = json!([{ "messageID": last["messageID"] }]);
    world.ok("bob", "delete_messages", body).await;
    world
}

#[tokio::test]
async fn nothing_differs_where_peerd_alone_has_written() {
    let world = world(&[NO_AUDIT]).await;
    let (code, all) = report(&world, &[]).await;
    assert_eq!(code, Some(NOTHING_DIFFERS), "{all}");
    assert_eq!((number(&all, "users"), number(&all, "conversations")), (2, 2));
    assert_eq!(number(&all, "messages"), 46);
    assert_eq!((&all["differences"], &all["notAudited"]), (&json!([]), &json!([])));
    let (code, one) = report(&world, &["bob"]).await;
    assert_eq!((code, number(&one, "users")), (Some(NOTHING_DIFFERS), 1), "{one}");
    let text = run(&world, &[]).await;
    assert_eq!(text.stdout.trim(), "2 users, 2 conversations, 46 messages: 0 differences");
}

#[tokio::test]
async fn counts_written_by_others_are_found_by_an_audit() {
    let world = world(&[NO_AUDIT]).await;
    forge(&world, |fields| add(fields, COUNTED, 3)).await;
    // The owner takes foreign writes in; from then on its counts follow from them.
    let (code, found) = report(&world, &[]).await;
    assert_eq!(code, Some(SOMETHING_DIFFERS), "{found}");
    let differing = differing(&found);
    assert!(differing.contains(&difference("bob", "alice", "counted")), "{found}");
    assert!(differing.contains(&difference("bob", "alice", "unreadMessageCount")), "{found}");
    assert!(differing.iter().all(|(user, ..)| user == "bob"), "{found}");
    let line = &found["differences"].as_array().unwrap()[0];
    assert_eq!(line["found"].as_u64().unwrap(), line["expected"].as_u64().unwrap() + 3, "{line}");
    let text = run(&world, &["bob"]).await;
    assert_eq!(text.code, Some(SOMETHING_DIFFERS));
    let unread = "bob with alice: unreadMessageCount is 8, the log says 5";
    assert!(text.stdout.lines().any(|line| line == unread), "{text:?}");
    let (code, other) = report(&world, &["alice"]).await;
    assert_eq!(code, Some(NOTHING_DIFFERS), "{other}");
}

#[tokio::test]
async fn a_gap_is_found_by_the_audit_that_runs_by_itself() {
    let world = world(&[BUSY_AUDIT]).await;
    let status = async || {
        let url = world.nats.url();
        let run = run_cli_env(&["status", "--json"], &[("PEERD__NATS__SERVERS", &url)]).await;
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        (run.code, report)
    };
    let until = async |is_so: fn(&Value) -> bool| {
        let began = Instant::now();
        loop {
            let (code, report) = status().await;
            if is_so(&report["members"][0]) {
                return (code, report);
            }
            assert!(began.elapsed() < DEADLINE, "not within {DEADLINE:?}: {report}");
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    };
    // It runs in rounds, and finds nothing.
    let (code, report) = until(|member| member["usersAudited"].as_u64() >= Some(6)).await;
    assert_eq!((code, number(&report["members"][0], "auditDifferences")), (Some(0), 0), "{report}");
    forge(&world, |fields| add(fields, SEQ, 1)).await;
    let (code, report) = until(|member| member["auditDifferences"].as_u64() > Some(0)).await;
    assert_eq!(code, Some(1), "{report}");
    let problems = report["problems"].to_string();
    assert!(problems.contains("differ from the log"), "{problems}");
    let log = world.peerd.log();
    let line = log.lines().find(|line| line.contains("a count differs from the log"));
    let line = line.unwrap_or_else(|| panic!("not in the log: {log}"));
    for part in ["ERROR", "bob", "alice", "messageSeq"] {
        assert!(line.contains(part), "no {part} in {line}");
    }
}

#[tokio::test]
async fn a_wrong_audit_request_or_an_absent_daemon_is_reported() {
    let mut world = World::of(&["alice"]).await;
    assert_eq!(run(&world, &["no*user"]).await.code, Some(WRONG_ARGUMENTS));
    // A user who never logged in and has no message.
    assert_eq!(run(&world, &["carol"]).await.code, Some(NOTHING_DIFFERS));
    world.peerd.kill9();
    let (code, report) = report(&world, &[]).await;
    assert_eq!(code, Some(UNAVAILABLE), "{report}");
    assert_eq!(report["notAudited"].as_array().unwrap().len(), 1, "{report}");
}
