//! `peerd bench`, and the hidden `bench-baseline` and `bench-limit` that it starts: the facts of a
//! deployment that the load generator in `peerd-bench` cannot know, and its report.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use async_nats::{Client, ServerAddr, ServerInfo};
use peerd_bench::responder::{self, Streams};
use peerd_bench::{
    Cause, Connections, Deployment, Outcome, Problem, Responders, Setup, baseline, limit,
};
use tokio::time::Instant;

use super::connection::{Connected, NoUse};
use super::table::{Align, columns};
use super::{
    EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_UNAVAILABLE, STORE_TIMEOUT, complain, print, print_json,
};
use crate::bus::discovery;
use crate::cluster::process::this;
use crate::runtime::connect::NatsOptions;
use crate::runtime::daemon::Settings;
use crate::storage::owners::{self, Key, Member};
use crate::store::jetstream::StreamNames;
use crate::store::{Record, StreamId, survey};
use peerd_core::id::Partition;

pub(super) use peerd_bench::Arguments;

pub(super) const HELP: &str = "\
The load runs against the peerd that serves the configured NATS; its NATS user needs what the \
operator has in deploy/nats/users.conf, and with --baseline must be without restrictions. It logs \
in users of its own, and their messages stay stored: do not run it where that matters.

  peerd bench                                    # throughput with 256 messages in flight
  peerd bench --rate 2000                        # latencies at 2,000 messages a second
  peerd bench --plot latency.svg                 # latencies over the load, as a chart
  peerd bench --pairs 1000 --receivers 1         # a thousand users write to one
  peerd bench --baseline                         # compared with minimal responders

A sender may send limits.messages_per_second (10), so 1,000 pairs reach 10,000 a second at most. \
Messages beyond the limit are refused and counted as refused; without --rate, other senders send \
meanwhile. If the limit bounds the load, a warning says so: use more pairs, or raise the limit in \
the configuration of the measured peerd. Ctrl-C ends a run early; the figures so far are printed.

Exit codes: 0 done; 1 something failed, or the run was interrupted: the figures so far are \
printed; 64 a wrong configuration or option; 69 NATS could not be used.";

/// How long the instances may take to report their build profiles.
const INSTANCES_ANSWER: Duration = Duration::from_secs(1);

/// Why figures are missing: the exit code and a sentence.
struct Failure {
    exit_code: u8,
    text: String,
}

impl From<NoUse> for Failure {
    fn from(NoUse { exit_code, text }: NoUse) -> Self {
        Self { exit_code, text }
    }
}

impl From<Problem> for Failure {
    fn from(Problem { cause, text }: Problem) -> Self {
        let exit_code = match cause {
            Cause::Configuration => EXIT_CONFIGURATION,
            Cause::Unavailable => EXIT_UNAVAILABLE,
            Cause::Failed => EXIT_FAILURE,
        };
        Self { exit_code, text }
    }
}

impl Failure {
    fn new(exit_code: u8, text: impl std::fmt::Display) -> Self {
        Self { exit_code, text: text.to_string() }
    }
}

pub(super) async fn run(
    settings: Settings,
    responder_arguments: Vec<OsString>,
    arguments: Arguments,
) -> ExitCode {
    match measure(&settings, responder_arguments, arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { exit_code, text }) => complain(exit_code, &text),
    }
}

/// Measures, and prints the figures also after a failure.
async fn measure(
    settings: &Settings,
    responder_arguments: Vec<OsString>,
    arguments: Arguments,
) -> Result<(), Failure> {
    arguments.check(settings.node.limits.text_bytes)?;
    let (plot, as_json) = (arguments.plot.clone(), arguments.json);
    let setup = prepare(settings, responder_arguments, arguments.connections).await?;
    let Outcome { report, problem } = Box::pin(peerd_bench::run(setup, arguments)).await?;
    if as_json {
        print_json(&report).map_err(|error| Failure::new(EXIT_FAILURE, error))?;
    } else {
        print(report.text(layout).trim_end());
    }
    if let Some(file) = plot {
        let svg = report.svg()?;
        let failed = |error| Failure::new(EXIT_FAILURE, format!("{}: {error}", file.display()));
        std::fs::write(&file, svg).map_err(failed)?;
    }
    problem.map_or(Ok(()), |problem| Err(problem.into()))
}

/// Connects, and looks up the deployment.
async fn prepare(
    settings: &Settings,
    responder_arguments: Vec<OsString>,
    connections: usize,
) -> Result<Setup, Failure> {
    let connect = async |name: &str| Connected::new(settings, name).await;
    let connected = connect("peerd bench").await?;
    let control = connected.client();
    let mut calls = Vec::new();
    for _ in 0..connections {
        calls.push(connect("peerd bench calls").await?.client());
    }
    let events = connect("peerd bench events").await?.client();
    let deployment = connected.allowed(deployment(&control, settings)).await??;
    let forbidden =
        Box::pin(async move { Problem::new(Cause::Unavailable, connected.forbidden().await.text) });
    let responders = Responders {
        arguments: responder_arguments,
        limit_left_out: plain_server(&settings.nats, &control.server_info()).err(),
    };
    let connections = Connections { control, calls, events };
    Ok(Setup { deployment, connections, responders, forbidden })
}

async fn deployment(client: &Client, settings: &Settings) -> Result<Deployment, Failure> {
    let names = StreamNames::new(&settings.subject_prefix);
    let soon = Instant::now() + STORE_TIMEOUT;
    let unavailable = |text: String| Failure::new(EXIT_UNAVAILABLE, text);
    let bucket = survey::stream(client, &names.owners(), soon).await;
    let bucket = bucket.map_err(|unseen| {
        let (bucket, prefix) = (names.owners_bucket(), &settings.subject_prefix);
        unavailable(format!("bucket {bucket} of subject_prefix {prefix:?} {unseen}"))
    })?;
    let entries = owners::entries(client, &names, soon).await;
    let entries = entries.map_err(|error| unavailable(error.to_string()))?;
    let members = entries.iter().filter_map(|(key, _)| match key {
        Key::Member(id) => Some(id.as_str()),
        Key::Owner(_) | Key::Published(_) => None,
    });
    let deadline = Instant::now() + INSTANCES_ANSWER;
    let answers = discovery::ask(client, &settings.subject_prefix, members.collect(), deadline);
    // Without an answer the report does not name builds; the figures are valid.
    let answers = answers.await.unwrap_or_default();
    Ok(Deployment {
        subject_prefix: settings.subject_prefix.clone(),
        nats_servers: settings.nats.servers.clone(),
        log_streams: logs(&names, bucket.partitions.unwrap_or(settings.partitions)).collect(),
        processes: processes(&entries).into_iter().collect(),
        builds: answers.iter().filter_map(|answer| answer.build().map(str::to_owned)).collect(),
        messages_per_second: settings.node.limits.messages_per_second,
        call_deadline: settings.node.call_deadline,
    })
}

/// The log streams of all partitions.
fn logs(names: &StreamNames, partitions: u16) -> impl Iterator<Item = String> {
    (0..partitions).map(|number| names.of(StreamId::Log(Partition(number))))
}

/// The processes of the members, if all of them run on this machine; otherwise none.
fn processes(entries: &[(Key, Record)]) -> BTreeSet<u32> {
    let mut ids = BTreeSet::new();
    for (key, record) in entries {
        let Key::Member(_) = key else { continue };
        let Ok(member) = owners::decode::<Member>(&record.payload) else { return BTreeSet::new() };
        if !is_here(&member.process.realm) {
            return BTreeSet::new();
        }
        ids.insert(member.process.pid);
    }
    ids
}

/// Whether process IDs of this realm are of this machine; the user does not matter.
fn is_here(realm: &str) -> bool {
    let machine = |realm: &str| realm.rsplit_once(' ').map(|(machine, _)| machine.to_owned());
    machine(realm).is_some_and(|there| machine(&this().realm) == Some(there))
}

/// The layout of the command line's tables.
fn layout(head: &[&str], rows: Vec<Vec<String>>) -> String {
    let align = |place| if place == 0 { Align::Left } else { Align::Right };
    let head: Vec<_> =
        head.iter().enumerate().map(|(place, title)| (*title, align(place))).collect();
    columns(&head, rows)
}

/// The address and user of NATS for the limit; otherwise the feature that it does not support.
fn plain_server(nats: &NatsOptions, info: &ServerInfo) -> Result<limit::Server, String> {
    let left_out =
        |what: &str| Err(format!("it speaks plain TCP with a user and password, {what}"));
    if nats.credentials_file.is_some() || nats.token.is_some() || nats.nkey_seed_file.is_some() {
        return left_out("and other credentials are configured");
    }
    let servers: Result<Vec<ServerAddr>, _> =
        nats.servers.iter().map(|server| server.parse()).collect();
    let servers = servers.map_err(|error| error.to_string())?;
    let is_tls = |server: &ServerAddr| server.tls_required() || server.is_websocket();
    if nats.tls_required || info.tls_required || servers.iter().any(is_tls) {
        return left_out("and NATS is reached by TLS or WebSocket");
    }
    Ok(limit::Server {
        addresses: servers.iter().map(|server| (server.host().to_owned(), server.port())).collect(),
        user: nats.user_and_password.clone(),
        inbox_prefix: nats.inbox_prefix.clone(),
    })
}

/// `peerd bench-baseline`, which `peerd bench` starts.
pub(super) async fn serve_baseline(
    settings: Settings,
    arguments: responder::Arguments,
) -> ExitCode {
    let streams = connect_streams(&settings, &arguments).await;
    let client = Connected::new(&settings, "peerd bench baseline").await;
    let (streams, client) = match (streams, client) {
        (Ok(streams), Ok(connected)) => (streams, connected.client()),
        (Err(no_use), _) | (_, Err(no_use)) => return no_use.complain(),
    };
    let calls_under_way = settings.node.calls_under_way;
    let service = baseline::Service { streams, client, calls_under_way };
    served(baseline::serve(service, arguments).await)
}

/// `peerd bench-limit`, which `peerd bench` starts.
pub(super) async fn serve_limit(settings: Settings, arguments: responder::Arguments) -> ExitCode {
    let streams = match connect_streams(&settings, &arguments).await {
        Ok(streams) => streams,
        Err(no_use) => return no_use.complain(),
    };
    // If the server requires TLS, `peerd bench` does not start this.
    let server = match plain_server(&settings.nats, &ServerInfo::default()) {
        Ok(server) => server,
        Err(why) => return complain(EXIT_CONFIGURATION, &why),
    };
    let calls_under_way = settings.node.calls_under_way;
    served(limit::serve(limit::Service { streams, server, calls_under_way }, arguments).await)
}

/// The streams of a responder, on a connection of their own.
async fn connect_streams(
    settings: &Settings,
    arguments: &responder::Arguments,
) -> Result<Streams, NoUse> {
    let client = Connected::new(settings, "peerd bench streams").await?.client();
    let (theirs, ours) = (StreamNames::new(&arguments.like), StreamNames::new(&arguments.prefix));
    let partitions = settings.partitions;
    let names = logs(&theirs, partitions).zip(logs(&ours, partitions)).collect();
    Ok(Streams::new(client, names))
}

fn served(served: Result<(), String>) -> ExitCode {
    served.map_or_else(|problem| complain(EXIT_FAILURE, &problem), |()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_speaks_plain_tcp_with_a_user_and_password_or_without() {
        let nats = |server: &str| NatsOptions {
            servers: vec!["nats://one".to_owned(), server.to_owned()],
            ..NatsOptions::default()
        };
        let (plain, no_tls) = (nats("nats://two:4333"), ServerInfo::default());
        let server = plain_server(&plain, &no_tls).expect("plain TCP");
        assert_eq!(server.addresses, [("one".to_owned(), 4222), ("two".to_owned(), 4333)]);
        assert_eq!(server.user, None);
        let user = Some(("operator".to_owned(), "secret".to_owned()));
        let with_user = NatsOptions { user_and_password: user.clone(), ..plain.clone() };
        assert_eq!(plain_server(&with_user, &no_tls).map(|server| server.user), Ok(user));
        let tls = ServerInfo { tls_required: true, ..ServerInfo::default() };
        let why = "it speaks plain TCP with a user and password, and NATS is reached by TLS or \
                   WebSocket";
        let required = NatsOptions { tls_required: true, ..plain.clone() };
        for (options, info) in [
            (&plain, &tls),
            (&required, &no_tls),
            (&nats("tls://two"), &no_tls),
            (&nats("ws://two"), &no_tls),
        ] {
            assert_eq!(plain_server(options, info).err().as_deref(), Some(why));
        }
        let token = NatsOptions { token: Some("secret".to_owned()), ..plain.clone() };
        let file = NatsOptions { credentials_file: Some("peerd.creds".into()), ..plain };
        for options in [token, file] {
            let why = plain_server(&options, &no_tls).expect_err("other credentials");
            assert!(why.ends_with("and other credentials are configured"), "{why}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_realm_is_of_this_machine_for_every_user() {
        let realm = this().realm;
        let (machine, _) = realm.rsplit_once(' ').expect("a user");
        assert!(is_here(&realm) && is_here(&format!("{machine} 4711")));
        assert!(!is_here("") && !is_here("elsewhere pid:[1] 0"));
    }
}
