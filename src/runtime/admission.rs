//! Admission control: how many calls may wait for a processor. The limit falls while they wait for
//! long.
//!
//! A limit on the number of calls in progress does not limit time. A call that waits for the store
//! harms no other call; one that waits for a processor delays all of them, including those that
//! will be refused.

use super::tuning::{
    ADMISSION_FORGOTTEN_US, ADMISSION_STEP, ADMISSION_WAIT_MAX_US, ADMISSION_WAITS_MIN,
    ADMISSION_WINDOW_US, ADMITTED_MIN,
};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The admission control of calls.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    bound: AtomicUsize,
    /// Calls that were accepted and have not begun.
    waiting: AtomicUsize,
    /// When the current sample began, by the steady clock.
    began_us: AtomicU64,
    waits: AtomicU64,
    waited_us: AtomicU64,
}

impl Admission {
    /// Starts with the limit at its maximum, `most`.
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

    /// Whether one more call may wait.
    pub(super) fn admits(&self, now_us: u64) -> bool {
        self.waiting.load(Ordering::Relaxed) < self.bound(now_us)
    }

    /// Notes that a call was accepted and waits.
    pub(super) fn taken(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a call that was accepted at `taken_us` begins at `now_us`, by the steady clock.
    pub(super) fn begins(&self, taken_us: u64, now_us: u64) {
        let waiting = self.waiting.fetch_sub(1, Ordering::Relaxed);
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.waited_us.fetch_add(now_us.saturating_sub(taken_us), Ordering::Relaxed);
        let began_us = self.began_us.load(Ordering::Relaxed);
        if now_us.saturating_sub(began_us) < ADMISSION_WINDOW_US {
            return;
        }
        // Read before the next sample begins: after that, an expired limit would apply again.
        let bound = self.bound(now_us);
        let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.began_us.compare_exchange(began_us, now_us, success, failure).is_ok() {
            // A wait that is counted between the two swaps may land in either sample: it is one of
            // very many.
            let waits = self.waits.swap(0, Ordering::Relaxed);
            let waited_us = self.waited_us.swap(0, Ordering::Relaxed);
            let is_long = waits >= ADMISSION_WAITS_MIN && waited_us / waits > ADMISSION_WAIT_MAX_US;
            let bound = if is_long {
                // Starts from the number that actually waited: lowering a limit far above it would
                // take long to have an effect.
                let used = bound.min(waiting.max(ADMITTED_MIN));
                (used - used / ADMISSION_STEP).max(ADMITTED_MIN)
            } else {
                bound + bound / ADMISSION_STEP + 1
            };
            self.bound.store(bound.min(self.most), Ordering::Relaxed);
        }
    }

    fn bound(&self, now_us: u64) -> usize {
        let judged_us = self.began_us.load(Ordering::Relaxed);
        let is_forgotten = now_us.saturating_sub(judged_us) > ADMISSION_FORGOTTEN_US;
        if is_forgotten { self.most } else { self.bound.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: usize = 4096;

    /// Simulates `count` samples in each of which calls wait for `wait_us`; returns when the last
    /// one ended.
    fn windows(admission: &Admission, count: u64, wait_us: u64, waiting: usize) -> u64 {
        let mut now_us = admission.began_us.load(Ordering::Relaxed);
        for _ in 0..count {
            admission.waiting.store(waiting, Ordering::Relaxed);
            for _ in 1..ADMISSION_WAITS_MIN {
                admission.begins(now_us, now_us + wait_us);
            }
            now_us += ADMISSION_WINDOW_US;
            admission.begins(now_us - wait_us, now_us);
        }
        now_us
    }

    #[test]
    fn short_waits_leave_the_limit_unchanged() {
        let admission = Admission::new(MOST);
        let now_us = windows(&admission, 100, ADMISSION_WAIT_MAX_US, MOST);
        assert_eq!(admission.bound(now_us), MOST);
    }

    #[test]
    fn long_waits_lower_the_limit_to_its_minimum_and_short_ones_raise_it_again() {
        let admission = Admission::new(MOST);
        let waiting = MOST + usize::try_from(ADMISSION_WAITS_MIN).expect("a small number");
        let now_us = windows(&admission, 1, ADMISSION_WAIT_MAX_US + 1, waiting);
        assert_eq!(admission.bound(now_us), MOST - MOST / ADMISSION_STEP);
        let now_us = windows(&admission, 1, ADMISSION_WAIT_MAX_US + 1, waiting - MOST + 800);
        assert!((600..=800).contains(&admission.bound(now_us)), "from the number that waits");
        let now_us = windows(&admission, 20, ADMISSION_WAIT_MAX_US + 1, MOST);
        assert_eq!(admission.bound(now_us), ADMITTED_MIN);
        admission.waiting.store(ADMITTED_MIN - 1, Ordering::Relaxed);
        assert!(admission.admits(now_us));
        admission.taken();
        assert!(!admission.admits(now_us));
        let now_us = windows(&admission, 40, 0, ADMITTED_MIN);
        assert_eq!(admission.bound(now_us), MOST);
    }

    #[test]
    fn too_few_waits_leave_the_limit_unchanged() {
        let admission = Admission::new(MOST);
        admission.waiting.store(MOST, Ordering::Relaxed);
        for window in 1..ADMISSION_WAITS_MIN {
            admission.begins((window - 1) * ADMISSION_WINDOW_US, window * ADMISSION_WINDOW_US);
        }
        assert_eq!(admission.bound(ADMISSION_WAITS_MIN * ADMISSION_WINDOW_US), MOST);
    }

    #[test]
    fn a_lowered_limit_expires() {
        let admission = Admission::new(MOST);
        let now_us = windows(&admission, 40, ADMISSION_WAIT_MAX_US + 1, MOST);
        assert_eq!(admission.bound(now_us), ADMITTED_MIN);
        let later_us = now_us + ADMISSION_FORGOTTEN_US + 1;
        assert_eq!(admission.bound(later_us), MOST);
        admission.waiting.store(1, Ordering::Relaxed);
        admission.begins(later_us, later_us);
        assert_eq!(admission.bound(later_us), MOST);
    }

    #[test]
    fn a_configured_maximum_below_the_minimum_applies() {
        let admission = Admission::new(6);
        let now_us = windows(&admission, 3, ADMISSION_WAIT_MAX_US + 1, MOST);
        assert_eq!(admission.bound(now_us), 6);
    }
}
