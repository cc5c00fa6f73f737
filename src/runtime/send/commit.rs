//! The last step of a send, after the message was stored: updates both sides, each with its state
//! locked once: counts, revision, events.
//!
//! No other code does this, whether the store has acknowledged the message, or the message was
//! found in the log after an append in doubt or as a foreign write.

use std::sync::Arc;

use tokio::time::Instant;

use super::SendPath;
use super::deliver::Accepted;
use crate::bus::Bus;
use crate::runtime::users::{LockedUser, Ownership, UserCell};
use crate::storage::message::StoredMessage;
use crate::store::Store;
use peerd_core::conversation::Head;
use peerd_core::message::Message;
use peerd_core::receive::{Arrived, Delivered, Placed, Received};
use peerd_core::send::{Delivery, Push};
use peerd_core::user_info::Profile;

/// A stored message.
pub(super) struct Stored<'m> {
    pub(super) message: Arc<Message>,
    pub(super) head: Head,
    fingerprint: u64,
    sender_profile: &'m Profile,
    push: Option<&'m Push>,
}

impl<'m> Stored<'m> {
    /// A message that the store has acknowledged, at its stream sequence.
    pub(super) fn placed(delivery: &'m Delivery, placed: Placed, stream_seq: u64) -> Self {
        Self {
            head: placed.head(stream_seq),
            message: placed.message,
            fingerprint: delivery.send.draft.fingerprint(),
            sender_profile: &delivery.from_profile,
            push: delivery.send.options.push.as_ref(),
        }
    }

    /// A message that was found in the log.
    pub(super) fn found(
        StoredMessage { message, mark, page, .. }: StoredMessage,
        push: Option<&'m Push>,
        stream_seq: u64,
        sender_profile: &'m Profile,
    ) -> Self {
        Self {
            head: peerd_core::receive::head(&message, mark, page, stream_seq),
            fingerprint: message.fingerprint(),
            message: Arc::new(message),
            sender_profile,
            push,
        }
    }
}

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Commits the receiver's side, as soon as no crossing message can be stored with a smaller
    /// key. If this instance owns the sender, `of_sender` is its ownership.
    pub(super) async fn commit_in_order(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        stored: Stored<'_>,
        of_sender: Option<&Arc<Ownership>>,
        deadline: Instant,
    ) -> Accepted {
        let (sender, key) = (stored.message.sender.clone(), stored.message.key);
        let (user, is_settled) =
            self.lock_in_order(receiver, (&sender, of_sender), key, deadline).await;
        Accepted { delivered: self.commit_received(receiver, user, stored), is_settled }
    }

    /// Commits the receiver's side.
    pub(super) fn commit_received(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        mut user: LockedUser<'_>,
        Stored { message, head, fingerprint, sender_profile, push }: Stored<'_>,
    ) -> Delivered {
        receiver.ownership.keep_for_a_while(&message);
        let arrived = Arrived { message: &message, head, fingerprint, sender_profile };
        let Received { publication, is_muted } = user.receive(&arrived, self.env.limits());
        self.sessions.note_revision(receiver, &mut user);
        self.publisher.publish(receiver, &user, &publication);
        if let Some(push) = push.filter(|_| !is_muted) {
            self.pushes.push_if_away(receiver, &user, push, &message);
        }
        self.delivery_reports.arrived(receiver, &mut user, &message);
        let receiver_profile = user.account.profile.clone();
        drop(user);
        Delivered { message, head: Some(head), receiver_profile, is_duplicate: false }
    }

    /// Commits the sender's side, when no crossing message can be stored with a smaller key.
    pub(super) fn commit_sent(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        message: &Arc<Message>,
        head: Head,
        receiver_profile: &Profile,
    ) {
        let mut user = sender.lock();
        let publication = user.sent(message, head, receiver_profile);
        sender.ownership.clock.observe(message.key);
        self.sessions.note_revision(sender, &mut user);
        self.publisher.publish(sender, &user, &publication);
    }
}
