//! Waiting for a condition with a deadline, lines that are always printed, and the time.

use std::{io::Write as _, time::Duration};

use tokio::time::{Instant, sleep};

use crate::faults::failure::Failure;

const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Calls `look` until it succeeds. Its `Err` says what is missing.
pub async fn until<T>(
    deadline: Duration,
    mut look: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, Failure> {
    let ends = Instant::now() + deadline;
    loop {
        match look().await {
            Ok(found) => return Ok(found),
            Err(missing) if Instant::now() > ends => {
                return Err(format!("not within {deadline:?}: {missing}").into());
            }
            Err(_) => sleep(POLL_INTERVAL).await,
        }
    }
}

/// Prints a line whether or not the test passes, for figures.
pub fn say(text: &str) {
    // A closed standard error is no reason to fail.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// This machine's clock, which is also the daemon's, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "the daemon's timestamps are compared with it")]
pub fn now_ms() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_1970.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}
