//! The one place that asks what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, in milliseconds since 1970. It may be set back.
    pub wall_ms: u64,
    /// A clock that only goes forward, in microseconds since the process began.
    pub steady_us: u64,
}

/// Tells the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    /// Where the wall clock stood then, for tests that run on tokio's own time.
    simulated_wall_ms: Option<u64>,
}

impl Clock {
    /// The clocks of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self { began: Instant::now(), simulated_wall_ms: None }
    }

    /// Both clocks on tokio's time, which tests can stop; the wall clock begins at `wall_ms`.
    #[must_use]
    pub fn simulated(wall_ms: u64) -> Self {
        Self { began: Instant::now(), simulated_wall_ms: Some(wall_ms) }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Now {
        let steady_us = u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let wall_ms = match self.simulated_wall_ms {
            Some(began_ms) => began_ms + steady_us / 1000,
            None => system_ms(),
        };
        Now { wall_ms, steady_us }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
