//! The hybrid logical clock that gives order keys.

use std::sync::atomic::{AtomicU64, Ordering};

use super::id::OrderKey;

/// Gives order keys that follow the wall clock and never go back: each is above every key given
/// or seen before, whatever the wall clock does. One per partition.
#[derive(Debug, Default)]
pub struct KeyClock {
    newest: AtomicU64,
}

impl KeyClock {
    /// A key for `now_ms` (wall clock, milliseconds since 1970), above `floor` and above every key
    /// given or seen.
    pub fn next(&self, now_ms: u64, floor: OrderKey) -> OrderKey {
        let at_least = OrderKey::at_ms(now_ms).0.max(floor.0 + 1);
        let step = |newest: u64| at_least.max(newest + 1);
        let before = self
            .newest
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |newest| Some(step(newest)));
        // The closure never declines, so both arms hold the value before the step.
        OrderKey(step(before.unwrap_or_else(|newest| newest)))
    }

    /// Takes note of a key from elsewhere (the store, another partition).
    pub fn observe(&self, seen: OrderKey) {
        self.newest.fetch_max(seen.0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::EPOCH_MS;

    #[test]
    fn keys_rise_whatever_the_wall_clock_does() {
        let clock = KeyClock::default();
        let first = clock.next(EPOCH_MS + 1000, OrderKey::ZERO);
        assert_eq!(first, OrderKey::at_ms(EPOCH_MS + 1000));
        assert_eq!(clock.next(EPOCH_MS + 1000, OrderKey::ZERO).0, first.0 + 1);
        assert_eq!(clock.next(EPOCH_MS, OrderKey::ZERO).0, first.0 + 2, "the wall clock went back");
        assert_eq!(clock.next(EPOCH_MS, OrderKey(first.0 + 50)).0, first.0 + 51, "above the floor");
        clock.observe(OrderKey(first.0 + 100));
        assert_eq!(clock.next(EPOCH_MS, OrderKey::ZERO).0, first.0 + 101, "above what was seen");
    }
}
