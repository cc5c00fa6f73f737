//! Whom a user blocked: adding, removing, and showing it page by page.

use std::collections::btree_map::{BTreeMap, Entry};
use std::ops::Bound;

use super::id::UserId;
use super::limits::BLOCKED_MAX;
use super::user::User;

/// What is stored about one other user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEntry {
    /// Where the store has it; 0 when it does not.
    pub seq: u64,
    /// Whether the other is blocked, or was once.
    pub is_blocked: bool,
}

/// Whom a user blocked, by user ID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    entries: BTreeMap<UserId, BlockEntry>,
}

/// Why one user of a call was not blocked, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BlockRefusal {
    /// It is the caller.
    OwnId = 6_000_805,
    /// The caller has blocked as many as may be.
    Full = 6_000_808,
}

/// What a change of the block list does with each user that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockChange {
    /// To be written, each with the stream sequence that its entry must have (0: none).
    pub writes: Vec<(UserId, u64)>,
    /// Refused.
    pub refused: Vec<(UserId, BlockRefusal)>,
}

impl Blocklist {
    /// Whether `other` is blocked.
    #[must_use]
    pub fn contains(&self, other: &UserId) -> bool {
        self.entry(other).is_blocked
    }

    /// Takes what the store has, unless something newer is known.
    pub fn adopt(&mut self, other: UserId, entry: BlockEntry) {
        match self.entries.entry(other) {
            Entry::Vacant(vacant) => {
                vacant.insert(entry);
            }
            Entry::Occupied(mut known) if entry.seq > known.get().seq => {
                known.insert(entry);
            }
            Entry::Occupied(_) => {}
        }
    }

    /// The next `count` blocked users after `after`, by user ID, and whether more follow.
    #[must_use]
    pub fn page(&self, after: Option<&UserId>, count: usize) -> (Vec<UserId>, bool) {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let rest = self.entries.range::<UserId, _>((start, Bound::Unbounded));
        let mut blocked = rest.filter(|(_, entry)| entry.is_blocked).map(|(id, _)| id.clone());
        let page = blocked.by_ref().take(count).collect();
        (page, blocked.next().is_some())
    }

    fn entry(&self, other: &UserId) -> BlockEntry {
        self.entries.get(other).copied().unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.entries.values().filter(|entry| entry.is_blocked).count()
    }
}

impl User {
    /// What is to be written so that `others` are blocked. Who is blocked already needs nothing.
    #[must_use]
    pub fn block(&self, others: &[UserId]) -> BlockChange {
        let mut room = BLOCKED_MAX.saturating_sub(self.blocked.len());
        let mut change = BlockChange::default();
        for other in others {
            let entry = self.blocked.entry(other);
            if *other == self.id {
                change.refused.push((other.clone(), BlockRefusal::OwnId));
            } else if entry.is_blocked {
                // As with muting, what is set already is no error.
            } else if room == 0 {
                change.refused.push((other.clone(), BlockRefusal::Full));
            } else {
                room -= 1;
                change.writes.push((other.clone(), entry.seq));
            }
        }
        change
    }

    /// What is to be written so that `others` are not blocked. Who is not blocked needs nothing.
    #[must_use]
    pub fn unblock(&self, others: &[UserId]) -> BlockChange {
        let known = others.iter().map(|other| (other, self.blocked.entry(other)));
        let blocked = known.filter(|(_, entry)| entry.is_blocked);
        let writes = blocked.map(|(other, entry)| (other.clone(), entry.seq)).collect();
        BlockChange { writes, refused: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limits::Limits;
    use crate::domain::rejection::Rejection;

    fn id(text: &str) -> UserId {
        UserId::new(text, "userID").expect("a valid ID")
    }

    fn user(entries: &[(&str, u64, bool)]) -> User {
        let mut user = User::new(id("me"));
        for (other, seq, is_blocked) in entries {
            user.blocked.adopt(id(other), BlockEntry { seq: *seq, is_blocked: *is_blocked });
        }
        user
    }

    /// A user with `count` blocked users.
    fn crowded(count: usize) -> User {
        let mut user = user(&[("was", 1, false)]);
        for number in 0..count {
            let entry = BlockEntry { seq: 2 + number as u64, is_blocked: true };
            user.blocked.adopt(id(&format!("u{number}")), entry);
        }
        user
    }

    #[test]
    fn blocking_writes_what_is_not_blocked_and_refuses_the_own_id() {
        let user = user(&[("blocked", 3, true), ("was", 5, false)]);
        let change = user.block(&[id("new"), id("me"), id("blocked"), id("was")]);
        assert_eq!(change.writes, [(id("new"), 0), (id("was"), 5)]);
        assert_eq!(change.refused, [(id("me"), BlockRefusal::OwnId)]);
        assert_eq!(user.block(&[id("blocked")]), BlockChange::default());
    }

    #[test]
    fn unblocking_writes_what_is_blocked() {
        let user = user(&[("blocked", 3, true), ("was", 5, false)]);
        let change = user.unblock(&[id("new"), id("me"), id("blocked"), id("was")]);
        let writes = vec![(id("blocked"), 3)];
        assert_eq!(change, BlockChange { writes, refused: Vec::new() });
    }

    #[test]
    fn a_full_list_takes_no_more_and_has_room_again_after_a_removal() {
        let mut user = crowded(BLOCKED_MAX - 1);
        let change = user.block(&[id("u0"), id("was"), id("new"), id("me")]);
        assert_eq!(change.writes, [(id("was"), 1)]);
        let refused = [(id("new"), BlockRefusal::Full), (id("me"), BlockRefusal::OwnId)];
        assert_eq!(change.refused, refused);
        user.blocked.adopt(id("u0"), BlockEntry { seq: 5000, is_blocked: false });
        assert_eq!(user.block(&[id("was"), id("new"), id("u1")]).refused, []);
    }

    #[test]
    fn newer_entries_win_in_whatever_order_they_come() {
        let (old, new) = (("other", 7, true), ("other", 9, false));
        for entries in [[old, new], [new, old]] {
            let user = user(&entries);
            assert!(!user.blocked.contains(&id("other")));
            assert_eq!(user.block(&[id("other")]).writes, [(id("other"), 9)]);
        }
    }

    #[test]
    fn pages_go_by_user_id_and_a_place_need_not_be_blocked() {
        let user = user(&[("d", 1, true), ("b", 2, true), ("c", 3, false), ("a", 4, true)]);
        let page = |after: Option<&str>, count| user.blocked.page(after.map(id).as_ref(), count);
        assert_eq!(page(None, 2), (vec![id("a"), id("b")], true));
        assert_eq!(page(Some("b"), 2), (vec![id("d")], false));
        assert_eq!(page(Some("c"), 1), (vec![id("d")], false));
        assert_eq!(page(Some("d"), 2), (Vec::new(), false));
        assert_eq!(page(None, 3), (vec![id("a"), id("b"), id("d")], false));
    }

    #[test]
    fn who_is_blocked_is_not_accepted_and_everyone_else_is() {
        let user = user(&[("blocked", 1, true), ("was", 2, false)]);
        let accepts = |from: &str| user.accepts(&id(from), &Limits::default());
        assert_eq!(accepts("blocked"), Err(Rejection::BlockedByReceiver));
        assert_eq!(accepts("was"), Ok(()));
        assert_eq!(accepts("new"), Ok(()));
    }
}
