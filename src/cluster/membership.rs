//! The membership manager. It carries out what [`super::reconcile`] decides: it joins the cluster,
//! watches the owners bucket, claims partitions, hands them over, and leaves.
//!
//! One task decides; operations that wait for the bucket or for the host run beside it as jobs. An
//! instance that the others consider dead stops serving and joins again as another member,
//! `<instance>-2`. It knows that its former membership has ended and need not wait for it.
//!
//! - A *claim* subscribes to the partition, writes the owner entry with the next epoch, and opens
//!   the partition. The subscription is at the server before the entry is written. If the former
//!   owner did not give the partition up and is not in the view, its entry is looked up first: an
//!   entry that is rewritten while a watch begins may arrive later than all others. If the write is
//!   refused, another member was faster. If opening fails, the entry is given back, with the time
//!   since which events may be unpublished.
//! - A *hand-over* closes the partition, writes the owner entry without a holder but with the next
//!   owner and the newest order key, waits for that owner's claim, and unsubscribes. Without a next
//!   owner it unsubscribes first and handles the calls that have arrived.
//! - A watch that is started again must first have delivered the last of the entries that existed
//!   when it began, and the member's own entry. If the own heartbeats do not show for three fifths
//!   of the TTL, the view is built again.
//! - *Epochs* count the claims of a partition. They are for people, and for epoch 1, before which
//!   there was no owner. Fencing relies on the lease and the expected sequences
//!   ([0008](../../docs/decisions/0008-members-hold-the-lease.md),
//!   [0009](../../docs/decisions/0009-a-late-append-shows-as-a-gap.md)).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::assignment::assign;
use super::claims::Claims;
use super::heartbeat::Heartbeat;
use super::host::Host;
use super::job::{Done, Jobs};
use super::lease::Lease;
use super::process;
use super::reconcile::{Reconciler, Step};
use super::table::{Place, Table};
use super::tuning::{
    BEATS_PER_TTL, CLAIMS_MAX, HAND_OVERS_MAX, JOIN_AGAIN_AFTER, LOG_EVERY, LOOK_AROUND_EVERY,
    MEMBERSHIP_TIMEOUT, PROBE_EVERY, PROBE_EVERY_PER_MEMBER, TICK, WATCH_AGAIN_AFTER,
};
use super::view::View;
use crate::clock::Clock;
use crate::storage::owners::{Key, Member, MemberId, Process};
use crate::store::registry::{Changes, Registry};
use crate::store::{AppendError, ReadError};
use peerd_core::id::Partition;

/// The settings of the membership manager.
#[derive(Clone, Debug)]
pub struct Options {
    /// The ID of the instance, in the form of a member's ID.
    pub instance: String,
    /// peerd's version.
    pub release: String,
    /// The number of partitions.
    pub partitions: u16,
    /// How long a member is considered alive without a heartbeat.
    pub ttl: Duration,
    /// The process of this instance.
    pub process: Process,
}

/// Keeps an instance a member of the cluster, and its partitions served by its host.
pub struct MembershipManager<R, H> {
    registry: Arc<R>,
    host: H,
    table: Arc<Table>,
    clock: Clock,
    options: Options,
    /// The member IDs that this instance had before.
    former: Vec<MemberId>,
    /// Partitions that it served as such a member: their calls still arrive here.
    left_over: BTreeSet<Partition>,
}

/// Why a membership ended.
enum End {
    /// The instance has left.
    Left,
    /// The other members consider it dead, or must.
    Lost,
}

impl<R: Registry, H: Host> MembershipManager<R, H> {
    /// A membership manager for `host`. It updates `table`, the routing table.
    #[must_use]
    pub fn new(
        registry: Arc<R>,
        host: H,
        table: Arc<Table>,
        clock: Clock,
        options: Options,
    ) -> Self {
        Self {
            registry,
            host,
            table,
            clock,
            options,
            former: Vec::new(),
            left_over: BTreeSet::new(),
        }
    }

    /// Keeps the instance a member until `leaving` is set and every partition is handed over. Calls
    /// `ready` once the partitions that are assigned to this instance are served.
    pub async fn run(mut self, leaving: watch::Receiver<bool>, ready: impl FnOnce()) {
        let mut ready = Some(ready);
        while !*leaving.borrow() {
            let Some((heartbeat, lease)) = self.join(leaving.clone()).await else { return };
            let me = heartbeat.id.clone();
            let shared = (lease, heartbeat.acted_us.clone(), heartbeat.claims.clone());
            tracing::info!(member = me.as_str(), "joined");
            // The heartbeat learns of `leaving` from the term alone, so that the two react in a
            // fixed order.
            let (signal_heartbeat, heartbeat_leaving) = watch::channel(false);
            let beating = AbortOnDrop::new(tokio::spawn(heartbeat.run(heartbeat_leaving)));
            let heart = (beating, signal_heartbeat);
            let mut term = Term::new(me.clone(), shared, heart, &leaving, &self);
            let end = term.run(&self, leaving.clone(), &mut ready).await;
            term.lease.end();
            self.table.set_settled(false);
            self.table.set(vec![Place::Nobody; usize::from(self.options.partitions)]);
            for number in 0..self.options.partitions {
                self.host.abandon(Partition(number));
            }
            self.left_over = term.jobs.listening();
            drop(term);
            match end {
                End::Left => return,
                End::Lost => {
                    tracing::warn!(
                        member = me.as_str(),
                        "sent no heartbeat in time: serves no partition until it has joined again"
                    );
                    self.former.push(me);
                }
            }
        }
    }

    /// The ID of the next membership.
    fn next_id(&self) -> Option<MemberId> {
        let instance = &self.options.instance;
        match self.former.len() {
            0 => MemberId::new(instance),
            times => MemberId::new(&format!("{instance}-{}", times + 1)),
        }
    }

    /// Joins, however long that takes; `None` if the instance has to leave before it succeeds.
    async fn join(
        &mut self,
        mut leaving: watch::Receiver<bool>,
    ) -> Option<(Heartbeat<R, H>, Arc<Lease>)> {
        let lease = Arc::new(Lease::default());
        let mut heartbeat = Heartbeat {
            registry: self.registry.clone(),
            host: self.host.clone(),
            clock: self.clock,
            ttl: self.options.ttl,
            id: self.next_id()?,
            member: Member {
                process: self.options.process.clone(),
                release: self.options.release.clone(),
                started_ms: self.clock.wall_ms(),
                leaving: false,
                beat: 0,
                ttl_ms: u64::try_from(self.options.ttl.as_millis()).ok(),
                names_itself: true,
            },
            lease: lease.clone(),
            acted_us: Arc::new(AtomicU64::new(self.clock.steady_us())),
            claims: Arc::default(),
            seq: 0,
        };
        let mut logged = None;
        loop {
            tokio::select! {
                biased;
                () = signalled(&mut leaving) => return None,
                joined = heartbeat.join() => match joined {
                    Ok(()) => return Some((heartbeat, lease)),
                    Err(error) => {
                        if logged.is_none_or(|at: Instant| at.elapsed() >= LOG_EVERY) {
                            logged = Some(Instant::now());
                            tracing::warn!(%error, "cannot join the cluster yet");
                        }
                        // The entry may be stored although its acknowledgement was lost.
                        let key = Key::Member(heartbeat.id.clone()).to_string();
                        match self.registry.find(key, Instant::now() + MEMBERSHIP_TIMEOUT).await {
                            Ok(Some(seq)) => heartbeat.seq = seq,
                            // The entry has expired, and its ID is not reused.
                            Ok(None) if error == AppendError::Conflict => {
                                self.former.push(heartbeat.id.clone());
                                heartbeat.id = self.next_id()?;
                                heartbeat.seq = 0;
                            }
                            Ok(None) | Err(_) => {}
                        }
                        sleep(JOIN_AGAIN_AFTER).await;
                    }
                },
            }
        }
    }
}

/// One membership.
struct Term<R, H> {
    me: MemberId,
    lease: Arc<Lease>,
    acted_us: Arc<AtomicU64>,
    heartbeat: AbortOnDrop<()>,
    signal_heartbeat: watch::Sender<bool>,
    view: View,
    /// When it joined, in microseconds of the monotonic clock.
    joined_us: u64,
    /// The time since which the bucket replaces one that was lost, by the server's clock.
    stands_in_since_ms: Option<u64>,
    /// When the watch of the view began, in microseconds of the monotonic clock.
    watched_us: u64,
    /// The members that take partitions, and the one of them that should own each partition.
    targets: (BTreeSet<MemberId>, Vec<Option<MemberId>>),
    jobs: Jobs<R, H>,
    /// Members that do not answer probes.
    silent: BTreeSet<MemberId>,
    is_leaving: bool,
    /// Whether it was checked which members' processes have ended on this machine.
    has_looked: bool,
}

impl<R: Registry, H: Host> Term<R, H> {
    fn new(
        me: MemberId,
        (lease, acted_us, claims): (Arc<Lease>, Arc<AtomicU64>, Arc<Claims>),
        (heartbeat, signal_heartbeat): (AbortOnDrop<()>, watch::Sender<bool>),
        leaving: &watch::Receiver<bool>,
        manager: &MembershipManager<R, H>,
    ) -> Self {
        Self {
            jobs: Jobs::new(
                me.clone(),
                (lease.clone(), claims),
                (manager.registry.clone(), manager.host.clone()),
                manager.table.clone(),
                manager.clock,
                (CLAIMS_MAX, HAND_OVERS_MAX),
                manager.left_over.clone(),
            ),
            me,
            lease,
            acted_us,
            heartbeat,
            signal_heartbeat,
            view: View::default(),
            joined_us: manager.clock.steady_us(),
            stands_in_since_ms: None,
            watched_us: 0,
            targets: (BTreeSet::new(), Vec::new()),
            silent: BTreeSet::new(),
            is_leaving: *leaving.borrow(),
            has_looked: false,
        }
    }

    async fn run(
        &mut self,
        manager: &MembershipManager<R, H>,
        mut leaving: watch::Receiver<bool>,
        ready: &mut Option<impl FnOnce()>,
    ) -> End {
        let mut changes = self.watch(manager).await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut probed, mut looked) = (Instant::now(), Instant::now());
        loop {
            if !self.lease.holds(manager.clock.now()) {
                return End::Lost;
            }
            let now_us = manager.clock.steady_us();
            // Events that end the membership come first, then outcomes of own jobs, then changes by
            // others. The tick has no work of its own, so it may come last.
            tokio::select! {
                biased;
                _ = &mut self.heartbeat => return End::Lost,
                Ok(()) = leaving.changed() => {
                    self.is_leaving = *leaving.borrow_and_update();
                    self.signal_heartbeat.send_replace(self.is_leaving);
                },
                Some(done) = self.jobs.set.join_next() => match done {
                    Ok(done) => self.finish(done),
                    Err(error) => {
                        // It is unknown what the job had claimed or given up, so this instance
                        // stops serving.
                        tracing::error!(%error, "a job of the membership manager panicked");
                        return End::Lost;
                    }
                },
                change = changes.next() => if let Some(Ok(change)) = change {
                    if change.key == Key::Member(self.me.clone()).to_string() {
                        manager.host.observe_server_time(change.stored_ms);
                    }
                    self.view.apply(&change, now_us);
                } else {
                    sleep(WATCH_AGAIN_AFTER).await;
                    changes = self.watch(manager).await;
                },
                _ = ticks.tick() => {}
            }
            if self.is_stale(manager) {
                changes = self.watch(manager).await;
                continue;
            }
            self.act(manager, ready);
            let members = u32::try_from(self.view.members().len()).unwrap_or(u32::MAX);
            if probed.elapsed() >= PROBE_EVERY.max(PROBE_EVERY_PER_MEMBER * members) {
                probed = Instant::now();
                let members = self.view.members().iter().map(|(member, seen)| {
                    let names_itself = seen.entry.as_ref().is_some_and(|entry| entry.names_itself);
                    (member.clone(), names_itself)
                });
                self.jobs.probe(members, manager.options.ttl / BEATS_PER_TTL);
            }
            if looked.elapsed() >= LOOK_AROUND_EVERY {
                looked = Instant::now();
                self.jobs.look_around();
            }
            // Calls that were received and wait for an owner are still passed on.
            if self.is_leaving && self.jobs.has_nothing() && !manager.table.is_awaited() {
                self.leave(manager).await;
                return End::Left;
            }
        }
    }

    /// Whether the view lags: this member's own heartbeats do not show in it.
    fn is_stale(&self, manager: &MembershipManager<R, H>) -> bool {
        let seen_us = self.view.members().get(&self.me).map_or(0, |seen| seen.at_us);
        let span = manager.options.ttl * 3 / BEATS_PER_TTL;
        let age_us = manager.clock.steady_us().saturating_sub(seen_us.max(self.watched_us));
        u128::from(age_us) > span.as_micros()
    }

    /// Reads the bucket again and follows its changes.
    async fn watch(&mut self, manager: &MembershipManager<R, H>) -> Changes {
        let mut is_logged = false;
        loop {
            self.watched_us = manager.clock.steady_us();
            let watched = async {
                let changes = manager.registry.watch(Instant::now() + MEMBERSHIP_TIMEOUT).await?;
                let since_ms =
                    manager.registry.stands_in_since(Instant::now() + MEMBERSHIP_TIMEOUT).await?;
                Ok::<_, ReadError>((changes, since_ms))
            };
            match watched.await {
                Ok((changes, since_ms)) => {
                    self.stands_in_since_ms = since_ms;
                    self.view = View::after(&self.view);
                    for former in &manager.former {
                        self.view.end(former.clone());
                    }
                    return changes;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_logged, true) {
                        tracing::warn!(%error, "the owners bucket cannot be watched");
                    }
                    if !self.lease.holds(manager.clock.now()) {
                        // The calling loop checks the lease, too.
                        return Box::pin(futures::stream::pending());
                    }
                    sleep(JOIN_AGAIN_AFTER).await;
                }
            }
        }
    }

    /// Begins the actions that are due, and updates the routing table.
    fn act(&mut self, manager: &MembershipManager<R, H>, ready: &mut Option<impl FnOnce()>) {
        if !self.view.is_complete() || !self.view.members().contains_key(&self.me) {
            // A member that is not in the view counts as dead, so nothing is decided before the
            // view is complete.
            return;
        }
        let now_us = manager.clock.steady_us();
        self.silent.retain(|member| self.view.members().contains_key(member));
        self.acted_us.store(now_us, Ordering::Release);
        self.end_neighbours();
        let candidates = self.view.candidates();
        // Not before the others can see it: they would hand partitions back that they were given.
        let is_leaving = self.is_leaving && !candidates.contains(&self.me);
        if candidates != self.targets.0 {
            let targets = assign(&candidates, manager.options.partitions);
            self.targets = (candidates, targets);
        }
        let (steps, places) = {
            let reconciler = Reconciler {
                me: &self.me,
                held: &self.jobs.held,
                targets: &self.targets.1,
                silent: &self.silent,
                is_leaving,
                ttl: manager.options.ttl,
                joined_us: self.joined_us,
                stands_in_since_ms: self.stands_in_since_ms,
                now_us,
            };
            (reconciler.steps(&self.view), reconciler.places(&self.view))
        };
        // The partitions assigned to it are served here, or are still served by others.
        let is_settled = !steps.iter().any(|step| matches!(step, Step::Claim { .. }));
        manager.table.set_settled(self.serves_its_own(&places));
        manager.table.set(places);
        for step in steps {
            self.jobs.begin(step);
        }
        self.jobs.unlisten_left_over(self.is_leaving);
        if is_settled
            && self.jobs.is_quiet()
            && let Some(ready) = ready.take()
        {
            ready();
        }
    }

    /// Whether it serves the partitions that are assigned to it, as far as no other still does.
    fn serves_its_own(&self, places: &[Place]) -> bool {
        let is_served = |number| match places.get(usize::from(number)) {
            Some(Place::Here) => self.jobs.held.contains_key(&Partition(number)),
            Some(Place::There) => true,
            Some(Place::Nobody) | None => false,
        };
        let own = (0..).zip(&self.targets.1).filter(|(_, its)| its.as_ref() == Some(&self.me));
        own.map(|(number, _)| number).all(is_served)
    }

    /// Marks members whose process on this machine has ended, so that the TTL need not pass.
    /// Checked once, at the start, since the purpose is a process that is started again.
    fn end_neighbours(&mut self) {
        if std::mem::replace(&mut self.has_looked, true) {
            return;
        }
        let mut ended = Vec::new();
        for (id, seen) in self.view.members() {
            if seen.entry.as_ref().is_some_and(|member| process::has_ended(&member.process)) {
                tracing::info!(member = id.as_str(), "its process on this machine has ended");
                ended.push(id.clone());
            }
        }
        for member in ended {
            self.view.end(member);
        }
    }

    fn finish(&mut self, done: Done) {
        if let Done::Probed { member, answers } = &done {
            if *answers {
                self.silent.remove(member);
            } else if self.view.members().contains_key(member) && self.silent.insert(member.clone())
            {
                tracing::info!(
                    member = member.as_str(),
                    "does not answer probes: calls to it wait"
                );
            }
        }
        if let Done::Evicted { member, gone_seq: Some(seq) } = &done {
            self.view.disown(member, *seq);
        }
        self.jobs.finish(done);
    }

    /// Deletes the member's own entry.
    async fn leave(&self, manager: &MembershipManager<R, H>) {
        let deadline = Instant::now() + MEMBERSHIP_TIMEOUT;
        let key = Key::Member(self.me.clone()).to_string();
        self.heartbeat.abort();
        // An entry that remains expires by itself.
        if let Ok(Some(seq)) = manager.registry.find(key.clone(), deadline).await {
            let _ = timeout(MEMBERSHIP_TIMEOUT, manager.registry.delete(key, seq, deadline)).await;
        }
    }
}

/// Waits until `leaving` is set.
async fn signalled(leaving: &mut watch::Receiver<bool>) {
    if leaving.wait_for(|leaving| *leaving).await.is_err() {
        // The sender is gone, so it is never set.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
