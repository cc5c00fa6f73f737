//! `peerd verify`: reads the streams and passes their content to the checker in `peerd-verify`.

pub(crate) mod decode;

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::decode::Decoder;
use super::connection::with_client;
use super::{
    EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_UNAVAILABLE, STORE_TIMEOUT, complain, counted, print,
    print_json,
};
use crate::runtime::daemon::Settings;
use crate::store::jetstream::StreamNames;
use crate::store::survey::{self, Unseen};
use crate::store::{StreamId, scan};
use peerd_core::id::Partition;
use peerd_protocol::subject::Subjects;
use peerd_verify::fault::Kind;
use peerd_verify::notes::Notes;
use peerd_verify::stored::Stored;
use peerd_verify::{Verdict, verdict};

pub(super) const HELP: &str = "\
Each client records its calls, answers and events in a file; docs/verify.md of peerd describes the \
format. Run it after the last call of a client. It reads all streams into memory.

The NATS user needs the permissions of the operator in deploy/nats/users.conf.

Exit codes: 0 no faults; 1 faults, of which the text shows the first 50, a line each, and --json all; \
64 notes that cannot be read or a wrong configuration; 69 NATS cannot be used, or a stream cannot be \
read.";

/// How long reading one stream may take.
const STREAM_READ: Duration = Duration::from_secs(600);
/// The most faults that are printed as text.
const FAULTS_SHOWN: usize = 50;

pub(super) struct Asked {
    pub(super) notes: Vec<PathBuf>,
    pub(super) clock_slack_ms: u64,
    pub(super) as_json: bool,
}

pub(super) async fn run(settings: Settings, asked: Asked) -> ExitCode {
    let mut notes = Notes::default();
    for path in &asked.notes {
        let read = File::open(path).map_err(Into::into);
        if let Err(error) = read.and_then(|file| notes.read(BufReader::new(file))) {
            return complain(EXIT_CONFIGURATION, &format!("{}: {error}", path.display()));
        }
    }
    let compare = |client| compare(client, &settings, asked, notes);
    with_client(&settings, "peerd verify", compare).await
}

async fn compare(client: Client, settings: &Settings, asked: Asked, notes: Notes) -> ExitCode {
    let stored = match read(&client, settings).await {
        Ok(stored) => stored,
        Err(problem) => return complain(EXIT_UNAVAILABLE, &problem),
    };
    let verdict = verdict(&notes, &stored, Duration::from_millis(asked.clock_slack_ms));
    if asked.as_json {
        if let Err(error) = print_json(&json(&verdict)) {
            return complain(EXIT_FAILURE, &error);
        }
    } else {
        print(&text(&verdict));
    }
    if verdict.faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILURE) }
}

/// Reads everything that is stored.
async fn read(client: &Client, settings: &Settings) -> Result<Stored, String> {
    let names = StreamNames::new(&settings.subject_prefix);
    let soon = Instant::now() + STORE_TIMEOUT;
    let partitions = match survey::stream(client, &names.owners(), soon).await {
        Ok(bucket) => bucket.partitions.unwrap_or(settings.partitions),
        Err(Unseen::Missing) => {
            let prefix = &settings.subject_prefix;
            return Err(format!("no peerd ever ran with subject_prefix {prefix:?}"));
        }
        Err(error @ (Unseen::Silent(_) | Unseen::Refused { .. })) => {
            return Err(format!("bucket {} {error}", names.owners_bucket()));
        }
    };
    let subjects = Subjects::new(&settings.subject_prefix, partitions);
    let mut decoder = Decoder::new(&subjects, settings.stream.may_forget());
    for number in 0..partitions {
        let partition = Partition(number);
        let (log, state) = (StreamId::Log(partition), StreamId::State(partition));
        let deadline = Instant::now() + STREAM_READ;
        let all = subjects.all_log(partition);
        let take = |record| decoder.message(partition, &record);
        let read = scan::records(client, &names, log, &all, deadline, take).await;
        read.map_err(|error| error.to_string())?;
        let all = subjects.all_state(partition);
        let take = |record| decoder.entry(partition, &record);
        let read = scan::records(client, &names, state, &all, deadline, take).await;
        read.map_err(|error| error.to_string())?;
    }
    Ok(decoder.finish())
}

fn json(verdict: &Verdict) -> Value {
    let Verdict {
        calls,
        acknowledged,
        changes,
        events,
        delivered,
        redelivered,
        stored,
        users,
        faults,
    } = verdict;
    let faults: Vec<Value> =
        faults.iter().map(|it| json!({ "kind": it.kind.name(), "text": it.text })).collect();
    json!({
        "calls": calls, "acknowledged": acknowledged, "changes": changes, "events": events,
        "delivered": delivered, "redelivered": redelivered, "stored": stored, "users": users, "faults": faults,
    })
}

fn text(verdict: &Verdict) -> String {
    let mut lines = vec![
        format!(
            "noted:  {}, {} acknowledged, {},",
            counted(verdict.calls, "call"),
            counted(verdict.acknowledged, "message"),
            counted(verdict.changes, "change")
        ),
        format!(
            "        {}; {} delivered, {} more than once",
            counted(verdict.events, "event"),
            counted(verdict.delivered, "message"),
            verdict.redelivered
        ),
        format!(
            "stored: {} of {}",
            counted(verdict.stored, "message"),
            counted(verdict.users, "user")
        ),
    ];
    let faults = &verdict.faults;
    for kind in Kind::ALL {
        let count = faults.iter().filter(|fault| fault.kind == kind).count();
        lines.push(format!("{count:>8} {}", kind.name()));
    }
    lines.extend(faults.iter().take(FAULTS_SHOWN).map(ToString::to_string));
    if let Some(more @ 1..) = faults.len().checked_sub(FAULTS_SHOWN) {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}
