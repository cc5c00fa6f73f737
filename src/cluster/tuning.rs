//! The tuning constants of this layer, with the relations between them.

use std::time::Duration;

/// Heartbeats per TTL. A member that sends none for a whole TTL is considered dead.
pub(super) const BEATS_PER_TTL: u32 = 5;
/// How long an instance may act after a heartbeat, in beats: less than the TTL, since clocks may
/// run at different speeds.
pub(super) const LEASE_BEATS: u32 = 4;
/// How long a member's `published` entry is kept, which has the member's published-up-to time. Later,
/// the affected users are offline and receive the events at their next login.
pub(super) const PUBLISHED_TTL: Duration = Duration::from_secs(60 * 60);

/// How often conditions that depend on time alone are checked.
pub(super) const TICK: Duration = Duration::from_millis(50);
/// How often the members are probed: less often the more members there are.
pub(super) const PROBE_EVERY: Duration = Duration::from_millis(100);
pub(super) const PROBE_EVERY_PER_MEMBER: Duration = Duration::from_millis(20);
/// How often the store is checked for records that this instance did not write.
pub(super) const LOOK_AROUND_EVERY: Duration = Duration::from_secs(1);
/// How often the log repeats that joining still fails.
pub(super) const LOG_EVERY: Duration = Duration::from_secs(10);

/// Wait between attempts to join or to watch.
pub(super) const JOIN_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// Wait before an interrupted watch is started again.
pub(super) const WATCH_AGAIN_AFTER: Duration = Duration::from_millis(10);
/// How long one attempt to join, to watch or to leave may take.
pub(super) const MEMBERSHIP_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one read or write of the bucket may take in a job.
pub(super) const JOB_TIMEOUT: Duration = Duration::from_secs(3);
/// Wait before it is checked again whether an owner that was not seen is alive.
pub(super) const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);

/// Partitions that are handed over at the same time.
pub(super) const HAND_OVERS_MAX: usize = 8;
/// Partitions that are claimed at the same time.
pub(super) const CLAIMS_MAX: usize = 16;
/// The most partitions of a member, in quarters of an equal share. With plain rendezvous hashing,
/// ten members and 64 partitions, one member has more than twice its share in one of ten cases.
pub(super) const SHARE_QUARTERS_MAX: usize = 5;

/// How long the set of members must be unchanged before partitions move to a new one, so that
/// members that join together are handled together.
pub(super) const SETTLED_US: u64 = 500_000;
/// How long work in progress may delay a hand-over for balance, while new calls wait. The work may
/// be waiting for a member that has just died.
pub(super) const HAND_OVER_PATIENCE: Duration = Duration::from_millis(500);
/// How long no partition is handed over for balance after such a hand-over was delayed for too
/// long.
pub(super) const HAND_OVER_REST: Duration = Duration::from_secs(1);
/// How long a leaving instance keeps receiving the calls of a partition that it has given up, on
/// behalf of the next owner.
pub(super) const GIVEN_UP_STAYS: Duration = Duration::from_secs(2);

/// The shortest TTL that the configuration takes.
const MEMBER_TTL_MS_MIN: u128 = 1_000;

// A lease ends before the others consider the member dead.
const _: () = assert!(LEASE_BEATS < BEATS_PER_TTL);
// A heartbeat may come late or be lost without the lease ending.
const _: () = assert!(LEASE_BEATS >= 2);
// Conditions of time are checked several times a beat, and before members count as settled.
const _: () = assert!(TICK.as_millis() * 2 <= MEMBER_TTL_MS_MIN / BEATS_PER_TTL as u128);
const _: () = assert!(TICK.as_micros() < SETTLED_US as u128);
// The published-up-to time of a dead member is kept for longer than any take-over takes.
const _: () = assert!(PUBLISHED_TTL.as_secs() > 10 * MEMBERSHIP_TIMEOUT.as_secs());
// A delayed hand-over for balance rests for longer than it was delayed.
const _: () = assert!(HAND_OVER_PATIENCE.as_millis() < HAND_OVER_REST.as_millis());
// Every member can get its equal share.
const _: () = assert!(SHARE_QUARTERS_MAX >= 4);
