//! The schedule of an open load: messages are due at even intervals, independent of the answers.
//! Latencies count from then, so that the latency of a message includes its wait for a slow one.

use std::time::Duration;

use super::numbers::float;

/// Even intervals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schedule {
    per_second: f64,
}

impl Schedule {
    /// A schedule of `per_second` messages a second.
    pub(super) const fn per_second(per_second: f64) -> Self {
        Self { per_second }
    }

    /// When message `number` is due, after the start.
    pub(super) fn due(self, number: u64) -> Duration {
        // By division: intervals that were rounded and summed up would drift. A message that is due
        // beyond the type's range is due after everything.
        Duration::try_from_secs_f64(float(number) / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// The number of senders needed for a rate, if each may send `limit_per_sender` messages a second.
pub(super) fn senders_for(per_second: f64, limit_per_sender: usize) -> u64 {
    let limit = float(u64::try_from(limit_per_sender.max(1)).unwrap_or(u64::MAX));
    super::numbers::whole((per_second / limit).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_even_intervals_without_drift() {
        let schedule = Schedule::per_second(3.0);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(3), Duration::from_secs(1));
        assert_eq!(schedule.due(3 * 86_400), Duration::from_secs(86_400));
        let fast = Schedule::per_second(100_000.0);
        assert_eq!(Schedule::per_second(1e-300).due(1), Duration::MAX);
        assert_eq!(fast.due(12_345_678), Duration::from_micros(123_456_780));
    }

    #[test]
    fn a_late_send_does_not_move_later_ones() {
        // Answers have no influence: message 10 is due at the same time in every run.
        let due: Vec<_> = (0..10).map(|number| Schedule::per_second(10.0).due(number)).collect();
        assert!(due.windows(2).all(|pair| pair[0] + Duration::from_millis(100) == pair[1]));
    }

    #[test]
    fn senders_are_enough_for_the_rate() {
        assert_eq!(senders_for(1000.0, 10), 100);
        assert_eq!(senders_for(1001.0, 10), 101);
        assert_eq!(senders_for(5.0, 10), 1);
        assert_eq!(senders_for(5.0, 0), 5);
    }
}
