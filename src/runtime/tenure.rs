//! The time for which this instance owns a partition, with all that it holds for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::DefaultHashBuilder;
use indexmap::IndexMap;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::cell::UserCell;
use super::pending::{OwnedUnderWay, Pending};
use super::written::Written;
use crate::bus::Permit;
use crate::clock::Clock;
use crate::cluster::host::Grant;
use crate::domain::clock::KeyClock;
use crate::domain::id::{Partition, UserId};
use crate::domain::message::Message;
use crate::store::StreamId;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// For how long what was sent counts against a rate.
const RATE_SPAN: Duration = Duration::from_secs(1);
/// Users that a sweep looks at for each user that comes in.
const SWEEP_STEPS: usize = 16;
/// Messages of a partition that are held in case others cross them.
const LATEST_KEPT: usize = 256;

/// The time for which this instance owns a partition.
pub(super) struct Tenure {
    pub(super) partition: Partition,
    /// Which of the partition's streams these are, as long as they are not lost and made anew.
    pub(super) incarnations: (u64, u64),
    pub(super) clock: KeyClock,
    /// When it began.
    pub(super) opened: Instant,
    /// When Commands are let through: nobody knows how many the owner before let through in its last
    /// second.
    pub(super) commands_from: Instant,
    grant: Grant,
    time: Clock,
    users: Mutex<Users>,
    /// The latest messages, so that those that cross them can be told beside them.
    latest: Mutex<VecDeque<Arc<Message>>>,
    /// The calls under way. They may wait for deliveries, here or elsewhere.
    calls: Stage,
    /// The deliveries under way, and what goes on beside calls. They wait for the store alone.
    deliveries: Stage,
    /// What is to be told again, since when by the server's clock, in milliseconds since 1970.
    untold_since_ms: Mutex<Option<u64>>,
    /// Messages of whose append it is not known what became, and revisions that are told and not
    /// stored, by when they began.
    unsure: Arc<Pending>,
    /// Whether it is over.
    over: CancellationToken,
    /// When it began, where the owner before had died.
    after_death: Option<Instant>,
    log: Mutex<Written>,
    state: Mutex<Written>,
}

/// Users in memory, and where the sweep for those to forget stands.
#[derive(Default)]
struct Users {
    cells: IndexMap<UserId, Arc<UserCell>, DefaultHashBuilder>,
    hand: usize,
}

/// What is taken on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// A call by a user.
    Call,
    /// A request of the sender's owner.
    Delivery,
}

/// Things under way of one kind, and whether there may be more.
#[derive(Default)]
struct Stage {
    work: TaskTracker,
    is_closing: AtomicBool,
}

impl Stage {
    fn enter(&self) -> Option<TaskTrackerToken> {
        // First the token, so that whoever closes either waits for it or is seen here.
        let token = self.work.token();
        (!self.is_closing.load(Ordering::Acquire)).then_some(token)
    }

    async fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        self.work.close();
        self.work.wait().await;
    }

    fn reopen(&self) {
        self.work.reopen();
        self.is_closing.store(false, Ordering::Release);
    }
}

/// Something under way: a tenure that ends in order waits for it.
pub(super) struct Work {
    pub(super) tenure: Arc<Tenure>,
    _token: TaskTrackerToken,
}

impl Tenure {
    /// A tenure that begins with both streams at these ends, and which of them these are.
    pub(super) fn new(
        grant: &Grant,
        time: Clock,
        (log_end, state_end): (u64, u64),
        incarnations: (u64, u64),
    ) -> Self {
        let is_first = grant.epoch == 1;
        Self {
            partition: grant.partition,
            incarnations,
            clock: KeyClock::default(),
            opened: Instant::now(),
            commands_from: Instant::now() + if is_first { Duration::ZERO } else { RATE_SPAN },
            grant: grant.clone(),
            time,
            users: Mutex::default(),
            latest: Mutex::default(),
            calls: Stage::default(),
            deliveries: Stage::default(),
            untold_since_ms: Mutex::new(grant.untold_since_ms),
            unsure: Arc::default(),
            over: CancellationToken::new(),
            after_death: grant.untold_since_ms.map(|_| Instant::now()),
            log: Mutex::new(Written::since(log_end)),
            state: Mutex::new(Written::since(state_end)),
        }
    }

    /// Whether this instance may still decide, write and tell for the partition.
    pub(super) fn may_act(&self) -> bool {
        !self.over.is_cancelled() && self.grant.lease.holds(self.time.now())
    }

    /// For how long this instance is sure to be the owner.
    pub(super) fn lease_left(&self) -> Duration {
        // An endless lease is longer than an instant can be far.
        self.grant.lease.left(self.time.now()).min(YEAR)
    }

    /// Takes something new on; `None` when the tenure is about to end, or over.
    pub(super) fn enter(self: &Arc<Self>, what: What) -> Option<Work> {
        let stage = match what {
            What::Call => &self.calls,
            What::Delivery => &self.deliveries,
        };
        let token = stage.enter()?;
        self.may_act().then(|| Work { tenure: self.clone(), _token: token })
    }

    /// Goes on with something beside a call or a delivery that is under way.
    pub(super) fn go_on(self: &Arc<Self>) -> Work {
        Work { tenure: self.clone(), _token: self.deliveries.work.token() }
    }

    /// Takes nothing new, and waits for what is under way: first for the calls, which may need
    /// deliveries, then for those, which need nobody.
    pub(super) async fn close(&self) {
        self.calls.close().await;
        self.deliveries.close().await;
    }

    /// Takes on new things after all, when a close was given up.
    pub(super) fn reopen(&self) {
        self.deliveries.reopen();
        self.calls.reopen();
    }

    /// The grant of a tenure that goes on from here with what the store holds now, where something may
    /// be untold since `untold_since_ms`.
    pub(super) fn grant_anew(&self, untold_since_ms: u64) -> Grant {
        let untold_since_ms = self.untold_since_ms().into_iter().chain([untold_since_ms]).min();
        let key = self.clock.newest().max(self.grant.key);
        // Not its first: nobody else let Commands through, but this one did.
        let epoch = self.grant.epoch.max(2);
        Grant { epoch, key, untold_since_ms, ..self.grant.clone() }
    }

    /// Whether it began less than this ago, after an owner that has died.
    pub(super) fn is_after_death(&self, span: Duration) -> bool {
        self.after_death.is_some_and(|began| began.elapsed() < span)
    }

    /// Since when something is to be told again.
    pub(super) fn untold_since_ms(&self) -> Option<u64> {
        *self.untold()
    }

    /// Nothing is to be told again any more.
    pub(super) fn set_told(&self) {
        *self.untold() = None;
    }

    /// Notes, until what is answered is dropped, that a message may come into the log without anybody
    /// being told, or that somebody is told of a revision that is not stored. That was decided at
    /// `began_ms`, by the server's clock.
    pub(super) fn begin_unsure(&self, began_ms: u64) -> OwnedUnderWay {
        self.unsure.clone().begin_owned(began_ms)
    }

    /// Since when there is such a message or revision.
    pub(super) fn unsure_since_ms(&self) -> Option<u64> {
        Some(self.unsure.since(u64::MAX)).filter(|since_ms| *since_ms < u64::MAX)
    }

    fn untold(&self) -> MutexGuard<'_, Option<u64>> {
        self.untold_since_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it at once. What is still under way does not act any more.
    pub(super) fn end(&self) {
        let mut users = self.users();
        self.over.cancel();
        // Cells hold their tenure.
        users.cells.clear();
    }

    /// Waits, but not beyond its end.
    pub(super) async fn sleep(&self, span: Duration) {
        // Ends early when it is over.
        let _ = self.over.run_until_cancelled(sleep(span)).await;
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user's cell, new if need be: then another may have to go, where there are `most`.
    pub(super) fn cell(self: &Arc<Self>, id: &UserId, most: usize) -> Arc<UserCell> {
        let mut users = self.users();
        if let Some(cell) = users.cells.get(id) {
            cell.touch();
            return cell.clone();
        }
        if users.cells.len() >= most {
            users.forget_one();
        }
        let cell = Arc::new(UserCell::new(id.clone(), self.clone()));
        if !self.over.is_cancelled() {
            users.cells.insert(id.clone(), cell.clone());
        }
        cell
    }

    /// The user's cell, if there is one whose state was loaded.
    pub(super) fn cell_in_memory(&self, id: &UserId) -> Option<Arc<UserCell>> {
        let users = self.users();
        users.cells.get(id).filter(|cell| cell.was_ever_loaded()).cloned()
    }

    /// All cells.
    pub(super) fn cells(&self) -> Vec<Arc<UserCell>> {
        self.users().cells.values().cloned().collect()
    }

    /// How many users are in memory.
    pub(super) fn users_in_memory(&self) -> usize {
        self.users().cells.len()
    }

    /// Holds a message until it is no longer one of the latest.
    pub(super) fn keep_for_a_while(&self, message: &Arc<Message>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= LATEST_KEPT {
            latest.pop_front();
        }
        latest.push_back(message.clone());
    }

    /// What this instance wrote into one of the partition's streams.
    pub(super) fn written(&self, stream: StreamId) -> MutexGuard<'_, Written> {
        let written = match stream {
            StreamId::Log(_) => &self.log,
            StreamId::State(_) => &self.state,
        };
        written.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Tenure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tenure").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Permit for Tenure {
    fn holds(&self) -> bool {
        self.may_act()
    }
}

impl Users {
    /// Forgets a user that was not used for a while and that nobody holds: the sweep passes over
    /// each user once before it forgets one, as a clock's hand does.
    fn forget_one(&mut self) {
        for _ in 0..SWEEP_STEPS {
            self.hand = if self.hand >= self.cells.len() { 0 } else { self.hand };
            let Some((_, cell)) = self.cells.get_index(self.hand) else { return };
            if Arc::strong_count(cell) == 1 && !cell.take_used() {
                self.cells.swap_remove_index(self.hand);
                return;
            }
            self.hand += 1;
        }
    }
}
