//! The lease of an instance: the time until which it may act.
//!
//! An instance that could not renew its member entry for four fifths of the TTL stops by itself, by
//! either of its clocks: nothing is decided, written or published any more, and events in its queue
//! are dropped, since the next owner redelivers them. Others begin after the whole TTL. A member
//! whose watch fails, so that it does not see the changes of the others, sends no heartbeats
//! either: it would hold partitions that it cannot serve.
//!
//! A process that was paused (SIGSTOP, a machine that sleeps) finds its lease over before it acts.
//! Bytes that it had given to its connection may still arrive: the store refuses an append if its
//! subject has moved on, and otherwise the new owner finds it as a gap
//! ([0009](../../docs/decisions/0009-a-late-append-shows-as-a-gap.md)). Calls that arrive while the
//! server has been silent for three fifths of the TTL may be old, and are refused until it answers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::tuning::{BEATS_PER_TTL, LEASE_BEATS};
use crate::clock::Now;

/// The time until which an instance may act, by both clocks of its own machine. The monotonic clock
/// stands still while some machines sleep, and the wall clock can be set back, but not both at
/// once.
#[derive(Debug, Default)]
pub struct Lease {
    until_us: AtomicU64,
    until_wall_ms: AtomicU64,
    is_over: AtomicBool,
}

impl Lease {
    /// A lease that never ends, for an instance that is alone by design (in tests).
    #[must_use]
    pub const fn endless() -> Self {
        Self {
            until_us: AtomicU64::new(u64::MAX),
            until_wall_ms: AtomicU64::new(u64::MAX),
            is_over: AtomicBool::new(false),
        }
    }

    /// Extends the lease after a heartbeat that was sent at `given` and that counts for the others
    /// for `ttl_ms`.
    pub fn extend(&self, given: Now, ttl_ms: u64) {
        let span_ms = ttl_ms * u64::from(LEASE_BEATS) / u64::from(BEATS_PER_TTL);
        self.until_us.fetch_max(given.steady_us + span_ms * 1000, Ordering::AcqRel);
        self.until_wall_ms.store(given.wall_ms + span_ms, Ordering::Release);
    }

    /// Ends the lease for good.
    pub fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// How long the instance may still act, as of `now`.
    #[must_use]
    pub fn left(&self, now: Now) -> Duration {
        let until_us = if self.holds(now) { self.until_us.load(Ordering::Acquire) } else { 0 };
        Duration::from_micros(until_us.saturating_sub(now.steady_us))
    }

    /// Whether the instance may act. Once a caller has seen that the lease is over, no heartbeat
    /// renews it.
    #[must_use]
    pub fn holds(&self, now: Now) -> bool {
        let until_us = self.until_us.load(Ordering::Acquire);
        let holds = !self.is_over.load(Ordering::Acquire)
            && now.steady_us < until_us
            && now.wall_ms < self.until_wall_ms.load(Ordering::Acquire);
        if !holds && until_us > 0 {
            // For good: the caller has dropped something because of this, for example an event.
            self.end();
        }
        holds
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(wall_ms: u64, steady_ms: u64) -> Now {
        Now { wall_ms, steady_us: steady_ms * 1000 }
    }

    #[test]
    fn a_lease_ends_in_time_by_either_clock() {
        let lease = Lease::default();
        assert!(!lease.holds(at(0, 0)), "not before the first heartbeat");
        lease.extend(at(1000, 10), 5000);
        assert!(lease.holds(at(4999, 4009)));
        assert!(lease.holds(at(0, 4009)), "the wall clock was set back");
        assert!(!lease.holds(at(4999, 4010)), "the time is over");
        let lease = Lease::default();
        lease.extend(at(1000, 10), 5000);
        assert!(!lease.holds(at(5000, 4009)), "the machine slept");
    }

    #[test]
    fn a_lease_that_was_seen_to_be_over_is_not_renewed() {
        let lease = Lease::default();
        lease.extend(at(1000, 10), 5000);
        assert!(!lease.holds(at(5000, 4010)));
        lease.extend(at(5001, 4011), 5000);
        assert!(!lease.holds(at(5001, 4011)), "a heartbeat that came late");
        let lease = Lease::default();
        lease.extend(at(1000, 10), 5000);
        lease.extend(at(5001, 4011), 5000);
        assert!(lease.holds(at(5001, 4011)), "no caller has seen it end");
    }

    #[test]
    fn an_ended_lease_stays_ended() {
        let lease = Lease::default();
        lease.extend(at(1000, 10), 5000);
        assert_eq!(lease.left(at(1000, 10)), Duration::from_secs(4));
        lease.end();
        lease.extend(at(1001, 11), 5000);
        assert!(!lease.holds(at(1001, 11)));
        assert_eq!(lease.left(at(1001, 11)), Duration::ZERO);
    }
}
