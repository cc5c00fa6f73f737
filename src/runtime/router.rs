//! Routes calls and requests: to this instance, to another, or to the next owner of a partition.
//!
//! All instances take calls from one queue group, so NATS gives a call to any of them:
//!
//! 1. `Intake` computes the partition from the user's token. If the routing table names another
//!    owner, the call is published at once to `peer.part.<p>.<user>.<method>`, with the caller's
//!    own reply subject, its `Content-Type`, and `Peer-Hops` one higher. It needs no permit and
//!    leaves no state
//!    ([0010](../../docs/decisions/0010-calls-are-forwarded-with-the-callers-reply-subject.md)).
//! 2. The owner is subscribed to `peer.part.<p>.>`, handles the call like its own and answers the
//!    caller directly.
//! 3. If no instance owns the partition, or its owner does not answer probes, the call waits in a
//!    task for a change of the table, up to `cluster.owner_wait_ms`. Then it is routed again, or
//!    answered `overloaded` with `retryAfterMs`.
//! 4. A call through a service import is relayed instead (`intake/relay.rs`).
//! 5. A call that was forwarded 32 times is answered `overloaded`: the instances take each other
//!    for the owner.
//!
//! With subject mapping in nats-server, calls arrive directly at step 2.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Instant, timeout_at};

use super::env::Env;
use super::received::Received;
use super::replies::body_too_large;
use super::tuning::NO_OWNER;
use super::users::{Users, What, Work};
use crate::bus::{Bus, Incoming, Kind, Outgoing, Permit};
use crate::clock::Now;
use crate::cluster::table::{Place, Table};
use crate::store::Store;
use peerd_core::id::Partition;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::Failure;

/// The `Content-Type` with which a call of an unknown one is forwarded: the owner refuses it like
/// the caller's.
const NO_ENCODING: &str = "unknown";

/// The route of a message.
pub(super) enum Route {
    /// To this instance.
    Here(Work),
    /// To another instance.
    There,
    /// Not known yet.
    Nowhere,
}

/// The permission to forward a call, which expires.
#[derive(Debug)]
struct Until(Instant);

impl Permit for Until {
    fn holds(&self) -> bool {
        Instant::now() < self.0
    }
}

/// Knows the owners of partitions, forwards calls to them, and sends them requests.
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

    /// The answer if the partition has no owner.
    pub(super) fn no_owner(&self) -> Failure {
        if self.env.store.is_owning_impossible() { Failure::NoOwners } else { NO_OWNER }
    }

    /// The route of a message for a partition.
    pub(super) fn route(&self, partition: Partition, what: What) -> Route {
        self.route_at(partition, what, self.env.clock.now())
    }

    /// As [`Router::route`], where the time was just read.
    pub(super) fn route_at(&self, partition: Partition, what: What, now: Now) -> Route {
        let ownership = self.users.ownership(partition);
        if let Some(work) = ownership.and_then(|ownership| ownership.enter_at(what, now)) {
            return Route::Here(work);
        }
        match self.table.place(partition) {
            Place::There => Route::There,
            // The partition is about to be served here, or was until now.
            Place::Here | Place::Nobody => Route::Nowhere,
        }
    }

    /// The route of a message for a partition, as soon as it has an owner.
    pub(super) async fn wait_for_owner(
        &self,
        partition: Partition,
        what: What,
        until: Instant,
    ) -> Route {
        loop {
            // Subscribed before the look-up, so that no change is missed.
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

    /// Checks that a message is small enough to be forwarded, with the added headers.
    pub(super) fn check_hop(&self, incoming: &Incoming) -> Result<(), Rejection> {
        let most = self.env.room().body;
        if incoming.body.len() > most { Err(body_too_large(most)) } else { Ok(()) }
    }

    /// The message as it is forwarded to the owner of its partition, which answers the caller
    /// directly.
    pub(super) fn passed_on(&self, incoming: Incoming, partition: Partition) -> Outgoing {
        let Incoming { subject, reply_to, content_type, body, hops, malformed: _, status: _ } =
            incoming;
        // Replaced: the caller's header may be as long as a message.
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
        // A call that waits too long in the queue is dropped: its caller has given up.
        let permit: Arc<dyn Permit> = Arc::new(Until(Instant::now() + self.env.options.owner_wait));
        Outgoing { subject: routed, encoding, kind, body, permit: Some(permit) }
    }
}
