//! One instance of peerd: the composition of its parts, incoming messages, the cluster layer's
//! host, and the stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;

use super::audit::Auditor;
use super::call::Calls;
use super::commands::counters::Counters;
pub use super::env::Options;
use super::hosting::Hosting;
use super::intake::Intake;
use super::monitor::Look;
use super::parts::Parts;
use super::permits::Permits;
use super::requests::Requests;
use super::tuning::TROUBLES_REPORTED_MAX;
pub use super::tuning::{MESSAGES_PER_CALL, ROOM_BEYOND_CALLS};
use crate::bus::{Bus, Incoming, Outgoing, Take};
use crate::clock::Clock;
use crate::cluster::host::{Closed, Grant, Host, NotOpened};
use crate::cluster::lease::Lease;
use crate::cluster::table::Table;
use crate::storage::owners::{MemberId, PublishedUpTo};
use crate::store::Store;
use crate::store::trouble::Trouble;
use peerd_core::id::{OrderKey, Partition};
use peerd_protocol::discovery::{Gauges, StoreTrouble};
use peerd_protocol::subject::Subjects;

/// One instance of peerd.
pub struct Node<S, B> {
    pub(super) parts: Arc<Parts<S, B>>,
    permits: Arc<Permits>,
    pub(super) audit: Arc<Auditor<S, B>>,
    hosting: Arc<Hosting<S, B>>,
    intake: Arc<Intake<S, B>>,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// An instance that owns nothing yet. `table` is the routing table.
    #[must_use]
    pub fn new(
        store: S,
        bus: B,
        subjects: Subjects,
        options: Options,
        clock: Clock,
        table: Arc<Table>,
    ) -> Arc<Self> {
        let permits = Arc::new(Permits::new(options.calls_under_way));
        let parts = Arc::new(Parts::new((store, bus), subjects, options, clock, table));
        let Parts { env, users, ageing, sessions, entries, redelivery, router, send_path, .. } =
            &*parts;
        let audit = Arc::new(Auditor::new(
            env.clone(),
            users.clone(),
            ageing.clone(),
            entries.clone(),
            permits.clone(),
        ));
        let hosting = Arc::new(Hosting {
            env: env.clone(),
            users: users.clone(),
            sessions: sessions.clone(),
            redelivery: redelivery.clone(),
            table: router.table.clone(),
            send_path: send_path.clone(),
            next_look: AtomicU16::new(0),
        });
        let requests = Requests {
            env: env.clone(),
            router: router.clone(),
            send_path: send_path.clone(),
            audit: audit.clone(),
            parts: parts.clone(),
        };
        let intake = Arc::new(Intake {
            env: env.clone(),
            router: router.clone(),
            replies: parts.replies.clone(),
            permits: permits.clone(),
            calls: Calls::new(parts.clone()),
            requests,
        });
        Arc::new(Self { parts, permits, audit, hosting, intake })
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
        for number in 0..node.parts.env.subjects.partitions() {
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
    #[must_use]
    pub fn store(&self) -> &S {
        &self.parts.env.store
    }

    /// The bus.
    #[must_use]
    pub fn bus(&self) -> &B {
        &self.parts.env.bus
    }

    /// The counters of calls.
    pub(super) fn counters(&self) -> Arc<Counters> {
        self.parts.env.counters.clone()
    }

    /// The function that takes in messages of the bus, as long as the node exists.
    #[must_use]
    pub fn call_receiver(&self) -> Take {
        self.intake.call_receiver()
    }

    /// Takes in a call or a request of another instance. Starts a task for it, or returns the
    /// message to send at once: a refusal, or the forwarded call.
    pub fn take(&self, incoming: Incoming) -> Option<Outgoing> {
        self.intake.take(incoming)
    }

    /// Handles a call, or a request of another instance, to its end.
    pub async fn handle(&self, incoming: Incoming) {
        self.intake.handle(incoming).await;
    }

    /// Sets that messages may be dropped by age: then a log that begins later is no difference.
    pub fn set_messages_may_age(&self, may_age: bool) {
        self.audit.set_messages_may_age(may_age);
    }

    /// Sets the age at which messages are dropped; zero: never.
    pub fn set_max_age(&self, max_age: Duration) {
        self.parts.env.set_max_age(max_age);
    }

    /// Audits the users of all partitions that this instance owns, round after round, with at most
    /// `reads_per_second`. Runs until it is dropped.
    pub fn audit_all(&self, reads_per_second: u32) -> impl Future<Output = ()> + use<S, B> {
        self.audit.clone().audit_all(reads_per_second)
    }

    /// Updates the counts of users in memory when messages age out, and publishes them. Runs until
    /// it is dropped.
    pub fn follow_ageing_of_all(&self) -> impl Future<Output = ()> + use<S, B> {
        self.parts.ageing.clone().follow_ageing_of_all()
    }

    /// Publishes changes of the status of users to those who follow them. Runs until it is dropped.
    pub fn follow_status_of_all(&self) -> impl Future<Output = ()> + use<S, B> {
        self.parts.presences.clone().follow_all()
    }

    /// One round of [`Self::follow_status_of_all`].
    pub async fn follow_status_once(&self) {
        self.parts.presences.follow_once().await;
    }

    /// Shortens the time for offline pushes and notices to other owners, because the instance
    /// stops.
    pub fn end_soon(&self) {
        self.parts.env.stopping.cancel();
    }

    /// Waits for all work that continues after its call was answered.
    pub async fn settle(&self) {
        self.parts.env.tasks.wait().await;
    }

    /// How many users are in memory.
    #[must_use]
    pub fn users_in_memory(&self) -> usize {
        self.parts.users.users_in_memory()
    }

    /// The current gauges.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let Parts { env, users, router, pushes, .. } = &*self.parts;
        Gauges {
            calls_under_way: number(self.permits.calls_under_way()),
            deliveries_under_way: number(self.permits.deliveries_under_way()),
            routed: router.routed.load(Ordering::Relaxed),
            partitions: number(users.ownerships().count()),
            users_in_memory: number(users.users_in_memory()),
            outgoing: number(env.bus.waiting()),
            tasks: number(Handle::try_current().map_or(0, |of| of.metrics().num_alive_tasks())),
            users_audited: self.audit.users_audited(),
            audit_differences: self.audit.differences(),
            unreadable_records: number(env.unreadable.count()),
            pushes_dropped: pushes.dropped(),
            store_troubles: self.store_troubles(),
        }
    }

    /// Looks at the instance, apart from its connections and its outgoing queue.
    pub(super) fn look(&self) -> Look {
        let Parts { env, router, .. } = &*self.parts;
        Look {
            gauges: self.gauges(),
            troubles: env.store.troubles(),
            is_owning_impossible: env.store.is_owning_impossible(),
            is_settled: router.table.is_settled(),
            without_owner: router.table.without_owner(),
            ..Look::default()
        }
    }

    fn store_troubles(&self) -> Vec<StoreTrouble> {
        let troubles = self.parts.env.store.troubles().into_iter().take(TROUBLES_REPORTED_MAX);
        let trouble = |Trouble { resource, problem, remedy, lasts, kind: _ }| StoreTrouble {
            stream: resource,
            problem,
            remedy,
            lasts_seconds: lasts.as_secs(),
        };
        troubles.map(trouble).collect()
    }
}

/// The cluster layer opens and closes partitions through this.
impl<S: Store, B: Bus> Host for Arc<Node<S, B>> {
    async fn listen(&self, partition: Partition) -> Result<(), NotOpened> {
        self.hosting.listen(partition, self.call_receiver()).await
    }

    async fn open(&self, grant: Grant) -> Result<(), NotOpened> {
        self.hosting.open(grant).await
    }

    async fn close(&self, partition: Partition, patience: Option<Duration>) -> Option<Closed> {
        self.hosting.close(partition, patience).await
    }

    async fn unlisten(&self, partition: Partition) {
        self.hosting.unlisten(partition).await;
    }

    fn abandon(&self, partition: Partition) {
        self.hosting.abandon(partition);
    }

    async fn is_reached(&self) -> bool {
        self.hosting.is_reached().await
    }

    async fn published_up_to(&self) -> Option<PublishedUpTo> {
        self.hosting.published_up_to().await
    }

    async fn answers(&self, member: &MemberId, names_itself: bool, within: Duration) -> bool {
        self.hosting.answers(member, names_itself, within).await
    }

    fn observe_server_time(&self, server_ms: u64) {
        self.hosting.observe_server_time(server_ms);
    }

    async fn look_around(&self) {
        self.hosting.look_around().await;
    }
}
