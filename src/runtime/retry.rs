//! The times after which callers may retry.

use peerd_protocol::failure::Failure;

/// For a caller who was refused because of too many calls in progress.
pub(super) const OVERLOADED_RETRY_MS: u64 = 100;
/// For a caller whose partition has no owner.
const NO_OWNER_RETRY_MS: u64 = 1000;

/// The partition had no owner in time.
pub(super) const NO_OWNER: Failure = Failure::NoOwner { retry_after_ms: NO_OWNER_RETRY_MS };
