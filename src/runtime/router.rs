//! Which instance serves something: this one, another, or whichever comes to own its partition.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Instant, timeout_at};

use super::env::Env;
use super::received::Received;
use super::replies::body_too_large;
use super::retry::NO_OWNER;
use super::users::{Users, What, Work};
use crate::bus::{Bus, Incoming, Kind, Outgoing, Permit};
use crate::cluster::table::{Place, Table};
use crate::store::Store;
use peerd_core::id::Partition;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::Failure;

/// The `Content-Type` of a call that is passed on with one that peerd does not know: its owner refuses
/// it as it would have refused the caller's.
const NO_ENCODING: &str = "unknown";

/// Where something goes.
pub(super) enum Route {
    /// To this instance.
    Here(Work),
    /// To another.
    There,
    /// Nobody knows yet.
    Nowhere,
}

/// The right to pass something on, which ends in time.
#[derive(Debug)]
struct Until(Instant);

impl Permit for Until {
    fn holds(&self) -> bool {
        Instant::now() < self.0
    }
}

/// Knows the owners of partitions, passes calls on to them, and sends them requests.
pub(super) struct Router<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    /// The owner of each partition, as this instance knows it.
    pub(super) table: Arc<Table>,
    /// Which owner requests were begun here.
    pub(super) received: Received,
    /// The number of calls passed on to other instances.
    pub(super) routed: AtomicU64,
}

impl<S: Store, B: Bus> Router<S, B> {
    pub(super) fn new(env: Arc<Env<S, B>>, users: Arc<Users<S, B>>, table: Arc<Table>) -> Self {
        Self { env, users, table, received: Received::default(), routed: AtomicU64::new(0) }
    }

    /// What is answered where nobody owns the partition.
    pub(super) fn no_owner(&self) -> Failure {
        if self.env.store.is_owning_impossible() { Failure::NoOwners } else { NO_OWNER }
    }

    /// Where something for a partition goes.
    pub(super) fn route(&self, partition: Partition, what: What) -> Route {
        if let Some(work) =
            self.users.ownership(partition).and_then(|ownership| ownership.enter(what))
        {
            return Route::Here(work);
        }
        match self.table.place(partition) {
            Place::There => Route::There,
            // It is about to be served here, or was until now.
            Place::Here | Place::Nobody => Route::Nowhere,
        }
    }

    /// Where something for a partition goes, as soon as somebody owns it.
    pub(super) async fn wait_for_owner(
        &self,
        partition: Partition,
        what: What,
        until: Instant,
    ) -> Route {
        loop {
            // Before it is looked: a change in between is not missed.
            let changed = self.table.changed();
            match self.route(partition, what) {
                Route::Nowhere => {}
                route @ (Route::Here(_) | Route::There) => return route,
            }
            if timeout_at(until, changed).await.is_err() {
                return Route::Nowhere;
            }
        }
    }

    /// Whether something is small enough to be passed on: it gets headers on the way.
    pub(super) fn check_hop(&self, incoming: &Incoming) -> Result<(), Rejection> {
        let most = self.env.room().body;
        if incoming.body.len() > most { Err(body_too_large(most)) } else { Ok(()) }
    }

    /// Something as it is passed on to the owner of its partition, who answers the caller directly.
    pub(super) fn passed_on(&self, incoming: Incoming, partition: Partition) -> Outgoing {
        let Incoming { subject, reply_to, content_type, body, hops, malformed: _, status: _ } =
            incoming;
        // Encoded anew: the caller's header may be as long as a message.
        let content_type = content_type.map(|named| {
            let encoding = Encoding::of_request(Some(&named), &body);
            encoding.map_or(NO_ENCODING, Encoding::content_type).to_owned()
        });
        let routed = match self.env.subjects.parse_call(&subject) {
            Some(call) => self.env.subjects.routed_call(partition, call).into(),
            None => subject,
        };
        self.routed.fetch_add(1, Ordering::Relaxed);
        let kind = Kind::Routed { reply_to, content_type, hops: hops + 1 };
        let encoding = Encoding::default();
        // What waits on its way out for too long is not done after its caller has given up.
        let permit: Arc<dyn Permit> = Arc::new(Until(Instant::now() + self.env.options.owner_wait));
        Outgoing { subject: routed, encoding, kind, body, permit: Some(permit) }
    }
}
