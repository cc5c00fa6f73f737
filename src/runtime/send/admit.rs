//! The first step of a send: what the sender's owner decides, with the sender's state locked once.

use std::sync::Arc;

use super::SendPath;
use crate::bus::Bus;
use crate::clock::Now;
use crate::failpoint::{self, Fault};
use crate::runtime::crossing::Flight;
use crate::runtime::users::{QueuedPairLock, UserCell};
use crate::store::Store;
use peerd_core::rate::Place;
use peerd_core::rejection::Rejection;
use peerd_core::send::{Basis, Delivery, Send};
use peerd_core::user::User;

/// The result of the first step.
pub(super) enum Admission {
    /// It goes to the owner of its receiver, and has taken a slot of the sender's rate limit.
    Admitted(Admitted, Place),
    /// It is the first message to its receiver, which needs a first contact before.
    FirstContact(Box<Send>, Place),
    /// It exceeds the rate limit, but may be a repeat, which is not a new message.
    OverRate(Box<Send>, Rejection),
}

/// A message on its way to the owner of its receiver.
pub(super) struct Admitted {
    pub(super) delivery: Delivery,
    pub(super) flight: Flight,
    /// The message's place in the queue of its pair, if the pair was busy.
    pub(super) queued: Option<QueuedPairLock>,
}

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Checks the send without any state.
    pub(super) fn check(&self, sender: &UserCell, send: &Send) -> Result<(), Rejection> {
        send.validate(&sender.id, self.env.limits())?;
        self.env.room().check(send)?;
        if failpoint::is(Fault::ContentLogged) {
            tracing::debug!(what = send.draft.extended_data, "a send");
        }
        Ok(())
    }

    /// Notes the call, takes a slot of the rate limit, and makes the delivery for the receiver's
    /// owner.
    pub(super) fn admit(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        now: Now,
    ) -> Result<Admission, Rejection> {
        let admission = {
            let mut user = sender.lock();
            user.note_last_seen(now.wall_ms, self.env.limits())?;
            let is_stored = send.draft.content.is_stored();
            match user.admit(is_stored, now.steady_us, self.env.limits()) {
                Ok(place) => {
                    let basis = user.basis(&send.to);
                    if is_stored && !basis.has_entry {
                        Ok(Admission::FirstContact(send, place))
                    } else {
                        let admitted = self.admitted(&user, send, basis, now.wall_ms);
                        Ok(Admission::Admitted(admitted, place))
                    }
                }
                Err(refusal) if send.draft.local_id.is_none() => Err(refusal),
                Err(refusal) => Ok(Admission::OverRate(send, refusal)),
            }
        };
        self.sessions.store_last_seen_if_due(sender, now.wall_ms);
        admission
    }

    /// Makes the delivery from the sender's state, which is locked.
    pub(super) fn admitted(
        &self,
        sender: &User,
        send: Box<Send>,
        basis: Basis,
        timestamp_ms: u64,
    ) -> Admitted {
        let Basis { floor, sent_seq, .. } = basis;
        // Under the lock: a caller that does not see it has a floor above everything published.
        let flight = self.in_flight.begin_delivery(&sender.id, &send.to, floor);
        let delivery = Delivery {
            from: sender.id.clone(),
            from_profile: sender.account.profile.clone(),
            timestamp_ms,
            floor,
            sent_seq,
            send,
        };
        Admitted { delivery, flight, queued: None }
    }
}
