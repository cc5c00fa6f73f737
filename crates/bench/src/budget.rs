//! Tracks which senders may send, by their refusals: peerd limits the rate of each sender. A closed
//! load skips senders that have used up their rate and sends as others, so that it measures the
//! deployment and not the speed of refusals.

use std::sync::atomic::{AtomicU64, Ordering};

/// The most senders that are examined to find one that may send, since there may be very many.
const LOOKED_AT: usize = 64;
/// The sender was never refused: any number of its messages may be in progress.
const UNLIMITED: u64 = 0;

/// For each pair, the time from which its sender may send the next message, in microseconds. After
/// its first refusal, a sender has one message in progress at a time.
#[derive(Debug)]
pub(super) struct Budget(Vec<AtomicU64>);

impl Budget {
    pub(super) fn new(pairs: usize) -> Self {
        Self((0..pairs).map(|_| AtomicU64::new(UNLIMITED)).collect())
    }

    /// The first pair from `first` on whose sender may send; otherwise the time of the next check.
    /// A pair that is taken and not given back is free again after `patience_us`.
    pub(super) fn take(&self, first: usize, now_us: u64, patience_us: u64) -> Result<usize, u64> {
        let mut earliest_us = u64::MAX;
        for step in 0..self.0.len().min(LOOKED_AT) {
            let pair = (first + step) % self.0.len();
            let free_us = self.0[pair].load(Ordering::Relaxed);
            if free_us == UNLIMITED {
                return Ok(pair);
            }
            let until_us = now_us + patience_us;
            let is_taken = free_us <= now_us
                && self.0[pair]
                    .compare_exchange(free_us, until_us, Ordering::Relaxed, Ordering::Relaxed)
                    .is_ok();
            if is_taken {
                return Ok(pair);
            }
            earliest_us = earliest_us.min(free_us.max(now_us + 1));
        }
        Err(earliest_us)
    }

    /// Notes that the sender of a pair is refused until then.
    pub(super) fn limit(&self, pair: usize, free_us: u64) {
        self.0[pair].store(free_us.max(1), Ordering::Relaxed);
    }

    /// Notes that the message of a pair was answered, or was not sent.
    pub(super) fn give_back(&self, pair: usize, now_us: u64) {
        if self.0[pair].load(Ordering::Relaxed) != UNLIMITED {
            self.limit(pair, now_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE_US: u64 = 1000;

    #[test]
    fn a_sender_without_budget_is_left_out_until_it_has_one_again() {
        let budget = Budget::new(3);
        assert_eq!(budget.take(1, 10, PATIENCE_US), Ok(1));
        budget.limit(1, 500);
        assert_eq!(budget.take(1, 20, PATIENCE_US), Ok(2), "the next one may");
        budget.limit(2, 300);
        budget.limit(0, 400);
        assert_eq!(budget.take(1, 30, PATIENCE_US), Err(300), "none may before");
        assert_eq!(budget.take(1, 300, PATIENCE_US), Ok(2));
    }

    #[test]
    fn a_sender_that_was_refused_has_one_message_under_way() {
        let budget = Budget::new(1);
        budget.limit(0, 100);
        assert_eq!(budget.take(0, 100, PATIENCE_US), Ok(0));
        assert_eq!(budget.take(0, 101, PATIENCE_US), Err(1100), "until it was answered");
        budget.give_back(0, 150);
        assert_eq!(budget.take(0, 150, PATIENCE_US), Ok(0));
        assert_eq!(budget.take(0, 1150, PATIENCE_US), Ok(0), "an answer that is lost frees it too");
    }

    #[test]
    fn a_sender_that_was_never_refused_is_not_bounded() {
        let budget = Budget::new(1);
        for _ in 0..3 {
            assert_eq!(budget.take(0, 5, PATIENCE_US), Ok(0));
            budget.give_back(0, 6);
        }
    }

    #[test]
    fn not_all_senders_are_looked_at() {
        let budget = Budget::new(LOOKED_AT + 1);
        (0..LOOKED_AT).for_each(|pair| budget.limit(pair, 100));
        assert_eq!(budget.take(0, 10, PATIENCE_US), Err(100));
        assert_eq!(budget.take(1, 10, PATIENCE_US), Ok(LOOKED_AT));
    }
}
