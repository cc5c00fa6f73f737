//! The jobs of the membership manager, which wait for the bucket or for the host: claims,
//! hand-overs, evictions, probes, and checks of the store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::claims::Claims;
use super::host::{Closed, Grant, Host};
use super::lease::Lease;
use super::reconcile::{Claimed, Step};
use super::table::{Place, Table};
use super::tuning::{
    GIVEN_UP_STAYS, HAND_OVER_PATIENCE, HAND_OVER_REST, JOB_TIMEOUT, LOOK_AGAIN_AFTER,
};
use crate::clock::Clock;
use crate::storage::owners::{self, Key, LaterFields, MemberId, Owner};
use crate::store::AppendError;
use crate::store::registry::Registry;
use peerd_core::id::Partition;

/// The outcome of a job.
pub(super) enum Done {
    /// A partition is served; its entry has the revision `seq`.
    Opened { partition: Partition, epoch: u64, seq: u64 },
    /// A partition is not served here, or no longer.
    Closed(Partition),
    /// A partition could not be given up soon, and is still served.
    Kept(Partition),
    /// A partition was given up by the entry with the revision `seq`. Its calls still arrive here.
    /// The permit is held until another member owns the partition.
    Given { partition: Partition, seq: u64, permit: OwnedSemaphorePermit },
    /// The deletion of a dead member's entry was attempted.
    Evicted {
        /// The member.
        member: MemberId,
        /// The revision at which its entry was seen, if the bucket no longer has it there; `None`:
        /// the bucket may still have it there.
        gone_seq: Option<u64>,
    },
    /// A member was probed.
    Probed {
        /// The member.
        member: MemberId,
        /// Whether it answered in time.
        answers: bool,
    },
    /// The store was checked.
    LookedAround,
}

/// A partition that is no longer served here, but whose calls still arrive here: they are passed on
/// to the next owner.
pub(super) struct LeftOver {
    /// The revision of the entry that gave the partition up; 0: it was not given up by this
    /// membership.
    given_seq: u64,
    /// The time until which a leaving instance waits for the next owner.
    until: Instant,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The jobs of one membership, and the state that follows from their outcomes.
pub(super) struct Jobs<R, H> {
    pub(super) me: MemberId,
    pub(super) registry: Arc<R>,
    pub(super) host: H,
    pub(super) table: Arc<Table>,
    pub(super) clock: Clock,
    pub(super) lease: Arc<Lease>,
    pub(super) membership_claims: Arc<Claims>,
    pub(super) claims: Arc<Semaphore>,
    pub(super) hand_overs: Arc<Semaphore>,
    pub(super) set: JoinSet<Done>,
    /// The partitions that are served here.
    pub(super) held: BTreeMap<Partition, Claimed>,
    /// The partitions with a job in progress.
    pub(super) busy: BTreeSet<Partition>,
    /// The members that are being evicted.
    pub(super) evicting: BTreeSet<MemberId>,
    pub(super) left_over: BTreeMap<Partition, LeftOver>,
    /// The time until which no partition is handed over for balance.
    pub(super) rests_until: Instant,
    pub(super) probing: BTreeSet<MemberId>,
    pub(super) is_looking: bool,
}

impl<R: Registry, H: Host> Jobs<R, H> {
    pub(super) fn new(
        me: MemberId,
        (lease, membership_claims): (Arc<Lease>, Arc<Claims>),
        (registry, host): (Arc<R>, H),
        table: Arc<Table>,
        clock: Clock,
        (claims, hand_overs): (usize, usize),
        left_over: BTreeSet<Partition>,
    ) -> Self {
        Self {
            me,
            registry,
            host,
            table,
            clock,
            lease,
            membership_claims,
            claims: Arc::new(Semaphore::new(claims)),
            hand_overs: Arc::new(Semaphore::new(hand_overs)),
            set: JoinSet::new(),
            held: BTreeMap::new(),
            busy: BTreeSet::new(),
            evicting: BTreeSet::new(),
            left_over: left_over
                .into_iter()
                .map(|partition| (partition, LeftOver::new()))
                .collect(),
            rests_until: Instant::now(),
            probing: BTreeSet::new(),
            is_looking: false,
        }
    }

    /// Begins an action, unless one for the same partition or member is in progress.
    pub(super) fn begin(&mut self, step: Step) {
        match step {
            Step::Claim { partition, seq, epoch, key, unpublished_since_ms, unseen, later } => {
                let given_seq = self.left_over.get(&partition).map_or(0, |left| left.given_seq);
                // The view may still show the entry from before the partition was given up.
                if seq < given_seq || !self.busy.insert(partition) {
                    return;
                }
                let grant = Grant {
                    partition,
                    epoch: epoch + 1,
                    lease: self.lease.clone(),
                    key,
                    unpublished_since_ms,
                };
                let claim = self.transition();
                let permits = self.claims.clone();
                self.set.spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    claim.claim(grant, (seq, later), unseen).await
                });
            }
            Step::HandOver { partition, to, is_leaving, later } => {
                let Some(claimed) = self.held.get(&partition).copied() else { return };
                if !is_leaving && Instant::now() < self.rests_until {
                    return;
                }
                if !self.busy.insert(partition) {
                    return;
                }
                let patience = (!is_leaving).then_some(HAND_OVER_PATIENCE);
                let hand_over = self.transition();
                let permits = self.hand_overs.clone();
                self.set.spawn(async move {
                    // The semaphore is never closed.
                    let Ok(permit) = permits.acquire_owned().await else {
                        return Done::Kept(partition);
                    };
                    hand_over.hand_over(partition, to, (claimed, later), patience, permit).await
                });
            }
            Step::Drop { partition } => {
                // If the partition is busy, this instance itself wrote the entry to give it up.
                if !self.busy.contains(&partition) {
                    tracing::warn!(%partition, "another member has claimed the partition");
                    self.host.abandon(partition);
                    self.held.remove(&partition);
                    self.left_over.insert(partition, LeftOver::new());
                }
            }
            Step::Evict { member, seq } => {
                if self.evicting.insert(member.clone()) {
                    let registry = self.registry.clone();
                    self.set.spawn(async move {
                        tracing::warn!(
                            member = member.as_str(),
                            "the member is dead: deleting its entry"
                        );
                        let key = Key::Member(member.clone()).to_string();
                        let deleted = registry.delete(key, seq, Instant::now() + JOB_TIMEOUT).await;
                        let is_gone = matches!(deleted, Err(AppendError::Conflict));
                        if deleted.is_err() && !is_gone {
                            // The eviction is still due and would fail again at once.
                            sleep(HAND_OVER_REST).await;
                        }
                        Done::Evicted { member, gone_seq: is_gone.then_some(seq) }
                    });
                }
            }
        }
    }

    fn transition(&self) -> Transition<R, H> {
        Transition {
            me: self.me.clone(),
            registry: self.registry.clone(),
            host: self.host.clone(),
            table: self.table.clone(),
            clock: self.clock,
            claims: self.membership_claims.clone(),
        }
    }

    /// The partitions whose calls arrive here.
    pub(super) fn listening(&self) -> BTreeSet<Partition> {
        let held = self.held.keys().chain(&self.busy).chain(self.left_over.keys());
        held.copied().collect()
    }

    /// Ends the subscriptions to the calls of partitions that were served here and have another
    /// owner now. A leaving instance waits for that only for a limited time.
    pub(super) fn unlisten_left_over(&mut self, is_leaving: bool) {
        let left_over = std::mem::take(&mut self.left_over);
        for (partition, left) in left_over {
            if self.held.contains_key(&partition) {
                continue;
            }
            let is_taken = self.table.place(partition) == Place::There;
            let is_late = is_leaving && Instant::now() >= left.until;
            if (is_taken || is_late) && self.busy.insert(partition) {
                if !is_taken {
                    tracing::warn!(%partition, "no member has claimed the released partition yet");
                }
                let host = self.host.clone();
                self.set.spawn(async move {
                    host.unlisten(partition).await;
                    Done::Closed(partition)
                });
            } else {
                self.left_over.insert(partition, left);
            }
        }
    }

    /// Probes the other members concurrently: one that does not answer delays no other probe.
    /// `members` states of each member whether it names itself in its answer.
    pub(super) fn probe(
        &mut self,
        members: impl Iterator<Item = (MemberId, bool)>,
        within: Duration,
    ) {
        for (member, names_itself) in members {
            if member == self.me || !self.probing.insert(member.clone()) {
                continue;
            }
            let host = self.host.clone();
            self.set.spawn(async move {
                let answers = host.answers(&member, names_itself, within).await;
                Done::Probed { member, answers }
            });
        }
    }

    /// Checks whether the store holds records that this instance did not write.
    pub(super) fn look_around(&mut self) {
        if std::mem::replace(&mut self.is_looking, true) {
            return;
        }
        let host = self.host.clone();
        self.set.spawn(async move {
            host.look_around().await;
            Done::LookedAround
        });
    }

    /// Records the outcome of a job.
    pub(super) fn finish(&mut self, done: Done) {
        match done {
            Done::Opened { partition, epoch, seq } => {
                self.busy.remove(&partition);
                self.held.insert(partition, Claimed { epoch, seq });
            }
            Done::Closed(partition) => {
                self.busy.remove(&partition);
                self.held.remove(&partition);
            }
            Done::Given { partition, seq, permit } => {
                self.busy.remove(&partition);
                self.held.remove(&partition);
                let until = Instant::now() + GIVEN_UP_STAYS;
                let left = LeftOver { given_seq: seq, until, _permit: Some(permit) };
                self.left_over.insert(partition, left);
            }
            Done::Kept(partition) => {
                self.busy.remove(&partition);
                self.rests_until = Instant::now() + HAND_OVER_REST;
            }
            Done::Evicted { member, .. } => {
                self.evicting.remove(&member);
            }
            Done::Probed { member, .. } => _ = self.probing.remove(&member),
            Done::LookedAround => self.is_looking = false,
        }
    }

    /// Whether no partition has a job in progress.
    pub(super) fn is_quiet(&self) -> bool {
        self.busy.is_empty()
    }

    /// Whether no calls of any partition arrive here.
    pub(super) fn has_nothing(&self) -> bool {
        self.held.is_empty() && self.busy.is_empty() && self.left_over.is_empty()
    }
}

impl LeftOver {
    fn new() -> Self {
        Self { given_seq: 0, until: Instant::now(), _permit: None }
    }
}

/// The context of a claim or a hand-over in progress.
struct Transition<R, H> {
    me: MemberId,
    registry: Arc<R>,
    host: H,
    table: Arc<Table>,
    clock: Clock,
    claims: Arc<Claims>,
}

impl<R: Registry, H: Host> Transition<R, H> {
    async fn claim(
        self,
        grant: Grant,
        (seq, later): (u64, LaterFields),
        unseen: Option<MemberId>,
    ) -> Done {
        let (partition, epoch) = (grant.partition, grant.epoch);
        if let Some(member) = unseen
            && !self.is_gone(&member).await
        {
            tracing::debug!(%partition, member = member.as_str(), "not claimed: owner is alive");
            sleep(LOOK_AGAIN_AFTER).await;
            return Done::Closed(partition);
        }
        // Subscribe first: calls have to arrive here before the current owner ends its
        // subscription.
        if let Err(error) = self.host.listen(partition).await {
            tracing::warn!(%partition, %error, "cannot subscribe to the calls of the partition");
            return Done::Closed(partition);
        }
        let entry = Owner {
            holder: Some(self.me.clone()),
            next: None,
            epoch,
            key: grant.key,
            since_ms: self.clock.wall_ms(),
            unpublished_since_ms: grant.unpublished_since_ms,
            later,
        };
        self.claims.begin(partition);
        let seq = match self.put(partition, &entry, seq).await {
            Ok(seq) => seq,
            Err(error) => {
                // Either another member was faster, or the write was stored after all: then the
                // view will show that, and the partition is claimed again.
                if error != AppendError::Unknown {
                    self.claims.withdrawn(partition);
                }
                tracing::debug!(%partition, %error, "the partition was not claimed");
                self.host.unlisten(partition).await;
                return Done::Closed(partition);
            }
        };
        let is_unpublished = grant.unpublished_since_ms.is_some();
        match self.host.open(grant).await {
            Ok(()) => {
                tracing::info!(%partition, epoch, is_unpublished, "the partition is owned");
                self.claims.opened(partition, seq);
                self.table.wake();
                Done::Opened { partition, epoch, seq }
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "the partition cannot be served");
                let entry = Owner { holder: None, ..entry };
                if self.put(partition, &entry, seq).await.is_ok() {
                    self.claims.withdrawn(partition);
                }
                self.host.unlisten(partition).await;
                Done::Closed(partition)
            }
        }
    }

    async fn hand_over(
        self,
        partition: Partition,
        to: Option<MemberId>,
        (claimed, later): (Claimed, LaterFields),
        patience: Option<Duration>,
        permit: OwnedSemaphorePermit,
    ) -> Done {
        let Claimed { epoch, seq } = claimed;
        if to.is_none() {
            // Without a next owner, the calls that have arrived are still handled here.
            self.host.unlisten(partition).await;
        }
        let Some(closed) = self.host.close(partition, patience).await else {
            tracing::info!(%partition, epoch, "still served: work in progress takes too long");
            self.table.wake();
            return Done::Kept(partition);
        };
        let Closed { key, unpublished_since_ms } = closed;
        let entry = Owner {
            holder: None,
            next: to.clone(),
            epoch,
            key,
            since_ms: self.clock.wall_ms(),
            unpublished_since_ms,
            later,
        };
        self.claims.begin(partition);
        let seq = match self.put(partition, &entry, seq).await {
            Ok(seq) => {
                let to = to.as_ref().map(MemberId::as_str);
                tracing::info!(%partition, epoch, to, "the partition was given up");
                seq
            }
            // The partition is closed here although its entry still names this member: it is
            // claimed again, or another member takes it.
            Err(error) => {
                tracing::warn!(%partition, %error, "the hand-over could not be stored");
                0
            }
        };
        if to.is_some() { Done::Given { partition, seq, permit } } else { Done::Closed(partition) }
    }

    /// Whether a member has no entry. It will never have one again: an ID is not reused after its
    /// entry is gone.
    async fn is_gone(&self, member: &MemberId) -> bool {
        let key = Key::Member(member.clone()).to_string();
        matches!(self.registry.find(key, Instant::now() + JOB_TIMEOUT).await, Ok(None))
    }

    async fn put(
        &self,
        partition: Partition,
        entry: &Owner,
        expected_seq: u64,
    ) -> Result<u64, AppendError> {
        let value = owners::encode(entry).map_err(|error| {
            tracing::error!(%error, "an owner's entry could not be encoded");
            AppendError::Unavailable(error.to_string())
        })?;
        let key = Key::Owner(partition).to_string();
        let deadline = Instant::now() + JOB_TIMEOUT;
        self.registry.put(key, value, Some(expected_seq), None, deadline).await
    }
}
