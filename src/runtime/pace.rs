//! How many calls may be under way: fewer while they wait for a processor.
//!
//! A count alone is no bound in time. What is under way may wait for the store for long without any
//! harm to others; what waits for a processor delays everybody, those too who are only to be refused.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How long calls may wait for a processor, on average, before fewer are taken.
const WAIT_MAX_US: u64 = 20_000;
/// For how long their waits are gathered before they are judged.
const WINDOW_US: u64 = 50_000;
/// How many may always be under way: enough to keep every processor busy.
const FEWEST: usize = 512;
/// By which part the bound falls and rises.
const STEP: usize = 8;

/// How many calls may be under way.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    bound: AtomicUsize,
    began_us: AtomicU64,
    waits: AtomicU64,
    waited_us: AtomicU64,
}

impl Pace {
    /// As many as `most`, at first.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            bound: AtomicUsize::new(most),
            began_us: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
        }
    }

    /// How many may be under way now.
    pub(super) fn bound(&self) -> usize {
        self.bound.load(Ordering::Relaxed)
    }

    /// Takes note that something that was taken at `taken_us` has a processor at `now_us`, by the
    /// steady clock, while so many are under way.
    pub(super) fn note(&self, taken_us: u64, now_us: u64, under_way: usize) {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_us.fetch_add(now_us.saturating_sub(taken_us), Ordering::Relaxed);
        let began_us = self.began_us.load(Ordering::Relaxed);
        if now_us.saturating_sub(began_us) < WINDOW_US {
            return;
        }
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.began_us.compare_exchange(began_us, now_us, success, failure).is_ok() {
            // One that is counted in between goes into either window: it is one of very many.
            let waits = self.waits.swap(0, Ordering::Relaxed);
            let waited_us = self.waited_us.swap(0, Ordering::Relaxed);
            self.judge(waited_us.checked_div(waits).unwrap_or_default(), under_way);
        }
    }

    fn judge(&self, average_us: u64, under_way: usize) {
        let bound = self.bound();
        let bound = if average_us > WAIT_MAX_US {
            // From where it stands: a bound that is far above would take long to matter.
            let used = bound.min(under_way);
            (used - used / STEP).max(FEWEST)
        } else {
            bound + bound / STEP + 1
        };
        self.bound.store(bound.min(self.most), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4096;

    /// So many windows in which each call waits for so long.
    fn windows(pace: &Pace, count: u64, wait_us: u64, under_way: usize) {
        let first = pace.began_us.load(Ordering::Relaxed) / WINDOW_US + 1;
        for window in first..first + count {
            let now_us = window * WINDOW_US;
            pace.note(now_us - wait_us, now_us, under_way);
        }
    }

    #[test]
    fn who_waits_for_the_store_alone_is_not_too_many() {
        let pace = Pace::new(MOST);
        windows(&pace, 100, WAIT_MAX_US, MOST);
        assert_eq!(pace.bound(), MOST);
    }

    #[test]
    fn while_calls_wait_for_a_processor_fewer_are_taken_but_never_too_few() {
        let pace = Pace::new(MOST);
        windows(&pace, 1, WAIT_MAX_US + 1, MOST);
        assert_eq!(pace.bound(), MOST - MOST / STEP);
        windows(&pace, 1, WAIT_MAX_US + 1, 1600);
        assert_eq!(pace.bound(), 1400, "from those that are under way");
        windows(&pace, 20, WAIT_MAX_US + 1, MOST);
        assert_eq!(pace.bound(), FEWEST);
        windows(&pace, 20, 0, FEWEST);
        assert_eq!(pace.bound(), MOST);
    }

    #[test]
    fn a_few_that_wait_for_long_are_not_what_counts() {
        let pace = Pace::new(MOST);
        for call in 0..100 {
            let wait_us = if call % 10 == 0 { 5 * WAIT_MAX_US } else { 0 };
            pace.note(WINDOW_US - wait_us.min(WINDOW_US), WINDOW_US - 1, MOST);
        }
        windows(&pace, 1, 0, MOST);
        assert_eq!(pace.bound(), MOST);
    }

    #[test]
    fn a_configured_bound_below_the_fewest_holds() {
        let pace = Pace::new(6);
        windows(&pace, 3, WAIT_MAX_US + 1, 6);
        assert_eq!(pace.bound(), 6);
    }
}
