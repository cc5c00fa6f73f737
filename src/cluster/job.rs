//! What waits for the bucket or for the host: claims, hand-overs, and looks around.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::claims::Claims;
use super::host::{Closed, Grant, Host};
use super::lease::Lease;
use super::plan::{Claimed, Step};
use super::table::{Place, Table};
use crate::clock::Clock;
use crate::domain::id::Partition;
use crate::storage::owners::{self, Key, MemberId, Owner};
use crate::store::AppendError;
use crate::store::registry::Registry;

/// How long a change of an entry may take.
const TRY: Duration = Duration::from_secs(3);
/// How long what is under way may hold up a hand-over for the balance: new calls wait meanwhile. It
/// may wait for a member that has just died.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long nothing is handed over for the balance after one that was held up.
const REST: Duration = Duration::from_secs(1);
/// Wait before it is looked again whether an owner that was not seen is there.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How long an instance that ends goes on taking the calls of a partition in that it has given up, for
/// the one who is to have it.
const TAKEN: Duration = Duration::from_secs(2);

/// What a job came to.
pub(super) enum Done {
    /// A partition is served; its entry is at `seq`.
    Opened { partition: Partition, epoch: u64, seq: u64 },
    /// A partition is not served, or no more.
    Closed(Partition),
    /// A partition could not be given up soon, and is served on.
    Kept(Partition),
    /// A partition was given up by the entry at `seq`. Its calls still come here. The turn is to be
    /// held until another has it.
    Given { partition: Partition, seq: u64, turn: OwnedSemaphorePermit },
    /// It was tried to take a dead member's entry away.
    Buried {
        /// The member.
        member: MemberId,
        /// Where its entry was seen; `None` where the bucket may still have it there.
        gone_seq: Option<u64>,
    },
    /// A member was probed.
    Probed {
        /// The member.
        member: MemberId,
        /// Whether it answered in time.
        answers: bool,
    },
    /// The store was looked at.
    LookedAround,
}

/// A partition that is not served here any more, and whose calls still come here: they are passed on
/// to the one who has it next.
pub(super) struct LeftOver {
    /// Where its entry is that gave it up; 0: in that of a membership before.
    given_seq: u64,
    /// How long an instance that ends waits for the next one.
    until: Instant,
    _turn: Option<OwnedSemaphorePermit>,
}

/// The jobs of one membership, and what they have come to.
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
    /// The partitions that are served.
    pub(super) held: BTreeMap<Partition, Claimed>,
    /// The partitions and members that a job is about.
    pub(super) busy: BTreeSet<Partition>,
    pub(super) burying: BTreeSet<MemberId>,
    pub(super) left_over: BTreeMap<Partition, LeftOver>,
    /// Until when nothing is handed over for the balance.
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
            burying: BTreeSet::new(),
            left_over: left_over
                .into_iter()
                .map(|partition| (partition, LeftOver::new()))
                .collect(),
            rests_until: Instant::now(),
            probing: BTreeSet::new(),
            is_looking: false,
        }
    }

    /// Begins a step, unless one about the same is under way.
    pub(super) fn begin(&mut self, step: Step) {
        match step {
            Step::Claim { partition, seq, epoch, key, untold_since_ms, unseen } => {
                let given_seq = self.left_over.get(&partition).map_or(0, |left| left.given_seq);
                // The view may still show the entry that was there before it was given up.
                if seq < given_seq || !self.busy.insert(partition) {
                    return;
                }
                let grant = Grant {
                    partition,
                    epoch: epoch + 1,
                    lease: self.lease.clone(),
                    key,
                    untold_since_ms,
                };
                let claim = self.deed();
                let turns = self.claims.clone();
                self.set.spawn(async move {
                    let _turn = turns.acquire_owned().await;
                    claim.claim(grant, seq, unseen).await
                });
            }
            Step::HandOver { partition, to, is_leaving } => {
                let Some(claimed) = self.held.get(&partition).copied() else { return };
                if !is_leaving && Instant::now() < self.rests_until {
                    return;
                }
                if !self.busy.insert(partition) {
                    return;
                }
                let patience = (!is_leaving).then_some(PATIENCE);
                let hand_over = self.deed();
                let turns = self.hand_overs.clone();
                self.set.spawn(async move {
                    // The semaphore is never closed.
                    let Ok(turn) = turns.acquire_owned().await else {
                        return Done::Kept(partition);
                    };
                    hand_over.hand_over(partition, to, claimed, patience, turn).await
                });
            }
            Step::Drop { partition } => {
                // Unless it is this instance that is giving it up.
                if !self.busy.contains(&partition) {
                    tracing::warn!(%partition, "somebody else has taken a partition");
                    self.host.abandon(partition);
                    self.held.remove(&partition);
                    self.left_over.insert(partition, LeftOver::new());
                }
            }
            Step::Bury { member, seq } => {
                if self.burying.insert(member.clone()) {
                    let registry = self.registry.clone();
                    self.set.spawn(async move {
                        tracing::warn!(member = member.as_str(), "gives no sign of life any more");
                        let key = Key::Member(member.clone()).to_string();
                        let deleted = registry.delete(key, seq, Instant::now() + TRY).await;
                        let is_gone = matches!(deleted, Err(AppendError::Conflict));
                        if deleted.is_err() && !is_gone {
                            // It is still to be done, and would fail again at once.
                            sleep(REST).await;
                        }
                        Done::Buried { member, gone_seq: is_gone.then_some(seq) }
                    });
                }
            }
        }
    }

    fn deed(&self) -> Deed<R, H> {
        Deed {
            me: self.me.clone(),
            registry: self.registry.clone(),
            host: self.host.clone(),
            table: self.table.clone(),
            clock: self.clock,
            claims: self.membership_claims.clone(),
        }
    }

    /// The partitions whose calls come here.
    pub(super) fn listening(&self) -> BTreeSet<Partition> {
        let held = self.held.keys().chain(&self.busy).chain(self.left_over.keys());
        held.copied().collect()
    }

    /// Takes no more calls in of partitions that were served here, and that others serve by now. Who
    /// is leaving does not wait for that forever.
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
                    tracing::warn!(%partition, "a partition that was given up is not taken yet");
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

    /// Probes the other members, each by itself: one that does not answer holds up no other's probe.
    /// `members` says of each whether it names itself in its answer.
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

    /// Looks at the store for what this instance did not write.
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

    /// Takes note of what a job came to.
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
            Done::Given { partition, seq, turn } => {
                self.busy.remove(&partition);
                self.held.remove(&partition);
                let until = Instant::now() + TAKEN;
                let left = LeftOver { given_seq: seq, until, _turn: Some(turn) };
                self.left_over.insert(partition, left);
            }
            Done::Kept(partition) => {
                self.busy.remove(&partition);
                self.rests_until = Instant::now() + REST;
            }
            Done::Buried { member, .. } => {
                self.burying.remove(&member);
            }
            Done::Probed { member, .. } => _ = self.probing.remove(&member),
            Done::LookedAround => self.is_looking = false,
        }
    }

    /// Whether no partition is about to change hands.
    pub(super) fn is_quiet(&self) -> bool {
        self.busy.is_empty()
    }

    /// Whether no calls of any partition come here.
    pub(super) fn has_nothing(&self) -> bool {
        self.held.is_empty() && self.busy.is_empty() && self.left_over.is_empty()
    }
}

impl LeftOver {
    fn new() -> Self {
        Self { given_seq: 0, until: Instant::now(), _turn: None }
    }
}

/// A claim or a hand-over at work.
struct Deed<R, H> {
    me: MemberId,
    registry: Arc<R>,
    host: H,
    table: Arc<Table>,
    clock: Clock,
    claims: Arc<Claims>,
}

impl<R: Registry, H: Host> Deed<R, H> {
    async fn claim(self, grant: Grant, seq: u64, unseen: Option<MemberId>) -> Done {
        let (partition, epoch) = (grant.partition, grant.epoch);
        if let Some(member) = unseen
            && !self.is_gone(&member).await
        {
            tracing::debug!(%partition, member = member.as_str(), "not claimed: its owner is there");
            sleep(LOOK_AGAIN).await;
            return Done::Closed(partition);
        }
        // The calls come here before the one who has the partition now stops taking them.
        if let Err(error) = self.host.listen(partition).await {
            tracing::warn!(%partition, %error, "the calls of a partition cannot be subscribed to");
            return Done::Closed(partition);
        }
        let entry = Owner {
            holder: Some(self.me.clone()),
            next: None,
            epoch,
            key: grant.key,
            since_ms: self.clock.wall_ms(),
            untold_since_ms: grant.untold_since_ms,
        };
        self.claims.begin(partition);
        let seq = match self.put(partition, &entry, seq).await {
            Ok(seq) => seq,
            Err(error) => {
                // Another was faster; or the view will show that it was stored after all, and it is
                // claimed again.
                if error != AppendError::Unknown {
                    self.claims.withdrawn(partition);
                }
                tracing::debug!(%partition, %error, "not claimed");
                self.host.unlisten(partition).await;
                return Done::Closed(partition);
            }
        };
        let is_untold = grant.untold_since_ms.is_some();
        match self.host.open(grant).await {
            Ok(()) => {
                tracing::info!(%partition, epoch, is_untold, "owned");
                self.claims.opened(partition, seq);
                self.table.wake();
                Done::Opened { partition, epoch, seq }
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "a partition cannot be served");
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
        claimed: Claimed,
        patience: Option<Duration>,
        turn: OwnedSemaphorePermit,
    ) -> Done {
        let Claimed { epoch, seq } = claimed;
        if to.is_none() {
            // With nobody to go on, what has arrived is still handled.
            self.host.unlisten(partition).await;
        }
        let Some(closed) = self.host.close(partition, patience).await else {
            tracing::info!(%partition, epoch, "kept: what is under way takes long");
            self.table.wake();
            return Done::Kept(partition);
        };
        let Closed { key, untold_since_ms } = closed;
        let entry = Owner {
            holder: None,
            next: to.clone(),
            epoch,
            key,
            since_ms: self.clock.wall_ms(),
            untold_since_ms,
        };
        self.claims.begin(partition);
        let seq = match self.put(partition, &entry, seq).await {
            Ok(seq) => {
                let to = to.as_ref().map(MemberId::as_str);
                tracing::info!(%partition, epoch, to, "given up");
                seq
            }
            // It is closed here, and its entry says that it is not: it is claimed again, or taken.
            Err(error) => {
                tracing::warn!(%partition, %error, "a partition was not given up in order");
                0
            }
        };
        if to.is_some() { Done::Given { partition, seq, turn } } else { Done::Closed(partition) }
    }

    /// Whether a member has no entry. It will have none again: an ID ends with its entry.
    async fn is_gone(&self, member: &MemberId) -> bool {
        let key = Key::Member(member.clone()).to_string();
        matches!(self.registry.find(key, Instant::now() + TRY).await, Ok(None))
    }

    async fn put(
        &self,
        partition: Partition,
        entry: &Owner,
        expected_seq: u64,
    ) -> Result<u64, AppendError> {
        let value = owners::encode(entry).map_err(|error| {
            tracing::error!(%error, "an owner's entry could not be written");
            AppendError::Unavailable(error.to_string())
        })?;
        let key = Key::Owner(partition).to_string();
        let deadline = Instant::now() + TRY;
        self.registry.put(key, value, Some(expected_seq), None, deadline).await
    }
}
