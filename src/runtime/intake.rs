//! The intake: each call of a user and each request of another instance is handled here, forwarded
//! to the owner of its partition, or refused at once.

mod relay;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::relay::is_relayed;
use super::call::{Calls, Taken};
use super::commands::{Called, Method};
use super::env::Env;
use super::permits::Permits;
use super::replies::Replies;
use super::requests::Requests;
use super::router::{Route, Router};
use super::tuning::{
    HOPS_MAX, MESSAGES_PER_CALL, METHOD_BYTES_MAX, OVERLOADED_RETRY_MS, REPLY_SUBJECT_BYTES_MAX,
    ROOM_BEYOND_CALLS,
};
use super::users::What;
use crate::bus::{Bus, Incoming, Outgoing, Take};
use crate::failpoint::{self, Fault};
use crate::store::Store;
use crate::wire::owner_request;
use peerd_core::id::{Partition, UserId};
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

/// The addressee of an incoming message.
struct Addressee {
    user: UserId,
    partition: Partition,
    asks: Asks,
}

/// Its content.
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

/// Takes in calls and requests of other instances.
pub(super) struct Intake<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) router: Arc<Router<S, B>>,
    pub(super) replies: Arc<Replies<S, B>>,
    pub(super) permits: Arc<Permits>,
    pub(super) calls: Calls<S, B>,
    pub(super) requests: Requests<S, B>,
}

impl<S: Store, B: Bus> Intake<S, B> {
    /// The function with which the bus passes messages to this instance, as long as the instance
    /// exists.
    pub(super) fn call_receiver(self: &Arc<Self>) -> Take {
        let intake = Arc::downgrade(self);
        Arc::new(move |incoming| {
            let intake = intake.upgrade()?;
            // A fault in one message affects that message only: the subscription continues.
            let taken = catch_unwind(AssertUnwindSafe(|| intake.take(incoming)));
            taken.unwrap_or_else(|_| {
                tracing::error!("what came in could not be taken: a panic");
                None
            })
        })
    }

    /// Takes in a call or a request of another instance. Starts a task for it, or returns the
    /// message to send at once: a refusal, or the forwarded call.
    pub(super) fn take(self: &Arc<Self>, incoming: Incoming) -> Option<Outgoing> {
        // Once for all that is decided here.
        let now = self.env.clock.now();
        let taken_us = now.steady_us;
        let addressee = match self.addressee(&incoming) {
            Ok(addressee) => addressee,
            // Refused on every instance alike.
            Err(rejection) => return self.replies.refusal(&incoming, rejection),
        };
        if self.is_stale(taken_us) {
            // It may have arrived long ago, and its caller may have repeated it since.
            return self.replies.refusal(&incoming, self.router.no_owner());
        }
        let (partition, asks) = (addressee.partition, addressee.asks);
        let route = self.router.route_at(partition, asks.what(), now);
        let is_relayed = asks.what() == What::Call && is_relayed(&incoming);
        if matches!(route, Route::There) && incoming.hops < HOPS_MAX && !is_relayed {
            if failpoint::is(Fault::NotForwarded) {
                return self.replies.refusal(&incoming, self.router.no_owner());
            }
            return self.pass_on(incoming, partition);
        }
        // Deliveries in progress on other instances wait for it.
        let settles = asks.what() == What::Delivery && owner_request::is_settle(&incoming.body);
        let is_time = settles || self.permits.admission.admits(taken_us);
        let permits = match asks.what() {
            What::Delivery if settles => &self.permits.settling,
            What::Delivery => &self.permits.deliveries,
            What::Call => &self.permits.calls,
        };
        let permit = if is_time { self.permit(permits) } else { None };
        let Some(permit) = permit else {
            if failpoint::is(Fault::SilentAtTheBound) {
                return None;
            }
            let failure = Failure::Overloaded { retry_after_ms: OVERLOADED_RETRY_MS };
            return self.replies.refusal(&incoming, failure);
        };
        let (incoming, route, permit) = match (route, asks) {
            (Route::Here(work), Asks::Call(Called::Method(method))) => {
                let call = Taken { incoming, work, permit };
                match self.calls.take_send(call, &addressee.user, method, now) {
                    None => return None,
                    Some(Taken { incoming, work, permit }) => (incoming, Route::Here(work), permit),
                }
            }
            (route, _) => (incoming, route, permit),
        };
        // Noted before the task runs: a stopping instance forwards the calls that it has taken.
        let waiting = (!matches!(route, Route::Here(_))).then(|| self.router.table.wait());
        let intake = self.clone();
        self.permits.admission.taken();
        // Boxed, since a task is moved several times and this one is large.
        self.env.tasks.spawn(Box::pin(async move {
            intake.permits.admission.begins(taken_us, intake.env.clock.steady_us());
            intake.go(incoming, addressee, route).await;
            drop((waiting, permit));
        }));
        None
    }

    /// A permit for one more call in progress, if the limits allow it and the queue has room for
    /// all messages that the calls in progress may send.
    fn permit(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let permit = permits.clone().try_acquire_owned().ok()?;
        // Checked after the permit was acquired, so that two concurrent calls see each other.
        let room = self.permits.under_way() * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
        (self.env.bus.room() >= room).then_some(permit)
    }

    /// Handles a call, or a request of another instance, to its end.
    pub(super) async fn handle(self: &Arc<Self>, incoming: Incoming) {
        match self.addressee(&incoming) {
            Ok(addressee) => {
                let route = self.router.route(addressee.partition, addressee.asks.what());
                self.go(incoming, addressee, route).await;
            }
            Err(rejection) => self.refuse(&incoming, rejection),
        }
    }

    async fn go(self: &Arc<Self>, incoming: Incoming, addressee: Addressee, route: Route) {
        let Addressee { user, partition, asks } = addressee;
        let is_relayed = asks.what() == What::Call && is_relayed(&incoming);
        let route = match route {
            Route::Here(work) => Route::Here(work),
            Route::There if is_relayed => Route::There,
            Route::There | Route::Nowhere => {
                // Waiting calls leave room for calls of partitions that have an owner.
                let Ok(_place) = self.permits.waiting.try_acquire() else {
                    self.refuse(&incoming, self.router.no_owner());
                    return;
                };
                let until = Instant::now() + self.env.options.owner_wait;
                self.router.wait_for_owner(partition, asks.what(), until).await
            }
        };
        match (route, asks) {
            (Route::Here(work), Asks::Delivery) => {
                self.requests.handle_request(incoming, &user, work).await;
            }
            (Route::Here(work), Asks::Call(called)) => {
                self.calls.handle_call(incoming, &user, called, work).await;
            }
            (Route::There, Asks::Call(method)) if is_relayed => {
                if let Some(work) = self.relay(&incoming, partition).await {
                    self.calls.handle_call(incoming, &user, method, work).await;
                }
            }
            (Route::There, _) if incoming.hops < HOPS_MAX => {
                self.env.emit_any(self.pass_on(incoming, partition));
            }
            (Route::There | Route::Nowhere, _) => {
                self.refuse(&incoming, self.router.no_owner());
            }
        }
    }

    /// Refuses an incoming message.
    fn refuse(&self, incoming: &Incoming, error: impl Into<CallError>) {
        self.env.emit_any(self.replies.refusal(incoming, error));
    }

    /// Whether the server has been silent for so long that this process or its connection must have
    /// been paused: until it answers again, incoming messages may be old.
    fn is_stale(&self, now_us: u64) -> bool {
        let last_seen_us = self.env.reached_us.load(Ordering::Relaxed);
        let silent_us = now_us.saturating_sub(last_seen_us);
        u128::from(silent_us) > self.env.options.stale_after.as_micros()
    }

    /// The addressee of a call or a request of another instance, from its subject.
    fn addressee(&self, incoming: &Incoming) -> Result<Addressee, Rejection> {
        if incoming
            .reply_to
            .as_deref()
            .is_some_and(|subject| self.env.subjects.is_reserved(subject))
        {
            return Err(Rejection::invalid("the reply subject", "is not the caller's to name"));
        }
        check_headers(incoming)?;
        // A forwarded call has a longer protocol line than the original, and the server closes a
        // connection that sends a line that is too long.
        if incoming.reply_to.as_ref().is_some_and(|reply| reply.len() > REPLY_SUBJECT_BYTES_MAX) {
            let problem = format!("must be {REPLY_SUBJECT_BYTES_MAX} bytes or shorter");
            return Err(Rejection::invalid("the reply subject", problem));
        }
        let (token, asks) = match self.env.subjects.parse_call(&incoming.subject) {
            Some(call) => {
                let called = Called::from_name(call.method);
                // An unknown method may be known to an owner of another release.
                if matches!(called, Called::Unknown) && !may_be_method(call.method) {
                    Token::parse(call.user)?;
                    return Err(Method::unknown(call.method));
                }
                (call.user, Asks::Call(called))
            }
            None => match self.env.subjects.parse_ask(&incoming.subject) {
                Some(token) => (token, Asks::Delivery),
                None => return Err(Rejection::invalid("the subject", "is not a call's")),
            },
        };
        let user = Token::parse(token)?;
        // An ID from another instance is one that was allowed there.
        let most = self.env.limits().user_id_bytes;
        if matches!(asks, Asks::Call(_)) && user.as_str().len() > most {
            let problem = format!("must be 1 to {most} bytes");
            return Err(Rejection::invalid("the user in the subject", problem));
        }
        // The token itself is the only spelling of a user.
        Ok(Addressee { user, partition: self.env.subjects.partition_of(token), asks })
    }

    /// The forwarded message, or the refusal of one that is too large for that.
    fn pass_on(&self, incoming: Incoming, partition: Partition) -> Option<Outgoing> {
        match self.router.check_hop(&incoming) {
            Ok(()) => Some(self.router.passed_on(incoming, partition)),
            Err(rejection) => self.replies.refusal(&incoming, rejection),
        }
    }
}

/// Checks that the header block of an incoming message is that of a call.
fn check_headers(incoming: &Incoming) -> Result<(), Rejection> {
    let rejection = |problem| Err(Rejection::invalid("the header block", problem));
    if let Some(malformed) = incoming.malformed {
        return rejection(format!("is malformed: {malformed}"));
    }
    // A client can make the server reply on the subject of a call, which is not a call by its user.
    match incoming.status {
        Some(status) => rejection(format!("has a status ({status}), as no call has")),
        None => Ok(()),
    }
}

/// Whether a name has the form of a method's.
fn may_be_method(name: &str) -> bool {
    name.len() <= METHOD_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
