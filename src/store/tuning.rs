//! Every tuning constant of the store, with its unit and its reason. A `Duration` has its unit in
//! its type.

use std::time::Duration;

// Reads.

/// The records of one request.
pub(super) const SCAN_RECORDS_PER_READ: usize = 512;
/// The wait before the next request after a lagging replica answered.
pub(super) const SCAN_RETRY_DELAY: Duration = Duration::from_millis(50);
/// The most subjects that one request for last records may match.
pub(super) const DIRECT_GET_SUBJECTS_MAX: usize = 1024;
/// The bytes of a request besides its subjects.
pub(super) const ENVELOPE_BYTES: usize = 4096;
/// The bytes around each subject in a request.
pub(super) const AROUND_SUBJECT_BYTES: usize = 3;

// Writes.

/// The first wait before a refused publish is tried again; each wait is twice as long as the one
/// before.
pub(super) const PUBLISH_BACKOFF_FIRST: Duration = Duration::from_millis(10);
/// The longest such wait.
pub(super) const PUBLISH_BACKOFF_MAX: Duration = Duration::from_millis(500);
/// The wait for the first answer; it is doubled for each further one.
pub(super) const PUBLISH_TIMEOUT_FIRST: Duration = Duration::from_secs(1);
/// Room for a header block that expects a sequence.
pub(super) const EXPECTING_BYTES: usize = 96;
/// How often overdue publishes are searched.
pub(super) const ACK_OVERDUE_INTERVAL: Duration = Duration::from_millis(100);
/// The longest reply subject: an inbox and a number.
pub(super) const ACK_REPLY_BYTES_MAX: usize = 256;
/// The most pushes of a user that are looked at for the one of a message. Each is a request.
pub(super) const WITHDRAW_LOOKS_MAX: usize = 1000;
/// The time limit of one attempt to hand a push over.
pub(super) const HAND_OFF_TRY_TIMEOUT: Duration = Duration::from_secs(3);

// Provisioning and problems.

/// How long the bucket of owners remembers that an entry expired or was deleted.
pub(super) const EXPIRED_MARKER_TTL: Duration = Duration::from_secs(60);
/// Streams that are created or compared concurrently.
pub(super) const PROVISION_CONCURRENT: usize = 8;
/// A write that succeeds so soon after a refused one does not end the problem: a small message may
/// fit where a large one does not.
pub(super) const TROUBLE_CALM: Duration = Duration::from_secs(3);
/// If no write was acknowledged within its deadline for this long, it is a problem: this is longer
/// than the election of a leader takes.
pub(super) const UNACKED_MAX: Duration = Duration::from_secs(4);
/// A problem that returns within this time after it was over is the same one.
pub(super) const SAME_TROUBLE: Duration = Duration::from_secs(60);
/// How long the loss of a partition's stream is reported after it was created again.
pub(super) const LOSS_REPORTED_FOR: Duration = Duration::from_secs(600);
/// A problem that was not met again for this long counts as over.
pub(super) const TROUBLE_FORGOTTEN: Duration = Duration::from_secs(600);

// Relations.

const _: () = {
    assert!(PUBLISH_BACKOFF_FIRST.as_millis() < PUBLISH_BACKOFF_MAX.as_millis());
    // A publish that was refused is tried again before its answer is overdue.
    assert!(PUBLISH_BACKOFF_MAX.as_millis() < PUBLISH_TIMEOUT_FIRST.as_millis());
    assert!(ACK_OVERDUE_INTERVAL.as_millis() < PUBLISH_TIMEOUT_FIRST.as_millis());
    // Several answers are missed before a stream counts as one that acknowledges nothing.
    assert!(PUBLISH_TIMEOUT_FIRST.as_millis() < UNACKED_MAX.as_millis());
    assert!(TROUBLE_CALM.as_millis() < SAME_TROUBLE.as_millis());
    assert!(SAME_TROUBLE.as_millis() < TROUBLE_FORGOTTEN.as_millis());
};
