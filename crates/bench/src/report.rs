//! What `peerd bench` tells, as programs read it.

use std::collections::BTreeSet;

use serde::Serialize;

use super::load::{Measured, Offer};
use super::numbers::{Summary, median};
use super::process::Used;
use super::tally::Refused;

/// The figures of a run; serialized, what `--json` prints.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Of this command.
    pub(super) release: &'static str,
    pub(super) setting: Setting,
    pub(super) loads: Vec<Load>,
    pub(super) left_behind: LeftBehind,
    /// What the figures must be read with, as text; empty when there is nothing.
    pub(super) warnings: Vec<String>,
}

/// What all loads have in common.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Setting {
    /// Of this command: `debug` or `release`.
    pub(super) build: &'static str,
    /// Of the instances, each once: `debug` or `release`; empty when none said.
    pub(super) peerd_builds: BTreeSet<String>,
    pub(super) subject_prefix: String,
    pub(super) partitions: u16,
    pub(super) users: String,
    pub(super) pairs: usize,
    pub(super) receivers: usize,
    pub(super) payload_bytes: usize,
    pub(super) encoding: &'static str,
    /// Whether all events were listened to.
    pub(super) events: bool,
    pub(super) connections: usize,
    pub(super) warm_up_ms: u64,
    pub(super) duration_ms: u64,
}

/// One way of offering messages, in one or several rounds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Load {
    /// Messages under way at the same time; `null` where a rate was offered.
    pub(super) in_flight: Option<usize>,
    /// Messages offered in each second; `null` where it was as many as were answered.
    pub(super) offered_per_second: Option<f64>,
    pub(super) rounds: Vec<Round>,
    /// peerd's figures over the floor's; `null` without a floor.
    pub(super) ratios: Option<Ratios>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Who {
    Peerd,
    #[serde(rename = "floor")]
    Baseline,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Round {
    pub(super) of: Who,
    /// Messages that were due in the measured time and were sent.
    pub(super) sent: u64,
    /// Answers in the measured time that a message was accepted.
    pub(super) accepted: u64,
    pub(super) accepted_per_second: f64,
    /// From when a message was due to its answer; `null` when none was accepted.
    pub(super) reply: Option<Summary>,
    /// From when a message was due until its receiver had the event; `null` where nobody listened.
    pub(super) received: Option<Summary>,
    pub(super) refused: Vec<Refused>,
    /// All of these, in each second.
    #[serde(skip)]
    pub(super) refused_per_second: f64,
    /// Events that were heard.
    pub(super) events: u64,
    /// How long after it was due a message was sent.
    pub(super) lag: Option<Summary>,
    /// The service's processes: peerd, or the floor. `null` where they cannot be seen.
    pub(super) service: Option<Used>,
    pub(super) nats_server: Option<Used>,
    /// The command itself.
    pub(super) load: Option<Used>,
    #[serde(skip)]
    pub(super) accepted_ever: u64,
}

/// A figure of peerd over the same of the floor.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ratio {
    /// The median of peerd's rounds over the median of the floor's.
    pub(super) of_medians: f64,
    /// The lowest and the highest of a round of peerd over the round of the floor beside it.
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

/// Each is `null` where one side has no such figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ratios {
    pub(super) throughput: Option<Ratio>,
    pub(super) reply_p50: Option<Ratio>,
    pub(super) reply_p99: Option<Ratio>,
    pub(super) received_p50: Option<Ratio>,
    pub(super) received_p99: Option<Ratio>,
    pub(super) service_cpu_per_message: Option<Ratio>,
    pub(super) nats_server_cpu_per_message: Option<Ratio>,
}

/// What a run leaves in the deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LeftBehind {
    /// Messages that were stored.
    pub(super) messages: u64,
    /// Users whose names begin with the prefix that was given.
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
        let has_floor = rounds.iter().any(|round| round.of == Who::Baseline);
        let ratios = has_floor.then(|| Ratios::of(&rounds));
        Self { in_flight, offered_per_second, rounds, ratios }
    }

    /// How many messages peerd refused with that code, in all rounds.
    pub(super) fn refused_with(&self, code: u32) -> u64 {
        let of_peerd = self.rounds.iter().filter(|round| round.of == Who::Peerd);
        let lines = of_peerd.flat_map(|round| &round.refused);
        lines.filter(|line| line.code == code).map(|line| line.count).sum()
    }

    /// The median of a figure of the rounds of one side.
    pub(super) fn median(&self, of: Who, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
        middle(&self.rounds, of, figure)
    }
}

fn middle(rounds: &[Round], of: Who, figure: impl Fn(&Round) -> Option<f64>) -> Option<f64> {
    median(rounds.iter().filter(|round| round.of == of).filter_map(figure))
}

impl Ratios {
    fn of(rounds: &[Round]) -> Self {
        use super::numbers::float;
        let ratio = |figure: fn(&Round) -> Option<f64>| Ratio::of(rounds, figure);
        Self {
            throughput: ratio(|round| Some(round.accepted_per_second)),
            reply_p50: ratio(|round| round.reply.map(|reply| float(reply.p50_us))),
            reply_p99: ratio(|round| round.reply.map(|reply| float(reply.p99_us))),
            received_p50: ratio(|round| round.received.map(|received| float(received.p50_us))),
            received_p99: ratio(|round| round.received.map(|received| float(received.p99_us))),
            service_cpu_per_message: ratio(|round| round.service?.cpu_us_per_message),
            nats_server_cpu_per_message: ratio(|round| round.nats_server?.cpu_us_per_message),
        }
    }
}

impl Ratio {
    fn of(rounds: &[Round], figure: fn(&Round) -> Option<f64>) -> Option<Self> {
        let side = |of| rounds.iter().filter(move |round| round.of == of).map(figure);
        let quotient = |peerd: f64, floor: f64| (floor > 0.0).then(|| peerd / floor);
        let of_medians =
            quotient(middle(rounds, Who::Peerd, figure)?, middle(rounds, Who::Baseline, figure)?)?;
        // Rounds alternate, so that two beside each other met the same machine.
        let pairs = side(Who::Peerd).zip(side(Who::Baseline));
        let each: Vec<f64> = pairs.filter_map(|(peerd, floor)| quotient(peerd?, floor?)).collect();
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
            (Who::Peerd, 80.0, 120),
            (Who::Baseline, 160.0, 100),
            (Who::Peerd, 99.0, 110),
            (Who::Baseline, 90.0, 50),
        ];
        let rounds = rounds.map(|(of, rate, p50_us)| round(of, rate, p50_us)).to_vec();
        let load = Load::new(Offer::InFlight(9), rounds);
        let ratios = load.ratios.expect("there is a floor");
        let throughput = ratios.throughput.expect("both have one");
        assert_eq!(throughput, Ratio { of_medians: 0.9, lowest: 0.5, highest: 1.1 });
        let p50 = ratios.reply_p50.expect("both have one");
        assert_eq!(p50, Ratio { of_medians: 1.1, lowest: 1.0, highest: 2.2 });
        assert_eq!(ratios.reply_p99, Some(p50));
        assert_eq!((ratios.received_p50, ratios.service_cpu_per_message), (None, None));
        let peerds = load.median(Who::Peerd, |round| Some(round.accepted_per_second));
        assert_eq!((peerds, load.in_flight, load.offered_per_second), (Some(90.0), Some(9), None));
    }

    #[test]
    fn without_a_floor_there_is_no_ratio() {
        let load = Load::new(Offer::PerSecond(5.0), vec![round(Who::Peerd, 5.0, 1)]);
        assert_eq!((load.ratios, load.offered_per_second), (None, Some(5.0)));
        let idle = vec![round(Who::Peerd, 5.0, 1), round(Who::Baseline, 0.0, 1)];
        let ratios = Load::new(Offer::PerSecond(5.0), idle).ratios.expect("there is a floor");
        assert_eq!(ratios.throughput, None, "there is nothing to compare with");
    }
}
