//! When callers may try again.

use peerd_protocol::failure::Failure;

/// When a caller who was refused for too many calls under way may try again.
pub(super) const OVERLOADED_RETRY_MS: u64 = 100;
/// When a caller who met no owner may try again.
const NO_OWNER_RETRY_MS: u64 = 1000;

/// Nobody came to own the partition in time.
pub(super) const NO_OWNER: Failure = Failure::NoOwner { retry_after_ms: NO_OWNER_RETRY_MS };
