//! The counters of calls: for service discovery and for the metrics.
//!
//! An answered call costs three additions to numbers of its method, without a lock and without an
//! allocation.

use std::array::from_fn;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Called, Method};
use crate::bus::discovery::Totals;
use crate::metrics::Durations;
use peerd_protocol::failure::CallError;

/// The labels of methods: the methods that peerd offers, those that only the SDK has, and all
/// others, whatever their names.
const METHODS: usize = Method::ALL.len() + 2;
/// Room for the codes and reasons of errors, which are a closed list.
const ERRORS_MAX: usize = 32;

/// The counters of one method.
#[derive(Debug)]
struct Counter {
    succeeded: AtomicU64,
    failed: [AtomicU64; ERRORS_MAX],
    /// From the arrival of a call to its reply. Without refusals at the intake.
    durations: Durations,
}

/// The counters of calls.
#[derive(Debug)]
pub(in crate::runtime) struct Counters {
    methods: Vec<Counter>,
    /// The codes and reasons that were met, in the order in which they were met first.
    errors: [OnceLock<(u32, &'static str)>; ERRORS_MAX],
    /// The place of the last error in `errors`, plus one; 0: there was none.
    last_error: AtomicUsize,
}

/// How often calls of a method ended in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Answered {
    pub(in crate::runtime) method: &'static str,
    /// The code of the error; 0: none.
    pub(in crate::runtime) code: u32,
    /// The reason of the error, or `ok`.
    pub(in crate::runtime) reason: &'static str,
    pub(in crate::runtime) count: u64,
}

impl Default for Counters {
    fn default() -> Self {
        let counter = || Counter {
            succeeded: AtomicU64::new(0),
            failed: from_fn(|_| AtomicU64::new(0)),
            durations: Durations::default(),
        };
        let methods = (0..METHODS).map(|_| counter()).collect();
        Self { methods, errors: from_fn(|_| OnceLock::new()), last_error: AtomicUsize::new(0) }
    }
}

impl Counters {
    /// Counts a call that was handled here, and the time from its arrival to its reply.
    pub(in crate::runtime) fn answered(
        &self,
        called: Called,
        took: Duration,
        error: Option<&CallError>,
    ) {
        self.methods[place(called)].durations.record(took);
        match error {
            None => _ = self.methods[place(called)].succeeded.fetch_add(1, Ordering::Relaxed),
            Some(error) => self.refused(called, error),
        }
    }

    /// Counts a call that was refused at the intake.
    pub(in crate::runtime) fn refused(&self, called: Called, error: &CallError) {
        let at = self.place_of(error);
        self.methods[place(called)].failed[at].fetch_add(1, Ordering::Relaxed);
        self.last_error.store(at + 1, Ordering::Relaxed);
    }

    /// The place of an error's reason, which determines its code.
    fn place_of(&self, error: &CallError) -> usize {
        let reason = error.reason();
        let is_its = |place: &OnceLock<(u32, &'static str)>| {
            place.get_or_init(|| (error.code(), reason)).1 == reason
        };
        // There is room for all: a test counts them.
        self.errors.iter().position(is_its).unwrap_or(ERRORS_MAX - 1)
    }

    /// The numbers of service discovery: sums over all methods.
    pub(in crate::runtime) fn totals(&self) -> Totals {
        let sum = |of: fn(&Counter) -> u64| self.methods.iter().map(of).sum::<u64>();
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let errors = sum(|method| method.failed.iter().map(|it| it.load(Ordering::Relaxed)).sum());
        let succeeded = self.methods.iter().map(|method| load(&method.succeeded)).sum::<u64>();
        let last = self.last_error.load(Ordering::Relaxed).checked_sub(1);
        let last = last.and_then(|at| self.errors[at].get());
        Totals {
            requests: succeeded + errors,
            errors,
            processing_ns: sum(|method| method.durations.sum_ns()),
            last_error: last.map_or(String::new(), |(code, reason)| format!("{code}:{reason}")),
        }
    }

    /// How often calls of each method ended in each way that was met.
    pub(in crate::runtime) fn all(&self) -> impl Iterator<Item = Answered> {
        let errors: Vec<_> = self.errors.iter().map_while(OnceLock::get).copied().collect();
        labels().zip(&self.methods).flat_map(move |(method, counter)| {
            let succeeded = (0, "ok", &counter.succeeded);
            let failed = errors.iter().zip(&counter.failed);
            let failed = failed.map(|((code, reason), count)| (*code, *reason, count));
            let all = std::iter::once(succeeded).chain(failed).collect::<Vec<_>>();
            all.into_iter().filter_map(move |(code, reason, count)| {
                let count = count.load(Ordering::Relaxed);
                (count > 0).then_some(Answered { method, code, reason, count })
            })
        })
    }

    /// The durations of each method that was called.
    pub(in crate::runtime) fn durations(&self) -> impl Iterator<Item = (&'static str, &Durations)> {
        let all = labels().zip(self.methods.iter().map(|method| &method.durations));
        all.filter(|(_, durations)| durations.count() > 0)
    }
}

/// The label of a method.
pub(in crate::runtime) const fn label(called: Called) -> &'static str {
    match called {
        Called::Method(method) => method.name(),
        Called::Unsupported => "unsupported",
        Called::Unknown => "unknown",
    }
}

/// The place of a method among the counters.
const fn place(called: Called) -> usize {
    match called {
        Called::Method(method) => method as usize,
        Called::Unsupported => METHODS - 2,
        Called::Unknown => METHODS - 1,
    }
}

/// The labels of all methods, by their places.
fn labels() -> impl Iterator<Item = &'static str> {
    let methods = Method::ALL.iter().copied().map(Called::Method);
    methods.chain([Called::Unsupported, Called::Unknown]).map(label)
}

#[cfg(test)]
mod tests;
