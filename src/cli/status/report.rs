//! The report of `peerd status` for programs, and the problems in it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_nats::jetstream::stream::RetentionPolicy;
use serde::Serialize;

use crate::storage::owners::{Key, Member, MemberId, Owner, decode};
use crate::store::Record;
use crate::store::survey::{self, Account, Replica, StreamState, Unseen};
use peerd_core::id::Partition;
use peerd_protocol::discovery::{Gauges, StatsAnswer, StoreTrouble};

/// A replica may lag by this many operations, as each does for moments under load.
const LAG_MAX: u64 = 1000;
/// A replica without contact for this long counts as absent; contact is made each second.
const REPLICA_SILENT_MAX: Duration = Duration::from_secs(5);

/// Everything that was found of a deployment.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) subject_prefix: String,
    pub(super) partitions: u16,
    /// How long an instance counts as alive without a heartbeat.
    pub(super) member_ttl: Duration,
    /// The server's clock, in milliseconds since 1970.
    pub(super) now_ms: u64,
    pub(super) entries: Vec<(Key, Record)>,
    pub(super) stats: Vec<StatsAnswer>,
    pub(super) streams: Vec<(String, Result<StreamState, Unseen>)>,
    /// The usage of the account's limits, if known.
    pub(super) account: Option<Account>,
    /// Problems while gathering.
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) subject_prefix: String,
    pub(super) members: Vec<MemberLine>,
    pub(super) partitions: Vec<PartitionLine>,
    pub(super) streams: Vec<StreamLine>,
    /// The problems as sentences; empty if all is well.
    pub(super) problems: Vec<String>,
    /// Conditions that may become problems, as sentences.
    pub(super) warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MemberLine {
    pub(super) id: MemberId,
    pub(super) host: String,
    pub(super) pid: u32,
    pub(super) release: String,
    pub(super) started_ms: u64,
    pub(super) leaving: bool,
    pub(super) renewed_ms_ago: u64,
    #[serde(flatten)]
    pub(super) gauges: GaugesLine,
}

/// The statistics of an instance; all `null` if it did not answer.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GaugesLine {
    pub(super) partitions: Option<u64>,
    pub(super) calls_under_way: Option<u64>,
    pub(super) deliveries_under_way: Option<u64>,
    pub(super) routed: Option<u64>,
    pub(super) users_in_memory: Option<u64>,
    pub(super) outgoing: Option<u64>,
    pub(super) tasks: Option<u64>,
    pub(super) users_audited: Option<u64>,
    pub(super) audit_differences: Option<u64>,
    pub(super) unreadable_records: Option<u64>,
    pub(super) pushes_dropped: Option<u64>,
    pub(super) store_troubles: Option<Vec<StoreTrouble>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PartitionLine {
    pub(super) partition: u16,
    pub(super) owner: Option<MemberId>,
    pub(super) is_owner_alive: bool,
    pub(super) next: Option<MemberId>,
    pub(super) epoch: u64,
    /// When it was claimed or given up; `null`: never.
    pub(super) since_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StreamLine {
    pub(super) name: String,
    pub(super) leader: Option<String>,
    pub(super) messages: Option<u64>,
    pub(super) bytes: Option<u64>,
    pub(super) replicas: Vec<ReplicaLine>,
    /// The copies that it should have, for people.
    #[serde(skip)]
    pub(super) copies: usize,
    #[serde(skip)]
    pub(super) is_healthy: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ReplicaLine {
    pub(super) name: String,
    pub(super) current: bool,
    pub(super) lag: u64,
    pub(super) offline: bool,
    #[serde(skip)]
    pub(super) is_well: bool,
}

impl Report {
    pub(super) fn of(seen: Seen) -> Self {
        let (mut problems, mut warnings) = (seen.problems.clone(), Vec::new());
        let (members, owners) = read(&seen.entries, &mut problems);
        let (answers, strangers) = join(&seen.stats, &members);
        let renewed_ms_ago = |stored_ms: &u64| seen.now_ms.saturating_sub(*stored_ms);
        let mut alive = BTreeSet::new();
        for (id, (_, stored_ms)) in &members {
            let ago = Duration::from_millis(renewed_ms_ago(stored_ms));
            let is_seen = answers.contains_key(id);
            if let Some(Some(gauges)) = answers.get(id) {
                judge_gauges(id, gauges, &mut problems, &mut warnings);
            }
            if !is_seen {
                problems.push(format!("member {id} did not answer"));
            }
            // An entry that is not renewed expires by itself, once the bucket has a leader.
            if is_seen || ago <= seen.member_ttl {
                alive.insert(id);
            } else {
                problems
                    .push(format!("member {id} sent its last heartbeat {} s ago", ago.as_secs()));
            }
        }
        let strange = |id: &&str| format!("instance {id} answers, but is not a member");
        problems.extend(strangers.iter().map(strange));
        if alive.is_empty() {
            problems.push("no instance is running".to_owned());
        }
        let partitions: Vec<PartitionLine> = (0..seen.partitions)
            .map(|number| partition(number, owners.get(&Partition(number)), &alive))
            .collect();
        let ownerless = partitions.iter().filter(|line| !line.is_owner_alive);
        let ownerless: Vec<u16> = ownerless.map(|line| line.partition).collect();
        match ownerless.as_slice() {
            [] => {}
            [one] => problems.push(format!("partition {one} has no live owner")),
            many => problems.push(format!("partitions {} have no live owner", ranges(many))),
        }
        problems.extend(troubles(&seen.stats));
        problems.extend(seen.account.iter().flat_map(account));
        warnings.extend(seen.streams.iter().filter_map(|(name, state)| unheeded(name, state)));
        let streams = seen.streams.into_iter().map(|(name, state)| stream(name, state));
        let (streams, wrong): (Vec<StreamLine>, Vec<Vec<String>>) = streams.unzip();
        problems.extend(wrong.into_iter().flatten());
        let members = members.into_iter().map(|(id, (member, stored_ms))| MemberLine {
            gauges: answers.get(&id).cloned().flatten().map(GaugesLine::from).unwrap_or_default(),
            id,
            host: member.process.host,
            pid: member.process.pid,
            release: member.release,
            started_ms: member.started_ms,
            leaving: member.leaving,
            renewed_ms_ago: renewed_ms_ago(&stored_ms),
        });
        Self {
            subject_prefix: seen.subject_prefix,
            members: members.collect(),
            partitions,
            streams,
            problems,
            warnings,
        }
    }
}

impl From<Gauges> for GaugesLine {
    fn from(gauges: Gauges) -> Self {
        Self {
            partitions: Some(gauges.partitions),
            calls_under_way: Some(gauges.calls_under_way),
            deliveries_under_way: Some(gauges.deliveries_under_way),
            routed: Some(gauges.routed),
            users_in_memory: Some(gauges.users_in_memory),
            outgoing: Some(gauges.outgoing),
            tasks: Some(gauges.tasks),
            users_audited: Some(gauges.users_audited),
            audit_differences: Some(gauges.audit_differences),
            unreadable_records: Some(gauges.unreadable_records),
            pushes_dropped: Some(gauges.pushes_dropped),
            store_troubles: Some(gauges.store_troubles),
        }
    }
}

/// The statistics of members, if their release has them, and of instances that are not members.
fn join<'a>(
    stats: &'a [StatsAnswer],
    members: &Members,
) -> (BTreeMap<MemberId, Option<Gauges>>, Vec<&'a str>) {
    let (mut answers, mut strangers) = (BTreeMap::new(), Vec::new());
    for answer in stats {
        // The lost entry of an instance may still exist beside its new one.
        let entries = members.iter().filter(|(id, _)| id.instance() == answer.id);
        match entries.max_by_key(|(_, (_, stored_ms))| *stored_ms) {
            Some((id, _)) => _ = answers.insert(id.clone(), answer.gauges()),
            None => strangers.push(answer.id.as_str()),
        }
    }
    (answers, strangers)
}

/// Members with the time at which each was last renewed.
type Members = BTreeMap<MemberId, (Member, u64)>;
type Owners = BTreeMap<Partition, Owner>;

/// The members and owners that the bucket names.
fn read(entries: &[(Key, Record)], problems: &mut Vec<String>) -> (Members, Owners) {
    let (mut members, mut owners) = (Members::new(), Owners::new());
    for (key, record) in entries {
        let read = match key {
            Key::Member(id) => decode(&record.payload).map(|member| {
                members.insert(id.clone(), (member, record.stored_ms));
            }),
            Key::Owner(partition) => decode(&record.payload).map(|owner| {
                owners.insert(*partition, owner);
            }),
            Key::Published(_) => Ok(()),
        };
        if let Err(error) = read {
            problems.push(format!("entry {key}: {error}"));
        }
    }
    (members, owners)
}

fn partition(number: u16, owner: Option<&Owner>, alive: &BTreeSet<&MemberId>) -> PartitionLine {
    let holder = owner.and_then(|owner| owner.holder.clone());
    PartitionLine {
        partition: number,
        is_owner_alive: holder.as_ref().is_some_and(|holder| alive.contains(holder)),
        owner: holder,
        next: owner.and_then(|owner| owner.next.clone()),
        epoch: owner.map_or(0, |owner| owner.epoch),
        since_ms: owner.map(|owner| owner.since_ms),
    }
}

/// The report and the problems of a stream.
fn stream(name: String, state: Result<StreamState, Unseen>) -> (StreamLine, Vec<String>) {
    let mut problems = Vec::new();
    let mut line = match state {
        Ok(state) => {
            if state.leader.is_none() {
                problems.push(format!("stream {name} has no leader"));
            }
            let there = state.replicas.len() + 1;
            if there < state.copies {
                let copies = state.copies;
                problems.push(format!("stream {name} has {there} of {copies} replicas"));
            }
            // Only a leader knows the state of the replicas.
            let known = state.replicas.iter().filter(|_| state.leader.is_some());
            let wrong = known.filter_map(|replica| {
                trouble(replica).map(|what| format!("stream {name}: {} {what}", replica.name))
            });
            problems.extend(wrong);
            if let Some((limit, held, most)) = survey::fullness(&state) {
                problems.push(format!(
                    "stream {name} is full or nearly full: it holds {held} of {limit} {most}; raise \
                     that for peerd and with `nats stream edit {name}`, or delete what is old"
                ));
            }
            StreamLine {
                leader: state.leader,
                messages: Some(state.messages),
                bytes: Some(state.bytes),
                replicas: state.replicas.into_iter().map(ReplicaLine::from).collect(),
                copies: state.copies,
                is_healthy: false,
                name,
            }
        }
        Err(unseen) => {
            problems.push(match unseen {
                Unseen::Missing => format!(
                    "stream {name} is missing: a running instance creates it again, empty; its log \
                     says what was lost"
                ),
                unseen @ (Unseen::Refused { .. } | Unseen::Silent(_)) => {
                    format!("stream {name} {unseen}")
                }
            });
            StreamLine {
                name,
                leader: None,
                messages: None,
                bytes: None,
                replicas: Vec::new(),
                copies: 0,
                is_healthy: false,
            }
        }
    };
    line.is_healthy = problems.is_empty();
    (line, problems)
}

/// Problems in the statistics of a member, present or expected.
fn judge_gauges(
    id: &MemberId,
    gauges: &Gauges,
    problems: &mut Vec<String>,
    warnings: &mut Vec<String>,
) {
    if let differences @ 1.. = gauges.audit_differences {
        problems.push(format!("member {id} found {differences} counts that differ from the log"));
    }
    if let count @ 1.. = gauges.unreadable_records {
        problems.push(format!(
            "member {id} skipped {count} stored records that it cannot read; its log \
             names each"
        ));
    }
    if let count @ 1.. = gauges.pushes_dropped {
        warnings.push(format!("member {id} has dropped {count} offline pushes since its start"));
    }
}

/// The problems of the store that instances report, each once.
fn troubles(stats: &[StatsAnswer]) -> Vec<String> {
    let mut by_problem: BTreeMap<String, (Vec<&str>, StoreTrouble)> = BTreeMap::new();
    for answer in stats {
        for trouble in answer.gauges().unwrap_or_default().store_troubles {
            let (who, known) = by_problem
                .entry(trouble.problem.clone())
                .or_insert_with(|| (Vec::new(), trouble.clone()));
            who.push(&answer.id);
            known.lasts_seconds = known.lasts_seconds.max(trouble.lasts_seconds);
        }
    }
    let text = |(problem, (who, trouble)): (String, (Vec<&str>, StoreTrouble))| {
        let StoreTrouble { remedy, lasts_seconds, .. } = trouble;
        let who = match who.as_slice() {
            [one] => format!("instance {one}"),
            many => format!("{} instances", many.len()),
        };
        format!("{problem} (for {lasts_seconds} s, reported by {who}); {remedy}")
    };
    by_problem.into_iter().map(text).collect()
}

/// The limits of the account that are reached or nearly reached.
fn account(account: &Account) -> Vec<String> {
    let near = account.limits.iter().filter(|(_, held, most)| survey::is_nearly(*held, *most));
    let text = |(limit, held, most): &(&str, u64, u64)| {
        format!(
            "the account is at its JetStream limits or close to them: it uses {held} of {limit} {most}; \
             raise that, or free storage in its streams"
        )
    };
    near.map(text).collect()
}

/// Offline pushes without a consumer.
fn unheeded(name: &str, state: &Result<StreamState, Unseen>) -> Option<String> {
    let state = state.as_ref().ok()?;
    let is_queue = state.config.retention == RetentionPolicy::WorkQueue;
    (is_queue && state.consumers == 0 && state.messages > 0).then(|| {
        let waiting = state.messages;
        format!("stream {name} has no consumer, and {waiting} offline pushes wait in it")
    })
}

/// The problem of a replica, if any.
fn trouble(replica: &Replica) -> Option<String> {
    if replica.is_offline {
        Some("is offline".to_owned())
    } else if !replica.is_current && replica.last_seen_ago.is_zero() {
        Some("was not seen since the election of the leader".to_owned())
    } else if replica.last_seen_ago > REPLICA_SILENT_MAX {
        Some(format!("was not seen for {} s", replica.last_seen_ago.as_secs()))
    } else if replica.lag > LAG_MAX {
        Some(format!("is behind by {}", replica.lag))
    } else {
        None
    }
}

impl From<Replica> for ReplicaLine {
    fn from(replica: Replica) -> Self {
        Self {
            is_well: trouble(&replica).is_none(),
            name: replica.name,
            current: replica.is_current,
            lag: replica.lag,
            offline: replica.is_offline,
        }
    }
}

/// Ascending numbers, as in `0-3, 7`.
fn ranges(numbers: &[u16]) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    let shown = ranges.iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    });
    shown.collect::<Vec<_>>().join(", ")
}
