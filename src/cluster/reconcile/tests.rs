use std::time::Duration;

use super::*;
use crate::cluster::assignment::assign;
use crate::storage::owners::{Key, LaterFields, Member, PublishedUpTo, encode};
use crate::store::registry::{Change, Value};

const TTL: Duration = Duration::from_secs(5);
const PARTITIONS: u16 = 4;
const SECOND: u64 = 1_000_000;

fn id(text: &str) -> MemberId {
    MemberId::new(text).expect("a valid ID")
}

/// The bucket as one instance sees it.
#[derive(Default)]
struct Bucket {
    view: View,
    seq: u64,
    now_us: u64,
    silent: BTreeSet<MemberId>,
    stands_in_since_ms: Option<u64>,
}

impl Bucket {
    fn change(&mut self, key: &Key, value: Value) {
        self.seq += 1;
        let change =
            Change { key: key.to_string(), value, seq: self.seq, stored_ms: 0, is_caught_up: true };
        self.view.apply(&change, self.now_us);
    }

    fn member(&mut self, member: &str, leaving: bool) {
        let entry = Member { leaving, ..Member::default() };
        self.change(&Key::Member(id(member)), Value::Put(encode(&entry).expect("writable")));
    }

    fn expire(&mut self, member: &str) {
        self.change(&Key::Member(id(member)), Value::Expired);
    }

    fn own(&mut self, partition: u16, holder: Option<&str>, next: Option<&str>) {
        let entry = Owner {
            holder: holder.map(id),
            next: next.map(id),
            epoch: 3,
            key: OrderKey(7),
            since_ms: 55,
            unpublished_since_ms: None,
            later: LaterFields::default(),
        };
        let entry = Value::Put(encode(&entry).expect("writable"));
        self.change(&Key::Owner(Partition(partition)), entry);
    }

    /// The actions of `me` while it serves `held`.
    fn steps(&self, me: &str, held: &[u16], is_leaving: bool) -> Vec<Step> {
        let mut candidates = self.view.candidates();
        if is_leaving {
            candidates.remove(&id(me));
        }
        let targets = assign(&candidates, PARTITIONS);
        let claimed = Claimed { epoch: 3, seq: self.seq };
        let reconciler = Reconciler {
            me: &id(me),
            held: &held.iter().map(|number| (Partition(*number), claimed)).collect(),
            targets: &targets,
            silent: &self.silent,
            is_leaving,
            ttl: TTL,
            joined_us: 0,
            stands_in_since_ms: self.stands_in_since_ms,
            now_us: self.now_us,
        };
        reconciler.steps(&self.view)
    }

    /// The partitions that `me` claims.
    fn claims(&self, me: &str, held: &[u16]) -> Vec<u16> {
        let claim = |step| match step {
            Step::Claim { partition, .. } => Some(partition.0),
            Step::HandOver { .. } | Step::Drop { .. } | Step::Evict { .. } => None,
        };
        self.steps(me, held, false).into_iter().filter_map(claim).collect()
    }
}

#[test]
fn a_single_member_claims_every_partition() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    assert_eq!(bucket.claims("a", &[]), [0, 1, 2, 3]);
    assert_eq!(bucket.claims("a", &[0, 1, 2, 3]), [0; 0]);
}

#[test]
fn two_members_each_claim_the_partitions_assigned_to_them() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("b", false);
    let mut claims = [bucket.claims("a", &[]), bucket.claims("b", &[])].concat();
    claims.sort_unstable();
    assert_eq!(claims, [0, 1, 2, 3]);
}

#[test]
fn a_partition_of_a_live_owner_is_not_claimed() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("gone", true);
    bucket.own(2, Some("gone"), None);
    assert_eq!(bucket.claims("a", &[]), [0, 1, 3]);
}

#[test]
fn the_ttl_of_a_dead_owner_must_be_over_by_the_local_clock_too() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("dead", false);
    bucket.own(0, Some("dead"), None);
    let published_up_to =
        encode(&PublishedUpTo { published_ms: 99, key: OrderKey(8), claimed_seq: 0 })
            .expect("writable");
    bucket.change(&Key::Published(id("dead")), Value::Put(published_up_to));
    bucket.now_us = 4 * SECOND;
    bucket.expire("dead");
    assert_eq!(bucket.claims("a", &[]), [1, 2, 3], "the server's clock may have jumped");
    bucket.now_us = 5 * SECOND;
    let step = Step::Claim {
        partition: Partition(0),
        seq: 3,
        epoch: 3,
        key: OrderKey(8),
        unpublished_since_ms: Some(99),
        unseen: Some(id("dead")),
        later: LaterFields::default(),
    };
    assert_eq!(bucket.steps("a", &[], false)[0], step);
}

#[test]
fn an_owner_without_a_member_entry_is_dead() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.own(0, Some("long-gone"), None);
    assert_eq!(bucket.claims("a", &[]), [0, 1, 2, 3]);
}

#[test]
fn a_member_that_is_known_to_have_ended_is_evicted_at_once() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("ended", false);
    bucket.own(0, Some("ended"), None);
    bucket.view.end(id("ended"));
    let steps = bucket.steps("a", &[], false);
    assert_eq!(steps[0], Step::Evict { member: id("ended"), seq: 2 });
    assert_eq!(bucket.claims("a", &[]), [0, 1, 2, 3]);
}

#[test]
fn a_member_without_heartbeats_is_evicted_even_if_the_server_keeps_its_entry() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("dead", false);
    bucket.now_us = 5 * SECOND - 1;
    assert!(!bucket.steps("a", &[], false).contains(&Step::Evict { member: id("dead"), seq: 2 }));
    bucket.now_us = 5 * SECOND;
    assert!(bucket.steps("a", &[], false).contains(&Step::Evict { member: id("dead"), seq: 2 }));
    assert!(!bucket.steps("a", &[], false).contains(&Step::Evict { member: id("a"), seq: 1 }));
}

#[test]
fn a_partition_that_was_given_up_goes_to_the_named_next_owner() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("b", false);
    for partition in 0..PARTITIONS {
        bucket.own(partition, None, Some("b"));
    }
    assert_eq!(bucket.claims("a", &[]), [0; 0]);
    assert_eq!(bucket.claims("b", &[]), [0, 1, 2, 3]);
    bucket.now_us = 5 * SECOND;
    assert!(!bucket.claims("a", &[]).is_empty(), "the next owner has not claimed it");
    bucket.now_us = 0;
    bucket.expire("b");
    assert_eq!(bucket.claims("a", &[]), [0, 1, 2, 3], "the next owner is gone");
}

#[test]
fn a_claim_whose_acknowledgement_was_lost_is_repeated() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.own(1, Some("a"), None);
    assert_eq!(bucket.claims("a", &[0, 2, 3]), [1]);
}

#[test]
fn a_new_member_is_given_its_share_once_the_members_have_settled() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    for partition in 0..PARTITIONS {
        bucket.own(partition, Some("a"), None);
    }
    bucket.now_us = SECOND;
    bucket.member("b", false);
    assert_eq!(bucket.steps("a", &[0, 1, 2, 3], false), []);
    bucket.now_us += SETTLED_US;
    let steps = bucket.steps("a", &[0, 1, 2, 3], false);
    assert!(!steps.is_empty());
    let to_b = |step: &Step| matches!(step, Step::HandOver { to: Some(to), .. } if *to == id("b"));
    assert!(steps.iter().all(to_b), "{steps:?}");
    bucket.silent.insert(id("b"));
    assert_eq!(bucket.steps("a", &[0, 1, 2, 3], false), [], "it may have died");
}

#[test]
fn a_leaving_member_hands_over_every_partition_at_once() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("b", false);
    let steps = bucket.steps("a", &[0, 1], true);
    let to_b = |number| Step::HandOver {
        partition: Partition(number),
        to: Some(id("b")),
        is_leaving: true,
        later: LaterFields::default(),
    };
    assert_eq!(steps, [to_b(0), to_b(1)]);
    bucket.member("b", true);
    let to_nobody = |number| Step::HandOver {
        partition: Partition(number),
        to: None,
        is_leaving: true,
        later: LaterFields::default(),
    };
    assert_eq!(bucket.steps("a", &[0, 1], true), [to_nobody(0), to_nobody(1)]);
}

#[test]
fn calls_go_to_owners_that_answer() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.member("b", false);
    bucket.own(0, Some("a"), None);
    bucket.own(1, Some("b"), None);
    bucket.own(2, Some("gone"), None);
    let targets = assign(&bucket.view.candidates(), PARTITIONS);
    let places = |silent: &BTreeSet<MemberId>| {
        let reconciler = Reconciler {
            me: &id("a"),
            held: &BTreeMap::new(),
            targets: &targets,
            silent,
            is_leaving: false,
            ttl: TTL,
            joined_us: 0,
            stands_in_since_ms: None,
            now_us: 0,
        };
        reconciler.places(&bucket.view)
    };
    let (here, there, nobody) = (Place::Here, Place::There, Place::Nobody);
    assert_eq!(places(&BTreeSet::new()), [here, there, nobody, nobody]);
    assert_eq!(places(&BTreeSet::from([id("b")])), [here, nobody, nobody, nobody]);
}

#[test]
fn an_entry_of_a_newer_version_is_left_alone() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    let entry = Value::Put(bytes::Bytes::from_static(br#"{"version":9}"#));
    bucket.change(&Key::Owner(Partition(0)), entry);
    assert_eq!(bucket.claims("a", &[]), [1, 2, 3]);
}

#[test]
fn a_partition_that_another_member_has_claimed_is_dropped() {
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.own(0, Some("a"), None);
    let held = BTreeMap::from([(Partition(0), Claimed { epoch: 3, seq: bucket.seq })]);
    let targets = vec![Some(id("a"))];
    let steps = |bucket: &Bucket| {
        let (me, silent, ttl, now_us) = (&id("a"), &BTreeSet::new(), TTL, 0);
        let (held, targets, is_leaving) = (&held, &targets, false);
        let (joined_us, stands_in_since_ms) = (0, None);
        let reconciler = Reconciler {
            me,
            held,
            targets,
            silent,
            is_leaving,
            ttl,
            joined_us,
            stands_in_since_ms,
            now_us,
        };
        reconciler.steps(&bucket.view)
    };
    assert_eq!(steps(&bucket), []);
    bucket.own(0, Some("other"), None);
    assert_eq!(steps(&bucket), [Step::Drop { partition: Partition(0) }]);
    bucket.own(0, None, Some("a"));
    assert_eq!(steps(&bucket), [Step::Drop { partition: Partition(0) }]);
}

#[test]
fn the_time_since_when_events_may_be_unpublished_is_carried_over() {
    let unpublished = |bucket: &Bucket| match &bucket.steps("a", &[1, 2, 3], false)[..] {
        [Step::Claim { unpublished_since_ms, .. }] => *unpublished_since_ms,
        steps => panic!("{steps:?}"),
    };
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    bucket.own(0, Some("dead"), None);
    assert_eq!(unpublished(&bucket), Some(55), "it never stored up to when it had published");
    bucket.own(0, None, None);
    assert_eq!(unpublished(&bucket), None);
    for holder in [None, Some(id("a"))] {
        let unpublished_since_ms = Some(44);
        let entry = Owner { holder, unpublished_since_ms, ..Owner::default() };
        let entry = Value::Put(encode(&entry).expect("writable"));
        bucket.change(&Key::Owner(Partition(0)), entry);
        assert_eq!(
            unpublished(&bucket),
            unpublished_since_ms,
            "it could not be opened, or that is unknown"
        );
    }
}

#[test]
fn a_dead_owners_told_entry_covers_the_claims_before_it() {
    let unpublished = |bucket: &Bucket| match &bucket.steps("a", &[1, 2, 3], false)[..] {
        [Step::Claim { unpublished_since_ms, .. }] => *unpublished_since_ms,
        steps => panic!("{steps:?}"),
    };
    let store_published = |bucket: &mut Bucket, published_ms, claimed_seq| {
        let published_up_to = PublishedUpTo { published_ms, key: OrderKey(8), claimed_seq };
        let published_up_to = encode(&published_up_to).expect("writable");
        bucket.change(&Key::Published(id("dead")), Value::Put(published_up_to));
    };
    let mut bucket = Bucket::default();
    bucket.member("a", false);
    store_published(&mut bucket, 99, 0);
    let (holder, unpublished_since_ms) = (Some(id("dead")), Some(44));
    let entry = Owner { holder, unpublished_since_ms, ..Owner::default() };
    let entry = Value::Put(encode(&entry).expect("writable"));
    bucket.change(&Key::Owner(Partition(0)), entry);
    let claimed_seq = bucket.seq;
    assert_eq!(unpublished(&bucket), Some(44), "the entry was made before the claim");
    for published_ms in 100..105 {
        store_published(&mut bucket, published_ms, claimed_seq - 1);
        assert_eq!(unpublished(&bucket), Some(44), "the same, although it arrived late");
    }
    store_published(&mut bucket, 101, claimed_seq);
    assert_eq!(unpublished(&bucket), Some(101));
}

#[test]
fn in_a_bucket_that_replaces_another_nothing_is_claimed_before_all_leases_of_that_one_ended() {
    let mut bucket = Bucket { stands_in_since_ms: Some(50_000), ..Bucket::default() };
    bucket.member("a", false);
    bucket.now_us = 5 * SECOND - 1;
    assert_eq!(bucket.steps("a", &[], false), []);
    bucket.now_us += 1;
    let steps = bucket.steps("a", &[], false);
    assert_eq!(steps.len(), usize::from(PARTITIONS));
    let (partition, key, unpublished_since_ms) = (Partition(0), OrderKey::ZERO, Some(40_000));
    let first = Step::Claim {
        partition,
        seq: 0,
        epoch: 1,
        key,
        unpublished_since_ms,
        unseen: None,
        later: LaterFields::default(),
    };
    assert_eq!(steps[0], first, "not the first owner, and older events may be unpublished");
    // A partition that has an entry in this bucket is claimed as usual.
    bucket.own(0, None, Some("a"));
    bucket.now_us = 0;
    assert_eq!(bucket.claims("a", &[]), [0]);
}

#[test]
fn a_damaged_owner_entry_is_replaced_once_no_owner_can_act_and_a_later_versions_entry_is_not() {
    let mut bucket = Bucket::default();
    for member in ["a", "b"] {
        bucket.member(member, false);
    }
    for partition in 0..PARTITIONS {
        bucket.own(partition, Some("b"), None);
    }
    bucket.change(&Key::Owner(Partition(0)), Value::Put("garbage".into()));
    bucket.change(&Key::Owner(Partition(1)), Value::Put(r#"{"version":2}"#.into()));
    let claims = |bucket: &Bucket| {
        let mut claims = bucket.claims("a", &[]);
        claims.extend(bucket.claims("b", &[2, 3]));
        claims
    };
    assert_eq!(claims(&bucket), [0; 0]);
    bucket.now_us = 10 * SECOND;
    for member in ["a", "b"] {
        bucket.member(member, false);
    }
    assert_eq!(claims(&bucket), [0]);
    let both = [bucket.steps("a", &[], false), bucket.steps("b", &[2, 3], false)].concat();
    let step = both.iter().find(|step| matches!(step, Step::Claim { .. })).expect("a claim");
    assert!(matches!(step, Step::Claim { epoch: 3, key: OrderKey(7), .. }), "{step:?}");
}
