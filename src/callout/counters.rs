//! The numbers of logins by token.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use peerd_callout::refusal::Refusal;

use crate::metrics::Durations;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The client may connect.
    Accepted,
    /// The client may not.
    Refused(Refusal),
    /// The message was no request that can be answered.
    Unreadable,
}

impl Outcome {
    const COUNT: usize = Refusal::ALL.len() + 2;

    /// All outcomes.
    fn all() -> impl Iterator<Item = Self> {
        let refused = Refusal::ALL.into_iter().map(Self::Refused);
        [Self::Accepted, Self::Unreadable].into_iter().chain(refused)
    }

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Refused(refusal) => refusal.name(),
            Self::Unreadable => "unreadable",
        }
    }
}

/// Counts requests and fetches of keys, without locks.
#[derive(Debug)]
pub struct Counters {
    requests: [AtomicU64; Outcome::COUNT],
    accepted: Durations,
    refused: Durations,
    fetches_failed: AtomicU64,
    keys: AtomicUsize,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            requests: [const { AtomicU64::new(0) }; Outcome::COUNT],
            accepted: Durations::default(),
            refused: Durations::default(),
            fetches_failed: AtomicU64::new(0),
            keys: AtomicUsize::new(0),
        }
    }
}

impl Counters {
    /// Counts a request and the time from its arrival to its answer.
    pub(super) fn answered(&self, outcome: Outcome, took: Duration) {
        let place = Outcome::all().position(|it| it == outcome).unwrap_or_default();
        self.requests[place].fetch_add(1, Ordering::Relaxed);
        match outcome {
            Outcome::Accepted => self.accepted.record(took),
            // Turned away on arrival, which would hide how long the others take.
            Outcome::Refused(Refusal::Overloaded) | Outcome::Unreadable => {}
            Outcome::Refused(_) => self.refused.record(took),
        }
    }

    /// Counts a failed fetch of keys.
    pub(super) fn fetch_failed(&self) {
        self.fetches_failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes the number of keys.
    pub(super) fn set_keys(&self, count: usize) {
        self.keys.store(count, Ordering::Relaxed);
    }

    /// The requests by outcome.
    pub fn requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.requests.iter().map(|count| count.load(Ordering::Relaxed));
        Outcome::all().map(Outcome::name).zip(counts)
    }

    /// The durations, by whether the client may connect.
    #[must_use]
    pub const fn durations(&self) -> [(&'static str, &Durations); 2] {
        [("accepted", &self.accepted), ("refused", &self.refused)]
    }

    /// The failed fetches of keys.
    #[must_use]
    pub fn fetches_failed(&self) -> u64 {
        self.fetches_failed.load(Ordering::Relaxed)
    }

    /// The number of keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_is_counted_under_its_own_name() {
        let counters = Counters::default();
        for (times, outcome) in Outcome::all().enumerate() {
            (0..times).for_each(|_| counters.answered(outcome, Duration::ZERO));
        }
        let counts: Vec<_> = counters.requests().collect();
        let expected = Outcome::all().enumerate();
        let expected: Vec<_> = expected.map(|(n, it)| (it.name(), n as u64)).collect();
        assert_eq!(counts, expected);
        let names: std::collections::BTreeSet<_> = counts.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Outcome::COUNT, "each name is its own");
    }
}
