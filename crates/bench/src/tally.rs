//! The outcomes of messages: accepted ones with their latencies, and the reasons of the others.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{HeaderValue, Message, StatusCode};
use serde::{Deserialize, Serialize};

use super::numbers::{Latencies, Summary, float};
use peerd_protocol::encoding::{CONTENT_TYPE, Encoding, SERVICE_ERROR, SERVICE_ERROR_CODE};

/// Why a message was not accepted: code and reason of the answer; code 0 without a code.
pub(super) type Problem = (u32, String);

/// The reason of a missing answer.
const NO_ANSWER: &str = "no_answer";
/// The reason if there are no responders.
const NO_RESPONDERS: &str = "no_responders";
/// The code for a sender over its rate.
pub(super) const RATE_LIMITED: u32 = 6_000_005;

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Accepted,
    Refused {
        problem: Problem,
        /// How long the caller should wait before it repeats.
        retry_after: Option<Duration>,
    },
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Refusal {
    reason: String,
    retry_after_ms: Option<u64>,
}

impl Answer {
    pub(super) fn read(message: &Message) -> Self {
        let refused = |code, reason: &str, retry_after| Self::Refused {
            problem: (code, reason.to_owned()),
            retry_after,
        };
        if message.status == Some(StatusCode::NO_RESPONDERS) {
            return refused(0, NO_RESPONDERS, None);
        }
        let header = |name| message.headers.as_ref()?.get(name).map(HeaderValue::as_str);
        if header(SERVICE_ERROR).is_none() {
            return Self::Accepted;
        }
        let code = header(SERVICE_ERROR_CODE).and_then(|code| code.parse().ok()).unwrap_or(0);
        let body = &message.payload;
        let encoding = Encoding::of_request(header(CONTENT_TYPE), body).unwrap_or_default();
        let refusal: Option<Refusal> = match encoding {
            Encoding::Json => serde_json::from_slice(body).ok(),
            Encoding::MessagePack => rmp_serde::from_slice(body).ok(),
        };
        let Refusal { reason, retry_after_ms } = refusal.unwrap_or_default();
        refused(code, &reason, retry_after_ms.map(Duration::from_millis))
    }
}

/// The measured part of a run, in microseconds since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) from_us: u64,
    pub(super) to_us: u64,
}

impl Window {
    pub(super) const fn holds(&self, at_us: u64) -> bool {
        self.from_us <= at_us && at_us < self.to_us
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.to_us <= self.from_us
    }

    /// The rate per second of `count` events within it.
    pub(super) fn per_second(&self, count: u64) -> f64 {
        let length = Duration::from_micros(self.to_us.saturating_sub(self.from_us));
        if length.is_zero() { 0.0 } else { float(count) / length.as_secs_f64() }
    }
}

/// The outcomes of the messages of a run.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Messages that were due within the window, and how many of them were sent.
    pub(super) sent: u64,
    /// Answers of acceptance within the window.
    pub(super) accepted: u64,
    /// All accepted messages, from start to end.
    pub(super) accepted_ever: u64,
    /// The latencies of accepted messages that were due within the window.
    pub(super) reply: Latencies,
    /// The time from when a message was due until it was sent: the delay by the load generator
    /// itself.
    pub(super) lag: Latencies,
    refused: BTreeMap<Problem, Latencies>,
}

/// Messages that were not accepted for one reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Refused {
    pub(super) code: u32,
    pub(super) reason: String,
    pub(super) count: u64,
    /// The latency of the answer; `null` without one.
    pub(super) latency: Option<Summary>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            sent: 0,
            accepted: 0,
            accepted_ever: 0,
            reply: Latencies::new(),
            lag: Latencies::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Notes that a message was sent.
    pub(super) fn note_sent(&mut self, window: Window, due_us: u64, now_us: u64) {
        if window.holds(due_us) {
            self.sent += 1;
            self.lag.record(now_us.saturating_sub(due_us));
        }
    }

    /// Notes an answer to a message that was due at `due_us`.
    pub(super) fn note(&mut self, window: Window, due_us: u64, now_us: u64, answer: &Answer) {
        let latency_us = now_us.saturating_sub(due_us);
        match answer {
            Answer::Accepted => {
                self.accepted_ever += 1;
                self.accepted += u64::from(window.holds(now_us));
                if window.holds(due_us) {
                    self.reply.record(latency_us);
                }
            }
            Answer::Refused { problem, .. } if window.holds(due_us) => {
                self.refused
                    .entry(problem.clone())
                    .or_insert_with(Latencies::new)
                    .record(latency_us);
            }
            Answer::Refused { .. } => {}
        }
    }

    pub(super) fn add(&mut self, others: &Self) {
        self.sent += others.sent;
        self.accepted += others.accepted;
        self.accepted_ever += others.accepted_ever;
        self.reply.add(&others.reply);
        self.lag.add(&others.lag);
        for (problem, latencies) in &others.refused {
            self.refused.entry(problem.clone()).or_insert_with(Latencies::new).add(latencies);
        }
    }

    /// The messages that were not accepted, by reason.
    pub(super) fn refused(&self) -> Vec<Refused> {
        let line = |((code, reason), latencies): (&Problem, &Latencies)| Refused {
            code: *code,
            reason: reason.clone(),
            count: latencies.count(),
            latency: latencies.summary(),
        };
        let mut lines: Vec<Refused> = self.refused.iter().map(line).collect();
        let answered = self.reply.count() + lines.iter().map(|line| line.count).sum::<u64>();
        let count = self.sent.saturating_sub(answered);
        if count > 0 {
            let reason = NO_ANSWER.to_owned();
            lines.push(Refused { code: 0, reason, count, latency: None });
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { from_us: 1_000_000, to_us: 3_000_000 };

    fn limited() -> Answer {
        let problem = (RATE_LIMITED, "rate_limited".to_owned());
        Answer::Refused { problem, retry_after: None }
    }

    #[test]
    fn only_what_is_in_the_window_counts() {
        let mut tally = Tally::new();
        // Due before the window and answered in it; due and answered in it; due in it and answered
        // after it.
        tally.note(WINDOW, 999_999, 1_000_500, &Answer::Accepted);
        tally.note(WINDOW, 1_000_000, 1_000_700, &Answer::Accepted);
        tally.note(WINDOW, 2_999_999, 3_500_000, &Answer::Accepted);
        tally.note(WINDOW, 500_000, 600_000, &limited());
        tally.note(WINDOW, 1_500_000, 1_600_000, &limited());
        // Three messages sent in the window were answered, one was not.
        (0..4).for_each(|_| tally.note_sent(WINDOW, 1_500_000, 1_500_000));
        assert_eq!((tally.accepted, tally.accepted_ever), (2, 3));
        assert!((WINDOW.per_second(tally.accepted) - 1.0).abs() < f64::EPSILON);
        assert_eq!(tally.reply.count(), 2);
        let refused = tally.refused();
        let lines: Vec<_> = refused
            .iter()
            .map(|line| (line.code, line.reason.as_str(), line.count, line.latency.is_some()))
            .collect();
        assert_eq!(lines, [(RATE_LIMITED, "rate_limited", 1, true), (0, NO_ANSWER, 1, false)]);
    }

    #[test]
    fn a_message_that_was_sent_late_shows_it_in_latency_and_lag() {
        let mut tally = Tally::new();
        tally.note_sent(WINDOW, 1_000_000, 1_400_000);
        tally.note(WINDOW, 1_000_000, 1_400_300, &Answer::Accepted);
        tally.note_sent(WINDOW, 10, 20);
        assert_eq!(tally.sent, 1);
        let reply = tally.reply.summary().expect("one");
        assert!(reply.p50_us.abs_diff(400_300) < 400, "{reply:?}");
        assert!(tally.lag.summary().expect("one").p50_us.abs_diff(400_000) < 400);
    }

    #[test]
    fn a_window_that_is_over_before_it_began_has_no_rate() {
        let window = Window { from_us: 5, to_us: 5 };
        assert!(window.is_empty() && !window.holds(5));
        assert!(window.per_second(3).abs() < f64::EPSILON);
    }

    #[test]
    fn tallies_of_several_connections_add_up() {
        let (mut one, mut other) = (Tally::new(), Tally::new());
        for tally in [&mut one, &mut other] {
            tally.note_sent(WINDOW, 1_000_000, 1_000_000);
            tally.note(WINDOW, 1_000_000, 1_100_000, &Answer::Accepted);
            tally.note(WINDOW, 1_000_000, 1_100_000, &limited());
        }
        one.add(&other);
        assert_eq!((one.sent, one.accepted, one.accepted_ever), (2, 2, 2));
        assert_eq!((one.reply.count(), one.refused()[0].count), (2, 2));
    }
}
