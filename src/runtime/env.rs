//! The context of all parts of an instance: the store, the bus, the options, the time, and the work
//! in progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::commands::counters::Counters;
use super::handing_off::HandingOff;
use super::pending::Pending;
use super::tuning::{LATE_WRITE_MAX, MESSAGES_PER_CALL, ROOM_BEYOND_CALLS};
use crate::bus::{Bus, Outgoing};
use crate::clock::{Clock, Now};
use crate::storage::reads::{Pair, Storage};
use crate::storage::unreadable::Unreadable;
use crate::store::Store;
use crate::trace::Trace;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::limits::Limits;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::size::Room;
use peerd_protocol::subject::Subjects;

/// The settings of an instance.
#[derive(Clone, Debug)]
pub struct Options {
    /// The encoding of offline pushes, and of events if a user's sessions do not determine it.
    pub event_encoding: Encoding,
    /// Whether all events of one change of one user are published in one message.
    pub bundle_events: bool,
    /// Whether senders are informed when their messages were delivered.
    pub delivered_receipts: bool,
    /// The time within which a call is answered.
    pub call_deadline: Duration,
    /// How long a call waits while its partition has no owner.
    pub owner_wait: Duration,
    /// How long the server may be silent before incoming messages count as stale.
    pub stale_after: Duration,
    /// How often callers are asked to send a heartbeat.
    pub heartbeat_interval_ms: u64,
    /// How far the stored last-seen time of a user may lag behind.
    pub last_seen_write_interval_ms: u64,
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

/// The tasks of an instance. A task belongs to the trace of the one that starts it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tasks(TaskTracker);

impl Tasks {
    /// Starts a task.
    pub(super) fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match Trace::current() {
            None => self.0.spawn(future),
            Some(trace) => self.0.spawn(trace.follow(future)),
        }
    }

    /// Waits for all tasks.
    pub(super) async fn wait(&self) {
        self.0.close();
        self.0.wait().await;
        self.0.reopen();
    }
}

/// The context of all parts.
pub(super) struct Env<S, B> {
    pub(super) store: S,
    pub(super) bus: B,
    pub(super) subjects: Subjects,
    pub(super) options: Options,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    /// Work that continues after its call was answered.
    pub(super) tasks: Tasks,
    /// Cancelled when the instance stops and has handed over its partitions.
    pub(super) stopping: CancellationToken,
    pub(super) pending: Arc<Pending>,
    /// The offline pushes on their way into the work queue.
    pub(super) handing_off: HandingOff,
    /// Stored records that cannot be read.
    pub(super) unreadable: Unreadable,
    /// When the server last answered, in microseconds of the steady clock.
    pub(super) reached_us: AtomicU64,
    /// A lower bound for the server's clock at the moment when this process's steady clock began,
    /// in milliseconds since 1970.
    pub(super) server_began_ms: AtomicU64,
    /// The age at which messages are deleted, in milliseconds; 0: never.
    max_age_ms: AtomicU64,
}

impl<S: Store, B: Bus> Env<S, B> {
    pub(super) fn new(
        store: S,
        bus: B,
        subjects: Subjects,
        options: Options,
        clock: Clock,
    ) -> Self {
        let Now { wall_ms, steady_us } = clock.now();
        // An estimate, until the server's time is known.
        let began_ms = wall_ms.saturating_sub(steady_us / 1000);
        Self {
            store,
            bus,
            subjects,
            options,
            clock,
            counters: Arc::default(),
            tasks: Tasks::default(),
            stopping: CancellationToken::new(),
            pending: Arc::default(),
            handing_off: HandingOff::default(),
            unreadable: Unreadable::default(),
            reached_us: AtomicU64::new(steady_us),
            server_began_ms: AtomicU64::new(began_ms),
            max_age_ms: AtomicU64::new(0),
        }
    }

    pub(super) const fn limits(&self) -> &Limits {
        &self.options.limits
    }

    pub(super) fn deadline(&self) -> Instant {
        Instant::now() + self.options.call_deadline
    }

    /// The server's clock in milliseconds since 1970, or slightly less. It is set when this
    /// instance first sees itself in the bucket, before it owns anything, and advances with the
    /// steady clock, since the wall clock may be set.
    pub(super) fn server_ms(&self) -> u64 {
        self.server_ms_at(self.clock.steady_us())
    }

    /// As [`Env::server_ms`], at a time of the steady clock.
    pub(super) fn server_ms_at(&self, steady_us: u64) -> u64 {
        self.server_began_ms.load(Ordering::Relaxed) + steady_us / 1000
    }

    /// Every message with a smaller order key is stored and acknowledged, or never will be.
    pub(super) fn settled_key(&self) -> OrderKey {
        OrderKey::at_ms(self.clock.wall_ms().saturating_sub(self.settles_ms()))
    }

    /// How long after it was accepted a message may still be stored, in milliseconds.
    pub(super) fn settles_ms(&self) -> u64 {
        let settles = self.options.call_deadline + LATE_WRITE_MAX;
        u64::try_from(settles.as_millis()).unwrap_or(u64::MAX)
    }

    /// Sets the age at which messages are deleted; zero: never.
    pub(super) fn set_max_age(&self, max_age: Duration) {
        let age_ms = u64::try_from(max_age.as_millis()).unwrap_or(u64::MAX);
        self.max_age_ms.store(age_ms, Ordering::Relaxed);
    }

    /// Messages stored up to this time have aged out, by the server's clock; `None`: messages do
    /// not age.
    pub(super) fn aged_ms(&self) -> Option<u64> {
        let max_age_ms = self.max_age_ms.load(Ordering::Relaxed);
        (max_age_ms > 0).then(|| self.server_ms().checked_sub(max_age_ms)).flatten()
    }

    /// The time up to which all events were published: the start of the oldest work in progress, or
    /// now. By the server's clock, which also timestamps stored messages.
    pub(super) fn published_ms(&self) -> u64 {
        self.pending.since(self.server_ms())
    }

    /// Reads of what is stored, by a deadline.
    pub(super) fn storage(&self, deadline: Instant) -> Storage<'_, S> {
        Storage::new(&self.store, &self.subjects, &self.unreadable, self.aged_ms(), deadline)
    }

    /// The messages that `sender` sent to `receiver`.
    pub(super) fn pair(&self, sender: &UserId, receiver: &UserId) -> Pair {
        Pair::new(&self.subjects, sender, receiver)
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

    /// Waits until there is room for `count` messages beyond what all calls that can be in progress
    /// may send, or for as many as there can be. A sender of many messages thus leaves the queue to
    /// the calls.
    pub(super) async fn wait_for_room_beyond(&self, count: usize) {
        let beyond = count.min(ROOM_BEYOND_CALLS);
        self.bus.room_for(self.options.most_under_way() * MESSAGES_PER_CALL + beyond).await;
    }
}
