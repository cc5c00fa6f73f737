//! The environment of the instances in a run: the server side of store, bucket and bus, and the
//! state of each instance. All randomness comes from one source, drawn in the order of events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerd::store::StreamId;
use peerd_protocol::subject::Subjects;
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::plan::{Outage, Setup, Weather};
use crate::random::Random;
use crate::rule::Rule;
use crate::rules::Watch;
use crate::server::{Arrival, Bucket, Inbox, Item, OnItsWay, Stream, provisioned};
use crate::trace::Trace;

/// The time at which all wall clocks begin.
pub(crate) const BEGAN_MS: u64 = 1_800_000_000_000;
/// The longest delay after which a late write reaches the store, counted from the time when its
/// writer gave up.
const STRAGGLE_MS: u64 = 1800;

/// One of an instance's two connections.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) is_up: bool,
    /// How many times the connection was established.
    pub(crate) generation: u64,
    pub(crate) changed: Arc<Notify>,
}

impl Line {
    fn new() -> Self {
        Self { is_up: true, generation: 1, changed: Arc::default() }
    }
}

/// An instance, from outside.
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) is_alive: bool,
    /// The number of freezes in progress.
    holds: u32,
    freed: Arc<Notify>,
    pub(crate) store: Line,
    pub(crate) bus: Line,
    pub(crate) wall_ms: &'static AtomicU64,
    /// The number of actions so far, and the action before or after which the instance crashes.
    doings: u64,
    dies_at: Option<(u64, bool)>,
    pub(crate) tasks: Vec<AbortHandle>,
    pub(crate) takes_calls: bool,
    pub(crate) listens: BTreeSet<u16>,
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) outgoing: VecDeque<Item>,
    pub(crate) given: Arc<Notify>,
    pub(crate) left: Arc<Notify>,
    /// Messages in transit to the server (`up`) and from it (`down`), in order, and the time when
    /// the newest arrives.
    pub(crate) up: VecDeque<OnItsWay>,
    pub(crate) up_ms: u64,
    pub(crate) down: VecDeque<(u64, peerd::bus::Incoming)>,
    pub(crate) down_ms: u64,
}

/// The shared state.
pub(crate) struct Core {
    pub(crate) noise: Random,
    pub(crate) trace: Trace,
    pub(crate) setup: Setup,
    pub(crate) subjects: Subjects,
    pub(crate) streams: BTreeMap<StreamId, Stream>,
    pub(crate) pushes: BTreeMap<String, String>,
    pub(crate) bucket: Bucket,
    pub(crate) inboxes: BTreeMap<String, Inbox>,
    pub(crate) next_inbox: u64,
    pub(crate) seats: Vec<Seat>,
    pub(crate) watch: Watch,
    outages: Vec<(Outage, u64)>,
    pub(crate) weather: Weather,
    pub(crate) lose_acks: u32,
    pub(crate) late_writes: u32,
    pub(crate) lose_messages: u32,
    /// The additional lag of one copy, and the time when it ends.
    pub(crate) lag: (u64, u64),
    /// The number of appends and of reads that the store was asked for.
    pub(crate) asked: (u64, u64),
}

/// The environment of a run.
pub(crate) struct World {
    core: Mutex<Core>,
    began: Instant,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("World")
    }
}

/// The result of a request over the store's connection.
pub(crate) enum Answer<T> {
    Got(T),
    /// The connection is down: the request was not sent.
    Down,
    /// The connection broke, or the deadline passed: the request may have been executed.
    Nothing,
}

/// The fate of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Usual,
    /// The request is executed, and its reply is lost.
    NoAnswer,
    /// The request is executed after its caller gave up.
    Late,
}

impl World {
    pub(crate) fn new(setup: &Setup, noise: Random) -> Arc<Self> {
        let subjects = Subjects::new("peer", setup.partitions);
        let core = Core {
            noise,
            trace: Trace::default(),
            setup: setup.clone(),
            streams: provisioned(&subjects, BEGAN_MS),
            subjects,
            pushes: BTreeMap::new(),
            bucket: Bucket::default(),
            inboxes: BTreeMap::new(),
            next_inbox: 0,
            seats: Vec::new(),
            watch: Watch::new(setup.delivered),
            outages: Vec::new(),
            weather: setup.weather,
            lose_acks: 0,
            late_writes: 0,
            lose_messages: 0,
            lag: (0, 0),
            asked: (0, 0),
        };
        Arc::new(Self { core: Mutex::new(core), began: Instant::now() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The server's clock.
    pub(crate) fn server_ms(&self) -> u64 {
        BEGAN_MS + self.now_ms()
    }

    /// Adds a line to the trace.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        let now_ms = self.now_ms();
        self.lock().trace.line(now_ms, what);
    }

    /// Records an action of an instance, or crashes the instance if that is due before this action.
    pub(crate) fn doing(&self, who: usize, what: fmt::Arguments<'_>) {
        let now_ms = self.now_ms();
        let mut core = self.lock();
        let seat = &mut core.seats[who];
        if !seat.is_alive {
            return;
        }
        seat.doings += 1;
        let dies = seat.dies_at.is_some_and(|(at, done)| {
            let at = if done { at + 1 } else { at };
            seat.doings >= at
        });
        if dies {
            core.kill(who, now_ms);
            return;
        }
        let Core { seats, trace, .. } = &mut *core;
        trace.line(now_ms, format_args!("{} {what}", seats[who].name));
    }

    /// Schedules the crash of an instance after so many more actions.
    pub(crate) fn doom(&self, who: usize, after: u64, done: bool) {
        let mut core = self.lock();
        let seat = &mut core.seats[who];
        seat.dies_at = Some((seat.doings + after + 1, done));
    }

    /// Waits while an instance is frozen. Never returns once the instance has crashed.
    pub(crate) async fn wait_while_frozen(&self, who: usize) {
        loop {
            let freed = {
                let core = self.lock();
                let seat = &core.seats[who];
                if seat.is_alive && seat.holds == 0 {
                    return;
                }
                seat.is_alive.then(|| seat.freed.clone())
            };
            match freed {
                Some(freed) => freed.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    /// Freezes an instance for a while.
    pub(crate) async fn freeze(&self, who: usize, span_ms: u64) {
        self.lock().seats[who].holds += 1;
        sleep(Duration::from_millis(span_ms)).await;
        let mut core = self.lock();
        let seat = &mut core.seats[who];
        seat.holds -= 1;
        seat.freed.notify_waiters();
    }

    /// Breaks connections of an instance, and restores them after a while.
    pub(crate) async fn cut(&self, who: usize, (store, bus): (bool, bool), span_ms: u64) {
        {
            let mut core = self.lock();
            if bus {
                core.lose_on_its_way(who);
            }
            for line in core.lines(who, store, bus) {
                line.is_up = false;
                line.changed.notify_waiters();
            }
        }
        sleep(Duration::from_millis(span_ms)).await;
        for line in self.lock().lines(who, store, bus) {
            line.is_up = true;
            line.generation += 1;
            line.changed.notify_waiters();
        }
    }

    /// Waits until the store's connection breaks.
    async fn store_broken(&self, who: usize) {
        let changed = self.lock().seats[who].store.changed.clone();
        changed.notified().await;
    }

    /// Waits until the bus's connection breaks.
    pub(crate) async fn bus_broken(&self, who: usize) {
        let changed = self.lock().seats[who].bus.changed.clone();
        changed.notified().await;
    }

    /// A request over the store's connection. `serve` runs at the server when the request arrives,
    /// regardless of what happened to the caller.
    pub(crate) async fn request<T: Send + 'static>(
        self: &Arc<Self>,
        who: usize,
        fate: Fate,
        deadline: Instant,
        serve: impl FnOnce(&mut Core, u64) -> T + Send + 'static,
    ) -> Answer<T> {
        self.wait_while_frozen(who).await;
        let (generation, up_ms, down_ms, straggle_ms) = {
            let mut core = self.lock();
            let line = &core.seats[who].store;
            if !line.is_up {
                return Answer::Down;
            }
            let generation = line.generation;
            (generation, core.latency_ms(), core.latency_ms(), core.noise.below(STRAGGLE_MS))
        };
        let (reply, replied) = tokio::sync::oneshot::channel();
        let world = self.clone();
        let arrives = match fate {
            Fate::Usual | Fate::NoAnswer => Instant::now() + Duration::from_millis(up_ms),
            Fate::Late => deadline + Duration::from_millis(straggle_ms),
        };
        tokio::spawn(async move {
            sleep_until(arrives).await;
            let answer = {
                let now_ms = world.now_ms();
                let mut core = world.lock();
                let seat = &core.seats[who];
                let is_whole =
                    seat.is_alive && seat.store.is_up && seat.store.generation == generation;
                // A request that was in transit when the connection broke may have reached the
                // server.
                if !is_whole && core.noise.percent(50) {
                    return;
                }
                serve(&mut core, now_ms)
            };
            if fate == Fate::Usual {
                sleep(Duration::from_millis(down_ms)).await;
                let _ = reply.send(answer);
            } else {
                // No reply arrives, over this connection or another.
                sleep_until(deadline).await;
                drop(reply);
            }
        });
        let answer = tokio::select! {
            biased;
            answer = replied => answer.map_or(Answer::Nothing, Answer::Got),
            () = self.store_broken(who) => Answer::Nothing,
            () = sleep_until(deadline) => Answer::Nothing,
        };
        self.wait_while_frozen(who).await;
        answer
    }

    /// Begins an outage.
    pub(crate) fn outage(&self, what: Outage, span_ms: u64) {
        let until_ms = self.now_ms() + span_ms;
        self.lock().outages.push((what, until_ms));
    }

    /// Ends all faults.
    pub(crate) fn calm_down(&self) {
        let mut core = self.lock();
        core.weather = Weather { latency_ms: core.weather.latency_ms, ..Weather::CALM };
        core.outages.clear();
        core.lag = (0, 0);
        (core.lose_acks, core.late_writes, core.lose_messages) = (0, 0, 0);
        for seat in &mut core.seats {
            seat.dies_at = None;
        }
    }
}

impl Core {
    /// The running instances.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.seats.len()).filter(|who| self.seats[*who].is_alive).collect()
    }

    pub(crate) fn latency_ms(&mut self) -> u64 {
        1 + self.noise.below(self.weather.latency_ms)
    }

    /// Returns true in `of_1000` of a thousand cases, on average.
    pub(crate) fn chance(&mut self, of_1000: u64) -> bool {
        of_1000 > 0 && self.noise.below(1000) < of_1000
    }

    /// Uses up one of a number of pending faults.
    pub(crate) fn take_one(left: &mut u32) -> bool {
        let is_left = *left > 0;
        *left = left.saturating_sub(1);
        is_left
    }

    pub(crate) fn kill(&mut self, who: usize, now_ms: u64) {
        let name = self.seats[who].name.clone();
        self.trace.line(now_ms, format_args!("{name} crashes"));
        self.lose_on_its_way(who);
        let seat = &mut self.seats[who];
        seat.is_alive = false;
        seat.takes_calls = false;
        seat.listens.clear();
        for task in seat.tasks.drain(..) {
            task.abort();
        }
    }

    fn lines(&mut self, who: usize, store: bool, bus: bool) -> impl Iterator<Item = &mut Line> {
        let seat = &mut self.seats[who];
        let lines = [(store, &mut seat.store), (bus, &mut seat.bus)];
        lines.into_iter().filter_map(|(is_it, line)| is_it.then_some(line))
    }

    /// Whether the leader of a stream, or of the bucket, answers.
    pub(crate) fn is_led(&mut self, stream: Option<StreamId>, now_ms: u64) -> bool {
        self.outages.retain(|(_, until_ms)| *until_ms > now_ms);
        let is_out = |(what, _): &(Outage, u64)| match (what, stream) {
            (Outage::Everything, _) | (Outage::Bucket, None) => true,
            (Outage::Partition(number), Some(StreamId::Log(of) | StreamId::State(of))) => {
                *number == of.0
            }
            (Outage::Partition(_), None) | (Outage::Bucket, Some(_)) => false,
        };
        !self.outages.iter().any(is_out)
    }

    /// Records that a rule is broken. Only the first one is kept.
    pub(crate) fn broken(&mut self, rule: Rule, why: String) {
        self.watch.broken(rule, why);
    }
}

impl Seat {
    pub(crate) fn new(
        name: String,
        wall_ms: &'static AtomicU64,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Self {
        Self {
            name,
            is_alive: true,
            holds: 0,
            freed: Arc::default(),
            store: Line::new(),
            bus: Line::new(),
            wall_ms,
            doings: 0,
            dies_at: None,
            tasks: Vec::new(),
            takes_calls: false,
            listens: BTreeSet::new(),
            arrivals,
            outgoing: VecDeque::new(),
            given: Arc::default(),
            left: Arc::default(),
            up: VecDeque::new(),
            up_ms: 0,
            down: VecDeque::new(),
            down_ms: 0,
        }
    }
}
