//! The intake: calls by users and requests of other instances, each of which is handled here, passed
//! on to the owner of its partition, or refused at once.

mod relay;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use self::relay::is_relayed;
use super::call::{Calls, Taken};
use super::commands::{Called, Method};
use super::env::{Env, MESSAGES_PER_CALL, ROOM_BEYOND_CALLS};
use super::permits::Permits;
use super::replies::Replies;
use super::requests::Requests;
use super::retry::OVERLOADED_RETRY_MS;
use super::router::{Route, Router};
use super::users::What;
use crate::bus::{Bus, Incoming, Outgoing, Take};
use crate::failpoint::{self, Fault};
use crate::store::Store;
use crate::wire::owner_request;
use peerd_core::id::{Partition, UserId};
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

/// How often a call is passed on: while a partition changes hands, the one who had it and the one
/// who will have it may both do so for a moment.
const HOPS_MAX: u8 = 32;

/// Longest reply subject, far beyond what client libraries make.
const REPLY_SUBJECT_BYTES_MAX: usize = 512;
/// Longest name of a method.
const METHOD_BYTES_MAX: usize = 64;

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
    /// How the bus has this instance take something, as long as it is there.
    pub(super) fn call_receiver(self: &Arc<Self>) -> Take {
        let intake = Arc::downgrade(self);
        Arc::new(move |incoming| {
            let intake = intake.upgrade()?;
            // A fault in one is that one's alone: what takes them goes on.
            let taken = catch_unwind(AssertUnwindSafe(|| intake.take(incoming)));
            taken.unwrap_or_else(|_| {
                tracing::error!("what came in could not be taken: a panic");
                None
            })
        })
    }

    /// Takes in a call by a user, or a request of another instance: it is under way in a task of its
    /// own, or what is answered goes out at once, as a refusal or passed on.
    pub(super) fn take(self: &Arc<Self>, incoming: Incoming) -> Option<Outgoing> {
        let taken_us = self.env.clock.steady_us();
        let addressee = match self.addressee(&incoming) {
            Ok(addressee) => addressee,
            // It is refused, whoever owns what.
            Err(rejection) => return self.replies.refusal(&incoming, rejection),
        };
        if self.is_stale(taken_us) {
            // It may have come long ago, and its caller have asked again since.
            return self.replies.refusal(&incoming, self.router.no_owner());
        }
        let (partition, asks) = (addressee.partition, addressee.asks);
        let route = self.router.route(partition, asks.what());
        let is_relayed = asks.what() == What::Call && is_relayed(&incoming);
        if matches!(route, Route::There) && incoming.hops < HOPS_MAX && !is_relayed {
            return self.pass_on(incoming, partition);
        }
        // Deliveries that are under way elsewhere wait for it.
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
                match self.calls.take_send(call, &addressee.user, method) {
                    None => return None,
                    Some(Taken { incoming, work, permit }) => (incoming, Route::Here(work), permit),
                }
            }
            (route, _) => (incoming, route, permit),
        };
        // Noted before the task runs: an instance that ends sees what it took to its owner.
        let waiting = (!matches!(route, Route::Here(_))).then(|| self.router.table.wait());
        let intake = self.clone();
        self.permits.admission.taken();
        // In a box of its own: a task is moved several times on its way, and this one is large.
        self.env.tasks.spawn(Box::pin(async move {
            intake.permits.admission.begins(taken_us, intake.env.clock.steady_us());
            intake.go(incoming, addressee, route).await;
            drop((waiting, permit));
        }));
        None
    }

    /// The right to have one more under way, if there are not too many, and there is room for what
    /// all of them may send.
    fn permit(&self, permits: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let permit = permits.clone().try_acquire_owned().ok()?;
        // After it was acquired: of two at the same time, each sees the other.
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
                // Those that wait leave room for calls to partitions that are served.
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

    /// Refuses what came in.
    fn refuse(&self, incoming: &Incoming, error: impl Into<CallError>) {
        self.env.emit_any(self.replies.refusal(incoming, error));
    }

    /// Whether the server has been silent for so long that this process, or its connection,
    /// stood still: until it answers again, what arrives may be old.
    fn is_stale(&self, now_us: u64) -> bool {
        let last_seen_us = self.env.reached_us.load(Ordering::Relaxed);
        let silent_us = now_us.saturating_sub(last_seen_us);
        u128::from(silent_us) > self.env.options.stale_after.as_micros()
    }

    /// Whom a call, or a request of another instance, is for, as its subject says.
    fn addressee(&self, incoming: &Incoming) -> Result<Addressee, Rejection> {
        if incoming
            .reply_to
            .as_deref()
            .is_some_and(|subject| self.env.subjects.is_reserved(subject))
        {
            return Err(Rejection::invalid("the reply subject", "is not the caller's to name"));
        }
        check_headers(incoming)?;
        // What is passed on goes with a longer line than it came with, and a server ends the
        // connection of who sends one that is too long.
        if incoming.reply_to.as_ref().is_some_and(|reply| reply.len() > REPLY_SUBJECT_BYTES_MAX) {
            let problem = format!("must be {REPLY_SUBJECT_BYTES_MAX} bytes or shorter");
            return Err(Rejection::invalid("the reply subject", problem));
        }
        let (token, asks) = match self.env.subjects.parse_call(&incoming.subject) {
            Some(call) => {
                let called = Called::from_name(call.method);
                // One that is unknown here may be known to an owner of another release.
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
        // Between instances an ID is one that was allowed where it came from.
        let most = self.env.limits().user_id_bytes;
        if matches!(asks, Asks::Call(_)) && user.as_str().len() > most {
            let problem = format!("must be 1 to {most} bytes");
            return Err(Rejection::invalid("the user in the subject", problem));
        }
        // The only spelling of a user is the token itself.
        Ok(Addressee { user, partition: self.env.subjects.partition_of(token), asks })
    }

    /// Something as it is passed on, or its refusal where it is too large for that.
    fn pass_on(&self, incoming: Incoming, partition: Partition) -> Option<Outgoing> {
        match self.router.check_hop(&incoming) {
            Ok(()) => Some(self.router.passed_on(incoming, partition)),
            Err(rejection) => self.replies.refusal(&incoming, rejection),
        }
    }
}

/// Whether the header block of something that came in is that of a call.
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

/// Whether a name could be that of a method.
fn may_be_method(name: &str) -> bool {
    name.len() <= METHOD_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

#[cfg(test)]
mod tests;
