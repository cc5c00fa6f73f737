//! The strict sliding window over a sender's messages.

use std::collections::VecDeque;

use super::id::UserId;

const SECOND_US: u64 = 1_000_000;

/// Allows at most a number of messages in any second: the window slides with each message instead
/// of following the clock's seconds. Times are microseconds of a clock that only goes forward.
#[derive(Clone, Debug, Default)]
pub struct Window {
    taken: VecDeque<u64>,
}

/// A slot in a window. It is given back if the message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a slot that was not needed must be given back"]
pub struct Place {
    at_us: u64,
}

impl Window {
    /// Takes a slot, or returns the milliseconds until one is free.
    pub fn take(&mut self, now_us: u64, limit: usize) -> Result<Place, u64> {
        let now_us = self.taken.back().map_or(now_us, |newest| now_us.max(*newest));
        while self.taken.front().is_some_and(|oldest| oldest + SECOND_US <= now_us) {
            self.taken.pop_front();
        }
        if self.taken.len() < limit {
            self.taken.push_back(now_us);
            return Ok(Place { at_us: now_us });
        }
        // After the limit was lowered, the slot that must become free first is not the oldest.
        let next = self.taken.len() - limit;
        let free_us = self.taken.get(next).map_or(now_us, |taken| taken + SECOND_US);
        Err(free_us.saturating_sub(now_us).div_ceil(1000).max(1))
    }

    /// Gives a slot back.
    pub fn give_back(&mut self, place: Place) {
        if let Some(index) = self.taken.iter().rposition(|taken| *taken == place.at_us) {
            self.taken.remove(index);
        }
    }

    /// Fills a new window with the messages that were sent earlier, through a previous owner. A
    /// window that is not empty is not new, and keeps what it has.
    pub fn assume(&mut self, mut earlier_us: Vec<u64>) {
        if self.taken.is_empty() {
            earlier_us.sort_unstable();
            self.taken = earlier_us.into();
        }
    }
}

/// Allows one signal a second to each other user, and a few others in any second. Signals beyond
/// that are left out: each only states the present, and the next one states it again.
#[derive(Clone, Debug, Default)]
pub struct Signals {
    sent: Vec<(UserId, u64)>,
}

impl Signals {
    /// The most users who receive signals in any second.
    const OTHERS_MAX: usize = 16;

    /// Whether a signal to `other` may be sent now. If so, it counts.
    pub fn take(&mut self, other: &UserId, now_us: u64) -> bool {
        self.sent.retain(|(_, at_us)| at_us + SECOND_US > now_us);
        if self.sent.len() >= Self::OTHERS_MAX || self.sent.iter().any(|(known, _)| known == other)
        {
            return false;
        }
        self.sent.push((other.clone(), now_us));
        true
    }

    /// Gives back a signal to `other` that could not be sent.
    pub fn give_back(&mut self, other: &UserId) {
        self.sent.retain(|(known, _)| known != other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_limit_in_any_second() {
        let mut window = Window::default();
        let mut accepted = Vec::new();
        for now in (0..5_000_000).step_by(30_011) {
            if window.take(now, 10).is_ok() {
                accepted.push(now);
            }
        }
        for (index, start) in accepted.iter().enumerate() {
            let within = accepted[index..].iter().take_while(|at| **at < start + SECOND_US);
            assert!(within.count() <= 10);
        }
        assert!(accepted.len() >= 50, "the budget is usable in full: {}", accepted.len());
    }

    #[test]
    fn the_wait_is_exact() {
        let mut window = Window::default();
        assert!(window.take(0, 1).is_ok());
        assert_eq!(window.take(400_500, 1), Err(600));
        assert_eq!(window.take(999_999, 1), Err(1));
        assert!(window.take(1_000_000, 1).is_ok());
    }

    #[test]
    fn a_signal_to_each_user_a_second_and_to_few_users() {
        let user = |number: usize| UserId::new(&format!("u{number}"), "userID").expect("valid");
        let mut signals = Signals::default();
        assert!(signals.take(&user(0), 0) && signals.take(&user(1), 5));
        assert!(!signals.take(&user(0), 999_999));
        assert!(signals.take(&user(0), 1_000_000));
        signals.give_back(&user(1));
        assert!(signals.take(&user(1), 1_000_000), "it was not sent");
        let sent = (2..100).filter(|number| signals.take(&user(*number), 1_000_001)).count();
        assert_eq!(sent, Signals::OTHERS_MAX - 2);
    }

    #[test]
    fn a_slot_given_back_can_be_taken() {
        let mut window = Window::default();
        let place = window.take(5, 1).expect("a slot");
        window.give_back(place);
        assert!(window.take(6, 1).is_ok());
    }
}
