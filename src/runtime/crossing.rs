//! Messages that cross: both users of a conversation send at the same time.
//!
//! The order keys of each direction are drawn by the owner of its receiver, before the store has
//! acknowledged the message. So of two messages that cross, the one with the larger key may be stored
//! first. If it were published then, a user who pages forward from it would never read the other.
//! So a message is published, counted and shown only when nothing of the other direction with a
//! smaller key can be stored any more ([0027](../../docs/decisions/0027-crossing-messages-are-published-in-key-order.md)).
//!
//! Messages wait for smaller keys only, and only for those that have their key and their place in
//! the queue of their pair already. So none waits for one that waits for it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::cell::{STRAGGLER, UserCell};
use super::node::Node;
use super::tenure::{Tenure, What};
use crate::bus::{AskError, Bus, IsAnswer};
use crate::domain::clock::KeyClock;
use crate::domain::id::{OrderKey, UserId};
use crate::domain::user::User;
use crate::store::Store;
use crate::wire::delivery;
use crate::wire::failure::{CallError, Failure};
use crate::wire::subject::Token;

/// How long an answer is waited for before the owner is asked again: the request may be lost.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Wait before an owner is asked again that could not answer.
const AGAIN: Duration = Duration::from_millis(10);
/// How long an owner is not asked again that does not know the request: an older release.
const NOT_ASKED_US: u64 = 60 * 1_000_000;

/// A direction of a conversation: sender and receiver.
type Way = (UserId, UserId);

/// Messages in flight, by their direction.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    ways: Mutex<HashMap<Way, Flights>>,
    last: AtomicU64,
    /// Until when owners of other instances are not asked, in microseconds of the steady clock.
    not_asked_until_us: AtomicU64,
}

/// The messages of one direction that are in flight.
#[derive(Debug, Default)]
struct Flights {
    /// Appends by this instance, which owns the receiver: a number, and a key that is below the
    /// message's.
    appends: Vec<(u64, OrderKey)>,
    /// Deliveries by this instance, which owns the sender: a number, and a key that is below the
    /// message's.
    deliveries: Vec<(u64, OrderKey)>,
    /// Rung when an append ends or gets its key.
    changed: Arc<Notify>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Append,
    Delivery,
}

/// A message in flight, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Flight {
    all: Arc<InFlight>,
    way: Way,
    kind: Kind,
    number: u64,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<Way, Flights>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an append before its key is drawn from `clock`.
    pub(super) fn begin_append(
        self: &Arc<Self>,
        sender: &UserId,
        receiver: &UserId,
        clock: &KeyClock,
    ) -> Flight {
        let way = (sender.clone(), receiver.clone());
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        let mut ways = self.lock();
        // In the lock: whoever has not seen this append has had the clock observe a key before.
        let above = clock.newest();
        ways.entry(way.clone()).or_default().appends.push((number, above));
        Flight { all: self.clone(), way, kind: Kind::Append, number }
    }

    /// Notes a delivery, whose message is to sort after `floor`. To be called while the sender's state
    /// is locked, in which that floor was read.
    pub(super) fn begin_delivery(
        self: &Arc<Self>,
        sender: &UserId,
        receiver: &UserId,
        floor: OrderKey,
    ) -> Flight {
        let way = (sender.clone(), receiver.clone());
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        self.lock().entry(way.clone()).or_default().deliveries.push((number, floor));
        Flight { all: self.clone(), way, kind: Kind::Delivery, number }
    }

    /// Whether a message that was handed to the owner of its receiver may get a key below this.
    fn has_delivery(&self, sender: &UserId, receiver: &UserId, below: OrderKey) -> bool {
        let ways = self.lock();
        let flights = ways.get(&(sender.clone(), receiver.clone()));
        flights.is_some_and(|flights| flights.deliveries.iter().any(|(_, floor)| *floor < below))
    }

    /// Waits until no append of this instance's has a key below this, or for as long as is given.
    /// Keys below it must not be drawn any more. Answers whether there is none.
    pub(super) async fn wait_below(
        &self,
        sender: &UserId,
        receiver: &UserId,
        below: OrderKey,
        until: Instant,
    ) -> bool {
        let way = (sender.clone(), receiver.clone());
        loop {
            let changed = {
                let ways = self.lock();
                let Some(flights) = ways.get(&way) else { return true };
                let may_be_below = |(_, above): &(u64, OrderKey)| above.0 + 1 < below.0;
                if !flights.appends.iter().any(may_be_below) {
                    return true;
                }
                flights.changed.clone().notified_owned()
            };
            if timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }
}

impl Flight {
    /// Notes the key that the message got.
    pub(super) fn drawn(&self, key: OrderKey) {
        let mut ways = self.all.lock();
        let Some(flights) = ways.get_mut(&self.way) else { return };
        let mut appends = flights.appends.iter_mut();
        if let Some((_, above)) = appends.find(|(number, _)| *number == self.number) {
            *above = OrderKey(key.0.saturating_sub(1));
        }
        flights.changed.notify_waiters();
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let mut ways = self.all.lock();
        let Some(flights) = ways.get_mut(&self.way) else { return };
        let of_kind = match self.kind {
            Kind::Append => &mut flights.appends,
            Kind::Delivery => &mut flights.deliveries,
        };
        of_kind.retain(|(number, _)| *number != self.number);
        flights.changed.notify_waiters();
        if flights.appends.is_empty() && flights.deliveries.is_empty() {
            ways.remove(&self.way);
        }
    }
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Waits until a message that the user received may be published: until nothing that the user sent
    /// to `other` can still be stored with a smaller key. Answers whether that is so by now, whatever
    /// is sent from now on; else it is so as long as no delivery is in flight.
    async fn settle_sent(
        &self,
        receiver: &UserCell,
        other: &UserId,
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        let user = &receiver.id;
        let token = Token::of(other);
        let tenure = self.tenure(self.subjects.partition(&token));
        // As work under way: whoever owns the partition next is to know of the key.
        if let Some(work) = tenure.and_then(|tenure| tenure.enter(What::Delivery)) {
            work.tenure.clock.observe(key);
            self.in_flight.wait_below(user, other, key, deadline).await;
            return true;
        }
        // Nobody here knows what an owner before has in flight that has died.
        let is_young = receiver.tenure.is_after_death(self.options.call_deadline + STRAGGLER);
        if !is_young && !self.in_flight.has_delivery(user, other, key) {
            return false;
        }
        self.ask_to_settle(user, other, key, deadline).await;
        true
    }

    /// The receiver's state, locked when a message that `sender` sent may be published.
    pub(super) async fn lock_in_order<'c>(
        &self,
        receiver: &'c UserCell,
        sender: &UserId,
        key: OrderKey,
        deadline: Instant,
    ) -> MutexGuard<'c, User> {
        loop {
            let is_settled = self.settle_sent(receiver, sender, key, deadline).await;
            let user = receiver.lock();
            // What is sent from here on sorts after it.
            if is_settled || !self.may_cross(&receiver.id, sender, key) {
                return user;
            }
        }
    }

    /// Has the owner of `other` see to it that nothing that the user sent to `other` can be stored any
    /// more with a key below this.
    async fn ask_to_settle(&self, user: &UserId, other: &UserId, key: OrderKey, until: Instant) {
        let token = Token::of(other);
        let partition = self.subjects.partition(&token);
        let Ok(body) = delivery::encode_settle(user, key) else { return };
        while Instant::now() < until {
            let now_us = self.clock.steady_us();
            if now_us < self.in_flight.not_asked_until_us.load(Ordering::Relaxed) {
                return;
            }
            let request = self.owner_request(&token, body.clone(), self.bus.inbox());
            let is_answer: IsAnswer = Box::new(|answer| delivery::is_answer(&answer.body));
            let ask_until = until.min(Instant::now() + ASK_AGAIN);
            let answer = self.bus.ask(request, is_answer, ask_until).await;
            let answer =
                answer.map(|answer| delivery::decode_answer(&answer.body, user, other, partition));
            match answer {
                Ok(Ok(Ok(_))) => return,
                // An older release does not know what it is asked.
                Ok(Ok(Err(CallError::Failed(Failure::Internal))) | Err(_)) => {
                    let until_us = now_us + NOT_ASKED_US;
                    self.in_flight.not_asked_until_us.store(until_us, Ordering::Relaxed);
                    return;
                }
                // It has too much to do, or another is about to be the owner.
                Ok(Ok(Err(_))) | Err(AskError::Nobody | AskError::Unknown) => sleep(AGAIN).await,
            }
        }
    }

    /// Whether something that the user sent to `other` is on its way and may get a key below this.
    pub(super) fn may_cross(&self, user: &UserId, other: &UserId, key: OrderKey) -> bool {
        self.in_flight.has_delivery(user, other, key)
    }

    /// Waits until a message that the user sent may be published: until nothing that `other` sent to
    /// the user can still be stored with a smaller key. Answers whether that is so by now.
    pub(super) async fn settle_received(
        &self,
        sender: &UserCell,
        other: &UserId,
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        self.settle_here(&sender.tenure, (other, &sender.id), key, deadline).await
    }

    /// Sees to it that nothing of a direction whose receiver is owned here can be stored any more with
    /// a key below this. Answers whether that is so by now.
    pub(super) async fn settle_here(
        &self,
        tenure: &Tenure,
        (sender, receiver): (&UserId, &UserId),
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        tenure.clock.observe(key);
        self.in_flight.wait_below(sender, receiver, key, deadline).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::clock::Lane;

    fn user(id: &str) -> UserId {
        UserId::new(id, "userID").expect("a valid ID")
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(50)
    }

    #[tokio::test(start_paused = true)]
    async fn only_smaller_keys_of_that_direction_are_waited_for() {
        let (all, clock) = (Arc::new(InFlight::default()), KeyClock::default());
        let (alice, bob) = (user("alice"), user("bob"));
        let below = |key| all.wait_below(&alice, &bob, OrderKey(key), soon());
        clock.observe(OrderKey(99));
        let flight = all.begin_append(&alice, &bob, &clock);
        assert!(below(100).await, "its key will be larger");
        assert!(!below(200).await, "nobody knows");
        flight.drawn(clock.next(0, OrderKey(149), Lane::Even));
        assert!(below(150).await && !below(151).await);
        assert!(all.wait_below(&bob, &alice, OrderKey(900), soon()).await, "the other direction");
        drop(flight);
        assert!(below(900).await);
        assert!(all.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_goes_on_as_soon_as_it_ends() {
        let (all, clock) = (Arc::new(InFlight::default()), KeyClock::default());
        let (alice, bob) = (user("alice"), user("bob"));
        let flight = all.begin_append(&alice, &bob, &clock);
        let began = Instant::now();
        let until = began + Duration::from_secs(1);
        let ends = async {
            tokio::time::sleep(Duration::from_millis(3)).await;
            drop(flight);
        };
        let (is_none, ()) = tokio::join!(all.wait_below(&alice, &bob, OrderKey(9), until), ends);
        assert!(is_none && Instant::now() < until);
    }

    #[test]
    fn a_delivery_may_cross_what_is_above_its_floor() {
        let all = Arc::new(InFlight::default());
        let (alice, bob) = (user("alice"), user("bob"));
        let flight = all.begin_delivery(&alice, &bob, OrderKey(10));
        assert!(all.has_delivery(&alice, &bob, OrderKey(11)));
        assert!(!all.has_delivery(&alice, &bob, OrderKey(10)));
        assert!(!all.has_delivery(&bob, &alice, OrderKey(11)));
        drop(flight);
        assert!(!all.has_delivery(&alice, &bob, OrderKey(11)));
    }
}
