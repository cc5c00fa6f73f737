//! The hybrid logical clock that assigns order keys.

use std::sync::atomic::{AtomicU64, Ordering};

use super::id::{OrderKey, UserId};

/// The lane of a direction: even or odd keys. The two directions of a conversation may take their
/// keys from the clocks of two partitions. With a lane for each direction, no two messages of a
/// conversation have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Even keys.
    Even = 0,
    /// Odd keys.
    Odd = 1,
}

impl Lane {
    /// The lane of the messages that `sender` sends to `receiver`.
    #[must_use]
    pub fn of(sender: &UserId, receiver: &UserId) -> Self {
        if sender < receiver { Self::Even } else { Self::Odd }
    }
}

/// Assigns order keys that follow the wall clock and never go back: each is above every key
/// assigned or seen before, whatever the wall clock does. There is one for each partition.
#[derive(Debug, Default)]
pub struct KeyClock {
    newest: AtomicU64,
}

impl KeyClock {
    /// A key for `now_ms` (wall clock, milliseconds since 1970), above `floor` and above every key
    /// assigned or seen.
    pub fn next(&self, now_ms: u64, floor: OrderKey, lane: Lane) -> OrderKey {
        let at_least = OrderKey::at_ms(now_ms).0.max(floor.0 + 1);
        let step = |newest: u64| {
            let key = at_least.max(newest + 1);
            key + u64::from(key % 2 != lane as u64)
        };
        let before = self
            .newest
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |newest| Some(step(newest)));
        // The closure always returns `Some`, so both arms hold the value before the step.
        OrderKey(step(before.unwrap_or_else(|newest| newest)))
    }

    /// The newest key assigned or seen.
    pub fn newest(&self) -> OrderKey {
        OrderKey(self.newest.load(Ordering::Acquire))
    }

    /// Notes a key from elsewhere (the store, another partition).
    pub fn observe(&self, seen: OrderKey) {
        self.newest.fetch_max(seen.0, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::EPOCH_MS;

    #[test]
    fn keys_rise_whatever_the_wall_clock_does() {
        let clock = KeyClock::default();
        let next = |now_ms, floor| clock.next(now_ms, floor, Lane::Even).0;
        let first = next(EPOCH_MS + 1000, OrderKey::ZERO);
        assert_eq!(first, OrderKey::at_ms(EPOCH_MS + 1000).0);
        assert_eq!(next(EPOCH_MS + 1000, OrderKey::ZERO), first + 2);
        assert_eq!(next(EPOCH_MS, OrderKey::ZERO), first + 4, "the wall clock went back");
        assert_eq!(next(EPOCH_MS, OrderKey(first + 50)), first + 52, "above the floor");
        clock.observe(OrderKey(first + 100));
        assert_eq!(next(EPOCH_MS, OrderKey::ZERO), first + 102, "above what was seen");
    }

    #[test]
    fn two_clocks_never_give_the_two_directions_of_a_conversation_the_same_key() {
        let user = |id| UserId::new(id, "userID").expect("a valid ID");
        let (alice, bob) = (user("alice"), user("bob"));
        let of = |sender, receiver| {
            KeyClock::default().next(EPOCH_MS, OrderKey::ZERO, Lane::of(sender, receiver))
        };
        assert_ne!(of(&alice, &bob), of(&bob, &alice));
    }
}
