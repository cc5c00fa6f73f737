use std::time::Duration;

use async_nats::jetstream::stream::Config as StreamConfig;
use serde_json::{Value, json};

use super::report::{Report, Seen};
use super::table;
use crate::storage::owners::{Key, LaterFields, Member, MemberId, Owner, Process, encode};
use crate::store::Record;
use crate::store::survey::{Replica, StreamState, Unseen};
use peerd_core::id::{OrderKey, Partition};
use peerd_protocol::discovery::StatsAnswer;

const NOW_MS: u64 = 1_800_000_000_000;
const IDS: [&str; 3] =
    ["A1b2C3d4E5f6G7h8J9k0L1", "A1b2C3d4x5f6G7h8J9k0L1", "Zzb2C3d4E5f6G7h8J9k0L1"];

fn id(text: &str) -> MemberId {
    MemberId::new(text).expect("a valid ID")
}

fn entry(key: Key, stored_ms: u64, bytes: bytes::Bytes) -> (Key, Record) {
    let subject = format!("$KV.PEER_OWNERS.{key}");
    (key, Record { subject, stream_seq: 1, stored_ms, payload: bytes })
}

fn member(text: &str, host: &str, leaving: bool) -> (Key, Record) {
    let process = Process { host: host.to_owned(), pid: 4711, ..Process::default() };
    let started_ms = NOW_MS - 7_384_000;
    let release = "0.1.0".to_owned();
    let member = Member {
        process,
        release,
        started_ms,
        leaving,
        beat: 9,
        ttl_ms: Some(5000),
        names_itself: true,
    };
    entry(Key::Member(id(text)), NOW_MS - 431, encode(&member).expect("writable"))
}

fn owner(partition: u16, holder: Option<&str>, next: Option<&str>) -> (Key, Record) {
    let owner = Owner {
        holder: holder.map(id),
        next: next.map(id),
        epoch: 3,
        key: OrderKey(0),
        since_ms: NOW_MS - 65_000,
        unpublished_since_ms: None,
        later: LaterFields::default(),
    };
    entry(Key::Owner(Partition(partition)), NOW_MS, encode(&owner).expect("writable"))
}

fn stats(id: &str) -> StatsAnswer {
    let body = json!({
        "id": id,
        "metadata": { "subject_prefix": "peer" },
        "endpoints": [{ "data": {
            "callsUnderWay": 12, "deliveriesUnderWay": 3, "routed": 1_234_567, "partitions": 2,
            "usersInMemory": 100_000, "outgoing": 5, "tasks": 40,
            "usersAudited": 70_000, "auditDifferences": 0, "unreadableRecords": 0,
            "pushesDropped": 0, "storeTroubles": [],
        } }],
    });
    StatsAnswer::read(body.to_string().as_bytes(), "peer").expect("an answer")
}

fn replica(name: &str) -> Replica {
    Replica {
        name: name.to_owned(),
        is_current: true,
        lag: 0,
        is_offline: false,
        last_seen_ago: Duration::from_millis(300),
    }
}

fn state() -> StreamState {
    StreamState {
        leader: Some("nats-1".to_owned()),
        messages: 1_234_567,
        bytes: 987_654_321,
        last_seq: 1_234_567,
        copies: 3,
        replicas: vec![replica("nats-2"), replica("nats-3")],
        partitions: Some(4),
        answered_ms: Some(NOW_MS),
        config: StreamConfig::default(),
        created_ms: None,
        stands_in: false,
        consumers: 0,
    }
}

fn well() -> Seen {
    let host = "chat-7d9f8c6b5-x2kq1.some-namespace.cluster.local";
    Seen {
        subject_prefix: "peer".to_owned(),
        partitions: 4,
        member_ttl: Duration::from_secs(5),
        now_ms: NOW_MS,
        entries: vec![
            member(IDS[0], host, false),
            member(IDS[1], "b", false),
            member(IDS[2], "c", true),
            owner(0, Some(IDS[0]), None),
            owner(1, Some(IDS[0]), None),
            owner(2, Some(IDS[1]), None),
            owner(3, Some(IDS[2]), None),
        ],
        stats: IDS.map(stats).into(),
        streams: ["PEER_LOG_0", "PEER_STATE_0"].map(|name| (name.to_owned(), Ok(state()))).into(),
        account: None,
        problems: Vec::new(),
    }
}

/// A deployment in which everything that can be wrong is.
fn wrong() -> Seen {
    let mut seen = well();
    seen.entries = vec![
        member(IDS[0], "a", false),
        entry(Key::Member(id(IDS[1])), NOW_MS, r#"{"version":2}"#.into()),
        owner(0, Some(IDS[0]), None),
        owner(1, Some(IDS[2]), None),
        owner(2, None, Some(IDS[0])),
    ];
    seen.stats = vec![stats("Q")];
    let with = |change: fn(&mut StreamState)| {
        let mut state = state();
        change(&mut state);
        Ok(state)
    };
    seen.streams = vec![
        ("LEADERLESS".to_owned(), with(|state| state.leader = None)),
        ("OFFLINE".to_owned(), with(|state| state.replicas[0].is_offline = true)),
        ("BEHIND".to_owned(), with(|state| state.replicas[1].lag = 1001)),
        (
            "DEAD".to_owned(),
            with(|state| {
                state.replicas[0].is_current = false;
                state.replicas[0].last_seen_ago = Duration::ZERO;
            }),
        ),
        (
            "UNHEARD".to_owned(),
            with(|state| state.replicas[1].last_seen_ago = Duration::from_secs(9)),
        ),
        ("TWO".to_owned(), with(|state| state.replicas.truncate(1))),
        (
            "BUSY".to_owned(),
            with(|state| {
                state.replicas[0].is_current = false;
                state.replicas[0].lag = 40;
            }),
        ),
        ("MISSING".to_owned(), Err(Unseen::Missing)),
        ("SILENT".to_owned(), Err(Unseen::Silent("no answer in time".to_owned()))),
    ];
    seen
}

fn text(seen: Seen) -> String {
    table::text(&Report::of(seen), NOW_MS)
}

#[test]
fn all_is_well() {
    insta::assert_snapshot!(text(well()), @r"
    3 members, 4 partitions all owned, 2 streams healthy

    member     host                pid       up   seen  owns  calls  deliveries     routed    users
    A1b2C3d4E  chat-7d9…er.local  4711    2h03m  0.4 s     2     12           3  1,234,567  100,000
    A1b2C3d4x  b                  4711    2h03m  0.4 s     2     12           3  1,234,567  100,000
    Zzb2C3d4E  c                  4711  leaving  0.4 s     2     12           3  1,234,567  100,000

    partition  owner      epoch    for
            0  A1b2C3d4E      3  1m05s
            1  A1b2C3d4E      3  1m05s
            2  A1b2C3d4x      3  1m05s
            3  Zzb2C3d4E      3  1m05s

    stream        leader   messages      size  replicas  lag
    PEER_LOG_0    nats-1  1,234,567  987.6 MB         3    0
    PEER_STATE_0  nats-1  1,234,567  987.6 MB         3    0
    ");
}

#[test]
fn all_is_wrong() {
    insta::assert_snapshot!(text(wrong()), @r"
    1 member, 4 partitions (3 without a live owner), 9 streams (8 not healthy)

    member    host   pid     up   seen  owns  calls  deliveries  routed  users
    A1b2C3d4  a     4711  2h03m  0.4 s     -      -           -       -      -

    partition  owner     epoch    for
            0  A1b2C3d4      3  1m05s
            1  Zzb2C3d4      3  1m05s  its owner is gone
            2  -             3  1m05s  released for A1b2C3d4
            3  -             0      -  never owned

    stream      leader   messages      size  replicas    lag
    LEADERLESS  -       1,234,567  987.6 MB         -      0
    OFFLINE     nats-1  1,234,567  987.6 MB    2 of 3      0
    BEHIND      nats-1  1,234,567  987.6 MB    2 of 3  1,001
    DEAD        nats-1  1,234,567  987.6 MB    2 of 3      0
    UNHEARD     nats-1  1,234,567  987.6 MB    2 of 3      0
    TWO         nats-1  1,234,567  987.6 MB    2 of 3      0
    BUSY        nats-1  1,234,567  987.6 MB         3     40
    MISSING     -               -         -         -      -
    SILENT      -               -         -         -      -

    problems:
      entry member.A1b2C3d4x5f6G7h8J9k0L1: a stored owner's entry cannot be read: its version 2 is
        unknown
      member A1b2C3d4E5f6G7h8J9k0L1 did not answer
      instance Q answers, but is not a member
      partitions 1-3 have no live owner
      stream LEADERLESS has no leader
      stream OFFLINE: nats-2 is offline
      stream BEHIND: nats-3 is behind by 1001
      stream DEAD: nats-2 was not seen since the election of the leader
      stream UNHEARD: nats-3 was not seen for 9 s
      stream TWO has 2 of 3 replicas
      stream MISSING is missing: a running instance creates it again, empty; its log says what was lost
      stream SILENT does not answer: no answer in time
    ");
}

#[test]
fn an_entry_that_outlived_its_time_is_no_sign_of_life() {
    let mut seen = well();
    seen.stats.truncate(2);
    seen.now_ms += 4_000;
    assert!(text(seen).starts_with("3 members, 4 partitions all owned"));
    let mut seen = well();
    seen.stats.truncate(2);
    seen.now_ms += 5_000;
    let report = Report::of(seen);
    assert!(!report.partitions[3].is_owner_alive);
    let id = IDS[2];
    let expected = [
        format!("member {id} did not answer"),
        format!("member {id} sent its last heartbeat 5 s ago"),
        "partition 3 has no live owner".to_owned(),
    ];
    assert_eq!(report.problems, expected);
}

#[test]
fn an_instance_that_lost_its_entry_answers_for_its_new_one() {
    let mut seen = well();
    let again = format!("{}-2", IDS[0]);
    seen.entries.push(member(&again, "a", false));
    seen.entries[0].1.stored_ms -= 6_000;
    let report = Report::of(seen);
    assert_eq!(report.members[0].id.as_str(), IDS[0]);
    assert_eq!(report.members[0].gauges.routed, None);
    assert_eq!(report.members[1].id.as_str(), again);
    assert!(report.members[1].gauges.routed.is_some());
    assert!(!report.partitions[0].is_owner_alive);
}

#[test]
fn lines_fit_whatever_the_names() {
    let mut seen = well();
    let long = "a.very.long.prefix.for.the.names.of.streams";
    seen.streams.push((
        format!("{long}_LOG_1023"),
        Ok(StreamState {
            leader: Some("NDHFZQ4VYYJ2PZ2XKEG6S7FUNBA6GDZC5J5CSRS3FXZ5K6GDJ4ZHN3XE".to_owned()),
            messages: 999_999_999_999,
            bytes: 999_999_999_999_999,
            ..state()
        }),
    ));
    for line in text(seen).lines().chain(text(wrong()).lines()) {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn of_many_only_the_wrong_ones_are_listed() {
    let mut seen = well();
    seen.partitions = 1024;
    seen.entries.truncate(3);
    seen.entries.extend((0..1024).map(|number| owner(number, Some(IDS[0]), None)));
    seen.streams = (0..2048).map(|number| (format!("PEER_LOG_{number}"), Ok(state()))).collect();
    let shown = text(seen);
    assert!(shown.starts_with("3 members, 1024 partitions all owned, 2048 streams healthy\n"));
    assert!(shown.lines().count() < 12, "{shown}");
    let mut seen = well();
    seen.partitions = 1024;
    let shown = text(seen);
    assert!(shown.contains("\n  partitions 4-1023 have no live owner"), "{shown}");
    assert!(shown.lines().count() < 90, "{shown}");
}

#[test]
fn json_has_the_documented_fields() {
    let json = |seen| serde_json::to_value(Report::of(seen)).expect("writable");
    let report: Value = json(well());
    assert_eq!(report["subjectPrefix"], "peer");
    assert_eq!(report["problems"], json!([]));
    assert_eq!(
        report["members"][0],
        json!({
            "id": IDS[0], "host": "chat-7d9f8c6b5-x2kq1.some-namespace.cluster.local",
            "pid": 4711, "release": "0.1.0", "startedMs": NOW_MS - 7_384_000, "leaving": false,
            "renewedMsAgo": 431, "partitions": 2, "callsUnderWay": 12, "deliveriesUnderWay": 3,
            "routed": 1_234_567, "usersInMemory": 100_000, "outgoing": 5, "tasks": 40,
            "usersAudited": 70_000, "auditDifferences": 0, "unreadableRecords": 0,
            "pushesDropped": 0, "storeTroubles": [],
        })
    );
    assert_eq!(
        report["partitions"][0],
        json!({
            "partition": 0, "owner": IDS[0], "isOwnerAlive": true, "next": null, "epoch": 3,
            "sinceMs": NOW_MS - 65_000,
        })
    );
    assert_eq!(
        report["streams"][0],
        json!({
            "name": "PEER_LOG_0", "leader": "nats-1", "messages": 1_234_567, "bytes": 987_654_321,
            "replicas": [
                { "name": "nats-2", "current": true, "lag": 0, "offline": false },
                { "name": "nats-3", "current": true, "lag": 0, "offline": false },
            ],
        })
    );
    let report = json(wrong());
    assert_eq!(report["members"][0]["callsUnderWay"], Value::Null);
    assert_eq!(report["members"][0]["partitions"], Value::Null);
    assert_eq!(report["partitions"][3]["sinceMs"], Value::Null);
    assert_eq!(report["streams"][7]["messages"], Value::Null);
}
