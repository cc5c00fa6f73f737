//! Reconciliation: the changes of ownership that an instance has to make.
//!
//! A pure function of the state of the bucket, the assignment and the time. Instances that have
//! seen different states come to different transitions; compare-and-set lets one of them through.
//!
//! - *Claim*: a partition without a live owner, or one that was given up for this instance.
//! - *Hand over*: a partition that is assigned to another member, once the set of members has been
//!   stable for half a second, or every partition when leaving. A hand-over for balance is
//!   abandoned, and the partition served on, if work in progress takes more than half a second: it
//!   may wait for a member that has just died. A partition that was given up for a member that is
//!   gone, or that does not claim it within the TTL, goes to its assigned owner.
//! - *Drop*: the owner entry was written by another instance. Calls still arrive here and are
//!   forwarded, until the other instance is seen to serve them.
//! - *Evict*: the entry of a member exists although no heartbeat was seen for the TTL: a server may
//!   keep an entry for longer than its TTL.
//!
//! Nothing is decided before the view is complete: a member that is not in it counts as dead.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::table::Place;
use super::tuning::SETTLED_US;
use super::view::{Seen, View};
use crate::storage::owners::{LaterFields, MemberId, Owner};
use peerd_core::id::{OrderKey, Partition};

/// The inputs of the reconciliation besides the view.
pub struct Reconciler<'a> {
    /// This instance.
    pub me: &'a MemberId,
    /// The partitions that it serves, and the claim of each.
    pub held: &'a BTreeMap<Partition, Claimed>,
    /// The member that should own each partition.
    pub targets: &'a [Option<MemberId>],
    /// Members that do not answer probes.
    pub silent: &'a BTreeSet<MemberId>,
    /// Whether this instance is leaving.
    pub is_leaving: bool,
    /// How long a member is considered alive without a heartbeat.
    pub ttl: Duration,
    /// When this instance joined, in microseconds of the monotonic clock.
    pub joined_us: u64,
    /// The time since which the bucket replaces one that was lost, by the server's clock, in
    /// milliseconds since 1970.
    pub stands_in_since_ms: Option<u64>,
    /// The current time, in microseconds of the monotonic clock.
    pub now_us: u64,
}

/// The claim under which this instance serves a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// How many times the partition was claimed.
    pub epoch: u64,
    /// The revision of its entry.
    pub seq: u64,
}

/// An action that the membership manager has to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Claim a partition that has no live owner.
    Claim {
        /// The partition.
        partition: Partition,
        /// The revision of its owner entry; 0: it has none.
        seq: u64,
        /// How many times it was claimed before.
        epoch: u64,
        /// An order key that is not below any assigned one, as far as is known.
        key: OrderKey,
        /// The time since which events may be unpublished, in milliseconds since 1970; `None`: as
        /// far as is known, all were published.
        unpublished_since_ms: Option<u64>,
        /// The owner, which is considered dead because its member entry was not seen. The claim
        /// makes sure of that first: an entry that is rewritten while a watch begins may arrive
        /// later than all others.
        unseen: Option<MemberId>,
        /// What a later release stored in the owner entry.
        later: LaterFields,
    },
    /// Hand a partition over to another member, or give it up without naming a next owner.
    HandOver {
        /// The partition.
        partition: Partition,
        /// The next owner, if there is one.
        to: Option<MemberId>,
        /// Whether the hand-over is required because this instance is leaving; otherwise it is only
        /// for balance.
        is_leaving: bool,
        /// What a later release stored in the owner entry.
        later: LaterFields,
    },
    /// Stop serving a partition at once: another instance has written its owner entry.
    Drop {
        /// The partition.
        partition: Partition,
    },
    /// Evict a member: delete its entry, which the server still has although the member sent no
    /// heartbeat in time or is known to have ended.
    Evict {
        /// The member.
        member: MemberId,
        /// The revision of its entry.
        seq: u64,
    },
}

impl Reconciler<'_> {
    /// All actions that are due.
    #[must_use]
    pub fn steps(&self, view: &View) -> Vec<Step> {
        let mut steps = self.evictions(view);
        for (number, target) in (0..).zip(self.targets) {
            let (partition, target) = (Partition(number), target.as_ref());
            let step = if let Some(claimed) = self.held.get(&partition) {
                let is_lost = view.owner(partition).is_some_and(|seen| seen.seq > claimed.seq);
                if is_lost {
                    Some(Step::Drop { partition })
                } else {
                    self.hand_over(view, partition, target)
                }
            } else if self.is_leaving {
                None
            } else {
                self.claim(view, partition, target)
            };
            steps.extend(step);
        }
        steps
    }

    /// The places for the routing table.
    #[must_use]
    pub fn places(&self, view: &View) -> Vec<Place> {
        let place = |number| {
            let owner = view.owner(Partition(number)).and_then(|seen| seen.entry.as_ref());
            match owner.and_then(|owner| owner.holder.as_ref()) {
                Some(holder) if holder == self.me => Place::Here,
                Some(holder) if self.silent.contains(holder) || !self.may_act(view, holder) => {
                    Place::Nobody
                }
                Some(_) => Place::There,
                None => Place::Nobody,
            }
        };
        (0..).zip(self.targets).map(|(number, _)| place(number)).collect()
    }

    fn evictions(&self, view: &View) -> Vec<Step> {
        // A server may keep an entry longer than its TTL.
        let is_dead = |(member, seen): &(&MemberId, &Seen<_>)| {
            let is_late = self.now_us >= seen.at_us + self.ttl_us();
            *member != self.me && (is_late || view.has_ended(member))
        };
        let dead = view.members().iter().filter(is_dead);
        dead.map(|(member, seen)| Step::Evict { member: member.clone(), seq: seen.seq }).collect()
    }

    fn hand_over(
        &self,
        view: &View,
        partition: Partition,
        target: Option<&MemberId>,
    ) -> Option<Step> {
        // Not while a member is silent, since it may be dead: calls in progress that wait for it
        // would delay the hand-over, and it may be the one that the partition would go to.
        let is_calm = self.silent.is_empty() && view.settled_for_us(self.now_us) >= SETTLED_US;
        let is_due = self.is_leaving || is_calm;
        let moves = self.is_leaving || target.is_some_and(|target| target != self.me);
        let to = target.filter(|target| *target != self.me).cloned();
        let is_leaving = self.is_leaving;
        (is_due && moves).then(|| {
            let entry = view.owner(partition).and_then(|seen| seen.entry.as_ref());
            let later = entry.map(|entry| entry.later.clone()).unwrap_or_default();
            Step::HandOver { partition, to, is_leaving, later }
        })
    }

    fn claim(&self, view: &View, partition: Partition, target: Option<&MemberId>) -> Option<Step> {
        let is_target = target == Some(self.me);
        let Some(seen) = view.owner(partition) else {
            // The partition may have an owner that only the lost bucket knew. Such an owner acts
            // for less than the TTL after its last heartbeat there, and this instance joined later
            // than that.
            let is_new = self.stands_in_since_ms.is_none();
            if !is_new && self.now_us < self.joined_us + self.ttl_us() {
                return None;
            }
            let ttl_ms = self.ttl_us() / 1000;
            let unpublished = |since_ms: u64| since_ms.saturating_sub(2 * ttl_ms);
            let unpublished_since_ms = self.stands_in_since_ms.map(unpublished);
            let (epoch, key, unseen) = (u64::from(!is_new), OrderKey::ZERO, None);
            let (seq, later) = (0, LaterFields::default());
            let step =
                Step::Claim { partition, seq, epoch, key, unpublished_since_ms, unseen, later };
            return is_target.then_some(step);
        };
        let Some(entry) = seen.entry.clone() else {
            return self.claim_damaged(view, partition, seen).filter(|_| is_target);
        };
        let Owner { holder, next, epoch, key, since_ms, unpublished_since_ms, later } = entry;
        let (is_mine, from) = match (holder, next) {
            // This instance has claimed it, and the acknowledgement was lost.
            (Some(holder), _) if holder == *self.me => (true, None),
            (Some(holder), _) => {
                let is_dead = !self.may_act(view, &holder);
                (is_target && is_dead, Some(holder))
            }
            (None, Some(next)) if next == *self.me => (true, None),
            (None, Some(next)) => {
                let had_time = self.now_us >= seen.at_us + self.ttl_us();
                let is_there = view.candidates().contains(&next);
                (is_target && (had_time || !is_there), None)
            }
            (None, None) => (is_target, None),
        };
        let published_up_to = from.as_ref().and_then(|from| view.published_up_to(from));
        let key = published_up_to.map_or(key, |published_up_to| published_up_to.key);
        // A dead owner's `published` entry also covers the events that it still had to redeliver, if the
        // entry was made after its claim. The revision of the entry does not show that: a write may
        // arrive late.
        let unpublished_since_ms = match (&from, published_up_to) {
            (Some(_), Some(published_up_to)) if published_up_to.claimed_seq >= seen.seq => {
                Some(published_up_to.published_ms)
            }
            (Some(_), Some(published_up_to)) => {
                Some(unpublished_since_ms.map_or(published_up_to.published_ms, |since_ms| {
                    since_ms.min(published_up_to.published_ms)
                }))
            }
            (Some(_), None) => Some(unpublished_since_ms.unwrap_or(since_ms)),
            (None, _) => unpublished_since_ms,
        };
        let unseen = from.filter(|from| !view.has_ended(from));
        let seq = seen.seq;
        let step = Step::Claim { partition, seq, epoch, key, unpublished_since_ms, unseen, later };
        is_mine.then_some(step)
    }

    /// Claims a partition whose owner entry is damaged. Its owner drops the partition on seeing
    /// that. An owner that does not see it sends no heartbeat within the TTL, and acts for less
    /// than another TTL.
    fn claim_damaged(&self, view: &View, partition: Partition, seen: &Seen<Owner>) -> Option<Step> {
        let (last, stored_ms) = view.damaged(partition)?;
        if self.now_us < seen.at_us + 2 * self.ttl_us() {
            return None;
        }
        let published_up_to = last.holder.as_ref().and_then(|holder| view.published_up_to(holder));
        Some(Step::Claim {
            partition,
            seq: seen.seq,
            epoch: last.epoch.max(1),
            key: published_up_to
                .map_or(last.key, |published_up_to| published_up_to.key.max(last.key)),
            unpublished_since_ms: Some(stored_ms.saturating_sub(2 * self.ttl_us() / 1000)),
            unseen: None,
            later: last.later.clone(),
        })
    }

    fn may_act(&self, view: &View, member: &MemberId) -> bool {
        view.may_act(member, self.ttl_us(), self.now_us)
    }

    fn ttl_us(&self) -> u64 {
        u64::try_from(self.ttl.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
