//! Every tuning constant of the bus. A `Duration` has its unit in its type.

use std::time::Duration;

/// How long a subscription may take to end.
pub(super) const UNSUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How many bytes of a `Content-Type` are kept.
pub(super) const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// How long the server may take to confirm a subscription.
pub(super) const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(2);
