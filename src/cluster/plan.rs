//! What an instance has to do about who owns what.
//!
//! A plain function of what the bucket says. Instances that have seen different things come to
//! different plans; the bucket lets one of them through.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::table::Place;
use super::view::{Seen, View};
use crate::domain::id::{OrderKey, Partition};
use crate::wire::ownership::{MemberId, Owner};

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
            let (epoch, key) = (0, OrderKey::ZERO);
            let (untold_since_ms, unseen) = (None, None);
            let step = Step::Claim { partition, seq: 0, epoch, key, untold_since_ms, unseen };
            return is_target.then_some(step);
        };
        let Owner { holder, next, epoch, key, since_ms, untold_since_ms } = seen.entry.clone()?;
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
        // that was so.
        let untold_since_ms = match (&from, told) {
            (Some(from), Some(told)) if view.has_told_since(from, seen.seq) => Some(told.told_ms),
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

    fn may_act(&self, view: &View, member: &MemberId) -> bool {
        view.may_act(member, self.ttl_us(), self.now_us)
    }

    fn ttl_us(&self) -> u64 {
        u64::try_from(self.ttl.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
