//! What the bucket of owners says, as far as this instance has seen it.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::id::Partition;
use crate::storage::owners::{self, Key, Member, MemberId, Owner, Told, is_later};
use crate::store::registry::{Change, Value};

/// An entry, and where and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// What it says; `None`: nothing that this version understands.
    pub entry: Option<T>,
    /// Its place in the bucket: what a change of it must expect.
    pub seq: u64,
    /// When it was seen, in microseconds of the steady clock.
    pub at_us: u64,
}

/// What the bucket of owners says, as far as this instance has seen it.
#[derive(Clone, Debug, Default)]
pub struct View {
    members: BTreeMap<MemberId, Seen<Member>>,
    owners: BTreeMap<Partition, Seen<Owner>>,
    told: BTreeMap<MemberId, Told>,
    /// What the entry of a partition said before one that is damaged, and when that was written, by
    /// the server's clock.
    damaged: BTreeMap<Partition, (Owner, u64)>,
    /// Members whose entry expired, and when they last gave a sign of life.
    expired: BTreeMap<MemberId, u64>,
    /// Members that are known to have ended, however fresh their entry is.
    ended: BTreeSet<MemberId>,
    /// Since when the same members take partitions.
    settled_us: u64,
    /// Whether all that was there when it was begun has come.
    is_complete: bool,
}

impl View {
    /// A view that is begun anew: what an earlier one says of those who are gone still holds.
    #[must_use]
    pub fn after(earlier: &Self) -> Self {
        // Who is missing in what comes now has expired since.
        let seen = earlier.members.iter().map(|(id, seen)| (id.clone(), seen.at_us));
        let expired = earlier.expired.clone().into_iter().chain(seen).collect();
        Self { expired, ended: earlier.ended.clone(), ..Self::default() }
    }

    /// Takes note of a change.
    pub fn apply(&mut self, change: &Change, now_us: u64) {
        self.is_complete |= change.is_caught_up;
        let Some(key) = Key::parse(&change.key) else { return };
        let before = self.candidates();
        match (key, &change.value) {
            (Key::Member(id), Value::Put(bytes)) => {
                let entry = read(bytes, &change.key);
                self.expired.remove(&id);
                self.members.insert(id, Seen { entry, seq: change.seq, at_us: now_us });
            }
            (Key::Member(id), Value::Expired) => {
                if let Some(seen) = self.members.remove(&id) {
                    self.expired.insert(id, seen.at_us);
                }
            }
            (Key::Member(id), Value::Deleted) => {
                self.members.remove(&id);
                self.expired.remove(&id);
            }
            (Key::Owner(partition), value) => {
                let entry = match value {
                    Value::Put(bytes) => read(bytes, &change.key),
                    Value::Expired | Value::Deleted => Some(Owner::default()),
                };
                let is_damaged =
                    entry.is_none() && matches!(value, Value::Put(bytes) if !is_later(bytes));
                if is_damaged {
                    let before = self.owners.get(&partition).and_then(|seen| seen.entry.clone());
                    let known = self.damaged.remove(&partition).map(|(known, _)| known);
                    let last = before.or(known).unwrap_or_default();
                    self.damaged.insert(partition, (last, change.stored_ms));
                } else {
                    self.damaged.remove(&partition);
                }
                self.owners.insert(partition, Seen { entry, seq: change.seq, at_us: now_us });
            }
            (Key::Told(id), Value::Put(bytes)) => {
                if let Some(told) = read(bytes, &change.key) {
                    self.told.insert(id, told);
                }
            }
            (Key::Told(id), Value::Expired | Value::Deleted) => {
                self.told.remove(&id);
            }
        }
        if before != self.candidates() {
            self.settled_us = now_us;
        }
        if self.is_complete {
            let holders: BTreeSet<_> = self.owners.values().filter_map(holder).cloned().collect();
            self.expired.retain(|id, _| holders.contains(id));
        }
    }

    /// Takes an entry of a member for expired that the bucket does not have: a server that has read
    /// its files anew may show what was gone. One that is newer is not concerned.
    pub fn disown(&mut self, member: &MemberId, seq: u64) {
        if let Some(seen) = self.members.get(member).filter(|seen| seen.seq == seq) {
            self.expired.insert(member.clone(), seen.at_us);
            self.members.remove(member);
        }
    }

    /// Takes a member for ended: this instance knows it for certain.
    pub fn end(&mut self, member: MemberId) {
        self.ended.insert(member);
    }

    /// Whether a member is known to have ended.
    #[must_use]
    pub fn has_ended(&self, member: &MemberId) -> bool {
        self.ended.contains(member)
    }

    /// The members that have an entry.
    #[must_use]
    pub const fn members(&self) -> &BTreeMap<MemberId, Seen<Member>> {
        &self.members
    }

    /// Whether all that was there when it was begun has come.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The entry of a partition.
    #[must_use]
    pub fn owner(&self, partition: Partition) -> Option<&Seen<Owner>> {
        self.owners.get(&partition)
    }

    /// What the entry of a partition said before one that is damaged, and when that was written, by
    /// the server's clock, in milliseconds since 1970.
    #[must_use]
    pub fn damaged(&self, partition: Partition) -> Option<(&Owner, u64)> {
        self.damaged.get(&partition).map(|(owner, stored_ms)| (owner, *stored_ms))
    }

    /// How far a member had told everything, if that is known.
    #[must_use]
    pub fn told(&self, member: &MemberId) -> Option<Told> {
        self.told.get(member).copied()
    }

    /// The members that take partitions.
    #[must_use]
    pub fn candidates(&self) -> BTreeSet<MemberId> {
        let takes = |(id, seen): &(&MemberId, &Seen<Member>)| {
            seen.entry.as_ref().is_some_and(|member| !member.leaving) && !self.ended.contains(*id)
        };
        self.members.iter().filter(takes).map(|(id, _)| id.clone()).collect()
    }

    /// For how long the same members have taken partitions.
    #[must_use]
    pub const fn settled_for_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.settled_us)
    }

    /// Whether a member may still act: it has an entry, or the time for which others must take it
    /// for alive is not over by this instance's own clock (a server's clock may have jumped).
    #[must_use]
    pub fn may_act(&self, member: &MemberId, ttl_us: u64, now_us: u64) -> bool {
        if self.ended.contains(member) {
            return false;
        }
        let has_time = |last_us: &u64| now_us < last_us + ttl_us;
        self.members.contains_key(member) || self.expired.get(member).is_some_and(has_time)
    }
}

fn holder(seen: &Seen<Owner>) -> Option<&MemberId> {
    seen.entry.as_ref()?.holder.as_ref()
}

fn read<T: for<'de> serde::Deserialize<'de>>(bytes: &[u8], key: &str) -> Option<T> {
    let entry = owners::decode(bytes);
    entry.inspect_err(|error| tracing::error!(key, %error, "an entry is not understood")).ok()
}
