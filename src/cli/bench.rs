//! `peerd bench`: how much a deployment takes, and how fast.

mod budget;
mod closed;
pub(super) mod floor;
mod load;
mod marker;
mod numbers;
mod open;
mod plot;
mod process;
mod report;
mod schedule;
mod session;
mod sizes;
mod table;
mod tally;
mod users;

use std::collections::{BTreeSet, VecDeque};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::ValueEnum;

use self::load::{Offer, Plan};
use self::numbers::{count, float};
use self::report::{Load, Report, Setting, Who};
use self::session::Session;
use super::connection::NoUse;
use super::{EXIT_CONFIGURATION, EXIT_FAILURE, complain, print, print_json};
use crate::runtime::daemon::Settings;
use peerd_protocol::discovery::THIS_BUILD;
use peerd_protocol::encoding::Encoding;

pub(super) const HELP: &str = "\
The load runs against the peerd that serves the configured NATS; its NATS user needs what the \
operator has in deploy/nats/users.conf, and with --floor must be one who may do everything. It logs \
in users of its own, and messages that were sent stay: do not run it where that matters.

  peerd bench                                    # as many messages as 256 in flight come to
  peerd bench --rate 2000                        # latencies at 2,000 messages a second
  peerd bench --plot latency.svg                 # latencies over the load, as a picture
  peerd bench --pairs 1000 --receivers 1         # a thousand users write to one

A sender may send limits.messages_per_second (10); so 1,000 pairs take 10,000 a second at most. What a \
sender sends beyond that is refused, and counted as refused; with so many in flight, other senders \
send meanwhile. Where that bounds the load, a warning says so: ask for more pairs, or raise the limit \
in the configuration of a peerd that is there to be measured. Ctrl-C ends it early; the figures up to \
then are printed.

Exit codes: 0 done; 1 something failed or it was interrupted, what was measured before is printed all \
the same; 64 a wrong configuration or option; 69 NATS could not be used.";

/// Share of the top rate that each point of a picture offers, in percent.
const PICTURE_PERCENT: [u32; 10] = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100];
/// How much longer than peerd's own deadline an answer may take.
const GRACE: Duration = Duration::from_secs(2);
/// Rounds of peerd and of the floor.
const ROUNDS: usize = 5;

/// What to offer, and what to show.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Senders, each of whom writes to a receiver.
    #[arg(long, default_value_t = 4096, value_name = "N")]
    pairs: usize,
    /// Receivers, whom the senders share; as many as pairs if left out.
    #[arg(long, value_name = "N")]
    receivers: Option<usize>,
    /// Messages under way at the same time: the next one is sent when an answer came.
    #[arg(long, default_value_t = 256, value_name = "N", conflicts_with = "rate")]
    in_flight: usize,
    /// Messages a second, whatever the answers do; latencies count from when each was due. Several
    /// rates, with commas between, one after another.
    #[arg(long, value_name = "PER_SECOND", value_delimiter = ',')]
    rate: Vec<f64>,
    /// Bytes of each message's text.
    #[arg(long, default_value_t = 60, value_name = "BYTES")]
    payload: usize,
    /// How messages are written.
    #[arg(long, default_value = "msgpack")]
    encoding: BodyEncoding,
    /// Do not listen to what users are told: nats-server then delivers it to nobody.
    #[arg(long)]
    no_events: bool,
    /// Seconds that are measured: 10, 10s, 500ms, 2m.
    #[arg(long, default_value = "10s", value_parser = duration)]
    duration: Duration,
    /// Seconds before that which are not.
    #[arg(long, default_value = "2s", value_parser = duration)]
    warm_up: Duration,
    /// Measure the floor too, a service that knows nothing: it stores each message and tells as much
    /// about it as peerd does. Rounds of both alternate.
    #[arg(long)]
    floor: bool,
    /// How often each load is measured; 1 if left out, 5 with a floor.
    #[arg(long, value_name = "N")]
    rounds: Option<usize>,
    /// Connections that the messages are sent on.
    #[arg(long, default_value_t = 2, value_name = "N")]
    connections: usize,
    /// What the names of the users begin with.
    #[arg(long, default_value = "bench", value_name = "PREFIX")]
    users: String,
    /// The process of a nats-server, for its CPU time and memory; found by itself where it listens on
    /// this machine's loopback.
    #[arg(long, value_name = "PID")]
    nats_pid: Vec<u32>,
    /// A picture (SVG) of latencies over the offered load. Without --rate, ten shares of what the
    /// deployment was found to take.
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// One JSON object, for programs.
    #[arg(long)]
    json: bool,
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
#[derive(Debug)]
struct Problem {
    exit_code: u8,
    text: String,
}

impl From<NoUse> for Problem {
    fn from(NoUse { exit_code, text }: NoUse) -> Self {
        Self { exit_code, text }
    }
}

impl Problem {
    fn new(exit_code: u8, text: impl std::fmt::Display) -> Self {
        Self { exit_code, text: text.to_string() }
    }
}

pub(super) async fn run(
    settings: Settings,
    source: Vec<OsString>,
    arguments: Arguments,
) -> ExitCode {
    match measure(settings, source, arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem { exit_code, text }) => complain(exit_code, &text),
    }
}

/// Measures, and shows what was measured also where something failed on the way.
async fn measure(
    settings: Settings,
    source: Vec<OsString>,
    arguments: Arguments,
) -> Result<(), Problem> {
    arguments.check(&settings)?;
    let plot = arguments.plot.clone();
    let as_json = arguments.json;
    let mut session = Session::begin(settings, source, arguments).await?;
    let (loads, problem) = loads(&mut session).await;
    let left_behind = session.end().await;
    let report = Report {
        release: env!("CARGO_PKG_VERSION"),
        setting: session.setting(),
        loads,
        left_behind,
        warnings: std::mem::take(&mut session.warnings),
    };
    if as_json {
        print_json(&report).map_err(|error| Problem::new(EXIT_FAILURE, error))?;
    } else {
        print(table::text(&report).trim_end());
    }
    if let Some(file) = plot {
        let svg = plot::svg(&report).map_err(|error| Problem::new(EXIT_FAILURE, error))?;
        let failed = |error| Problem::new(EXIT_FAILURE, format!("{}: {error}", file.display()));
        std::fs::write(&file, svg).map_err(failed)?;
    }
    problem.map_or(Ok(()), Err)
}

/// Measures all that was asked for, or what was measured until a problem, and that.
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

/// The rates that a picture shows, by what the deployment was found to take; none if it took nothing.
fn shares(load: &Load) -> Vec<Offer> {
    let top = load.median(Who::Peerd, |round| Some(round.accepted_per_second));
    let rate = |top: f64, percent| Offer::PerSecond(top * f64::from(percent) / 100.0);
    let Some(top) = top.filter(|top| *top > 0.0) else { return Vec::new() };
    PICTURE_PERCENT.into_iter().map(|percent| rate(top, percent)).collect()
}

/// What a figure of a debug build must be read with.
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
    fn check(&self, settings: &Settings) -> Result<(), Problem> {
        let refuse = |text: &str| Err(Problem::new(EXIT_CONFIGURATION, text));
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
        let limits = &settings.node.limits;
        if self.payload == 0 || self.payload > limits.text_bytes {
            let text = format!("--payload is 1 to {} (limits.text_bytes)", limits.text_bytes);
            return refuse(&text);
        }
        if let Some(file) = &self.plot {
            // Before anything is measured, and without a change to a picture that is there.
            let is_new = !file.exists();
            let opened = std::fs::OpenOptions::new().append(true).create(true).open(file);
            if let Err(error) = opened {
                return refuse(&format!("--plot {}: {error}", file.display()));
            }
            if is_new {
                // It is not needed if nothing is measured.
                let _ = std::fs::remove_file(file);
            }
        }
        Ok(())
    }

    fn receivers(&self) -> usize {
        self.receivers.unwrap_or(self.pairs)
    }

    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(if self.floor { ROUNDS } else { 1 })
    }

    fn plan(&self, offer: Offer, settings: &Settings) -> Plan {
        Plan {
            offer,
            warm_up: self.warm_up,
            duration: self.duration,
            patience: settings.node.call_deadline + GRACE,
            events: !self.no_events,
        }
    }

    fn setting(
        &self,
        subject_prefix: &str,
        partitions: u16,
        peerd_builds: &BTreeSet<String>,
    ) -> Setting {
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Setting {
            build: THIS_BUILD,
            peerd_builds: peerd_builds.clone(),
            subject_prefix: subject_prefix.to_owned(),
            partitions,
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

/// Says that the rate of the senders bounded a load, and what to do.
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
         most.{needed} Ask for more --pairs, or raise the limit for a peerd that is there to be \
         measured"
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
        assert!(text.contains("8 in flight: 7 messages") && text.contains("at most. Ask for more"));
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
