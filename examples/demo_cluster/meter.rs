//! Counts answered sends and their latencies.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// The time span of the figures on the dashboard.
const WINDOW: Duration = Duration::from_secs(1);
/// A latency that a user notices.
const SLOW: Duration = Duration::from_secs(1);

/// Counts answered sends.
#[derive(Default)]
pub(crate) struct Meter {
    sends: Mutex<Sends>,
    repeated: AtomicU64,
}

#[derive(Default)]
struct Sends {
    recent: VecDeque<(Instant, Duration)>,
    phase: Phase,
}

/// The sends of a phase.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Phase {
    /// Sends that were answered.
    pub(crate) answered: u64,
    /// Sends that took longer than a second.
    pub(crate) slow: u64,
    pub(crate) slowest: Duration,
    /// Calls that were repeated before the phase, or during it.
    pub(crate) repeated: u64,
}

/// The last second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) sends: usize,
    pub(crate) p50: Option<Duration>,
    pub(crate) p99: Option<Duration>,
    /// Since the start.
    pub(crate) repeated: u64,
}

impl Meter {
    /// Notes that a send was answered, with the time since its first attempt.
    pub(crate) fn answered(&self, took: Duration) {
        let now = Instant::now();
        let mut sends = self.sends();
        sends.forget(now);
        sends.recent.push_back((now, took));
        let phase = &mut sends.phase;
        phase.answered += 1;
        phase.slow += u64::from(took > SLOW);
        phase.slowest = phase.slowest.max(took);
    }

    /// Sets the number of repeated calls so far.
    pub(crate) fn set_repeated(&self, repeated: u64) {
        self.repeated.fetch_max(repeated, Ordering::Relaxed);
    }

    /// Begins a new phase.
    pub(crate) fn begin(&self) {
        let repeated = self.repeated.load(Ordering::Relaxed);
        self.sends().phase = Phase { repeated, ..Phase::default() };
    }

    /// The phase so far.
    pub(crate) fn phase(&self) -> Phase {
        let phase = self.sends().phase;
        Phase { repeated: self.repeated.load(Ordering::Relaxed) - phase.repeated, ..phase }
    }

    /// The last second.
    pub(crate) fn figures(&self) -> Figures {
        let mut sends = self.sends();
        sends.forget(Instant::now());
        let mut took: Vec<Duration> = sends.recent.iter().map(|(_, took)| *took).collect();
        took.sort_unstable();
        let rank =
            |percent: usize| took.get((took.len() * percent / 100).min(took.len().max(1) - 1));
        Figures {
            sends: took.len(),
            p50: rank(50).copied(),
            p99: rank(99).copied(),
            repeated: self.repeated.load(Ordering::Relaxed),
        }
    }

    fn sends(&self) -> MutexGuard<'_, Sends> {
        self.sends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sends {
    fn forget(&mut self, now: Instant) {
        while self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW) {
            self.recent.pop_front();
        }
    }
}
