//! Messages that cross: both users of a conversation send at the same time.
//!
//! The order keys of each direction are drawn by the owner of its receiver, before the store has
//! acknowledged the message. So of two messages that cross, the one with the larger key may be
//! stored first. If it were published then, a user who pages forward from it would never read the
//! other. So a message is published, counted and shown only when nothing of the other direction
//! with a smaller key can be stored any more
//! ([0027](../../docs/decisions/0027-crossing-messages-are-published-in-key-order.md)).
//!
//! Messages wait for smaller keys only, and only for messages that already have their key and their
//! place in the queue of their pair. So no two messages wait for each other.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;
use smallvec::SmallVec;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::users::{Ownership, UserCell};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::message::Message;

/// A direction of a conversation: sender and receiver.
type Way = (UserId, UserId);

/// Messages in flight, by their direction.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    ways: Mutex<HashMap<Way, Flights>>,
    last: AtomicU64,
}

/// The messages of one direction that are in flight.
#[derive(Debug, Default)]
struct Flights {
    noted: SmallVec<[Noted; 1]>,
    /// Notified when an append ends; `None` if nothing waits for it.
    changed: Option<Arc<Notify>>,
    /// The newest message that its sender has been shown. One with a smaller key may be
    /// acknowledged after it, and must not be shown as the last one.
    newest: Option<Arc<Message>>,
}

impl Flights {
    fn notify(&self) {
        if let Some(changed) = &self.changed {
            changed.notify_waiters();
        }
    }

    /// Whether an append of this instance has a smaller key.
    fn has_append(&self, below: OrderKey) -> bool {
        self.noted.iter().any(|noted| noted.key.is_some_and(|key| key < below))
    }
}

/// One message in flight.
#[derive(Debug)]
struct Noted {
    number: u64,
    /// If this instance delivers it, as the owner of its sender: a key below its own.
    floor: Option<OrderKey>,
    /// If this instance appends it, as the owner of its receiver: its key.
    key: Option<OrderKey>,
}

/// A message in flight, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct Flight {
    all: Arc<InFlight>,
    way: Way,
    number: u64,
    /// Whether it is noted. A message that another instance delivers is noted once it has its key.
    is_noted: bool,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, HashMap<Way, Flights>> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A message that another instance delivers to this one.
    pub(super) fn begin(self: &Arc<Self>, sender: &UserId, receiver: &UserId) -> Flight {
        let way = (sender.clone(), receiver.clone());
        let number = self.last.fetch_add(1, Ordering::Relaxed);
        Flight { all: self.clone(), way, number, is_noted: false }
    }

    /// Notes a message that this instance delivers and that must sort after `floor`. Call it while
    /// the sender's state is locked, from which `floor` was read.
    pub(super) fn begin_delivery(
        self: &Arc<Self>,
        sender: &UserId,
        receiver: &UserId,
        floor: OrderKey,
    ) -> Flight {
        let mut flight = self.begin(sender, receiver);
        flight.note(|noted| noted.floor = Some(floor));
        flight
    }

    /// Whether a message that was passed to the owner of its receiver may get a smaller key.
    fn has_delivery(&self, sender: &UserId, receiver: &UserId, below: OrderKey) -> bool {
        let ways = self.lock();
        let flights = ways.get(&(sender.clone(), receiver.clone()));
        let is_below = |noted: &Noted| noted.floor.is_some_and(|floor| floor < below);
        flights.is_some_and(|flights| flights.noted.iter().any(is_below))
    }

    /// Waits until no append of this instance has a smaller key, or until the deadline. Smaller
    /// keys must not be drawn any more. Returns whether there is none.
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
                let mut ways = self.lock();
                let Some(flights) = ways.get_mut(&way) else { return true };
                if !flights.has_append(below) {
                    return true;
                }
                flights.changed.get_or_insert_default().clone().notified_owned()
            };
            if timeout_at(until, changed).await.is_err() {
                return false;
            }
        }
    }

    /// As [`InFlight::settle_here`], without waiting.
    pub(super) fn is_settled(
        &self,
        ownership: &Ownership,
        (sender, receiver): (&UserId, &UserId),
        key: OrderKey,
    ) -> bool {
        ownership.clock.observe(key);
        !self.has_append(sender, receiver, key)
    }

    /// Whether an append of this instance has a smaller key.
    fn has_append(&self, sender: &UserId, receiver: &UserId, below: OrderKey) -> bool {
        let ways = self.lock();
        let flights = ways.get(&(sender.clone(), receiver.clone()));
        flights.is_some_and(|flights| flights.has_append(below))
    }

    /// Whether a message of the user to `other` is in flight that may get a smaller key.
    pub(super) fn may_cross(&self, user: &UserId, other: &UserId, key: OrderKey) -> bool {
        self.has_delivery(user, other, key)
    }

    /// Waits until a message that the user sent may be published: until no message of `other` to
    /// the user can still be stored with a smaller key. Returns whether that is so.
    pub(super) async fn settle_received(
        &self,
        sender: &UserCell,
        other: &UserId,
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        self.settle_here(&sender.ownership, (other, &sender.id), key, deadline).await
    }

    /// Ensures that no message of a direction whose receiver is owned here can still be stored with
    /// a smaller key. Returns whether that is so.
    pub(super) async fn settle_here(
        &self,
        ownership: &Ownership,
        (sender, receiver): (&UserId, &UserId),
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        ownership.clock.observe(key);
        self.wait_below(sender, receiver, key, deadline).await
    }
}

impl Flight {
    /// Draws the key with which the message is appended, and notes it.
    pub(super) fn draw_key(&mut self, draw: impl FnOnce() -> OrderKey) -> OrderKey {
        // Under the lock: a caller that has not seen this append has let the clock observe its key
        // before.
        self.note(|noted| *noted.key.insert(draw()))
    }

    /// Keeps the message, which its sender was shown, while others of its direction are in flight.
    pub(super) fn keep(&self, message: &Arc<Message>) {
        let mut ways = self.all.lock();
        let Some(flights) = ways.get_mut(&self.way) else { return };
        if flights.newest.as_ref().is_none_or(|newest| newest.key < message.key) {
            flights.newest = Some(message.clone());
        }
    }

    /// Notes that the message is not stored with the drawn key.
    pub(super) fn give_up_key(&mut self) {
        if self.is_noted {
            self.note(|noted| noted.key = None);
            self.all.lock().get(&self.way).inspect(|flights| flights.notify());
        }
    }

    fn note<R>(&mut self, note: impl FnOnce(&mut Noted) -> R) -> R {
        let mut ways = self.all.lock();
        let noted = &mut ways.entry(self.way.clone()).or_default().noted;
        let place = noted.iter().position(|noted| noted.number == self.number);
        let place = place.unwrap_or_else(|| {
            noted.push(Noted { number: self.number, floor: None, key: None });
            noted.len() - 1
        });
        self.is_noted = true;
        note(&mut noted[place])
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.is_noted {
            return;
        }
        let mut ways = self.all.lock();
        let Some(flights) = ways.get_mut(&self.way) else { return };
        flights.noted.retain(|noted| noted.number != self.number);
        flights.notify();
        if flights.noted.is_empty() {
            ways.remove(&self.way);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use peerd_core::clock::{KeyClock, Lane};

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
        let mut flight = all.begin(&alice, &bob);
        assert!(below(900).await, "a key that is drawn later is larger");
        let key = flight.draw_key(|| clock.next(0, OrderKey(149), Lane::Even));
        assert_eq!(key, OrderKey(150));
        assert!(below(150).await && !below(151).await);
        assert!(all.wait_below(&bob, &alice, OrderKey(900), soon()).await, "the other direction");
        flight.give_up_key();
        assert!(below(900).await);
        drop(flight);
        assert!(all.lock().is_empty(), "nothing is kept");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_continue_when_the_work_ends() {
        let all = Arc::new(InFlight::default());
        let (alice, bob) = (user("alice"), user("bob"));
        let mut flight = all.begin(&alice, &bob);
        flight.draw_key(|| OrderKey(2));
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
        let mut flight = all.begin_delivery(&alice, &bob, OrderKey(10));
        for _ in 0..2 {
            assert!(all.has_delivery(&alice, &bob, OrderKey(11)));
            assert!(!all.has_delivery(&alice, &bob, OrderKey(10)));
            assert!(!all.has_delivery(&bob, &alice, OrderKey(11)));
            // If this instance owns both users, it also appends the message.
            flight.draw_key(|| OrderKey(20));
        }
        drop(flight);
        assert!(!all.has_delivery(&alice, &bob, OrderKey(11)));
        assert!(all.lock().is_empty(), "nothing is kept");
    }
}
