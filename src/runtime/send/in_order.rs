//! Commits in order: a message is published when no crossing message can be stored with a smaller
//! key ([`crate::runtime::crossing`]), which the owner of the other direction ensures.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::SendPath;
use crate::bus::{AskError, Bus};
use crate::runtime::tuning::{LATE_WRITE_MAX, SETTLE_ANSWER_TIMEOUT, SETTLE_RETRY_DELAY};
use crate::runtime::users::{LockedUser, Ownership, UserCell, What};
use crate::store::Store;
use crate::wire::owner_request::Settle;
use peerd_core::id::{OrderKey, UserId};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Waits until a message that the user received may be published: until no message of the user
    /// to `other` can still be stored with a smaller key. Returns whether this holds regardless of
    /// later sends; otherwise it holds as long as no delivery is in flight.
    async fn settle_sent(
        &self,
        receiver: &UserCell,
        other: &UserId,
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        let user = &receiver.id;
        let token = Token::of(other);
        if let Some(ownership) = self.users.ownership(self.env.subjects.partition(&token))
            && self.settle_in(&ownership, (user, other), key, deadline).await
        {
            return true;
        }
        // The messages in flight of a dead owner are unknown.
        let is_young =
            receiver.ownership.is_after_death(self.env.options.call_deadline + LATE_WRITE_MAX);
        if !is_young && !self.in_flight.may_cross(user, other, key) {
            return false;
        }
        // Boxed, like all rare work.
        Box::pin(self.ask_to_settle(user, other, key, deadline)).await;
        true
    }

    /// Ensures that no message of a direction can still be stored with a smaller key, if this
    /// ownership owns its receiver. Returns whether that is so.
    async fn settle_in(
        &self,
        ownership: &Arc<Ownership>,
        (sender, receiver): (&UserId, &UserId),
        key: OrderKey,
        deadline: Instant,
    ) -> bool {
        // As work in progress, so that the next owner of the partition knows of the key.
        let Some(work) = ownership.enter(What::Delivery) else { return false };
        work.ownership.clock.observe(key);
        self.in_flight.wait_below(sender, receiver, key, deadline).await;
        true
    }

    /// Locks the receiver's state as soon as a message of `sender` may be published. If `of_sender`
    /// owns the sender here, crossing messages are settled for the sender's side too; also returns
    /// whether they are.
    pub(super) async fn lock_in_order<'c>(
        &self,
        receiver: &'c UserCell,
        (sender, of_sender): (&UserId, Option<&Arc<Ownership>>),
        key: OrderKey,
        deadline: Instant,
    ) -> (LockedUser<'c>, bool) {
        if let Some(ownership) = of_sender
            && self.settle_in(ownership, (&receiver.id, sender), key, deadline).await
        {
            return (receiver.lock(), true);
        }
        loop {
            let is_settled = self.settle_sent(receiver, sender, key, deadline).await;
            let user = receiver.lock();
            // Messages sent from here on sort after it.
            if is_settled || !self.in_flight.may_cross(&receiver.id, sender, key) {
                return (user, false);
            }
        }
    }

    /// Requests the owner of `other` to ensure that no message of the user to `other` can be stored
    /// with a smaller key.
    async fn ask_to_settle(&self, user: &UserId, other: &UserId, key: OrderKey, until: Instant) {
        let token = Token::of(other);
        let partition = self.env.subjects.partition(&token);
        let request = Settle { sender: user.clone(), key };
        while Instant::now() < until {
            let ask_until = until.min(Instant::now() + SETTLE_ANSWER_TIMEOUT);
            match self.router.request_once((&token, partition), &request, ask_until).await {
                // Settled; or its release does not understand the request.
                Ok(Ok(()) | Err(CallError::Failed(Failure::Internal))) => return,
                // It is overloaded, or another instance is about to be the owner.
                Ok(Err(_)) | Err(AskError::Nobody | AskError::Unknown) => {
                    sleep(SETTLE_RETRY_DELAY).await;
                }
            }
        }
    }
}
