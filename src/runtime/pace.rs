//! How many calls may wait for a processor: fewer while they wait for long.
//!
//! A count of what is under way is no bound in time. What waits for the store may do so for long
//! without any harm to others; what waits for a processor delays everybody, those too who are only to
//! be refused.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// How long calls may wait for a processor, on average, before fewer are taken.
const WAIT_MAX_US: u64 = 20_000;
/// For how long their waits are gathered before they are judged.
const WINDOW_US: u64 = 50_000;
/// Fewer of them say nothing.
const WAITS_MIN: u64 = 64;
/// What was judged so long ago does not count any more.
const FORGOTTEN_US: u64 = 1_000_000;
/// How many may always wait: enough to keep every processor busy.
const FEWEST: usize = 128;
/// By which part the bound falls and rises.
const STEP: usize = 8;

/// How many calls may wait for a processor.
#[derive(Debug)]
pub(super) struct Pace {
    most: usize,
    bound: AtomicUsize,
    /// Those that were taken and have not begun.
    waiting: AtomicUsize,
    /// Since when waits are gathered, by the steady clock.
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
            waiting: AtomicUsize::new(0),
            began_us: AtomicU64::new(0),
            waits: AtomicU64::new(0),
            waited_us: AtomicU64::new(0),
        }
    }

    /// Whether one more may wait.
    pub(super) fn admits(&self, now_us: u64) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.bound(now_us)
    }

    /// Takes note of one more that waits.
    pub(super) fn taken(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note that one that was taken at `taken_us` begins at `now_us`, by the steady clock.
    pub(super) fn begins(&self, taken_us: u64, now_us: u64) {
        let waiting = self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_us.fetch_add(now_us.saturating_sub(taken_us), Ordering::Relaxed);
        let began_us = self.began_us.load(Ordering::Relaxed);
        if now_us.saturating_sub(began_us) < WINDOW_US {
            return;
        }
        // Before the next window begins: until then what was long ago is forgotten.
        let bound = self.bound(now_us);
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.began_us.compare_exchange(began_us, now_us, success, failure).is_ok() {
            // One that is counted in between goes into either window: it is one of very many.
            let waits = self.waits.swap(0, Ordering::Relaxed);
            let waited_us = self.waited_us.swap(0, Ordering::Relaxed);
            let is_long = waits >= WAITS_MIN && waited_us / waits > WAIT_MAX_US;
            let bound = if is_long {
                // From where it stands: a bound that is far above would take long to matter.
                let used = bound.min(waiting.max(FEWEST));
                (used - used / STEP).max(FEWEST)
            } else {
                bound + bound / STEP + 1
            };
            self.bound.store(bound.min(self.most), Ordering::Relaxed);
        }
    }

    fn bound(&self, now_us: u64) -> usize {
        let judged_us = self.began_us.load(Ordering::Relaxed);
        let is_forgotten = now_us.saturating_sub(judged_us) > FORGOTTEN_US;
        if is_forgotten { self.most } else { self.bound.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4096;

    /// So many windows in each of which some calls wait for so long; answers when the last ended.
    fn windows(pace: &Pace, count: u64, wait_us: u64, waiting: usize) -> u64 {
        let mut now_us = pace.began_us.load(Ordering::Relaxed);
        for _ in 0..count {
            pace.waiting.store(waiting, Ordering::Relaxed);
            for _ in 1..WAITS_MIN {
                pace.begins(now_us, now_us + wait_us);
            }
            now_us += WINDOW_US;
            pace.begins(now_us - wait_us, now_us);
        }
        now_us
    }

    #[test]
    fn short_waits_leave_the_bound_where_it_is() {
        let pace = Pace::new(MOST);
        let now_us = windows(&pace, 100, WAIT_MAX_US, MOST);
        assert_eq!(pace.bound(now_us), MOST);
    }

    #[test]
    fn while_calls_wait_for_long_fewer_are_taken_but_never_too_few() {
        let pace = Pace::new(MOST);
        let waiting = MOST + usize::try_from(WAITS_MIN).expect("a small number");
        let now_us = windows(&pace, 1, WAIT_MAX_US + 1, waiting);
        assert_eq!(pace.bound(now_us), MOST - MOST / STEP);
        let now_us = windows(&pace, 1, WAIT_MAX_US + 1, waiting - MOST + 800);
        assert!((600..=800).contains(&pace.bound(now_us)), "from where it stands");
        let now_us = windows(&pace, 20, WAIT_MAX_US + 1, MOST);
        assert_eq!(pace.bound(now_us), FEWEST);
        pace.waiting.store(FEWEST - 1, Ordering::Relaxed);
        assert!(pace.admits(now_us));
        pace.taken();
        assert!(!pace.admits(now_us));
        let now_us = windows(&pace, 40, 0, FEWEST);
        assert_eq!(pace.bound(now_us), MOST);
    }

    #[test]
    fn a_few_calls_say_nothing() {
        let pace = Pace::new(MOST);
        pace.waiting.store(MOST, Ordering::Relaxed);
        for window in 1..WAITS_MIN {
            pace.begins((window - 1) * WINDOW_US, window * WINDOW_US);
        }
        assert_eq!(pace.bound(WAITS_MIN * WINDOW_US), MOST);
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let pace = Pace::new(MOST);
        let now_us = windows(&pace, 40, WAIT_MAX_US + 1, MOST);
        assert_eq!(pace.bound(now_us), FEWEST);
        let later_us = now_us + FORGOTTEN_US + 1;
        assert_eq!(pace.bound(later_us), MOST);
        pace.waiting.store(1, Ordering::Relaxed);
        pace.begins(later_us, later_us);
        assert_eq!(pace.bound(later_us), MOST);
    }

    #[test]
    fn a_configured_bound_below_the_fewest_holds() {
        let pace = Pace::new(6);
        let now_us = windows(&pace, 3, WAIT_MAX_US + 1, MOST);
        assert_eq!(pace.bound(now_us), 6);
    }
}
