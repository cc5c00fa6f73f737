//! One instance of peerd: its users, its store, its bus.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indexmap::IndexMap;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::cell::UserCell;
use super::clock::Clock;
use super::load::{LoadError, is_sentinel};
use crate::bus::discovery::Counters;
use crate::bus::{Bus, Kind, Outgoing};
use crate::domain::clock::KeyClock;
use crate::domain::event::Told;
use crate::domain::id::{Partition, UserId};
use crate::domain::limits::Limits;
use crate::domain::message::Message;
use crate::store::{Store, StreamId};
use crate::wire::encoding::Encoding;
use crate::wire::event::{self, EventBody};
use crate::wire::failure::Failure;
use crate::wire::record;
use crate::wire::subject::{Subjects, Token};

/// Most messages that one call sends while state is locked: events to both sides and the reply.
pub const MESSAGES_PER_CALL: usize = 8;
/// Room for messages on their way out beyond what the calls under way may need: for refusals and
/// replays.
pub const ROOM_BEYOND_CALLS: usize = 4096;
/// Users that a sweep looks at for each user that comes in.
const SWEEP_STEPS: usize = 16;

/// Messages of a partition that are held in case others cross them.
const LATEST_KEPT: usize = 256;
/// Newest records of a partition among which the newest order key is.
const KEYS_IN_FLIGHT: u64 = 256;
/// Entries that are written at the same time at a stop.
const WRITES_AT_STOP: usize = 64;

/// What the configuration sets for a node.
#[derive(Clone, Debug)]
pub struct Options {
    /// How events are written.
    pub event_encoding: Encoding,
    /// By when a call is answered.
    pub call_deadline: Duration,
    /// How long a call waits while nobody owns its partition.
    pub owner_wait: Duration,
    /// How often callers are asked to call.
    pub heartbeat_interval_ms: u64,
    /// How far the stored time of a user's last call may lag behind.
    pub heard_write_interval_ms: u64,
    /// Most users in memory.
    pub cached_users: usize,
    /// Most calls under way.
    pub calls_under_way: usize,
    /// Largest body of a call.
    pub body_bytes: usize,
    /// The protocol's bounds.
    pub limits: Limits,
}

/// A partition that this instance owns.
struct Owned {
    clock: KeyClock,
    users: Mutex<Users>,
    /// The latest messages, so that those that cross them can be told beside them.
    latest: Mutex<VecDeque<Arc<Message>>>,
}

/// Users in memory, and where the sweep for those to forget stands.
#[derive(Default)]
struct Users {
    cells: IndexMap<UserId, Arc<UserCell>>,
    hand: usize,
}

/// One instance of peerd.
pub struct Node<S, B> {
    pub(super) store: S,
    pub(super) bus: B,
    pub(super) subjects: Subjects,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) calls: Arc<Semaphore>,
    pub(super) counters: Arc<Counters>,
    /// What goes on after its call was answered.
    pub(super) tasks: TaskTracker,
    partitions: Vec<Owned>,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// An instance that owns all partitions.
    #[must_use]
    pub fn new(
        store: S,
        bus: B,
        subjects: Subjects,
        options: Options,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Arc<Self> {
        let owned = |_| Owned {
            clock: KeyClock::default(),
            users: Mutex::default(),
            latest: Mutex::default(),
        };
        Arc::new(Self {
            store,
            bus,
            calls: Arc::new(Semaphore::new(options.calls_under_way)),
            partitions: (0..subjects.partitions()).map(owned).collect(),
            subjects,
            options,
            clock,
            counters,
            tasks: TaskTracker::new(),
        })
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The bus.
    pub const fn bus(&self) -> &B {
        &self.bus
    }

    /// Takes the order keys up where the log ends: a key is never given twice, even when the wall
    /// clock was set back since.
    pub async fn resume(&self, deadline: Instant) -> Result<(), Failure> {
        let resume = |number| async move {
            let stream = StreamId::Log(Partition(number));
            // Records of different pairs may be stored in another order than their keys'.
            let tail = self.store.tail(stream, KEYS_IN_FLIGHT, deadline).await;
            for record in tail.map_err(LoadError::from)? {
                if !is_sentinel(&record) {
                    let key = record::key(&record.payload).map_err(LoadError::from)?;
                    self.key_clock(Partition(number)).observe(key);
                }
            }
            Ok::<_, Failure>(())
        };
        let numbers = 0..self.subjects.partitions();
        futures::future::try_join_all(numbers.map(resume)).await.map(drop)
    }

    /// Stores when each user in memory was last heard from, as far as the deadline allows.
    pub(super) async fn store_all_heard(&self, deadline: Instant) {
        for owned in &self.partitions {
            let cells: Vec<_> = lock(&owned.users).cells.values().cloned().collect();
            for chunk in cells.chunks(WRITES_AT_STOP) {
                let lagging = chunk.iter().filter(|cell| cell.is_heard_lagging());
                let writes = lagging.map(|cell| self.store_heard(cell));
                let written = futures::future::join_all(writes);
                if tokio::time::timeout_at(deadline, written).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Waits for everything that goes on after its call was answered.
    pub async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// How many users are in memory.
    #[must_use]
    pub fn users_in_memory(&self) -> usize {
        let count = |owned: &Owned| lock(&owned.users).cells.len();
        self.partitions.iter().map(count).sum()
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.options.limits
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.call_deadline
    }

    pub(super) fn key_clock(&self, partition: Partition) -> &KeyClock {
        &self.partitions[usize::from(partition.0)].clock
    }

    /// The user, with the state loaded.
    pub(super) async fn user(
        &self,
        id: &UserId,
        deadline: Instant,
    ) -> Result<Arc<UserCell>, Failure> {
        let cell = self.cell(id);
        if !cell.is_loaded(self.store.generation()) {
            self.load(&cell, deadline).await?;
        }
        Ok(cell)
    }

    /// The user, if the state is in memory.
    pub(super) fn user_in_memory(&self, id: &UserId) -> Option<Arc<UserCell>> {
        let partition = self.subjects.partition(&Token::of(id));
        let users = lock(&self.partitions[usize::from(partition.0)].users);
        let cell = users.cells.get(id).filter(|cell| cell.was_ever_loaded());
        cell.cloned()
    }

    fn cell(&self, id: &UserId) -> Arc<UserCell> {
        let partition = self.subjects.partition(&Token::of(id));
        let mut users = lock(&self.partitions[usize::from(partition.0)].users);
        if let Some(cell) = users.cells.get(id) {
            cell.touch();
            return cell.clone();
        }
        let most = (self.options.cached_users / self.partitions.len()).max(1);
        if users.cells.len() >= most {
            users.forget_one();
        }
        let cell = Arc::new(UserCell::new(id.clone(), &self.subjects));
        users.cells.insert(id.clone(), cell.clone());
        cell
    }

    /// Holds a message until it is no longer one of the latest of its partition.
    pub(super) fn keep_for_a_while(&self, message: &Arc<Message>) {
        let mut latest = lock(&self.partitions[usize::from(message.partition.0)].latest);
        if latest.len() >= LATEST_KEPT {
            latest.pop_front();
        }
        latest.push_back(message.clone());
    }

    /// Tells a user. To be called while the user's state is locked, so that users are told in the
    /// order of their revisions.
    pub(super) fn tell(&self, cell: &UserCell, told: &Told) {
        let encoding = self.options.event_encoding;
        for event in &told.events {
            let body = EventBody { event, revision: told.revision, viewer: &cell.id };
            let subject = self.subjects.event(&cell.token, event::name(event));
            match encoding.encode(&body) {
                Ok(body) => self.emit(Outgoing { subject, encoding, kind: Kind::Plain, body }),
                Err(error) => tracing::error!(%error, "an event could not be written"),
            }
        }
    }

    pub(super) fn emit(&self, outgoing: Outgoing) {
        if self.bus.emit(outgoing).is_err() {
            // Calls are only taken while there is room for what they send.
            tracing::error!("a message was dropped: too much is on its way out");
        }
    }

    /// Waits until there is more room for messages on their way out than the calls under way need.
    pub async fn wait_for_room(&self) {
        self.wait_for_room_beyond(1).await;
    }

    /// Waits until there is room for `count` messages beyond what the calls under way need, or for
    /// as many as there can be.
    pub(super) async fn wait_for_room_beyond(&self, count: usize) {
        let beyond = count.min(ROOM_BEYOND_CALLS);
        self.bus.room_for(self.options.calls_under_way * MESSAGES_PER_CALL + beyond).await;
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
