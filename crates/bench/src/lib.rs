//! The load generator of `peerd bench`: measures throughput and latencies of a deployment.
//!
//! It is a client of the contract. Knowledge that only the daemon has (configuration, connections,
//! owners of partitions, names of streams, layout of tables) is passed in as plain values:
//! [`Setup`], [`Deployment`], [`baseline::Service`], [`limit::Service`].

pub mod baseline;
mod budget;
mod closed;
pub mod limit;
mod load;
mod marker;
mod numbers;
mod open;
mod places;
mod plot;
mod process;
mod report;
pub mod responder;
mod schedule;
mod session;
mod shared;
mod sizes;
mod table;
mod tally;
mod users;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use async_nats::Client;
use clap::ValueEnum;
use peerd_protocol::discovery::THIS_BUILD;
use peerd_protocol::encoding::Encoding;

use self::numbers::{count, float};
pub use self::report::Report;
use self::report::{Load, Setting, Who};
use self::session::Session;
use self::shared::{Offer, Plan};
pub use self::table::Layout;

/// The shares of the top rate that the points of a chart offer, in percent.
const PICTURE_PERCENT: [u32; 10] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// How much longer than peerd's own deadline an answer may take.
const GRACE: Duration = Duration::from_secs(2);
/// Rounds of peerd and of each responder compared with it.
const ROUNDS: usize = 5;

/// The options of `peerd bench`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The number of senders, each with a receiver.
    #[arg(long, default_value_t = 4096, value_name = "N")]
    pairs: usize,
    /// The number of receivers, which the senders share; as many as pairs if left out.
    #[arg(long, value_name = "N")]
    receivers: Option<usize>,
    /// Take receivers from this partition only.
    #[arg(long, value_name = "NUMBER")]
    partition: Option<u16>,
    /// Messages in flight: each answer makes room for the next message.
    #[arg(long, default_value_t = 256, value_name = "N", conflicts_with = "rate")]
    in_flight: usize,
    /// Messages a second, independent of the answers; a latency counts from the time at which its
    /// message was due. Several rates, separated by commas, are measured one after another.
    #[arg(long, value_name = "PER_SECOND", value_delimiter = ',')]
    rate: Vec<f64>,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 60, value_name = "BYTES")]
    payload: usize,
    /// The encoding of messages.
    #[arg(long, default_value = "msgpack")]
    encoding: BodyEncoding,
    /// Do not subscribe to the users' events, so that nats-server does not deliver them.
    #[arg(long)]
    no_events: bool,
    /// The measured time: 10, 10s, 500ms, 2m.
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// The time before it, which is not measured.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// Measure the baseline and the limit too: responders that do the minimum for a message, on the
    /// official client library and without one. Rounds alternate.
    #[arg(long, alias = "floor")]
    baseline: bool,
    /// The number of rounds of each load; 1 if left out, 5 with --baseline.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// The number of connections on which messages are sent.
    #[arg(long, default_value_t = 2, value_name = "N")]
    pub connections: usize,
    /// The prefix of the users' names.
    #[arg(long, default_value = "bench", value_name = "PREFIX")]
    users: String,
    /// The process ID of a nats-server, for its CPU time and memory. A nats-server that listens on
    /// this machine's loopback is found without it.
    #[arg(long, value_name = "PID")]
    nats_pid: Vec<u32>,
    /// Draw a chart (SVG) of latencies over the offered load: the rates of --rate, or ten fractions
    /// of the measured throughput.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// One JSON object, for programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum BodyEncoding {
    /// `MessagePack`.
    Msgpack,
    /// JSON.
    Json,
}

impl From<BodyEncoding> for Encoding {
    fn from(encoding: BodyEncoding) -> Self {
        match encoding {
            BodyEncoding::Msgpack => Self::MessagePack,
            BodyEncoding::Json => Self::Json,
        }
    }
}

/// `10`, `10s`, `500ms`, `2m`.
fn duration(text: &str) -> Result<Duration, String> {
    let problem = || format!("{text:?} is not a time like 10s, 500ms or 2m");
    let unit_at = text.find(|letter: char| letter.is_ascii_alphabetic()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let ms_each = match unit {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        _ => return Err(problem()),
    };
    let number: u64 = number.parse().map_err(|_| problem())?;
    let ms = number.checked_mul(ms_each).filter(|ms| *ms <= DURATION_MAX_MS);
    ms.map(Duration::from_millis).ok_or_else(problem)
}

/// A day.
const DURATION_MAX_MS: u64 = 24 * 60 * 60 * 1000;

/// Why something was not measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The kind of the problem.
    pub cause: Cause,
    /// A sentence for people.
    pub text: String,
}

/// The kind of a problem, by who can solve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An option or the configuration is wrong: a person must act.
    Configuration,
    /// NATS could not be used.
    Unavailable,
    /// Something else failed, or the run was interrupted.
    Failed,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(cause: Cause, text: impl std::fmt::Display) -> Self {
        Self { cause, text: text.to_string() }
    }
}

/// The measured deployment.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// First token of every subject.
    pub subject_prefix: String,
    /// The configured addresses of NATS.
    pub nats_servers: Vec<String>,
    /// The log streams, by partition.
    pub log_streams: Vec<String>,
    /// The processes of the instances, if all of them run on this machine; otherwise none.
    pub processes: Vec<u32>,
    /// The build profiles that the instances report, each once: `debug` or `release`.
    pub builds: BTreeSet<String>,
    /// The configured limit of messages of a sender in a second.
    pub messages_per_second: usize,
    /// How long peerd may take for a call.
    pub call_deadline: Duration,
}

impl Deployment {
    fn partitions(&self) -> u16 {
        u16::try_from(self.log_streams.len()).unwrap_or(u16::MAX)
    }
}

/// The connections of a run, which are not shared.
#[derive(Debug)]
pub struct Connections {
    /// For everything besides the load: login, logout, look-ups.
    pub control: Client,
    /// For messages: [`Arguments::connections`] of them.
    pub calls: Vec<Client>,
    /// For events.
    pub events: Client,
}

/// The preparations of the command line for a run.
pub struct Setup {
    /// The measured deployment.
    pub deployment: Deployment,
    /// The connections.
    pub connections: Connections,
    /// The means for the processes of the baseline and of the limit.
    pub responders: Responders,
    /// Ends with a problem when NATS forbids an operation of [`Connections::control`].
    pub forbidden: Pin<Box<dyn Future<Output = Problem> + Send>>,
}

impl std::fmt::Debug for Setup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Setup").field("deployment", &self.deployment).finish_non_exhaustive()
    }
}

/// The means for the processes of the baseline and of the limit.
#[derive(Debug)]
pub struct Responders {
    /// Arguments with which this program, started as `bench-baseline` or `bench-limit`, finds the
    /// same NATS.
    pub arguments: Vec<OsString>,
    /// Why the limit cannot connect, if so: it speaks plain TCP with a user and a password.
    pub limit_left_out: Option<String>,
}

/// The result of a run, complete or not.
#[derive(Debug)]
pub struct Outcome {
    /// The figures.
    pub report: Report,
    /// The problem that ended it early.
    pub problem: Option<Problem>,
}

/// Measures, after [`Arguments::check`] has accepted the options.
pub async fn run(setup: Setup, arguments: Arguments) -> Result<Outcome, Problem> {
    let mut session = Session::begin(setup, arguments).await?;
    let (loads, problem) = loads(&mut session).await;
    let left_behind = session.end().await;
    let report = Report {
        release: env!("CARGO_PKG_VERSION"),
        setting: session.setting(),
        loads,
        left_behind,
        warnings: std::mem::take(&mut session.warnings),
    };
    Ok(Outcome { report, problem })
}

impl Report {
    /// The report for people.
    #[must_use]
    pub fn text(&self, layout: Layout) -> String {
        table::text(self, layout)
    }

    /// A chart of latencies over the offered load.
    pub fn svg(&self) -> Result<String, Problem> {
        plot::svg(self).map_err(|error| Problem::new(Cause::Failed, error))
    }
}

/// Measures all requested loads. Returns the finished ones with the problem that ended the run, if
/// any.
async fn loads(session: &mut Session) -> (Vec<Load>, Option<Problem>) {
    let arguments = &session.arguments;
    let is_picture = arguments.plot.is_some() && arguments.rate.is_empty();
    let mut offers: VecDeque<Offer> =
        arguments.rate.iter().copied().map(Offer::PerSecond).collect();
    if offers.is_empty() {
        offers.push_back(Offer::InFlight(arguments.in_flight));
    }
    let mut loads = Vec::new();
    while let Some(offer) = offers.pop_front() {
        let (load, problem) = session.load(offer).await;
        if is_picture && loads.is_empty() {
            offers.extend(shares(&load));
        }
        if !load.rounds.is_empty() {
            loads.push(load);
        }
        if problem.is_some() {
            return (loads, problem);
        }
    }
    (loads, None)
}

/// The rates of a chart, from the measured top rate; none if nothing was accepted.
fn shares(load: &Load) -> Vec<Offer> {
    let top = load.median(Who::Peerd, |round| Some(round.accepted_per_second));
    let rate = |top: f64, percent| Offer::PerSecond(top * f64::from(percent) / 100.0);
    let Some(top) = top.filter(|top| *top > 0.0) else { return Vec::new() };
    PICTURE_PERCENT.into_iter().map(|percent| rate(top, percent)).collect()
}

/// The warnings about debug builds.
fn build_warnings(this: &str, peerds: &BTreeSet<String>) -> Vec<String> {
    const DEBUG: &str = "debug";
    let mut warnings = Vec::new();
    if peerds.contains(DEBUG) {
        let some = if peerds.len() > 1 { "an instance of peerd" } else { "peerd" };
        warnings.push(format!(
            "{some} is a debug build: it is many times slower than a release build, which \
             `cargo build --release` makes"
        ));
    }
    if this == DEBUG {
        warnings.push("this command is a debug build: it may be slower than peerd".to_owned());
    }
    warnings
}

impl Arguments {
    /// Checks that the options allow a run. `text_bytes`: the longest text that peerd accepts.
    pub fn check(&self, text_bytes: usize) -> Result<(), Problem> {
        let refuse = |text: &str| Err(Problem::new(Cause::Configuration, text));
        let numbers =
            [self.pairs, self.receivers(), self.in_flight, self.connections, self.rounds()];
        if numbers.contains(&0) {
            return refuse("pairs, receivers, in flight, connections and rounds are 1 or more");
        }
        if self.receivers() > self.pairs {
            return refuse("there are more receivers than pairs");
        }
        if self.duration.is_zero() {
            return refuse("--duration must be longer than nothing");
        }
        if self.rate.iter().any(|rate| !rate.is_finite() || *rate <= 0.0 || *rate > RATE_MAX) {
            return refuse("--rate is more than 0 and at most 10000000");
        }
        if self.payload == 0 || self.payload > text_bytes {
            let text = format!("--payload is 1 to {text_bytes} (limits.text_bytes)");
            return refuse(&text);
        }
        if let Some(file) = &self.plot {
            // Before anything is measured, and without changing an existing file.
            let is_new = !file.exists();
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
            if let Err(error) = opened {
                return refuse(&format!("--plot {}: {error}", file.display()));
            }
            if is_new {
                // Not needed if nothing is measured.
                let _ = std::fs::remove_file(file);
            }
        }
        Ok(())
    }

    fn receivers(&self) -> usize {
        self.receivers.unwrap_or(self.pairs)
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.baseline { ROUNDS } else { 1 })
    }

    fn plan(&self, offer: Offer, deployment: &Deployment) -> Plan {
        Plan {
            offer,
            warm_up: self.warm_up,
            duration: self.duration,
            patience: deployment.call_deadline + GRACE,
            events: !self.no_events,
        }
    }

    fn setting(&self, deployment: &Deployment) -> Setting {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Setting {
            build: THIS_BUILD,
            peerd_builds: deployment.builds.clone(),
            subject_prefix: deployment.subject_prefix.clone(),
            partitions: deployment.partitions(),
            users: self.users.clone(),
            pairs: self.pairs,
            receivers: self.receivers(),
            payload_bytes: self.payload,
            encoding: Encoding::from(self.encoding).content_type(),
            events: !self.no_events,
            connections: self.connections,
            warm_up_ms: ms(self.warm_up),
            duration_ms: ms(self.duration),
        }
    }
}

/// More than any machine offers.
const RATE_MAX: f64 = 10_000_000.0;

/// The warning that the rate limit of senders bounded a load, with the remedy.
fn too_few(offer: Offer, refused: u64, pairs: usize, limit: usize) -> String {
    let most = float(count(pairs)) * float(count(limit));
    let (offered, needed) = match offer {
        Offer::InFlight(count) => (format!("{count} in flight"), String::new()),
        Offer::PerSecond(rate) => (
            format!("{rate:.0}/s offered"),
            format!(" {rate:.0} a second take {} pairs.", schedule::senders_for(rate, limit)),
        ),
    };
    format!(
        "{offered}: {refused} messages were refused for the rate of their senders, which bounds this \
         load. By this configuration each sender may send {limit} messages a second \
         (limits.messages_per_second), so that {pairs} pairs send {most:.0} a second at \
         most.{needed} Use more --pairs, or raise the limit in the configuration of the measured \
         peerd"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_units() {
        for (text, ms) in [("10", 10_000), ("10s", 10_000), ("500ms", 500), ("2m", 120_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "s", "1h", "-1s", "1.5s", "s1", "99999999m"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_load_that_senders_bound_says_how_many_pairs_it_takes() {
        let text = too_few(Offer::PerSecond(2000.0), 7, 100, 10);
        assert!(
            text.contains("100 pairs send 1000 a second at most. 2000 a second take 200 pairs.")
        );
        let text = too_few(Offer::InFlight(8), 7, 100, 10);
        assert!(text.contains("8 in flight: 7 messages") && text.contains("at most. Use more"));
    }

    #[test]
    fn a_picture_of_what_takes_nothing_has_no_rates() {
        let load = |rate| {
            let rounds = vec![report::tests::round(Who::Peerd, rate, 9)];
            shares(&Load::new(Offer::InFlight(8), rounds)).len()
        };
        assert_eq!((load(0.0), load(100.0)), (0, PICTURE_PERCENT.len()));
    }

    #[test]
    fn debug_builds_are_warned_of_on_both_sides() {
        let builds = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let count = |this, names: &[&str]| build_warnings(this, &builds(names)).len();
        assert_eq!(count("release", &[]), 0, "an older release does not say");
        assert_eq!(count("release", &["release"]), 0);
        assert_eq!(count("debug", &["release"]), 1);
        assert_eq!(count("debug", &["debug", "release"]), 2);
        assert!(build_warnings("release", &builds(&["debug"]))[0].starts_with("peerd is a debug"));
    }
}
