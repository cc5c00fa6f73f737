//! `peerd status`

mod report;
mod table;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::Client;
use futures::stream::{self, StreamExt as _};
use tokio::time::Instant;

use self::report::{Report, Seen};
use super::connection::with_client;
use super::{EXIT_FAILURE, EXIT_UNAVAILABLE, complain, print, print_json};
use crate::bus::discovery::ask;
use crate::clock::Clock;
use crate::runtime::daemon::Settings;
use crate::runtime::payload;
use crate::storage::owners::{self, Key};
use crate::store::StreamId;
use crate::store::jetstream::StreamNames;
use crate::store::survey::{self, StreamState, Unseen};
use peerd_core::id::Partition;
use peerd_protocol::discovery::StatsAnswer;

pub(super) const HELP: &str = "\
The NATS user needs the permissions of the operator in deploy/nats/users.conf.

Exit codes: 0 all is well; 1 there are problems: no instance is running, a partition without a live \
owner, a member that does not answer, a stream that is gone, full or nearly full, without a leader, or \
with a replica that is offline or behind, an account near its limits, a max_payload that is too small, \
a count that differs from the log, a stored record that cannot be read, or a problem of the store that \
an instance reports; 64 a wrong configuration; 69 NATS cannot be used, or no peerd ever ran with this \
subject prefix.";

/// How long the store may take to answer. A stream whose leader has just died does not answer.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the instances may take to answer.
const MEMBERS_ANSWER: Duration = Duration::from_secs(1);
/// Streams whose state is requested concurrently.
const CONCURRENT: usize = 32;

pub(super) async fn run(settings: Settings, as_json: bool) -> ExitCode {
    with_client(&settings, "peerd status", |client| show(client, &settings, as_json)).await
}

async fn show(client: Client, settings: &Settings, as_json: bool) -> ExitCode {
    let seen = match look(&client, settings).await {
        Ok(seen) => seen,
        Err(problem) => return complain(EXIT_UNAVAILABLE, &problem),
    };
    let now_ms = seen.now_ms;
    let mut report = Report::of(seen);
    match payload::check(&settings.node.limits, client.max_payload()) {
        Ok(warnings) => report.warnings.extend(warnings),
        Err(too_small) => report.problems.push(too_small.to_string()),
    }
    if as_json {
        if let Err(error) = print_json(&report) {
            return complain(EXIT_FAILURE, &error);
        }
    } else {
        print(&table::text(&report, now_ms));
    }
    if report.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) }
}

/// Gathers everything; fails with a sentence if there is no deployment.
async fn look(client: &Client, settings: &Settings) -> Result<Seen, String> {
    let names = StreamNames::new(&settings.subject_prefix);
    // The entries come from any replica, the state of the bucket from its leader. If the bucket is
    // gone, any other stream shows that there is a deployment.
    let (bucket_stream, soon) = (names.owners(), Instant::now() + STORE_TIMEOUT);
    let (log, push) = (names.of(StreamId::Log(Partition(0))), names.push());
    let (bucket, log, push, account, entries) = tokio::join!(
        survey::stream(client, &bucket_stream, soon),
        survey::stream(client, &log, soon),
        survey::stream(client, &push, soon),
        survey::account(client, Instant::now() + MEMBERS_ANSWER),
        owners::entries(client, &names, soon),
    );
    let is_gone = |state: &_| matches!(state, Err(Unseen::Missing));
    if is_gone(&bucket) && is_gone(&log) && is_gone(&push) {
        let (bucket, prefix) = (names.owners_bucket(), &settings.subject_prefix);
        return Err(format!(
            "no bucket {bucket}: no peerd ever ran with subject_prefix {prefix:?}"
        ));
    }
    let mut entries = if is_gone(&bucket) { Ok(Vec::new()) } else { entries };
    let known = instances(entries.as_deref().unwrap_or_default());
    let stats = stats(client, &settings.subject_prefix, &known).await?;
    if stats.iter().any(|answer| !known.contains(&answer.id)) && !is_gone(&bucket) {
        // It may have been created a moment ago.
        entries = owners::entries(client, &names, Instant::now() + STORE_TIMEOUT).await;
    }
    let mut problems = Vec::new();
    let entries = match entries {
        Ok(entries) => entries,
        Err(error) if stats.is_empty() => {
            return Err(format!(
                "{error}; may this NATS user read bucket {}?",
                names.owners_bucket()
            ));
        }
        // The instances may know why.
        Err(error) => {
            problems.push(format!("bucket {}: {error}", names.owners_bucket()));
            Vec::new()
        }
    };
    // This command's configuration may differ from the deployment's.
    let reported =
        [&bucket, &log, &push].into_iter().find_map(|state| state.as_ref().ok()?.partitions);
    let partitions = reported.unwrap_or(settings.partitions);
    let streams = streams(client, &names, partitions, Instant::now() + STORE_TIMEOUT).await;
    // The entries have times of the server's clock, whose newest value is in the last answer.
    let answered_ms =
        streams.iter().filter_map(|(_, state)| state.as_ref().ok()?.answered_ms).max();
    Ok(Seen {
        subject_prefix: settings.subject_prefix.clone(),
        partitions,
        member_ttl: settings.member_ttl,
        now_ms: answered_ms.unwrap_or_else(|| Clock::system().wall_ms()),
        entries,
        stats,
        streams,
        account,
        problems,
    })
}

/// The instances that are members.
fn instances(entries: &[(Key, crate::store::Record)]) -> BTreeSet<String> {
    let ids = entries.iter().filter_map(|(key, _)| match key {
        Key::Member(id) => Some(id.instance().to_owned()),
        Key::Owner(_) | Key::Published(_) => None,
    });
    ids.collect()
}

async fn stats(
    client: &Client,
    prefix: &str,
    known: &BTreeSet<String>,
) -> Result<Vec<StatsAnswer>, String> {
    let expected = known.iter().map(String::as_str).collect();
    let answers = ask(client, prefix, expected, Instant::now() + MEMBERS_ANSWER).await;
    answers.map_err(|error| format!("the instances could not be asked: {error}"))
}

/// Every stream of the deployment, in the order of the report.
async fn streams(
    client: &Client,
    names: &StreamNames,
    partitions: u16,
    deadline: Instant,
) -> Vec<(String, Result<StreamState, Unseen>)> {
    let numbers = || (0..partitions).map(Partition);
    let logs = numbers().map(|partition| names.of(StreamId::Log(partition)));
    let states = numbers().map(|partition| names.of(StreamId::State(partition)));
    let all: Vec<String> = logs.chain(states).chain([names.owners(), names.push()]).collect();
    let looked = stream::iter(all).map(|name| async move {
        let state = survey::stream(client, &name, deadline).await;
        (name, state)
    });
    looked.buffered(CONCURRENT).collect().await
}
