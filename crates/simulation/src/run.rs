//! Executes a plan, on time that advances only when all tasks wait.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::client::Client;
use crate::instance::{Instance, forget_sessions, start};
use crate::log::Log;
use crate::plan::{Call, Fault, Plan, What};
use crate::random::Random;
use crate::rule::{Broken, Rule};
use crate::world::World;

/// The time that the instances have at the start to own all partitions.
const START_MS: u64 = 20_000;
/// The most instances at a time.
const INSTANCES_MAX: usize = 6;

/// The result of a run.
#[derive(Debug)]
pub struct Run {
    /// The first broken rule.
    pub broken: Option<Broken>,
    /// The trace, line by line.
    pub trace: String,
    /// Its statistics.
    pub figures: Figures,
}

/// The statistics of one run, or of many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    pub(crate) calls: usize,
    pub(crate) unanswered: usize,
    pub(crate) messages: usize,
    pub(crate) events: usize,
    pub(crate) claims: usize,
    pub(crate) deaths: usize,
    pub(crate) virtual_ms: u64,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.unanswered += other.unanswered;
        self.messages += other.messages;
        self.events += other.events;
        self.claims += other.claims;
        self.deaths += other.deaths;
        self.virtual_ms += other.virtual_ms;
    }
}

/// Executes a plan to its end, or until a rule is broken.
#[must_use]
pub fn run(plan: &Plan) -> Run {
    forget_sessions();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without I/O");
    let log = Log::default();
    let dispatch = tracing::Dispatch::new(log.clone());
    tracing::dispatcher::with_default(&dispatch, || {
        runtime.block_on(async {
            // The run has its own random source, so that a shortened plan draws from the same one.
            let noise = Random::new(plan.noise).split();
            let world = World::new(&plan.setup, noise);
            log.writes_to(&world);
            let mut driver = Driver {
                client: Client { world: world.clone(), is_calm: plan.is_calm(), is_settled: false },
                world: world.clone(),
                instances: Vec::new(),
                calls: JoinSet::new(),
                faults: JoinSet::new(),
            };
            driver.drive(plan).await;
            let virtual_ms = world.now_ms();
            let mut core = world.lock();
            let watch = &mut core.watch;
            let figures = Figures {
                calls: watch.journal.calls,
                unanswered: watch.journal.unanswered,
                messages: watch.log.len(),
                events: watch.events,
                claims: watch.claims,
                deaths: 0,
                virtual_ms,
            };
            let broken = watch.first.take();
            let deaths = core.seats.iter().filter(|seat| !seat.is_alive).count();
            let figures = Figures { deaths, ..figures };
            Run { broken, trace: core.trace.take(), figures }
        })
    })
}

struct Driver {
    world: Arc<World>,
    client: Client,
    instances: Vec<Instance>,
    calls: JoinSet<()>,
    faults: JoinSet<()>,
}

impl Driver {
    fn is_broken(&self) -> bool {
        self.world.lock().watch.first.is_some()
    }

    async fn drive(&mut self, plan: &Plan) {
        for _ in 0..plan.setup.instances {
            self.instances.push(start(&self.world));
        }
        if !self.wait_until_owned(START_MS).await {
            self.world
                .lock()
                .broken(Rule::Served, "not all partitions are owned at the start".to_owned());
            return;
        }
        for user in 0..plan.setup.users {
            self.client.perform(user, Call::Login, 0).await;
        }
        let began_ms = self.world.now_ms();
        for (number, step) in plan.steps.iter().enumerate() {
            let now_ms = self.world.now_ms();
            let wait_ms = (began_ms + step.at_ms).saturating_sub(now_ms);
            if wait_ms > 0 {
                sleep(Duration::from_millis(wait_ms)).await;
            }
            if self.is_broken() {
                return;
            }
            for instance in &self.instances {
                instance.check_bounds(&self.world);
            }
            match &step.what {
                What::Call { user, call } => {
                    let (client, user, call) = (self.client.clone(), *user, call.clone());
                    self.calls.spawn(async move { client.perform(user, call, number).await });
                }
                What::Fault(fault) => self.fault(fault),
            }
        }
        self.settle(plan).await;
        if !self.is_broken() {
            self.client.is_settled = true;
            self.client.audit(plan).await;
        }
    }

    async fn wait_until_owned(&self, most_ms: u64) -> bool {
        let ends_ms = self.world.now_ms() + most_ms;
        let partitions = self.world.lock().setup.partitions;
        while self.world.now_ms() < ends_ms {
            {
                let core = self.world.lock();
                let takes = |who: &usize| core.seats[*who].takes_calls;
                let alive = core.alive();
                let is_taken = !alive.is_empty() && alive.iter().all(takes);
                if core.watch.all_owned(partitions) && is_taken {
                    return true;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    }

    /// The running instance that a number selects.
    fn picked(&self, pick: usize) -> Option<usize> {
        let alive = self.world.lock().alive();
        alive.get(pick % alive.len().max(1)).copied()
    }

    /// Whether another instance takes calls and continues to do so.
    fn others_take_calls(&self, who: usize) -> bool {
        let core = self.world.lock();
        let takes = |seat: &crate::world::Seat| seat.is_alive && seat.takes_calls;
        // An instance that is stopping is no longer among them.
        self.instances.iter().any(|other| other.who != who && takes(&core.seats[other.who]))
    }

    fn fault(&mut self, fault: &Fault) {
        let world = self.world.clone();
        world.note(format_args!("fault {fault:?}"));
        match fault.clone() {
            Fault::Crash { pick, after, done } => {
                if let Some(who) = self.picked(pick) {
                    world.doom(who, after, done);
                }
            }
            Fault::Start => {
                if world.lock().alive().len() < INSTANCES_MAX {
                    self.instances.push(start(&world));
                }
            }
            Fault::Leave { pick } => {
                let is_last = world.lock().alive().len() < 2;
                let Some(who) = self.picked(pick).filter(|_| !is_last) else { return };
                if self.client.is_calm && !self.others_take_calls(who) {
                    // Without an instance that takes calls, NATS answers them, which is not a bug
                    // in peerd.
                    return;
                }
                let at = self.instances.iter().position(|instance| instance.who == who);
                if let Some(at) = at {
                    let instance = self.instances.remove(at);
                    self.faults.spawn(instance.stop(world));
                }
            }
            Fault::Freeze { pick, ms } => {
                if let Some(who) = self.picked(pick) {
                    self.faults.spawn(async move { world.freeze(who, ms).await });
                }
            }
            Fault::Cut { pick, store, bus, ms } => {
                if let Some(who) = self.picked(pick) {
                    self.faults.spawn(async move { world.cut(who, (store, bus), ms).await });
                }
            }
            Fault::Outage { what, ms } => world.outage(what, ms),
            Fault::Lag { ms, for_ms } => {
                let until_ms = world.now_ms() + for_ms;
                world.lock().lag = (ms, until_ms);
            }
            Fault::LoseAcks { count } => world.lock().lose_acks += count,
            Fault::LateWrites { count } => world.lock().late_writes += count,
            Fault::LoseMessages { count } => world.lock().lose_messages += count,
            Fault::WallStep { pick, ms } => {
                if let Some(who) = self.picked(pick) {
                    let wall_ms = world.lock().seats[who].wall_ms;
                    let set = wall_ms.load(Ordering::Relaxed).saturating_add_signed(ms);
                    wall_ms.store(set, Ordering::Relaxed);
                }
            }
            Fault::BreakWatches { pick } => {
                if let Some(who) = self.picked(pick) {
                    world.break_watches(who);
                }
            }
        }
    }

    /// Lets the run come to rest: faults are over, an instance runs, all calls are done.
    async fn settle(&mut self, plan: &Plan) {
        self.world.note(format_args!("no more faults"));
        self.world.calm_down();
        while self.faults.join_next().await.is_some() {}
        let setup = &plan.setup;
        if self.world.lock().alive().is_empty() {
            self.instances.push(start(&self.world));
        }
        while self.calls.join_next().await.is_some() {}
        // Crashed instances are evicted, unpublished events are published, writes in doubt are
        // resolved.
        let span_ms = setup.ttl_ms * 2 + setup.call_deadline_ms + 5000;
        sleep(Duration::from_millis(span_ms)).await;
        if !self.wait_until_owned(START_MS).await {
            self.world
                .lock()
                .broken(Rule::Served, "not all partitions are owned at the end".to_owned());
        }
    }
}
