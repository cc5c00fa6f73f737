//! The second decision of a send, that of the receiver's owner, with the receiver's state locked
//! once.

use std::sync::Arc;

use smallvec::smallvec;

use super::SendPath;
use crate::bus::Bus;
use crate::runtime::crossing::Flight;
use crate::runtime::injected;
use crate::runtime::users::UserCell;
use crate::store::Store;
use peerd_core::clock::Lane;
use peerd_core::event::Event;
use peerd_core::receive::{Delivered, Plan};
use peerd_core::rejection::Rejection;
use peerd_core::send::Delivery;
use peerd_protocol::failure::{CallError, Failure};

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Applies the receiver's rules and gives the message its place, at a time of the wall clock
    /// (milliseconds since 1970). Under the pair lock. The message is a repeat of one since
    /// `repeats_since_ms`, if at all.
    pub(super) fn place(
        &self,
        receiver: &UserCell,
        delivery: &Delivery,
        (now_ms, repeats_since_ms): (u64, u64),
        flight: &mut Flight,
    ) -> Result<Plan, Rejection> {
        let clock = &receiver.ownership.clock;
        let lane = Lane::of(&delivery.from, &receiver.id);
        let mut user = receiver.lock();
        injected::accepted(user.accepts(&delivery.from, self.env.limits()))?;
        let since_ms = injected::repeats_since(repeats_since_ms);
        let plan = user.plan(delivery, receiver.partition, since_ms, || {
            flight.draw_key(|| clock.next(now_ms, delivery.floor, lane))
        })?;
        Ok(injected::planned(plan, now_ms))
    }

    /// A Command has no place: it is published and not stored.
    pub(super) fn deliver_live(
        &self,
        receiver: &UserCell,
        delivery: &Delivery,
        is_sent_before: bool,
    ) -> Result<Delivered, CallError> {
        let mut user = receiver.lock();
        injected::accepted(user.accepts(&delivery.from, self.env.limits()))?;
        if is_sent_before {
            // It could not be found later.
            return Err(Failure::OutcomeUnknown.into());
        }
        let (now_ms, clock) = (self.env.clock.wall_ms(), &receiver.ownership.clock);
        let key = clock.next(now_ms, delivery.floor, Lane::of(&delivery.from, &receiver.id));
        let message = Arc::new(user.command(delivery, receiver.partition, key));
        user.note_command(key);
        let publication = user.publication(vec![Event::PeerMessageReceived {
            messages: smallvec![message.clone()],
            from: delivery.from.clone(),
            offline: false,
        }]);
        self.publisher.publish(receiver, &user, &publication);
        let receiver_profile = user.account.profile.clone();
        Ok(Delivered { message, head: None, receiver_profile, is_duplicate: false })
    }
}
