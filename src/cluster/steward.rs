//! Carries out what [`super::plan`] says: joins, watches, claims, hands over, leaves.
//!
//! One task decides; what waits for the bucket or for the host runs beside it as a job. An instance
//! that is taken for dead serves nothing more and comes back as another member.

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
use super::heartbeat::{BEATS_PER_TTL, Heartbeat};
use super::host::Host;
use super::job::{Done, Jobs};
use super::lease::Lease;
use super::plan::{Planner, Step};
use super::process;
use super::table::{Place, Table};
use super::view::View;
use crate::clock::Clock;
use crate::domain::id::Partition;
use crate::storage::owners::{Key, Member, MemberId, Process};
use crate::store::registry::{Changes, Registry};
use crate::store::{AppendError, ReadError};

/// How often what depends on time alone is looked at.
const TICK: Duration = Duration::from_millis(50);
/// How often it is said that joining still fails.
const SAID_EACH: Duration = Duration::from_secs(10);
/// Wait between tries to join or to watch.
const RETRY: Duration = Duration::from_millis(200);
/// Wait before a watch that was broken off is made anew.
const REWATCH: Duration = Duration::from_millis(10);
/// How long a try may take.
const TRY: Duration = Duration::from_secs(5);
/// How often the members are asked whether they answer: the more there are, the more rarely.
const PROBE_EVERY: Duration = Duration::from_millis(100);
const PROBE_EVERY_PER_MEMBER: Duration = Duration::from_millis(20);
/// How often the store is looked at for what this instance did not write.
const LOOK_AROUND_EVERY: Duration = Duration::from_secs(1);
/// Partitions that change hands at the same time.
const HAND_OVERS: usize = 8;
/// Partitions that are claimed at the same time.
const CLAIMS: usize = 16;

/// What a steward is told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The instance, as a member's ID.
    pub instance: String,
    /// peerd's version.
    pub release: String,
    /// How many partitions there are.
    pub partitions: u16,
    /// How long a member is taken to be alive without a sign of life.
    pub ttl: Duration,
    /// The process that it is.
    pub process: Process,
}

/// Keeps an instance a member, and its partitions in its host.
pub struct Steward<R, H> {
    registry: Arc<R>,
    host: H,
    table: Arc<Table>,
    clock: Clock,
    options: Options,
    /// The members that this instance was before.
    former: Vec<MemberId>,
    /// Partitions that such a member had served: their calls still come here.
    left_over: BTreeSet<Partition>,
}

/// Why a membership ended.
enum End {
    /// In order.
    Left,
    /// The others have taken it for dead, or must.
    Lost,
}

impl<R: Registry, H: Host> Steward<R, H> {
    /// A steward for `host`, which finds in `table` where calls go.
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

    /// Keeps the instance a member until `leaving` says so and everything is handed over. `ready` is
    /// called once what falls to it is served.
    pub async fn run(mut self, leaving: watch::Receiver<bool>, ready: impl FnOnce()) {
        let mut ready = Some(ready);
        while !*leaving.borrow() {
            let Some((heartbeat, lease)) = self.join(leaving.clone()).await else { return };
            let me = heartbeat.id.clone();
            let shared = (lease, heartbeat.acted_us.clone(), heartbeat.claims.clone());
            tracing::info!(member = me.as_str(), "joined");
            // Told by the term alone, so that one thing happens after the other.
            let (tell_heartbeat, is_told) = watch::channel(false);
            let beating = AbortOnDrop::new(tokio::spawn(heartbeat.run(is_told)));
            let heart = (beating, tell_heartbeat);
            let mut term = Term::new(me.clone(), shared, heart, &leaving, &self);
            let end = term.run(&self, leaving.clone(), &mut ready).await;
            term.lease.end();
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
                        "gave no sign of life in time: serves nothing until it has joined anew"
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

    /// Becomes a member, however long it takes; `None` when told to leave meanwhile.
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
        let mut said = None;
        loop {
            tokio::select! {
                biased;
                () = told(&mut leaving) => return None,
                joined = heartbeat.join() => match joined {
                    Ok(()) => return Some((heartbeat, lease)),
                    Err(error) => {
                        if said.is_none_or(|at: Instant| at.elapsed() >= SAID_EACH) {
                            said = Some(Instant::now());
                            tracing::warn!(%error, "could not join yet");
                        }
                        // A sign may be stored whose acknowledgement was lost.
                        let key = Key::Member(heartbeat.id.clone()).to_string();
                        match self.registry.find(key, Instant::now() + TRY).await {
                            Ok(Some(seq)) => heartbeat.seq = seq,
                            // It has expired, and an ID ends with its entry.
                            Ok(None) if error == AppendError::Conflict => {
                                self.former.push(heartbeat.id.clone());
                                heartbeat.id = self.next_id()?;
                                heartbeat.seq = 0;
                            }
                            Ok(None) | Err(_) => {}
                        }
                        sleep(RETRY).await;
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
    tell_heartbeat: watch::Sender<bool>,
    view: View,
    /// When it joined, in microseconds of the steady clock.
    joined_us: u64,
    /// Since when the bucket stands in for one that was lost, by the server's clock.
    stands_in_since_ms: Option<u64>,
    /// Since when the view is built, in microseconds of the steady clock.
    watched_us: u64,
    /// Who is to own each partition, and among whom.
    targets: (BTreeSet<MemberId>, Vec<Option<MemberId>>),
    jobs: Jobs<R, H>,
    /// Members that do not answer.
    silent: BTreeSet<MemberId>,
    is_leaving: bool,
    /// Whether it was looked which members have ended on this machine.
    has_looked: bool,
}

impl<R: Registry, H: Host> Term<R, H> {
    fn new(
        me: MemberId,
        (lease, acted_us, claims): (Arc<Lease>, Arc<AtomicU64>, Arc<Claims>),
        (heartbeat, tell_heartbeat): (AbortOnDrop<()>, watch::Sender<bool>),
        leaving: &watch::Receiver<bool>,
        steward: &Steward<R, H>,
    ) -> Self {
        Self {
            jobs: Jobs::new(
                me.clone(),
                (lease.clone(), claims),
                (steward.registry.clone(), steward.host.clone()),
                steward.table.clone(),
                steward.clock,
                (CLAIMS, HAND_OVERS),
                steward.left_over.clone(),
            ),
            me,
            lease,
            acted_us,
            heartbeat,
            tell_heartbeat,
            view: View::default(),
            joined_us: steward.clock.steady_us(),
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
        steward: &Steward<R, H>,
        mut leaving: watch::Receiver<bool>,
        ready: &mut Option<impl FnOnce()>,
    ) -> End {
        let mut changes = self.watch(steward).await;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut probed, mut looked) = (Instant::now(), Instant::now());
        loop {
            if !self.lease.holds(steward.clock.now()) {
                return End::Lost;
            }
            let now_us = steward.clock.steady_us();
            // What ends the membership comes first, then what was done here, then what others do. The
            // tick has nothing of its own to do, so it may come last.
            tokio::select! {
                biased;
                _ = &mut self.heartbeat => return End::Lost,
                Ok(()) = leaving.changed() => {
                    self.is_leaving = *leaving.borrow_and_update();
                    self.tell_heartbeat.send_replace(self.is_leaving);
                },
                Some(done) = self.jobs.set.join_next() => match done {
                    Ok(done) => self.finish(done),
                    Err(error) => {
                        // What it had claimed or given is not known: nothing is served any more.
                        tracing::error!(%error, "a change of owners panicked");
                        return End::Lost;
                    }
                },
                change = changes.next() => if let Some(Ok(change)) = change {
                    if change.key == Key::Member(self.me.clone()).to_string() {
                        steward.host.observe_server_time(change.stored_ms);
                    }
                    self.view.apply(&change, now_us);
                } else {
                    sleep(REWATCH).await;
                    changes = self.watch(steward).await;
                },
                _ = ticks.tick() => {}
            }
            if self.is_stale(steward) {
                changes = self.watch(steward).await;
                continue;
            }
            self.act(steward, ready);
            let members = u32::try_from(self.view.members().len()).unwrap_or(u32::MAX);
            if probed.elapsed() >= PROBE_EVERY.max(PROBE_EVERY_PER_MEMBER * members) {
                probed = Instant::now();
                let members = self.view.members().iter().map(|(member, seen)| {
                    let names_itself = seen.entry.as_ref().is_some_and(|entry| entry.names_itself);
                    (member.clone(), names_itself)
                });
                self.jobs.probe(members, steward.options.ttl / BEATS_PER_TTL);
            }
            if looked.elapsed() >= LOOK_AROUND_EVERY {
                looked = Instant::now();
                self.jobs.look_around();
            }
            // What was taken in and waits for an owner is still passed on.
            if self.is_leaving && self.jobs.has_nothing() && !steward.table.is_awaited() {
                self.leave(steward).await;
                return End::Left;
            }
        }
    }

    /// Whether the view lags: this member's own signs of life do not show.
    fn is_stale(&self, steward: &Steward<R, H>) -> bool {
        let seen_us = self.view.members().get(&self.me).map_or(0, |seen| seen.at_us);
        let span = steward.options.ttl * 3 / BEATS_PER_TTL;
        let age_us = steward.clock.steady_us().saturating_sub(seen_us.max(self.watched_us));
        u128::from(age_us) > span.as_micros()
    }

    /// Reads the bucket anew and follows it.
    async fn watch(&mut self, steward: &Steward<R, H>) -> Changes {
        let mut is_told = false;
        loop {
            self.watched_us = steward.clock.steady_us();
            let watched = async {
                let changes = steward.registry.watch(Instant::now() + TRY).await?;
                let since_ms = steward.registry.stands_in_since(Instant::now() + TRY).await?;
                Ok::<_, ReadError>((changes, since_ms))
            };
            match watched.await {
                Ok((changes, since_ms)) => {
                    self.stands_in_since_ms = since_ms;
                    self.view = View::after(&self.view);
                    for former in &steward.former {
                        self.view.end(former.clone());
                    }
                    return changes;
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "the owners cannot be watched");
                    }
                    if !self.lease.holds(steward.clock.now()) {
                        // The loop that called sees it, too.
                        return Box::pin(futures::stream::pending());
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Begins what is to be done, and says where calls go.
    fn act(&mut self, steward: &Steward<R, H>, ready: &mut Option<impl FnOnce()>) {
        if !self.view.is_complete() || !self.view.members().contains_key(&self.me) {
            // Who is not seen is taken for dead: so not before everybody who is there was seen.
            return;
        }
        let now_us = steward.clock.steady_us();
        self.silent.retain(|member| self.view.members().contains_key(member));
        self.acted_us.store(now_us, Ordering::Release);
        self.end_neighbours();
        let candidates = self.view.candidates();
        // Not before the others can see it: they would hand back what they were given.
        let is_leaving = self.is_leaving && !candidates.contains(&self.me);
        if candidates != self.targets.0 {
            let targets = assign(&candidates, steward.options.partitions);
            self.targets = (candidates, targets);
        }
        let (steps, places) = {
            let planner = Planner {
                me: &self.me,
                held: &self.jobs.held,
                targets: &self.targets.1,
                silent: &self.silent,
                is_leaving,
                ttl: steward.options.ttl,
                joined_us: self.joined_us,
                stands_in_since_ms: self.stands_in_since_ms,
                now_us,
            };
            (planner.steps(&self.view), planner.places(&self.view))
        };
        // It has what falls to it, or others still serve it.
        let is_settled = !steps.iter().any(|step| matches!(step, Step::Claim { .. }));
        steward.table.set(places);
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

    /// Processes of this machine that have ended need not be waited for. Looked at once, at the
    /// start: what this is for is a process that is started again.
    fn end_neighbours(&mut self) {
        if std::mem::replace(&mut self.has_looked, true) {
            return;
        }
        let mut ended = Vec::new();
        for (id, seen) in self.view.members() {
            if seen.entry.as_ref().is_some_and(|member| process::has_ended(&member.process)) {
                tracing::info!(member = id.as_str(), "its process has ended on this machine");
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
                tracing::info!(member = member.as_str(), "does not answer: its calls wait");
            }
        }
        if let Done::Buried { member, gone_seq: Some(seq) } = &done {
            self.view.disown(member, *seq);
        }
        self.jobs.finish(done);
    }

    /// Takes the member's own entries away.
    async fn leave(&self, steward: &Steward<R, H>) {
        let deadline = Instant::now() + TRY;
        let key = Key::Member(self.me.clone()).to_string();
        self.heartbeat.abort();
        // An entry that stays expires by itself.
        if let Ok(Some(seq)) = steward.registry.find(key.clone(), deadline).await {
            let _ = timeout(TRY, steward.registry.delete(key, seq, deadline)).await;
        }
    }
}

/// Waits until told to leave.
async fn told(leaving: &mut watch::Receiver<bool>) {
    if leaving.wait_for(|leaving| *leaving).await.is_err() {
        // Nobody is left to tell.
        std::future::pending::<()>().await;
    }
}

#[cfg(test)]
mod tests;
