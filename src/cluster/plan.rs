//! What an instance has to do about who owns what.
//!
//! A plain function of what the bucket says. Instances that have seen different things come to
//! different plans; the bucket lets one of them through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::table::Place;
use super::view::{Seen, View};
use crate::domain::id::{OrderKey, Partition};
use crate::storage::owners::{MemberId, Owner};

/// How long the same members must be there before partitions move to a new one, so that those that
/// come together are dealt with together.
const SETTLED_US: u64 = 500_000;

/// Who plans.
pub struct Planner<'a> {
    /// This instance.
    pub me: &'a MemberId,
    /// The partitions that it serves, and where it wrote their entries.
    pub held: &'a BTreeMap<Partition, Claimed>,
    /// Who is to own each partition.
    pub targets: &'a [Option<MemberId>],
    /// Members that do not answer.
    pub silent: &'a BTreeSet<MemberId>,
    /// Whether it is about to end.
    pub is_leaving: bool,
    /// How long a member is taken to be alive without a sign of life.
    pub ttl: Duration,
    /// When this instance joined, in microseconds of the steady clock.
    pub joined_us: u64,
    /// Since when the bucket stands in for one that was lost, by the server's clock, in milliseconds
    /// since 1970.
    pub stands_in_since_ms: Option<u64>,
    /// The time, in microseconds of the steady clock.
    pub now_us: u64,
}

/// Where the entry of a partition is that this instance serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// How often the partition was claimed.
    pub epoch: u64,
    /// Where its entry is.
    pub seq: u64,
}

/// Something to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take a partition that nobody owns.
    Claim {
        /// Which.
        partition: Partition,
        /// Where its entry is; 0: it has none.
        seq: u64,
        /// How often it was claimed before.
        epoch: u64,
        /// A key that is not below any that was given, as far as is known.
        key: OrderKey,
        /// Where the owner before did not give it up: since when events may be missing, in
        /// milliseconds since 1970, if that is known.
        untold_since_ms: Option<u64>,
        /// Who has it and is taken for dead because no entry was seen: that is to be made sure of. An
        /// entry that is rewritten while a watch begins may come later than all others.
        unseen: Option<MemberId>,
    },
    /// Give a partition to another, or to nobody in particular.
    HandOver {
        /// Which.
        partition: Partition,
        /// To whom.
        to: Option<MemberId>,
        /// Whether it must be, since this instance ends; else it is for the balance alone.
        is_leaving: bool,
    },
    /// Serve a partition no more, at once: its entry was written by somebody else.
    Drop {
        /// Which.
        partition: Partition,
    },
    /// Take away the entry of a member that has given no sign of life, and that the server let stand.
    Bury {
        /// The member.
        member: MemberId,
        /// Where its entry is.
        seq: u64,
    },
}

impl Planner<'_> {
    /// All that is to be done.
    #[must_use]
    pub fn steps(&self, view: &View) -> Vec<Step> {
        let mut steps = self.burials(view);
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

    /// Where calls go.
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

    fn burials(&self, view: &View) -> Vec<Step> {
        // A server may let an entry stand longer than its TTL.
        let is_dead = |(member, seen): &(&MemberId, &Seen<_>)| {
            let is_late = self.now_us >= seen.at_us + self.ttl_us();
            *member != self.me && (is_late || view.has_ended(member))
        };
        let dead = view.members().iter().filter(is_dead);
        dead.map(|(member, seen)| Step::Bury { member: member.clone(), seq: seen.seq }).collect()
    }

    fn hand_over(
        &self,
        view: &View,
        partition: Partition,
        target: Option<&MemberId>,
    ) -> Option<Step> {
        // Not while somebody is silent: calls under way that wait for one who has died would hold the
        // hand-over up, and who is given something may be the one.
        let is_calm = self.silent.is_empty() && view.settled_for_us(self.now_us) >= SETTLED_US;
        let is_due = self.is_leaving || is_calm;
        let moves = self.is_leaving || target.is_some_and(|target| target != self.me);
        let to = target.filter(|target| *target != self.me).cloned();
        let is_leaving = self.is_leaving;
        (is_due && moves).then_some(Step::HandOver { partition, to, is_leaving })
    }

    fn claim(&self, view: &View, partition: Partition, target: Option<&MemberId>) -> Option<Step> {
        let is_target = target == Some(self.me);
        let Some(seen) = view.owner(partition) else {
            // It may have an owner of which only the bucket that was lost knew. Such an owner acts for
            // less than the TTL after it gave its last sign there, and this instance has joined since.
            let is_new = self.stands_in_since_ms.is_none();
            if !is_new && self.now_us < self.joined_us + self.ttl_us() {
                return None;
            }
            let ttl_ms = self.ttl_us() / 1000;
            let untold = |since_ms: u64| since_ms.saturating_sub(2 * ttl_ms);
            let untold_since_ms = self.stands_in_since_ms.map(untold);
            let (epoch, key, unseen) = (u64::from(!is_new), OrderKey::ZERO, None);
            let step = Step::Claim { partition, seq: 0, epoch, key, untold_since_ms, unseen };
            return is_target.then_some(step);
        };
        let Some(entry) = seen.entry.clone() else {
            return self.claim_damaged(view, partition, seen).filter(|_| is_target);
        };
        let Owner { holder, next, epoch, key, since_ms, untold_since_ms } = entry;
        let (is_mine, from) = match (holder, next) {
            // It was claimed, and the acknowledgement was lost.
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
        let told = from.as_ref().and_then(|from| view.told(from));
        let key = told.map_or(key, |told| told.key);
        // A dead owner's own word covers what it had still to tell again itself, if it was given since
        // that was so. Where the entry is in the bucket does not show it: a write may come in late.
        let untold_since_ms = match (&from, told) {
            (Some(_), Some(told)) if told.claimed_seq >= seen.seq => Some(told.told_ms),
            (Some(_), Some(told)) => {
                Some(untold_since_ms.map_or(told.told_ms, |since_ms| since_ms.min(told.told_ms)))
            }
            (Some(_), None) => Some(untold_since_ms.unwrap_or(since_ms)),
            (None, _) => untold_since_ms,
        };
        let unseen = from.filter(|from| !view.has_ended(from));
        let seq = seen.seq;
        is_mine.then_some(Step::Claim { partition, seq, epoch, key, untold_since_ms, unseen })
    }

    /// Takes a partition whose entry says nothing any more. Whoever had it drops it on seeing that,
    /// or sees nothing and so gives no sign of life within the TTL, and acts for less than another.
    fn claim_damaged(&self, view: &View, partition: Partition, seen: &Seen<Owner>) -> Option<Step> {
        let (last, stored_ms) = view.damaged(partition)?;
        if self.now_us < seen.at_us + 2 * self.ttl_us() {
            return None;
        }
        let told = last.holder.as_ref().and_then(|holder| view.told(holder));
        Some(Step::Claim {
            partition,
            seq: seen.seq,
            epoch: last.epoch.max(1),
            key: told.map_or(last.key, |told| told.key.max(last.key)),
            untold_since_ms: Some(stored_ms.saturating_sub(2 * self.ttl_us() / 1000)),
            unseen: None,
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
