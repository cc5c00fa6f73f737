//! The report of `peerd bench` for programs.

use std::collections::BTreeSet;

use serde::Serialize;

use super::load::Measured;
use super::numbers::{Summary, median};
use super::process::Used;
use super::shared::Offer;
use super::tally::Refused;

/// The figures of a run. Its serialization is the output of `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this command.
    pub(super) release: &'static str,
    pub(super) setting: Setting,
    pub(super) loads: Vec<Load>,
    pub(super) left_behind: LeftBehind,
    /// Warnings about the figures; empty if there are none.
    pub(super) warnings: Vec<String>,
}

/// The setting that all loads share.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setting {
    /// The build profile of this command: `debug` or `release`.
    pub(super) build: &'static str,
    /// The build profiles of the instances, each once: `debug` or `release`; empty if unknown.
    pub(super) peerd_builds: BTreeSet<String>,
    pub(super) subject_prefix: String,
    pub(super) partitions: u16,
    pub(super) users: String,
    pub(super) pairs: usize,
    pub(super) receivers: usize,
    pub(super) payload_bytes: usize,
    pub(super) encoding: &'static str,
    /// Whether all events were subscribed to.
    pub(super) events: bool,
    pub(super) connections: usize,
    pub(super) warm_up_ms: u64,
    pub(super) duration_ms: u64,
}

/// One way of offering messages, in one or several rounds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Load {
    /// Messages in flight; `null` if a rate was offered.
    pub(super) in_flight: Option<usize>,
    /// Messages offered in each second; `null` for a fixed number in flight.
    pub(super) offered_per_second: Option<f64>,
    pub(super) rounds: Vec<Round>,
    /// The ratios of peerd's figures to those of the responders; `null` without any.
    pub(super) ratios: Option<Against>,
}

/// The responder of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Who {
    Peerd,
    /// The least work on the official client library.
    Baseline,
    /// The same work without a library.
    Limit,
}

impl Who {
    /// The name in reports, and in the names of commands and prefixes.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Peerd => "peerd",
            Self::Baseline => "baseline",
            Self::Limit => "limit",
        }
    }
}

/// The ratios of peerd's figures to those of each responder; `null` for one that was not measured.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Against {
    pub(super) baseline: Option<Ratios>,
    pub(super) limit: Option<Ratios>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Round {
    pub(super) of: Who,
    /// Messages that were due in the measured time and sent.
    pub(super) sent: u64,
    /// Answers of acceptance in the measured time.
    pub(super) accepted: u64,
    pub(super) accepted_per_second: f64,
    /// The time from when a message was due to its answer; `null` if none was accepted.
    pub(super) reply: Option<Summary>,
    /// The time from when a message was due until its receiver had the event; `null` without
    /// subscribers.
    pub(super) received: Option<Summary>,
    pub(super) refused: Vec<Refused>,
    /// All refused messages, per second.
    #[serde(skip)]
    pub(super) refused_per_second: f64,
    /// Events that were received.
    pub(super) events: u64,
    /// The time from when a message was due until it was sent.
    pub(super) lag: Option<Summary>,
    /// The processes of the responder; `null` if they are not visible.
    pub(super) service: Option<Used>,
    pub(super) nats_server: Option<Used>,
    /// This command.
    pub(super) load: Option<Used>,
    #[serde(skip)]
    pub(super) accepted_ever: u64,
}

/// The ratio of a figure of peerd to that of another responder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ratio {
    /// The median of peerd's rounds over the median of the other's.
    pub(super) of_medians: f64,
    /// The lowest and the highest ratio of neighbouring rounds.
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

/// The ratios; each is `null` if one side lacks the figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ratios {
    pub(super) throughput: Option<Ratio>,
    pub(super) service_cpu_per_message: Option<Ratio>,
    pub(super) nats_server_cpu_per_message: Option<Ratio>,
    pub(super) reply_p50: Option<Ratio>,
    pub(super) reply_p99: Option<Ratio>,
    pub(super) reply_p999: Option<Ratio>,
    pub(super) received_p50: Option<Ratio>,
    pub(super) received_p99: Option<Ratio>,
    pub(super) received_p999: Option<Ratio>,
}

/// The data that a run leaves in the deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeftBehind {
    /// Messages that were stored.
    pub(super) messages: u64,
    /// Users whose names begin with the given prefix.
    pub(super) users: u64,
}

impl Round {
    pub(super) fn new(of: Who, measured: &Measured) -> Self {
        let (tally, window) = (&measured.tally, measured.window);
        let refused = tally.refused();
        Self {
            of,
            sent: tally.sent,
            accepted: tally.accepted,
            accepted_per_second: window.per_second(tally.accepted),
            reply: tally.reply.summary(),
            received: measured.received.summary(),
            refused_per_second: window.per_second(refused.iter().map(|line| line.count).sum()),
            refused,
            events: measured.events,
            lag: tally.lag.summary(),
            service: measured.responder,
            nats_server: measured.nats,
            load: measured.load,
            accepted_ever: tally.accepted_ever,
        }
    }
}

impl Load {
    pub(super) fn new(offer: Offer, rounds: Vec<Round>) -> Self {
        let (in_flight, offered_per_second) = match offer {
            Offer::InFlight(count) => (Some(count), None),
            Offer::PerSecond(rate) => (None, Some(rate)),
        };
        let against = Against {
            baseline: Ratios::over(Who::Baseline, &rounds),
            limit: Ratios::over(Who::Limit, &rounds),
        };
        let has_any = against.baseline.is_some() || against.limit.is_some();
        Self { in_flight, offered_per_second, rounds, ratios: has_any.then_some(against) }
    }

    /// The messages that peerd refused with a code, in all rounds.
    pub(super) fn refused_with(&self, code: u32) -> u64 {
        let of_peerd = self.rounds.iter().filter(|round| round.of == Who::Peerd);
        let lines = of_peerd.flat_map(|round| &round.refused);
        lines.filter(|line| line.code == code).map(|line| line.count).sum()
    }

    /// The median of a figure over the rounds of one side.
    pub(super) fn median(&self, of: Who, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        middle(&self.rounds, of, figure)
    }
}

fn middle(rounds: &[Round], of: Who, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    median(rounds.iter().filter(|round| round.of == of).filter_map(figure))
}

impl Ratios {
    /// The ratios of peerd's figures to those of `other`; `None` if that has no rounds.
    fn over(other: Who, rounds: &[Round]) -> Option<Self> {
        use super::numbers::float;
        if rounds.iter().all(|round| round.of != other) {
            return None;
        }
        let ratio = |figure: &dyn Fn(&Round) -> Option<f64>| Ratio::over(other, rounds, figure);
        let reply = |us: fn(&Summary) -> u64| ratio(&|round| Some(float(us(&round.reply?))));
        let received = |us: fn(&Summary) -> u64| ratio(&|round| Some(float(us(&round.received?))));
        Some(Self {
            throughput: ratio(&|round| Some(round.accepted_per_second)),
            service_cpu_per_message: ratio(&|round| round.service?.cpu_us_per_message),
            nats_server_cpu_per_message: ratio(&|round| round.nats_server?.cpu_us_per_message),
            reply_p50: reply(|summary| summary.p50_us),
            reply_p99: reply(|summary| summary.p99_us),
            reply_p999: reply(|summary| summary.p999_us),
            received_p50: received(|summary| summary.p50_us),
            received_p99: received(|summary| summary.p99_us),
            received_p999: received(|summary| summary.p999_us),
        })
    }
}

impl Ratio {
    fn over(other: Who, rounds: &[Round], figure: &dyn Fn(&Round) -> Option<f64>) -> Option<Self> {
        let side = |of| rounds.iter().filter(move |round| round.of == of).map(figure);
        let quotient = |peerd: f64, other: f64| (other > 0.0).then(|| peerd / other);
        let of_medians =
            quotient(middle(rounds, Who::Peerd, figure)?, middle(rounds, other, figure)?)?;
        // Rounds alternate, so that neighbouring ones had similar conditions.
        let pairs = side(Who::Peerd).zip(side(other));
        let each: Vec<f64> = pairs.filter_map(|(peerd, other)| quotient(peerd?, other?)).collect();
        let lowest = each.iter().copied().fold(of_medians, f64::min);
        let highest = each.iter().copied().fold(of_medians, f64::max);
        Some(Self { of_medians, lowest, highest })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn round(of: Who, accepted_per_second: f64, p50_us: u64) -> Round {
        let reply = Summary {
            count: 9,
            p50_us,
            p90_us: 2 * p50_us,
            p99_us: 3 * p50_us,
            p999_us: 4 * p50_us,
            max_us: 5 * p50_us,
        };
        Round {
            of,
            sent: 9,
            accepted: 9,
            accepted_per_second,
            reply: Some(reply),
            received: None,
            refused: Vec::new(),
            refused_per_second: accepted_per_second / 10.0,
            events: 36,
            lag: None,
            service: None,
            nats_server: None,
            load: None,
            accepted_ever: 9,
        }
    }

    pub(crate) fn report(loads: Vec<Load>) -> Report {
        let setting = Setting {
            build: "release",
            peerd_builds: BTreeSet::from(["release".to_owned()]),
            subject_prefix: "peer".to_owned(),
            partitions: 8,
            users: "bench".to_owned(),
            pairs: 4,
            receivers: 2,
            payload_bytes: 60,
            encoding: "application/json",
            events: true,
            connections: 2,
            warm_up_ms: 1000,
            duration_ms: 2000,
        };
        Report {
            release: "0.0.0",
            setting,
            loads,
            left_behind: LeftBehind { messages: 7, users: 6 },
            warnings: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_of_medians_and_their_spread_of_neighbours() {
        let rounds = [
            (Who::Peerd, 90.0, 100),
            (Who::Baseline, 100.0, 100),
            (Who::Limit, 180.0, 50),
            (Who::Peerd, 80.0, 120),
            (Who::Baseline, 160.0, 100),
            (Who::Limit, 200.0, 50),
            (Who::Peerd, 99.0, 110),
            (Who::Baseline, 90.0, 50),
            (Who::Limit, 200.0, 50),
        ];
        let rounds = rounds.map(|(of, rate, p50_us)| round(of, rate, p50_us)).to_vec();
        let load = Load::new(Offer::InFlight(9), rounds);
        let against = load.ratios.expect("there are two responders");
        let ratios = against.baseline.expect("it was measured");
        let throughput = ratios.throughput.expect("both have one");
        assert_eq!(throughput, Ratio { of_medians: 0.9, lowest: 0.5, highest: 1.1 });
        let p50 = ratios.reply_p50.expect("both have one");
        assert_eq!(p50, Ratio { of_medians: 1.1, lowest: 1.0, highest: 2.2 });
        assert_eq!(ratios.reply_p99, Some(p50));
        assert_eq!(ratios.reply_p999, Some(p50));
        assert_eq!((ratios.received_p50, ratios.service_cpu_per_message), (None, None));
        let limit = against.limit.and_then(|ratios| ratios.throughput).expect("it was measured");
        assert_eq!(limit, Ratio { of_medians: 0.45, lowest: 0.4, highest: 0.5 });
        let peerds = load.median(Who::Peerd, |round| Some(round.accepted_per_second));
        assert_eq!((peerds, load.in_flight, load.offered_per_second), (Some(90.0), Some(9), None));
    }

    #[test]
    fn without_another_responder_there_is_no_ratio() {
        let load = Load::new(Offer::PerSecond(5.0), vec![round(Who::Peerd, 5.0, 1)]);
        assert_eq!((load.ratios, load.offered_per_second), (None, Some(5.0)));
        let idle = vec![round(Who::Peerd, 5.0, 1), round(Who::Baseline, 0.0, 1)];
        let against = Load::new(Offer::PerSecond(5.0), idle).ratios.expect("there is a baseline");
        let ratios = against.baseline.expect("it was measured");
        assert_eq!(ratios.throughput, None, "there is nothing to compare with");
        assert_eq!(against.limit, None);
    }
}
