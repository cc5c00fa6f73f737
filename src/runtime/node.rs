//! One instance of peerd: its users, its store and its bus.

use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ageing::Ageing;
use super::audit::Tally;
use super::cell::UserCell;
use super::crossing::InFlight;
use super::history::Places;
use super::ownership::Ownership;
use super::pace::Pace;
use super::pending::Pending;
use super::pushes::Pushes;
use super::received::Received;
use super::redelivery::Unpublished;
use crate::bus::discovery::Counters;
use crate::bus::{Bus, Kind, Outgoing, Permit};
use crate::clock::{Clock, Now};
use crate::cluster::host::{Grant, Host as _, NotOpened};
use crate::cluster::lease::Lease;
use crate::cluster::table::Table;
use crate::storage::unreadable::Unreadable;
use crate::store::trouble::Trouble;
use crate::store::{AppendError, Store, StreamId};
use peerd_core::event::{Revision, Told};
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::limits::Limits;
use peerd_core::user::User;
use peerd_protocol::discovery::{Gauges, StoreTrouble};
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::event::{self, EventBody, LiveBody, LiveEvent};
use peerd_protocol::failure::Failure;
use peerd_protocol::fit;
use peerd_protocol::size::Room;
use peerd_protocol::subject::{Subjects, Token};

/// The most messages that one call sends while state is locked: events to both sides and the reply.
pub const MESSAGES_PER_CALL: usize = 8;
/// Room in the outgoing queue beyond what the calls in progress may need: for refusals and replays.
pub const ROOM_BEYOND_CALLS: usize = 4096;
/// The most store troubles reported in the statistics.
const TROUBLES_TOLD: usize = 32;
/// One in this many calls in progress may wait for an owner.
const WAITING_SHARE: usize = 4;
/// Settle requests that may be in progress for each permitted call: those of several instances may
/// arrive together.
const SETTLING_SHARE: usize = 4;
/// Most senders whose owners are asked to follow the log at the same time.
const NOTICES_MAX: usize = 4096;

/// The settings of a node.
#[derive(Clone, Debug)]
pub struct Options {
    /// The encoding of offline pushes, and of events where a user's sessions do not determine it.
    pub event_encoding: Encoding,
    /// The time within which a call is answered.
    pub call_deadline: Duration,
    /// How long a call waits while its partition has no owner.
    pub owner_wait: Duration,
    /// How long the server may be silent before incoming messages count as stale.
    pub stale_after: Duration,
    /// How often callers are asked to send a heartbeat.
    pub heartbeat_interval_ms: u64,
    /// How far the stored last-seen time of a user may lag behind.
    pub heard_write_interval_ms: u64,
    /// The most users in memory.
    pub cached_users: usize,
    /// The most memory for history that was read and not requested yet.
    pub history_bytes: usize,
    /// The most calls in progress.
    pub calls_under_way: usize,
    /// The largest body of a call.
    pub body_bytes: usize,
    /// Generates the ID of a new session.
    pub new_session_id: fn() -> String,
    /// The protocol's limits.
    pub limits: Limits,
}

impl Options {
    /// The most calls and owner requests in progress.
    #[must_use]
    pub const fn most_under_way(&self) -> usize {
        2 * self.calls_under_way
    }
}

/// One instance of peerd.
pub struct Node<S, B> {
    pub(super) store: S,
    pub(super) bus: B,
    pub(super) subjects: Subjects,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) calls: Arc<Semaphore>,
    /// The admission control of calls and owner requests.
    pub(super) pace: Pace,
    pub(super) counters: Arc<Counters>,
    /// Permits for owner requests. These are separate, since calls wait for owner requests: the
    /// reverse would deadlock.
    pub(super) deliveries: Arc<Semaphore>,
    /// Permits for settle requests, which settle a direction of a conversation. Deliveries wait for
    /// these, and these wait for no permit.
    pub(super) settling: Arc<Semaphore>,
    /// Which owner requests were begun here.
    pub(super) received: Received,
    /// Permits for calls that wait for an owner.
    pub(super) waiting: Semaphore,
    /// When the server last answered, in microseconds of the steady clock.
    pub(super) reached_us: AtomicU64,
    /// The number of calls passed on to other instances.
    pub(super) routed: AtomicU64,
    /// The audit's results.
    pub(super) audit: Tally,
    /// After how long messages age out.
    pub(super) ageing: Ageing,
    /// The page cache of histories.
    pub(super) places: Places,
    /// The number of user loads so far.
    pub(super) loads: AtomicU64,
    /// Work that continues after its call was answered.
    pub(super) tasks: TaskTracker,
    /// Cancelled when the instance stops and has handed over its partitions.
    pub(super) stopping: CancellationToken,
    /// The owner of each partition, as this instance knows it.
    pub(super) table: Arc<Table>,
    /// The partitions that this instance owns.
    pub(super) ownerships: Vec<RwLock<Option<Arc<Ownership>>>>,
    /// Events of dead owners that are to be redelivered.
    pub(super) unpublished: Mutex<Vec<Unpublished>>,
    /// Stored records that cannot be read.
    pub(super) unreadable: Unreadable,
    /// Permits for senders whose owners are asked to follow the log.
    pub(super) notices: Arc<Semaphore>,
    /// Offline pushes that are being handed to the work queue.
    pub(super) pushes: Pushes,
    pub(super) pending: Arc<Pending>,
    /// Messages that may cross messages of the other direction.
    pub(super) in_flight: Arc<InFlight>,
    /// A lower bound for the server's clock at the moment when this process's steady clock began,
    /// in milliseconds since 1970.
    pub(super) server_began_ms: AtomicU64,
    /// The partition at which the next look around begins.
    pub(super) next_look: AtomicU16,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// An instance that owns nothing yet. `table` tells it where calls go.
    #[must_use]
    pub fn new(
        store: S,
        bus: B,
        subjects: Subjects,
        options: Options,
        clock: Clock,
        table: Arc<Table>,
    ) -> Arc<Self> {
        let Now { wall_ms, steady_us } = clock.now();
        // An estimate, until the server's time is known.
        let began_ms = wall_ms.saturating_sub(steady_us / 1000);
        let waiting = Semaphore::new((options.calls_under_way / WAITING_SHARE).max(1));
        Arc::new(Self {
            store,
            bus,
            places: Places::new(options.history_bytes, options.call_deadline),
            pace: Pace::new(options.calls_under_way),
            calls: Arc::new(Semaphore::new(options.calls_under_way)),
            deliveries: Arc::new(Semaphore::new(options.calls_under_way)),
            settling: Arc::new(Semaphore::new(SETTLING_SHARE * options.calls_under_way)),
            ownerships: (0..subjects.partitions()).map(|_| RwLock::default()).collect(),
            subjects,
            options,
            clock,
            counters: Arc::default(),
            received: Received::default(),
            waiting,
            loads: AtomicU64::new(0),
            reached_us: AtomicU64::new(steady_us),
            routed: AtomicU64::new(0),
            audit: Tally::default(),
            ageing: Ageing::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            table,
            unpublished: Mutex::default(),
            unreadable: Unreadable::default(),
            notices: Arc::new(Semaphore::new(NOTICES_MAX)),
            pushes: Pushes::default(),
            pending: Arc::default(),
            in_flight: Arc::default(),
            server_began_ms: AtomicU64::new(began_ms),
            next_look: AtomicU16::new(0),
        })
    }

    /// An instance that owns all partitions forever, for tests of a single instance.
    pub async fn alone(
        store: S,
        bus: B,
        subjects: Subjects,
        options: Options,
        clock: Clock,
    ) -> Result<Arc<Self>, NotOpened> {
        let table = Arc::new(Table::new(subjects.partitions()));
        let node = Self::new(store, bus, subjects, options, clock, table);
        for number in 0..node.subjects.partitions() {
            let grant = Grant {
                partition: Partition(number),
                epoch: 1,
                lease: Arc::new(Lease::endless()),
                key: OrderKey::ZERO,
                unpublished_since_ms: None,
            };
            node.open(grant).await?;
        }
        Ok(node)
    }

    /// The store.
    pub const fn store(&self) -> &S {
        &self.store
    }

    /// The bus.
    pub const fn bus(&self) -> &B {
        &self.bus
    }

    /// Gives offline pushes and notices to other owners only a moment more: the instance stops.
    pub fn end_soon(&self) {
        self.stopping.cancel();
    }

    /// Waits for all work that continues after its call was answered.
    pub async fn settle(&self) {
        self.tasks.close();
        self.tasks.wait().await;
        self.tasks.reopen();
    }

    /// How many users are in memory.
    #[must_use]
    pub fn users_in_memory(&self) -> usize {
        self.ownerships().map(|ownership| ownership.users_in_memory()).sum()
    }

    /// The current gauges.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let under_way = |free: &Semaphore| {
            number(self.options.calls_under_way.saturating_sub(free.available_permits()))
        };
        Gauges {
            calls_under_way: under_way(&self.calls),
            deliveries_under_way: under_way(&self.deliveries),
            routed: self.routed.load(Ordering::Relaxed),
            partitions: number(self.ownerships().count()),
            users_in_memory: number(self.users_in_memory()),
            outgoing: number(self.bus.waiting()),
            tasks: number(Handle::try_current().map_or(0, |of| of.metrics().num_alive_tasks())),
            users_audited: self.audit.users.load(Ordering::Relaxed),
            audit_differences: self.audit.differences.load(Ordering::Relaxed),
            unreadable_records: number(self.unreadable.count()),
            pushes_dropped: self.pushes.dropped(),
            store_troubles: self.store_troubles(),
        }
    }

    fn store_troubles(&self) -> Vec<StoreTrouble> {
        let troubles = self.store.troubles().into_iter().take(TROUBLES_TOLD);
        let trouble = |Trouble { resource, problem, remedy, lasts }| StoreTrouble {
            stream: resource,
            problem,
            remedy,
            lasts_seconds: lasts.as_secs(),
        };
        troubles.map(trouble).collect()
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.options.limits
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.call_deadline
    }

    /// The ownership of a partition, if this instance owns it.
    pub(super) fn ownership(&self, partition: Partition) -> Option<Arc<Ownership>> {
        let ownership = self.ownerships.get(usize::from(partition.0))?;
        ownership.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All partition ownerships.
    pub(super) fn ownerships(&self) -> impl Iterator<Item = Arc<Ownership>> {
        (0..self.subjects.partitions()).filter_map(|number| self.ownership(Partition(number)))
    }

    /// A user of the partition, loaded.
    pub(super) async fn user(
        &self,
        ownership: &Arc<Ownership>,
        id: &UserId,
        deadline: Instant,
    ) -> Result<Arc<UserCell>, Failure> {
        let most = (self.options.cached_users / self.ownerships.len()).max(1);
        let cell = ownership.cell(id, most);
        if !cell.is_loaded(self.store.generation()) {
            // Boxed, like all rare work: the future of a call has room for everything that it may
            // wait for.
            Box::pin(self.load(&cell, deadline)).await?;
        }
        if self.is_ageing_due(&cell) {
            Box::pin(self.follow_ageing(&cell, deadline)).await;
        }
        Ok(cell)
    }

    /// The user, if this instance owns the partition and the user's state is in memory.
    pub(super) fn user_in_memory(&self, id: &UserId) -> Option<Arc<UserCell>> {
        self.ownership(self.subjects.partition(&Token::of(id)))?.cell_in_memory(id)
    }

    /// Writes to a stream of the user's partition. An instance that is not the owner any more does
    /// not write, and one that lost the ownership meanwhile does not act on what it wrote.
    pub(super) async fn write(
        &self,
        cell: &UserCell,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let ownership = &cell.ownership;
        if !ownership.may_act() {
            return Err(AppendError::Unavailable("no longer the owner".to_owned()));
        }
        // Nor does it retry for longer than it is certain to remain the owner.
        let deadline = deadline.min(Instant::now() + ownership.lease_left());
        let seq = self.store.append(stream, subject, payload, expected_seq, deadline).await?;
        if !ownership.may_act() {
            return Err(AppendError::Unknown);
        }
        ownership.written(stream).note(seq);
        Ok(seq)
    }

    /// The encoding of a user's events: that of the sessions, where all logged in with the same
    /// one, else the configured one.
    fn encoding_for(&self, user: &User) -> Encoding {
        let configured = self.options.event_encoding;
        let other = user.sessions_encoding().filter(|encoding| *encoding != configured);
        // Only then does it matter whether the sessions have ended by idling.
        other
            .filter(|_| user.is_logged_in(self.clock.wall_ms(), self.limits()))
            .unwrap_or(configured)
    }

    /// Publishes events to a user. The user's state is locked meanwhile, so that events go out in
    /// the order of their revisions.
    pub(super) fn tell(&self, cell: &UserCell, user: &User, told: &Told) {
        if !cell.ownership.may_act() {
            return;
        }
        let encoding = self.encoding_for(user);
        let (room, revision) = (self.room(), told.revision);
        let content_max = room.content_of(told.entries());
        for event in &told.events {
            let body = EventBody { event, revision, viewer: &cell.id, content_max };
            let emit = |body| {
                let subject = self.subjects.event(&cell.token, event::name(event));
                let permit: Option<Arc<dyn Permit>> = Some(cell.ownership.clone());
                let kind = Kind::Event { revision };
                self.emit(Outgoing { subject, encoding, kind, body, permit });
            };
            if let Err(error) = fit::event(&body, encoding, room, emit) {
                tracing::error!(%error, "cannot encode an event");
            }
        }
    }

    /// Publishes a live event to a user, if anyone may receive it. The user's state is locked
    /// meanwhile, as by [`Self::tell`].
    pub(super) fn publish_live<E: LiveEvent>(&self, cell: &UserCell, user: &User, event: &E) {
        if !cell.ownership.may_act() || !user.is_logged_in(self.clock.wall_ms(), self.limits()) {
            return;
        }
        let (encoding, current) = (self.encoding_for(user), user.revision.current);
        match encoding.encode(&LiveBody::at(event, current)) {
            Ok(body) => {
                let subject = self.subjects.event(&cell.token, E::NAME);
                let permit: Option<Arc<dyn Permit>> = Some(cell.ownership.clone());
                let kind = Kind::Event { revision: Revision { current, previous: current } };
                self.emit(Outgoing { subject, encoding, kind, body, permit });
            }
            Err(error) => tracing::error!(%error, "cannot encode an event"),
        }
    }

    /// The room for the content of an outgoing message.
    pub(super) fn room(&self) -> Room {
        Room::of(self.bus.max_message_bytes())
    }

    /// Queues the message, if there is one.
    pub(super) fn emit_any(&self, outgoing: Option<Outgoing>) {
        if let Some(outgoing) = outgoing {
            self.emit(outgoing);
        }
    }

    pub(super) fn emit(&self, outgoing: Outgoing) {
        if self.bus.emit(outgoing).is_err() {
            // This cannot happen: a call is accepted only while there is room for what it sends.
            tracing::error!("dropped a message: the outgoing queue is full");
        }
    }

    /// Calls and owner requests in progress.
    pub(super) fn under_way(&self) -> usize {
        let free = self.calls.available_permits() + self.deliveries.available_permits();
        self.options.most_under_way().saturating_sub(free)
    }

    /// Waits until there is room for `count` messages beyond what all calls that can be in progress
    /// may send, or for as many as there can be. A sender of many messages thus leaves the queue to
    /// the calls.
    pub(super) async fn wait_for_room_beyond(&self, count: usize) {
        let beyond = count.min(ROOM_BEYOND_CALLS);
        self.bus.room_for(self.options.most_under_way() * MESSAGES_PER_CALL + beyond).await;
    }
}
