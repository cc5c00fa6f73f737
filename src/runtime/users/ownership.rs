//! Partition ownership: the state of one partition for as long as this instance owns it.

pub(in crate::runtime) mod cell;

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

use self::cell::UserCell;
use super::gap_tracker::GapTracker;
use crate::bus::Permit;
use crate::clock::{Clock, Now};
use crate::cluster::host::Grant;
use crate::runtime::pending::{OwnedUnderWay, Pending};
use crate::runtime::tuning::{
    COMMAND_RATE_SPAN, CROSSING_MESSAGES_KEPT, LATE_WRITE_MAX, SWEEP_USERS_PER_ADD,
};
use crate::store::StreamId;
use peerd_core::clock::KeyClock;
use peerd_core::following::Following;
use peerd_core::id::{Partition, UserId};
use peerd_core::message::Message;

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The ownership of one partition by this instance.
pub(in crate::runtime) struct Ownership {
    pub(in crate::runtime) partition: Partition,
    /// The incarnations of the log and the state stream. They change when a stream was lost and
    /// created again.
    pub(in crate::runtime) incarnations: (u64, u64),
    pub(in crate::runtime) clock: KeyClock,
    /// When the ownership began.
    pub(in crate::runtime) opened: Instant,
    /// The time from which Commands are accepted: it is unknown how many the previous owner
    /// accepted in its last second.
    pub(in crate::runtime) commands_from: Instant,
    grant: Grant,
    time: Clock,
    users: Mutex<Users>,
    /// The latest messages, kept so that messages that cross them can be published with them.
    latest: Mutex<VecDeque<Arc<Message>>>,
    /// The calls in progress. They may wait for deliveries, here or at another owner.
    calls: Stage,
    /// The deliveries in progress, and background work of calls. They wait for the store alone.
    deliveries: Stage,
    /// The time since which events may be unpublished, in milliseconds since 1970 by the server's
    /// clock.
    unpublished_since_ms: Mutex<Option<u64>>,
    /// Appends in doubt, and published revisions that are not stored, by start time.
    in_doubt: Arc<Pending>,
    /// Whether the ownership has ended.
    is_over: AtomicBool,
    /// Cancelled when the ownership ends, for tasks that wait for that.
    over: CancellationToken,
    /// When the ownership began, if the previous owner had died.
    after_death: Option<Instant>,
    log: Mutex<GapTracker>,
    state: Mutex<GapTracker>,
    looks: Mutex<Looks>,
    /// Whose status is followed, and who follows others.
    following: Mutex<Following>,
    /// How often a user was looked up.
    #[cfg(test)]
    pub(in crate::runtime) looked_up: std::sync::atomic::AtomicU64,
}

/// The looks at the end of the log.
#[derive(Default)]
struct Looks {
    /// When the newest one began.
    newest: Option<Instant>,
    /// Every record that was stored before this time is known.
    known: Option<Instant>,
}

/// The users in memory, and the position of the eviction sweep.
#[derive(Default)]
struct Users {
    cells: IndexMap<UserId, Arc<UserCell>, DefaultHashBuilder>,
    hand: usize,
}

/// The kind of work that is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum What {
    /// A call by a user.
    Call,
    /// An owner request of the sender's owner.
    Delivery,
}

/// The work of one kind that is in progress, and whether more may begin.
#[derive(Default)]
struct Stage {
    work: TaskTracker,
    is_closing: AtomicBool,
}

impl Stage {
    fn enter(&self) -> Option<TaskTrackerToken> {
        // The token comes first, so that a concurrent close either waits for it or is seen here.
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

/// Work in progress: an ownership that is closed in order waits for it.
pub(in crate::runtime) struct Work {
    pub(in crate::runtime) ownership: Arc<Ownership>,
    _token: TaskTrackerToken,
}

impl Ownership {
    /// An ownership that begins with the given ends and incarnations of the log and the state
    /// stream.
    pub(in crate::runtime) fn new(
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
            commands_from: Instant::now()
                + if is_first { Duration::ZERO } else { COMMAND_RATE_SPAN },
            grant: grant.clone(),
            time,
            users: Mutex::default(),
            latest: Mutex::default(),
            calls: Stage::default(),
            deliveries: Stage::default(),
            unpublished_since_ms: Mutex::new(grant.unpublished_since_ms),
            in_doubt: Arc::default(),
            is_over: AtomicBool::new(false),
            over: CancellationToken::new(),
            after_death: grant.unpublished_since_ms.map(|_| Instant::now()),
            log: Mutex::new(GapTracker::since(log_end)),
            state: Mutex::new(GapTracker::since(state_end)),
            looks: Mutex::default(),
            following: Mutex::default(),
            #[cfg(test)]
            looked_up: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// Whether this instance may still decide, write and publish for the partition.
    pub(in crate::runtime) fn may_act(&self) -> bool {
        self.may_act_at(self.time.now())
    }

    /// [`Ownership::may_act`] at a time that was just read: reading the clocks is most of the cost.
    pub(in crate::runtime) fn may_act_at(&self, now: Now) -> bool {
        !self.is_over.load(Ordering::Acquire) && self.grant.lease.holds(now)
    }

    /// The time by the clocks that the lease goes by.
    pub(in crate::runtime) fn now(&self) -> (Now, Instant) {
        let now = self.time.now();
        (now, self.time.instant(now))
    }

    /// How long this instance is certain to remain the owner.
    pub(in crate::runtime) fn lease_left(&self, now: Now) -> Duration {
        // An endless lease lasts longer than an `Instant` can represent.
        self.grant.lease.left(now).min(YEAR)
    }

    /// Begins a call or a delivery; `None` when the ownership is being closed or has ended.
    pub(in crate::runtime) fn enter(self: &Arc<Self>, what: What) -> Option<Work> {
        self.enter_at(what, self.time.now())
    }

    /// As [`Ownership::enter`], where the time was just read.
    pub(in crate::runtime) fn enter_at(self: &Arc<Self>, what: What, now: Now) -> Option<Work> {
        let stage = match what {
            What::Call => &self.calls,
            What::Delivery => &self.deliveries,
        };
        let token = stage.enter()?;
        self.may_act_at(now).then(|| Work { ownership: self.clone(), _token: token })
    }

    /// Begins background work on behalf of a call or a delivery that is in progress.
    pub(in crate::runtime) fn go_on(self: &Arc<Self>) -> Work {
        Work { ownership: self.clone(), _token: self.deliveries.work.token() }
    }

    /// Accepts no new work and waits for the work in progress: first for the calls, which may need
    /// deliveries, then for the deliveries, which need no other work.
    pub(in crate::runtime) async fn close(&self) {
        self.calls.close().await;
        self.deliveries.close().await;
    }

    /// Accepts new work again, after a close was abandoned.
    pub(in crate::runtime) fn reopen(&self) {
        self.deliveries.reopen();
        self.calls.reopen();
    }

    /// The grant of an ownership that replaces this one with the present content of the store;
    /// events may be unpublished since `unpublished_since_ms`.
    pub(in crate::runtime) fn grant_anew(&self, unpublished_since_ms: u64) -> Grant {
        let unpublished_since_ms =
            self.unpublished_since_ms().into_iter().chain([unpublished_since_ms]).min();
        let key = self.clock.newest().max(self.grant.key);
        // Not the first epoch: this ownership has already accepted Commands.
        let epoch = self.grant.epoch.max(2);
        Grant { epoch, key, unpublished_since_ms, ..self.grant.clone() }
    }

    /// Whether the ownership began less than `span` ago, after the previous owner had died.
    pub(in crate::runtime) fn is_after_death(&self, span: Duration) -> bool {
        self.after_death.is_some_and(|began| began.elapsed() < span)
    }

    /// The time since which events may be unpublished, if any may be.
    pub(in crate::runtime) fn unpublished_since_ms(&self) -> Option<u64> {
        *self.unpublished()
    }

    /// Notes that all events were redelivered.
    pub(in crate::runtime) fn set_published(&self) {
        *self.unpublished() = None;
    }

    /// Notes a look at the end of the log that has succeeded: every record that was stored before
    /// the look before it began is known.
    pub(in crate::runtime) fn note_look(&self, began: Instant) {
        let mut looks = self.looks();
        looks.known = looks.newest;
        looks.newest = Some(began);
    }

    /// Whether no write of the owner before can be stored any more without being known.
    pub(in crate::runtime) fn has_all_late_writes(&self) -> bool {
        self.looks().known.is_some_and(|known| known >= self.opened + LATE_WRITE_MAX)
    }

    /// Whose status is followed, and who follows others.
    pub(in crate::runtime) fn following(&self) -> MutexGuard<'_, Following> {
        self.following.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a write in doubt: until the returned value is dropped, a message may enter the log
    /// without its events being published, or a published revision may not be stored. `began_ms` is
    /// when that was decided, by the server's clock.
    pub(in crate::runtime) fn begin_in_doubt(&self, began_ms: u64) -> OwnedUnderWay {
        self.in_doubt.clone().begin_owned(began_ms)
    }

    /// The start time of the oldest write in doubt.
    pub(in crate::runtime) fn in_doubt_since_ms(&self) -> Option<u64> {
        Some(self.in_doubt.since(u64::MAX)).filter(|since_ms| *since_ms < u64::MAX)
    }

    fn unpublished(&self) -> MutexGuard<'_, Option<u64>> {
        self.unpublished_since_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the ownership at once. Work still in progress may not act any more.
    pub(in crate::runtime) fn end(&self) {
        let mut users = self.users();
        self.is_over.store(true, Ordering::Release);
        self.over.cancel();
        // Breaks the reference cycle: each cell holds its ownership.
        users.cells.clear();
    }

    /// Sleeps for `span`, but not beyond the end of the ownership.
    pub(in crate::runtime) async fn sleep(&self, span: Duration) {
        // Returns early when the ownership ends.
        let _ = self.over.run_until_cancelled(sleep(span)).await;
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user's cell, created if necessary. With `most` users in memory, another user may be
    /// evicted for it.
    pub(in crate::runtime) fn cell(self: &Arc<Self>, id: &UserId, most: usize) -> Arc<UserCell> {
        let mut users = self.users();
        #[cfg(test)]
        self.looked_up.fetch_add(1, Ordering::Relaxed);
        if let Some(cell) = users.cells.get(id) {
            cell.touch();
            return cell.clone();
        }
        if users.cells.len() >= most {
            users.forget_one();
        }
        let cell = Arc::new(UserCell::new(id.clone(), self.clone()));
        if !self.is_over.load(Ordering::Acquire) {
            users.cells.insert(id.clone(), cell.clone());
        }
        cell
    }

    /// The user's cell, if its state was ever loaded.
    pub(in crate::runtime) fn cell_in_memory(&self, id: &UserId) -> Option<Arc<UserCell>> {
        let users = self.users();
        #[cfg(test)]
        self.looked_up.fetch_add(1, Ordering::Relaxed);
        users.cells.get(id).filter(|cell| cell.was_ever_loaded()).cloned()
    }

    /// All cells.
    pub(in crate::runtime) fn cells(&self) -> Vec<Arc<UserCell>> {
        self.users().cells.values().cloned().collect()
    }

    /// How many users are in memory.
    pub(in crate::runtime) fn users_in_memory(&self) -> usize {
        self.users().cells.len()
    }

    /// Keeps a message for as long as it is one of the latest.
    pub(in crate::runtime) fn keep_for_a_while(&self, message: &Arc<Message>) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() >= CROSSING_MESSAGES_KEPT {
            latest.pop_front();
        }
        latest.push_back(message.clone());
    }

    /// The gap tracker of one of the partition's streams.
    pub(in crate::runtime) fn gap_tracker(&self, stream: StreamId) -> MutexGuard<'_, GapTracker> {
        let tracker = match stream {
            StreamId::Log(_) => &self.log,
            StreamId::State(_) => &self.state,
        };
        tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Ownership {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ownership").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Permit for Ownership {
    fn holds(&self) -> bool {
        self.may_act()
    }
}

impl Users {
    /// Evicts a user that was not used recently and that nothing else holds. Like a clock's hand,
    /// the sweep passes each user once before it evicts one.
    fn forget_one(&mut self) {
        for _ in 0..SWEEP_USERS_PER_ADD {
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
