//! The state of the owners bucket, as far as this instance has seen it.

use std::collections::{BTreeMap, BTreeSet};

use crate::storage::owners::{self, Key, Member, MemberId, Owner, PublishedUpTo, is_later};
use crate::store::registry::{Change, Value};
use peerd_core::id::Partition;

/// An entry, its revision, and when it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<T> {
    /// The content; `None` if this version does not understand it.
    pub entry: Option<T>,
    /// Its revision in the bucket, which a compare-and-set of the entry must expect.
    pub seq: u64,
    /// When it was seen, in microseconds of the monotonic clock.
    pub at_us: u64,
}

/// The state of the owners bucket, as far as this instance has seen it.
#[derive(Clone, Debug, Default)]
pub struct View {
    members: BTreeMap<MemberId, Seen<Member>>,
    owners: BTreeMap<Partition, Seen<Owner>>,
    published_up_to: BTreeMap<MemberId, PublishedUpTo>,
    /// For each partition whose entry is damaged: the last readable entry, and when the damaged one
    /// was written, by the server's clock.
    damaged: BTreeMap<Partition, (Owner, u64)>,
    /// Members whose entry expired, and when their last heartbeat was seen.
    expired: BTreeMap<MemberId, u64>,
    /// Members that are known to have ended, even if their entry is fresh.
    ended: BTreeSet<MemberId>,
    /// The time since which the set of members that take partitions is unchanged.
    settled_us: u64,
    /// Whether all entries that existed when the watch began have arrived.
    is_complete: bool,
}

impl View {
    /// A new view for a new watch. It keeps what an earlier view knows about members that are gone.
    #[must_use]
    pub fn after(earlier: &Self) -> Self {
        // A member that does not appear in the new watch has expired in the meantime.
        let seen = earlier.members.iter().map(|(id, seen)| (id.clone(), seen.at_us));
        let expired = earlier.expired.clone().into_iter().chain(seen).collect();
        Self { expired, ended: earlier.ended.clone(), ..Self::default() }
    }

    /// Applies a change of the bucket.
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
            (Key::Published(id), Value::Put(bytes)) => {
                if let Some(published_up_to) = read(bytes, &change.key) {
                    self.published_up_to.insert(id, published_up_to);
                }
            }
            (Key::Published(id), Value::Expired | Value::Deleted) => {
                self.published_up_to.remove(&id);
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

    /// Treats a member's entry as expired, since the bucket does not have it although the watch
    /// showed it: a server that has read its files again may show an entry that was gone. A newer
    /// entry of the member is not affected.
    pub fn disown(&mut self, member: &MemberId, seq: u64) {
        if let Some(seen) = self.members.get(member).filter(|seen| seen.seq == seq) {
            self.expired.insert(member.clone(), seen.at_us);
            self.members.remove(member);
        }
    }

    /// Marks a member as ended. This instance must know that for certain.
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

    /// Whether all entries that existed when the watch began have arrived.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// The entry of a partition.
    #[must_use]
    pub fn owner(&self, partition: Partition) -> Option<&Seen<Owner>> {
        self.owners.get(&partition)
    }

    /// The last readable entry of a partition whose entry is damaged, and when the damaged one was
    /// written, by the server's clock, in milliseconds since 1970.
    #[must_use]
    pub fn damaged(&self, partition: Partition) -> Option<(&Owner, u64)> {
        self.damaged.get(&partition).map(|(owner, stored_ms)| (owner, *stored_ms))
    }

    /// The time up to which a member had published all events, if that is known.
    #[must_use]
    pub fn published_up_to(&self, member: &MemberId) -> Option<PublishedUpTo> {
        self.published_up_to.get(member).copied()
    }

    /// The members that take partitions.
    #[must_use]
    pub fn candidates(&self) -> BTreeSet<MemberId> {
        let takes = |(id, seen): &(&MemberId, &Seen<Member>)| {
            seen.entry.as_ref().is_some_and(|member| !member.leaving) && !self.ended.contains(*id)
        };
        self.members.iter().filter(takes).map(|(id, _)| id.clone()).collect()
    }

    /// For how long the set of members that take partitions has been unchanged.
    #[must_use]
    pub const fn settled_for_us(&self, now_us: u64) -> u64 {
        now_us.saturating_sub(self.settled_us)
    }

    /// Whether a member may still act: it has an entry, or its TTL is not over by this instance's
    /// own clock. The server's clock may have jumped and let the entry expire early.
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
    entry.inspect_err(|error| tracing::error!(key, %error, "cannot decode an entry")).ok()
}
