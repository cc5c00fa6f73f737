//! The constants of logins by token, with their reasons.

use std::time::Duration;

/// How long a request may wait for a new key. It must be shorter than nats-server waits for an
/// answer (`authorization.timeout`, two seconds by default).
pub(super) const KEY_WAIT: Duration = Duration::from_millis(1500);
/// How long a fetch of keys may take.
pub(super) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The largest answer to a fetch.
pub(super) const FETCH_BYTES_MAX: usize = 256 * 1024;
/// The pause after a first failed fetch; each further one is twice as long.
pub(super) const FETCH_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause after a failed fetch.
pub(super) const FETCH_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often files are compared with what was read.
pub(super) const FILE_CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// The largest file of keys or revocations.
pub(super) const FILE_BYTES_MAX: u64 = 16 << 20;
/// How long an answer may take to leave, when the connection is down.
pub(super) const PUBLISH_TIMEOUT: Duration = Duration::from_secs(2);
/// Of the requests in progress, the part that may wait for a new key: a flood of unknown keys leaves
/// room for the known ones.
pub(super) const KEY_WAITERS_PART: usize = 4;
/// The most requests beyond the bound that are refused at once; further ones get no answer.
pub(super) const REFUSED_AT_ONCE_MAX: usize = 64;
/// How often the log has a line about refused logins.
pub(super) const LOG_REFUSED_EVERY: Duration = Duration::from_secs(1);
/// How often the log has a line about requests that cannot be read.
pub(super) const LOG_UNREADABLE_EVERY: Duration = Duration::from_secs(10);

const _: () = assert!(KEY_WAIT.as_millis() < 2000);
const _: () = assert!(FETCH_PAUSE_MIN.as_millis() < FETCH_PAUSE_MAX.as_millis());
