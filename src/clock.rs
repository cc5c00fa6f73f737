//! The clocks: the only module that reads the time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A point in time, by two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// The wall clock, in milliseconds since 1970. It may be set back.
    pub wall_ms: u64,
    /// The monotonic clock, in microseconds since the process began.
    pub steady_us: u64,
}

/// Reads the time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
    wall: Wall,
}

/// The wall clock.
#[derive(Clone, Copy, Debug)]
enum Wall {
    /// The clock of the machine.
    System,
    /// Begins at this time and follows tokio's time, for tests.
    Simulated(u64),
    /// As [`Wall::Simulated`], for tests that set it forward and back.
    Set(&'static AtomicU64),
}

impl Clock {
    /// The clocks of the machine.
    #[must_use]
    pub fn system() -> Self {
        Self { began: Instant::now(), wall: Wall::System }
    }

    /// Both clocks on tokio's time, which tests can stop; the wall clock begins at `wall_ms`.
    #[must_use]
    pub fn simulated(wall_ms: u64) -> Self {
        Self { began: Instant::now(), wall: Wall::Simulated(wall_ms) }
    }

    /// As [`Clock::simulated`]. A change of `wall_ms` sets the wall clock by as much.
    #[must_use]
    pub fn simulated_and_set(wall_ms: &'static AtomicU64) -> Self {
        Self { began: Instant::now(), wall: Wall::Set(wall_ms) }
    }

    /// The monotonic clock, in microseconds since the process began.
    #[must_use]
    pub fn steady_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// A time of the monotonic clock as an instant.
    #[must_use]
    pub fn instant(&self, now: Now) -> Instant {
        self.began + Duration::from_micros(now.steady_us)
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { wall_ms: self.wall_ms(), steady_us: self.steady_us() }
    }

    /// The wall clock alone, in milliseconds since 1970.
    #[must_use]
    pub fn wall_ms(&self) -> u64 {
        match self.wall {
            Wall::System => system_ms(),
            Wall::Simulated(began_ms) => began_ms + self.steady_us() / 1000,
            Wall::Set(began_ms) => began_ms.load(Ordering::Relaxed) + self.steady_us() / 1000,
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn system_ms() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX)
}
