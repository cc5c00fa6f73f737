//! A user's block list: blocking, unblocking, and paging through the list.

use std::collections::btree_map::{BTreeMap, Entry};

use super::id::{OrderKey, UserId};
use super::limits::BLOCKED_MAX;

/// The number of a block. It is above those of all earlier blocks of the same user, so the list is
/// paged by it. It is an order key of the user's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockNumber(pub u64);

impl BlockNumber {
    /// The number of a block that was stored before blocks had numbers.
    pub const UNKNOWN: Self = Self(0);

    /// The number of the block of `other`. Where none was stored, it is derived from the user ID,
    /// so that it is always the same and below all assigned numbers.
    fn of(self, other: &UserId) -> Self {
        /// Order keys have more bits than this from the fourth day of their epoch on.
        const BITS: u32 = 40;
        if self != Self::UNKNOWN {
            return self;
        }
        // 64-bit FNV-1a, XOR-folded.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = other.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step);
        Self(1 + (hash ^ (hash >> BITS)) % (1 << BITS))
    }
}

/// The stored entry about one other user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEntry {
    /// The entry's sequence in the store; 0 if there is none.
    pub seq: u64,
    /// The number of the block; `None` if the other user was unblocked.
    pub block: Option<BlockNumber>,
}

/// The users whom a user has blocked, by user ID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocklist {
    entries: BTreeMap<UserId, BlockEntry>,
    /// A client whose newest revision is below this may not know of the last change.
    changed: u64,
}

/// Why one user named in a call was not blocked, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum BlockRefusal {
    /// The user is the caller.
    OwnId = 6_000_805,
    /// The caller has blocked the maximum number of users.
    Full = 6_000_808,
}

/// The effect of a change of the block list on each user that it names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockChange {
    /// Entries to write, each with the expected last sequence of its subject (0: none).
    pub writes: Vec<(UserId, u64)>,
    /// Users that were refused, with the reason.
    pub refused: Vec<(UserId, BlockRefusal)>,
}

impl Blocklist {
    /// Whether `other` is blocked.
    #[must_use]
    pub fn contains(&self, other: &UserId) -> bool {
        self.entry(other).block.is_some()
    }

    /// Takes an entry from the store, unless a newer one is known.
    pub fn adopt(&mut self, other: UserId, entry: BlockEntry) {
        let block = entry.block.map(|number| number.of(&other));
        let entry = BlockEntry { block, ..entry };
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

    /// The next `count` blocked users after the block with the number `after`, in the order in
    /// which they were blocked, each with its number; and whether more follow.
    #[must_use]
    pub fn page(&self, after: u64, count: usize) -> (Vec<(UserId, BlockNumber)>, bool) {
        let mut blocked: Vec<_> = self.blocked().filter(|(number, _)| number.0 > after).collect();
        blocked.sort_unstable();
        let mut end = count.min(blocked.len());
        // Numbers derived from user IDs could be equal by chance: a page does not end between equal
        // ones.
        while end > 0 && end < blocked.len() && blocked[end].0 == blocked[end - 1].0 {
            end += 1;
        }
        let page = blocked[..end].iter().map(|(number, other)| ((*other).clone(), *number));
        (page.collect(), end < blocked.len())
    }

    /// The entries to write so that `others` are blocked by the user `own_id`. Users who are
    /// blocked already need none.
    #[must_use]
    pub fn block(&self, own_id: &UserId, others: &[UserId]) -> BlockChange {
        let mut room = BLOCKED_MAX.saturating_sub(self.len());
        let mut change = BlockChange::default();
        for other in others {
            let entry = self.entry(other);
            if other == own_id {
                change.refused.push((other.clone(), BlockRefusal::OwnId));
            } else if entry.block.is_some() {
                // As with muting, setting what is set already is not an error.
            } else if room == 0 {
                change.refused.push((other.clone(), BlockRefusal::Full));
            } else {
                room -= 1;
                change.writes.push((other.clone(), entry.seq));
            }
        }
        change
    }

    /// The entries to write so that `others` are not blocked. Users who are not blocked need none.
    #[must_use]
    pub fn unblock(&self, others: &[UserId]) -> BlockChange {
        let known = others.iter().map(|other| (other, self.entry(other)));
        let blocked = known.filter(|(_, entry)| entry.block.is_some());
        let writes = blocked.map(|(other, entry)| (other.clone(), entry.seq)).collect();
        BlockChange { writes, refused: Vec::new() }
    }

    /// Whether the list may have changed after a client saw a revision of the user.
    #[must_use]
    pub const fn has_changed_after(&self, revision: u64) -> bool {
        self.changed > revision
    }

    /// Notes a change while `revision` was the user's newest one.
    pub const fn note_change(&mut self, revision: u64) {
        if self.changed <= revision {
            self.changed = revision + 1;
        }
    }

    /// Computes the time of the last change after a load. Blocks have numbers that tell it; an
    /// unblocking has none, so it is assumed to be as late as the newest `revision`.
    pub fn note_loaded(&mut self, revision: u64) {
        self.changed = self.changed.max(self.newest().0);
        if self.entries.values().any(|entry| entry.block.is_none()) {
            self.note_change(revision);
        }
    }

    /// The largest block number, as the order key that it is.
    #[must_use]
    pub fn newest(&self) -> OrderKey {
        self.blocked().map(|(number, _)| OrderKey(number.0)).max().unwrap_or_default()
    }

    fn blocked(&self) -> impl Iterator<Item = (BlockNumber, &UserId)> {
        self.entries.iter().filter_map(|(other, entry)| Some((entry.block?, other)))
    }

    fn entry(&self, other: &UserId) -> BlockEntry {
        self.entries.get(other).copied().unwrap_or_default()
    }

    fn len(&self) -> usize {
        self.blocked().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::rejection::Rejection;
    use crate::user::User;

    fn id(text: &str) -> UserId {
        UserId::new(text, "userID").expect("a valid ID")
    }

    fn user(entries: &[(&str, u64, bool)]) -> User {
        let mut user = User::new(id("me"));
        for (other, seq, is_blocked) in entries {
            let block = is_blocked.then_some(BlockNumber(1000 + seq));
            user.blocked.adopt(id(other), BlockEntry { seq: *seq, block });
        }
        user
    }

    /// A page of a user's list, and the number after which the next one begins: 0 for the last
    /// page.
    fn page(user: &User, after: u64, count: usize) -> (Vec<UserId>, u64) {
        let (page, has_more) = user.blocked.page(after, count);
        let next = page.last().filter(|_| has_more).map_or(0, |(_, number)| number.0);
        (page.into_iter().map(|(other, _)| other).collect(), next)
    }

    /// A user with `count` blocked users.
    fn crowded(count: usize) -> User {
        let mut user = user(&[("was", 1, false)]);
        for number in 0..count {
            let block = Some(BlockNumber(1 + number as u64));
            let entry = BlockEntry { seq: 2 + number as u64, block };
            user.blocked.adopt(id(&format!("u{number}")), entry);
        }
        user
    }

    #[test]
    fn blocking_writes_entries_only_for_unblocked_users_and_refuses_the_own_id() {
        let user = user(&[("blocked", 3, true), ("was", 5, false)]);
        let change = user.blocked.block(&user.id, &[id("new"), id("me"), id("blocked"), id("was")]);
        assert_eq!(change.writes, [(id("new"), 0), (id("was"), 5)]);
        assert_eq!(change.refused, [(id("me"), BlockRefusal::OwnId)]);
        assert_eq!(user.blocked.block(&user.id, &[id("blocked")]), BlockChange::default());
    }

    #[test]
    fn unblocking_writes_entries_only_for_blocked_users() {
        let user = user(&[("blocked", 3, true), ("was", 5, false)]);
        let change = user.blocked.unblock(&[id("new"), id("me"), id("blocked"), id("was")]);
        let writes = vec![(id("blocked"), 3)];
        assert_eq!(change, BlockChange { writes, refused: Vec::new() });
    }

    #[test]
    fn a_full_list_takes_no_more_and_has_room_again_after_a_removal() {
        let mut user = crowded(BLOCKED_MAX - 1);
        let change = user.blocked.block(&user.id, &[id("u0"), id("was"), id("new"), id("me")]);
        assert_eq!(change.writes, [(id("was"), 1)]);
        let refused = [(id("new"), BlockRefusal::Full), (id("me"), BlockRefusal::OwnId)];
        assert_eq!(change.refused, refused);
        user.blocked.adopt(id("u0"), BlockEntry { seq: 5000, block: None });
        assert_eq!(user.blocked.block(&user.id, &[id("was"), id("new"), id("u1")]).refused, []);
    }

    #[test]
    fn newer_entries_win_in_any_order_of_arrival() {
        let (old, new) = (("other", 7, true), ("other", 9, false));
        for entries in [[old, new], [new, old]] {
            let user = user(&entries);
            assert!(!user.blocked.contains(&id("other")));
            assert_eq!(user.blocked.block(&user.id, &[id("other")]).writes, [(id("other"), 9)]);
        }
    }

    #[test]
    fn pages_follow_the_order_of_blocking_despite_concurrent_changes() {
        let mut user = user(&[("d", 1, true), ("b", 2, true), ("c", 3, false), ("a", 4, true)]);
        let ids = |ids: &[&str]| ids.iter().map(|text| id(text)).collect::<Vec<_>>();
        assert_eq!(page(&user, 0, 2), (ids(&["d", "b"]), 1002));
        assert_eq!(page(&user, 1002, 2), (ids(&["a"]), 0));
        assert_eq!(page(&user, 0, 3), (ids(&["d", "b", "a"]), 0));
        assert_eq!(page(&user, 1004, 3), (Vec::new(), 0));
        // The user at the page's end is unblocked, one before it is blocked again, and one is new.
        for (other, seq, block) in
            [("b", 5, None), ("b", 6, Some(BlockNumber(1006))), ("0", 7, Some(BlockNumber(1007)))]
        {
            user.blocked.adopt(id(other), BlockEntry { seq, block });
        }
        assert_eq!(page(&user, 1002, 2), (ids(&["a", "b"]), 1006));
        assert_eq!(page(&user, 1006, 2), (ids(&["0"]), 0));
        assert_eq!(user.blocked.newest(), OrderKey(1007));
    }

    #[test]
    fn blocks_without_a_number_come_first_in_a_stable_order() {
        let mut user = user(&[]);
        let names: Vec<String> = (0..BLOCKED_MAX).map(|number| format!("u{number}")).collect();
        for (seq, name) in (1..).zip(&names) {
            let entry = BlockEntry { seq, block: Some(BlockNumber::UNKNOWN) };
            user.blocked.adopt(id(name), entry);
        }
        let now = BlockNumber(OrderKey::at_ms(crate::id::EPOCH_MS + 4 * 86_400_000).0);
        user.blocked.adopt(id("new"), BlockEntry { seq: 5000, block: Some(now) });
        let (all, next) = page(&user, 0, BLOCKED_MAX + 1);
        assert_eq!((all.len(), next), (BLOCKED_MAX + 1, 0));
        assert_eq!(all.last(), Some(&id("new")));
        // Page by page, while users before and after the page's end are unblocked.
        let (mut seen, mut after) = (Vec::new(), 0);
        loop {
            let (some, next) = page(&user, after, 7);
            seen.extend(some);
            let gone = seen[seen.len() / 2].clone();
            user.blocked.adopt(gone, BlockEntry { seq: 6000, block: None });
            if next == 0 {
                break;
            }
            after = next;
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_page_does_not_end_between_two_blocks_with_the_same_number() {
        let mut user = user(&[]);
        for (seq, other) in [(1, "a"), (2, "b"), (3, "c")] {
            let block = Some(BlockNumber(if other == "c" { 9 } else { 5 }));
            user.blocked.adopt(id(other), BlockEntry { seq, block });
        }
        assert_eq!(page(&user, 0, 1), (vec![id("a"), id("b")], 5));
        assert_eq!(page(&user, 5, 1), (vec![id("c")], 0));
    }

    #[test]
    fn a_change_is_known_to_who_saw_a_later_revision() {
        let mut loaded = user(&[("a", 1, true), ("b", 2, true)]);
        loaded.blocked.note_loaded(5000);
        let known = [1001, 1002, 1003].map(|revision| loaded.blocked.has_changed_after(revision));
        assert_eq!(known, [true, false, false], "the second was blocked at 1002");
        loaded.blocked.note_change(5000);
        assert!(loaded.blocked.has_changed_after(5000));
        assert!(!loaded.blocked.has_changed_after(5001));
        let mut unblocked = user(&[("a", 1, true), ("b", 2, false)]);
        unblocked.blocked.note_loaded(5000);
        assert!(unblocked.blocked.has_changed_after(5000), "nobody knows since when");
    }

    #[test]
    fn messages_of_blocked_users_are_refused_and_all_others_accepted() {
        let user = user(&[("blocked", 1, true), ("was", 2, false)]);
        let accepts = |from: &str| user.accepts(&id(from), &Limits::default());
        assert_eq!(accepts("blocked"), Err(Rejection::BlockedByReceiver));
        assert_eq!(accepts("was"), Ok(()));
        assert_eq!(accepts("new"), Ok(()));
    }
}
