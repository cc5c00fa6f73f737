//! Whom a user blocked: adding, removing, and showing it page by page.

use std::collections::btree_map::{BTreeMap, Entry};

use super::id::{OrderKey, UserId};
use super::limits::BLOCKED_MAX;
use super::user::User;

/// The number of a block: above those of all earlier blocks of the same user, so that pages of the
/// list go by it. It is an order key of the user's partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockNumber(pub u64);

impl BlockNumber {
    /// That of a block which was stored before there were numbers.
    pub const UNKNOWN: Self = Self(0);

    /// The number of the block of `other`. Where none was stored it is made of the user's ID, so that
    /// it is always the same, and below those that are given.
    fn of(self, other: &UserId) -> Self {
        /// Order keys are above this from the fourth day of their epoch on.
        const BITS: u32 = 40;
        if self != Self::UNKNOWN {
            return self;
        }
        // 64-bit FNV-1a, folded.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = other.as_str().bytes().fold(0xcbf2_9ce4_8422_2325, step);
        Self(1 + (hash ^ (hash >> BITS)) % (1 << BITS))
    }
}

/// What is stored about one other user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockEntry {
    /// Where the store has it; 0 when it does not.
    pub seq: u64,
    /// The block; `None` where the other was blocked once.
    pub block: Option<BlockNumber>,
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
        self.entry(other).block.is_some()
    }

    /// Takes what the store has, unless something newer is known.
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

    /// The next `count` blocked users behind the block with the number `after`, in the order in which
    /// they were blocked, each with the number of the block; and whether more follow.
    #[must_use]
    pub fn page(&self, after: u64, count: usize) -> (Vec<(UserId, BlockNumber)>, bool) {
        let mut blocked: Vec<_> = self.blocked().filter(|(number, _)| number.0 > after).collect();
        blocked.sort_unstable();
        let mut end = count.min(blocked.len());
        // Numbers that are made of IDs could be the same by chance: a page does not end in between.
        while end > 0 && end < blocked.len() && blocked[end].0 == blocked[end - 1].0 {
            end += 1;
        }
        let page = blocked[..end].iter().map(|(number, other)| ((*other).clone(), *number));
        (page.collect(), end < blocked.len())
    }

    /// The largest number of a block, as the order key that it is.
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
            } else if entry.block.is_some() {
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
        let blocked = known.filter(|(_, entry)| entry.block.is_some());
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
            let block = is_blocked.then_some(BlockNumber(1000 + seq));
            user.blocked.adopt(id(other), BlockEntry { seq: *seq, block });
        }
        user
    }

    /// A page of a user's list, and behind which number the next one begins: 0 where it is the last.
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
        user.blocked.adopt(id("u0"), BlockEntry { seq: 5000, block: None });
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
    fn pages_go_by_the_order_of_blocking_whoever_is_blocked_or_unblocked_meanwhile() {
        let mut user = user(&[("d", 1, true), ("b", 2, true), ("c", 3, false), ("a", 4, true)]);
        let ids = |ids: &[&str]| ids.iter().map(|text| id(text)).collect::<Vec<_>>();
        assert_eq!(page(&user, 0, 2), (ids(&["d", "b"]), 1002));
        assert_eq!(page(&user, 1002, 2), (ids(&["a"]), 0));
        assert_eq!(page(&user, 0, 3), (ids(&["d", "b", "a"]), 0));
        assert_eq!(page(&user, 1004, 3), (Vec::new(), 0));
        // The place itself is unblocked, one before it is blocked anew, and one is new.
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
    fn blocks_without_a_number_have_a_place_that_stays_and_come_first() {
        let mut user = user(&[]);
        let names: Vec<String> = (0..BLOCKED_MAX).map(|number| format!("u{number}")).collect();
        for (seq, name) in (1..).zip(&names) {
            let entry = BlockEntry { seq, block: Some(BlockNumber::UNKNOWN) };
            user.blocked.adopt(id(name), entry);
        }
        let now = BlockNumber(OrderKey::at_ms(crate::domain::id::EPOCH_MS + 4 * 86_400_000).0);
        user.blocked.adopt(id("new"), BlockEntry { seq: 5000, block: Some(now) });
        let (all, next) = page(&user, 0, BLOCKED_MAX + 1);
        assert_eq!((all.len(), next), (BLOCKED_MAX + 1, 0));
        assert_eq!(all.last(), Some(&id("new")));
        // Page by page, while some before and after the place are unblocked.
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
    fn a_page_does_not_end_between_two_of_one_number() {
        let mut user = user(&[]);
        for (seq, other) in [(1, "a"), (2, "b"), (3, "c")] {
            let block = Some(BlockNumber(if other == "c" { 9 } else { 5 }));
            user.blocked.adopt(id(other), BlockEntry { seq, block });
        }
        assert_eq!(page(&user, 0, 1), (vec![id("a"), id("b")], 5));
        assert_eq!(page(&user, 5, 1), (vec![id("c")], 0));
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
