//! Computes which member should own which partition.
//!
//! Rendezvous hashing with a bound: each partition goes to the member with the highest weight for
//! it among those with room. Room is five quarters of an equal share, rounded up. Leaving members
//! get nothing. Instances that know the same members compute the same assignment, and a change of
//! members moves few partitions besides those that it must.

use std::collections::BTreeSet;

use super::tuning::SHARE_QUARTERS_MAX;
use crate::storage::owners::MemberId;
use peerd_core::id::Partition;

/// The owner of each partition, in the order of the partitions; `None` for all if there are no
/// members.
#[must_use]
pub fn assign(members: &BTreeSet<MemberId>, partitions: u16) -> Vec<Option<MemberId>> {
    let mut owners = vec![None; usize::from(partitions)];
    if members.is_empty() {
        return owners;
    }
    let most = (usize::from(partitions) * SHARE_QUARTERS_MAX).div_ceil(4 * members.len());
    let mut choices: Vec<(u64, u16, usize)> = Vec::new();
    for (index, member) in members.iter().enumerate() {
        let weighted = |number| (weight(member, Partition(number)), number, index);
        choices.extend((0..partitions).map(weighted));
    }
    choices.sort_unstable_by(|a, b| b.cmp(a));
    let members: Vec<&MemberId> = members.iter().collect();
    let mut counts = vec![0; members.len()];
    for (_, number, index) in choices {
        let owner = &mut owners[usize::from(number)];
        if owner.is_none() && counts[index] < most {
            *owner = Some(members[index].clone());
            counts[index] += 1;
        }
    }
    owners
}

/// The weight of a member for a partition. It is the same in every version of peerd, so that
/// members of different versions agree.
fn weight(member: &MemberId, partition: Partition) -> u64 {
    let bytes = member.as_str().bytes().chain(partition.0.to_be_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    // In FNV, the last bytes affect only a few bits; this spreads them (the finalizer of
    // MurmurHash3).
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(range: std::ops::Range<u32>) -> BTreeSet<MemberId> {
        range.map(|number| MemberId::new(&format!("m{number}x")).expect("a valid ID")).collect()
    }

    fn largest(owners: &[Option<MemberId>], members: &BTreeSet<MemberId>) -> usize {
        let count = |member| owners.iter().filter(|owner| owner.as_ref() == Some(member)).count();
        members.iter().map(count).max().unwrap_or_default()
    }

    #[test]
    fn no_member_gets_much_more_than_its_share() {
        for seed in 0..50 {
            for count in 1..=12 {
                let members = members(seed * 100..seed * 100 + count);
                let owners = assign(&members, 64);
                assert!(owners.iter().all(Option::is_some));
                let share = 64.0 / f64::from(count);
                let largest = u32::try_from(largest(&owners, &members)).expect("at most 64");
                assert!(f64::from(largest) <= 1.25 * share + 1.0, "{largest} of {count}");
            }
        }
    }

    #[test]
    fn a_new_member_takes_its_share_and_few_other_partitions_move() {
        let mut moved_elsewhere = 0;
        for seed in 0..50 {
            let (before, after) =
                (members(seed * 100..seed * 100 + 4), members(seed * 100..seed * 100 + 5));
            let newcomer = after.difference(&before).next().cloned();
            let pairs = assign(&before, 64).into_iter().zip(assign(&after, 64));
            moved_elsewhere += pairs.filter(|(old, new)| old != new && *new != newcomer).count();
        }
        // Of 50 times 64 partitions.
        assert!(moved_elsewhere <= 320, "{moved_elsewhere}");
    }

    #[test]
    fn without_members_no_partition_is_owned() {
        assert_eq!(assign(&BTreeSet::new(), 2), [None, None]);
    }
}
