//! To whom a call goes: to this instance, to another, or to whoever comes to own its partition.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::call::body_too_large;
use super::commands::{Called, Method};
use super::node::{MESSAGES_PER_CALL, Node, ROOM_BEYOND_CALLS};
use super::ownership::{What, Work};
use super::relay::is_relayed;
use crate::bus::{Bus, Incoming, Kind, Outgoing, Permit, Take};
use crate::cluster::table::Place;
use crate::failpoint::{self, Fault};
use crate::store::Store;
use crate::wire::owner_request;
use peerd_core::id::{Partition, UserId};
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::Failure;
use peerd_protocol::subject::Token;

/// When a caller who was refused for too many calls under way may try again.
pub(super) const OVERLOADED_RETRY_MS: u64 = 100;
/// When a caller who met no owner may try again.
const NO_OWNER_RETRY_MS: u64 = 1000;
/// How often a call is passed on: while a partition changes hands, the one who had it and the one
/// who will have it may both do so for a moment.
pub(super) const HOPS_MAX: u8 = 32;

/// The `Content-Type` of a call that is passed on with one that peerd does not know: its owner refuses
/// it as it would have refused the caller's.
const NO_ENCODING: &str = "unknown";

/// Longest reply subject, far beyond what client libraries make.
const REPLY_SUBJECT_BYTES_MAX: usize = 512;
/// Longest name of a method.
const METHOD_BYTES_MAX: usize = 64;

/// Where something goes.
pub(super) enum Route {
    /// To this instance.
    Here(Work),
    /// To another.
    There,
    /// Nobody knows yet.
    Nowhere,
}

/// Whom something that came in is for.
struct Addressee {
    user: UserId,
    partition: Partition,
    asks: Asks,
}

/// What it asks.
#[derive(Clone, Copy)]
enum Asks {
    /// A call by the user.
    Call(Called),
    /// A request of another instance.
    Delivery,
}

impl Asks {
    const fn what(self) -> What {
        match self {
            Self::Call(_) => What::Call,
            Self::Delivery => What::Delivery,
        }
    }
}

/// The right to pass something on, which ends in time.
#[derive(Debug)]
struct Until(Instant);

impl Permit for Until {
    fn holds(&self) -> bool {
        Instant::now() < self.0
    }
}

/// Nobody came to own the partition in time.
pub(super) const NO_OWNER: Failure = Failure::NoOwner { retry_after_ms: NO_OWNER_RETRY_MS };

impl<S: Store, B: Bus> Node<S, B> {
    /// How the bus has this instance take something, as long as it is there.
    #[must_use]
    pub fn taker(self: &Arc<Self>) -> Take {
        let node = Arc::downgrade(self);
        Arc::new(move |incoming| {
            let node = node.upgrade()?;
            // A fault in one is that one's alone: what takes them goes on.
            let taken = catch_unwind(AssertUnwindSafe(|| node.take(incoming)));
            taken.unwrap_or_else(|_| {
                tracing::error!("what came in could not be taken: a panic");
                None
            })
        })
    }

    /// Takes in a call by a user, or a request of another instance: it is under way in a task of its
    /// own, or what is answered goes out at once, as a refusal or passed on.
    pub fn take(self: &Arc<Self>, incoming: Incoming) -> Option<Outgoing> {
        let taken_us = self.clock.steady_us();
        let addressee = match self.addressee(&incoming) {
            Ok(addressee) => addressee,
            // It is refused, whoever owns what.
            Err(rejection) => return self.refusal(&incoming, rejection),
        };
        if self.is_stale(taken_us) {
            // It may have come long ago, and its caller have asked again since.
            return self.refusal(&incoming, self.no_owner());
        }
        let Addressee { partition, asks, .. } = addressee;
        let route = self.route(partition, asks.what());
        let is_relayed = asks.what() == What::Call && is_relayed(&incoming);
        if matches!(route, Route::There) && incoming.hops < HOPS_MAX && !is_relayed {
            return self.pass_on(incoming, partition);
        }
        // Deliveries that are under way elsewhere wait for it.
        let settles = asks.what() == What::Delivery && owner_request::is_settle(&incoming.body);
        let is_time = settles || self.pace.admits(taken_us);
        let permits = match asks.what() {
            What::Delivery if settles => &self.settling,
            What::Delivery => &self.deliveries,
            What::Call => &self.calls,
        };
        let permit = if is_time { self.permit(permits) } else { None };
        let Some(permit) = permit else {
            if failpoint::is(Fault::SilentAtTheBound) {
                return None;
            }
            let failure = Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_MS };
            return self.refusal(&incoming, failure);
        };
        // Noted before the task runs: an instance that ends sees what it took to its owner.
        let waiting = (!matches!(route, Route::Here(_))).then(|| self.table.wait());
        let node = self.clone();
        self.pace.taken();
        // In a box of its own: a task is moved several times on its way, and this one is large.
        self.tasks.spawn(Box::pin(async move {
            node.pace.begins(taken_us, node.clock.steady_us());
            node.go(incoming, addressee, route).await;
            drop((waiting, permit));
        }));
        None
    }

    /// The right to have one more under way, if there are not too many, and there is room for what
    /// all of them may send.
    fn permit(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let permit = permits.clone().try_acquire_owned().ok()?;
        // After it was acquired: of two at the same time, each sees the other.
        let room = self.under_way() * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
        (self.bus.room() >= room).then_some(permit)
    }

    /// Handles a call, or a request of another instance, to its end.
    pub async fn handle(self: &Arc<Self>, incoming: Incoming) {
        match self.addressee(&incoming) {
            Ok(addressee) => {
                let route = self.route(addressee.partition, addressee.asks.what());
                self.go(incoming, addressee, route).await;
            }
            Err(rejection) => self.emit_any(self.refusal(&incoming, rejection)),
        }
    }

    async fn go(self: &Arc<Self>, incoming: Incoming, addressee: Addressee, route: Route) {
        let Addressee { user, partition, asks } = addressee;
        let is_relayed = asks.what() == What::Call && is_relayed(&incoming);
        let route = match route {
            Route::Here(work) => Route::Here(work),
            Route::There if is_relayed => Route::There,
            Route::There | Route::Nowhere => {
                // Those that wait leave room for calls to partitions that are served.
                let Ok(_place) = self.waiting.try_acquire() else {
                    self.emit_any(self.refusal(&incoming, self.no_owner()));
                    return;
                };
                let until = Instant::now() + self.options.owner_wait;
                self.wait_for_owner(partition, asks.what(), until).await
            }
        };
        match (route, asks) {
            (Route::Here(work), Asks::Delivery) => self.handle_request(incoming, &user, work).await,
            (Route::Here(work), Asks::Call(called)) => {
                self.handle_call(incoming, &user, called, work).await;
            }
            (Route::There, Asks::Call(method)) if is_relayed => {
                if let Some(work) = self.relay(&incoming, partition).await {
                    self.handle_call(incoming, &user, method, work).await;
                }
            }
            (Route::There, _) if incoming.hops < HOPS_MAX => {
                self.emit_any(self.pass_on(incoming, partition));
            }
            (Route::There | Route::Nowhere, _) => {
                self.emit_any(self.refusal(&incoming, self.no_owner()));
            }
        }
    }

    /// Whether the server has not been heard of for so long that this process, or its connection,
    /// stood still: until it is heard of again, what arrives may be old.
    fn is_stale(&self, now_us: u64) -> bool {
        let last_seen_us = self.reached_us.load(Ordering::Relaxed);
        let silent_us = now_us.saturating_sub(last_seen_us);
        u128::from(silent_us) > self.options.stale_after.as_micros()
    }

    /// Whom a call, or a request of another instance, is for, as its subject says.
    fn addressee(&self, incoming: &Incoming) -> Result<Addressee, Rejection> {
        if incoming.reply_to.as_deref().is_some_and(|subject| self.subjects.is_reserved(subject)) {
            return Err(Rejection::invalid("the reply subject", "is not the caller's to name"));
        }
        check_headers(incoming)?;
        // What is passed on goes with a longer line than it came with, and a server ends the
        // connection of who sends one that is too long.
        if incoming.reply_to.as_ref().is_some_and(|reply| reply.len() > REPLY_SUBJECT_BYTES_MAX) {
            let problem = format!("must be {REPLY_SUBJECT_BYTES_MAX} bytes or shorter");
            return Err(Rejection::invalid("the reply subject", problem));
        }
        let (token, asks) = match self.subjects.parse_call(&incoming.subject) {
            Some(call) => {
                let called = Called::from_name(call.method);
                // One that is unknown here may be known to an owner of another release.
                if matches!(called, Called::Unknown) && !may_be_method(call.method) {
                    Token::parse(call.user)?;
                    return Err(Method::unknown(call.method));
                }
                (call.user, Asks::Call(called))
            }
            None => match self.subjects.parse_ask(&incoming.subject) {
                Some(token) => (token, Asks::Delivery),
                None => return Err(Rejection::invalid("the subject", "is not a call's")),
            },
        };
        let user = Token::parse(token)?;
        // Between instances an ID is one that was allowed where it came from.
        let most = self.limits().user_id_bytes;
        if matches!(asks, Asks::Call(_)) && user.as_str().len() > most {
            let problem = format!("must be 1 to {most} bytes");
            return Err(Rejection::invalid("the user in the subject", problem));
        }
        // The only spelling of a user is the token itself.
        Ok(Addressee { user, partition: self.subjects.partition_of(token), asks })
    }

    /// What is answered where nobody owns the partition.
    pub(super) fn no_owner(&self) -> Failure {
        if self.store.is_owning_impossible() { Failure::NoOwners } else { NO_OWNER }
    }

    /// Where something for a partition goes.
    pub(super) fn route(&self, partition: Partition, what: What) -> Route {
        if let Some(work) = self.ownership(partition).and_then(|ownership| ownership.enter(what)) {
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

    /// Something as it is passed on, or its refusal where it is too large for that.
    fn pass_on(&self, incoming: Incoming, partition: Partition) -> Option<Outgoing> {
        match self.check_hop(&incoming) {
            Ok(()) => Some(self.passed_on(incoming, partition)),
            Err(rejection) => self.refusal(&incoming, rejection),
        }
    }

    /// Whether something is small enough to be passed on: it gets headers on the way.
    pub(super) fn check_hop(&self, incoming: &Incoming) -> Result<(), Rejection> {
        let most = self.room().body;
        if incoming.body.len() > most { Err(body_too_large(most)) } else { Ok(()) }
    }

    /// Something as it is passed on to the owner of its partition, who answers the caller directly.
    pub(super) fn passed_on(&self, incoming: Incoming, partition: Partition) -> Outgoing {
        let Incoming { subject, reply_to, content_type, body, hops, malformed: _, status: _ } =
            incoming;
        // GapTracker anew: the caller's header may be as long as a message.
        let content_type = content_type.map(|named| {
            let encoding = Encoding::of_request(Some(&named), &body);
            encoding.map_or(NO_ENCODING, Encoding::content_type).to_owned()
        });
        let routed = match self.subjects.parse_call(&subject) {
            Some(call) => self.subjects.routed_call(partition, call),
            None => subject,
        };
        self.routed.fetch_add(1, Ordering::Relaxed);
        let kind = Kind::Routed { reply_to, content_type, hops: hops + 1 };
        let encoding = Encoding::default();
        // What waits on its way out for too long is not done after its caller has given up.
        let permit: Arc<dyn Permit> = Arc::new(Until(Instant::now() + self.options.owner_wait));
        Outgoing { subject: routed, encoding, kind, body, permit: Some(permit) }
    }
}

/// Whether the header block of something that came in is that of a call.
fn check_headers(incoming: &Incoming) -> Result<(), Rejection> {
    let rejection = |problem| Err(Rejection::invalid("the header block", problem));
    if let Some(malformed) = incoming.malformed {
        return rejection(format!("is malformed: {malformed}"));
    }
    // The server may be told to answer on the subject of a call, which is not by its user then.
    match incoming.status {
        Some(status) => rejection(format!("has a status ({status}), as no call has")),
        None => Ok(()),
    }
}

/// Whether a name could be that of a method.
fn may_be_method(name: &str) -> bool {
    name.len() <= METHOD_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
