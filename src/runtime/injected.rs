//! Faults that a test injects into decisions of `peerd-core`, which itself knows of none. Without a
//! fault, and in a release build, each function answers what it is given.

use std::borrow::Cow;
use std::sync::Arc;

use crate::failpoint::{self, Fault};
use crate::store::AppendError;
use peerd_core::id::OrderKey;
use peerd_core::receive::{Placed, Plan};
use peerd_core::rejection::Rejection;

/// The receiver's decision on a message.
pub(super) fn accepted(accepted: Result<(), Rejection>) -> Result<(), Rejection> {
    unless_blocked(Fault::BlockIgnored, accepted)
}

/// A decision that refuses users who are blocked, which `fault` ignores.
pub(super) fn unless_blocked(
    fault: Fault,
    decided: Result<(), Rejection>,
) -> Result<(), Rejection> {
    let is_blocked = decided == Err(Rejection::BlockedByReceiver);
    if is_blocked && failpoint::is(fault) { Ok(()) } else { decided }
}

/// The outcome of an append that would have been stored at `seq` if no other had come first.
pub(super) fn appended(appended: Result<u64, AppendError>, seq: u64) -> Result<u64, AppendError> {
    match appended {
        Err(AppendError::Unknown) if failpoint::is(Fault::SuccessWithoutAck) => Ok(seq),
        appended => appended,
    }
}

/// The time since which repeats are recognized.
pub(super) fn repeats_since(since_ms: u64) -> u64 {
    if failpoint::is(Fault::RepeatStored) { u64::MAX } else { since_ms }
}

/// What is stored of a message.
pub(super) fn stored(placed: &Placed) -> Cow<'_, Placed> {
    let mut placed = Cow::Borrowed(placed);
    if failpoint::is(Fault::LostReference) && placed.message.reply().is_some() {
        Arc::make_mut(&mut placed.to_mut().message).annotations = None;
    }
    placed
}

/// A plan that was made at `now_ms` by the wall clock.
pub(super) fn planned(mut plan: Plan, now_ms: u64) -> Plan {
    let Plan::Store(placed) = &mut plan else { return plan };
    if failpoint::is(Fault::KeyGoesBack) {
        let lane = placed.message.key.0 % 2;
        let key = OrderKey(OrderKey::at_ms(now_ms).0 + lane);
        Arc::make_mut(&mut placed.message).key = key;
    }
    if failpoint::is(Fault::GapInSequence) && placed.mark.seq.is_multiple_of(4) {
        placed.mark.seq += 1;
        Arc::make_mut(&mut placed.message).seq += 1;
    }
    plan
}
