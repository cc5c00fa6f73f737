//! The sender's side follows the log, for messages that were stored without an answer to the
//! sender's owner.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::SendPath;
use crate::bus::Bus;
use crate::runtime::tuning::{
    FOLLOW_RETRY_MAX, LATE_WRITE_MAX, NOTIFY_SENDER_TIMEOUT, NOTIFY_SENDER_TRIES_MAX,
    NOTIFY_STOP_TIMEOUT, OWNER_REQUEST_RETRY_DELAY,
};
use crate::runtime::users::{LoadError, UserCell};
use crate::storage::reads::Found;
use crate::store::Store;
use crate::wire::owner_request::FollowLog;
use peerd_core::id::{Direction, UserId};
use peerd_core::send::Delivery;
use peerd_protocol::failure::{CallError, Failure};

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Follows the log after the caller was answered `outcome_unknown`: the owner of the receiver
    /// may store the message later, and the sender's sessions must receive its event.
    pub(super) fn follow_unknown(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        delivery: &Delivery,
        began_ms: u64,
    ) {
        if delivery.send.draft.content.is_stored() {
            self.follow_in_doubt(sender, &delivery.send.to, delivery.sent_seq, began_ms);
        }
    }

    /// Follows the log of `sender`'s messages to `receiver` until an attempt that is in doubt since
    /// `since_ms` (server's clock, milliseconds since 1970) can no longer be stored. If the sender
    /// is handed over before, the next owner is notified.
    pub(in crate::runtime) fn follow_in_doubt(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        receiver: &UserId,
        mut published_seq: u64,
        since_ms: u64,
    ) {
        let (send_path, sender, receiver) = (self.clone(), sender.clone(), receiver.clone());
        // If this owner dies, or hands the sender over, the next one publishes what was stored
        // since.
        let unpublished = (
            self.env.pending.clone().begin_owned(since_ms),
            sender.ownership.begin_in_doubt(since_ms),
        );
        self.env.tasks.spawn(async move {
            let _unpublished = unpublished;
            // The receiver's owner has a deadline of its own, and an attempt that it gave up may
            // still be stored. By the server's clock, which the next owner goes by as well. Counted
            // from now: if this process was paused, its request may leave only now.
            let span = send_path.env.options.call_deadline * 2 + LATE_WRITE_MAX;
            let span_ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX / 2);
            let ends_ms = since_ms.max(send_path.env.server_ms()) + span_ms;
            let mut wait = OWNER_REQUEST_RETRY_DELAY;
            while send_path.env.server_ms() < ends_ms {
                sender.ownership.sleep(wait).await;
                if !sender.ownership.may_act() {
                    let request = FollowLog { receiver, in_doubt_since_ms: Some(since_ms) };
                    send_path.notify(&sender.id, request, since_ms);
                    return;
                }
                wait = (wait * 4).min(FOLLOW_RETRY_MAX);
                let deadline = send_path.env.deadline();
                match send_path.follow_log(&sender, &receiver, published_seq, deadline).await {
                    Ok(seq) => published_seq = seq,
                    Err(error) => tracing::debug!(%error, "the log cannot be followed yet"),
                }
            }
        });
    }

    /// Reads the user's own messages to `receiver` from the log, takes in the new ones, and
    /// publishes them. Known messages may have been loaded without being published: those above
    /// `published_seq` are published again. Returns the sequence up to which all are published.
    pub(in crate::runtime) async fn follow_log(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        receiver: &UserId,
        published_seq: u64,
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let pair = self.env.pair(&sender.id, receiver);
        let amended = sender.amended(receiver, Direction::Send);
        let Some(last) = self.env.storage(deadline).newest_at_leader(&pair, &amended).await? else {
            return Ok(published_seq);
        };
        let head = last.head();
        let is_new = {
            let user = sender.lock();
            let known = user.conversations.get(receiver);
            let known = known.and_then(|known| known.head(Direction::Send));
            known.is_none_or(|known| known.mark.seq < head.mark.seq)
        };
        let Some(Found { stored, .. }) = last.message() else {
            // Its content was removed: the conversation is published without it.
            sender.lock().update(receiver, |known| known.adopt_head(Direction::Send, head));
            if head.mark.seq > published_seq {
                self.redelivery.publish_sent(&sender.id, receiver).await?;
            }
            return Ok(head.mark.seq.max(published_seq));
        };
        if is_new {
            let profile = self.conversations.profile(receiver, deadline).await?;
            let mut message = stored.message;
            let known = sender.lock().conversations.get(receiver).cloned().unwrap_or_default();
            let history = &self.conversations.history;
            history.show_original(sender, (receiver, &known), &mut message, deadline).await?;
            self.in_flight.settle_received(sender, receiver, head.key, deadline).await;
            let message = Arc::new(message);
            self.commit_sent(sender, &message, head, &profile);
            drop(self.publish_count_later(sender, &message));
        } else if head.mark.seq > published_seq {
            self.redelivery.publish_sent(&sender.id, receiver).await?;
        }
        Ok(head.mark.seq.max(published_seq))
    }

    /// Notifies the owner of `sender`, which publishes the messages to `receiver` in the log: one
    /// of `stored_ms` (server's clock, milliseconds since 1970) was stored without that owner's
    /// knowledge.
    pub(in crate::runtime) fn notify_sender(
        self: &Arc<Self>,
        sender: &UserId,
        receiver: &UserId,
        stored_ms: u64,
    ) {
        let request = FollowLog { receiver: receiver.clone(), in_doubt_since_ms: None };
        self.notify(sender, request, stored_ms);
    }

    /// Repeats the request until an owner of `sender` has answered. Meanwhile the messages since
    /// `stored_ms` count as unpublished, so that the next owner redelivers them if this instance
    /// dies.
    fn notify(self: &Arc<Self>, sender: &UserId, request: FollowLog, stored_ms: u64) {
        let Ok(place) = self.notices.clone().try_acquire_owned() else {
            tracing::warn!("a sender does not learn that a message was stored: too many do");
            return;
        };
        // If the sender is owned here and about to be handed over, the next owner must publish it.
        let senders = self.users.ownership(self.env.subjects.partition_of_user(sender));
        let unpublished = (
            self.env.pending.clone().begin_owned(stored_ms),
            senders.map(|ownership| ownership.begin_in_doubt(stored_ms)),
        );
        let (send_path, sender) = (self.clone(), sender.clone());
        self.env.tasks.spawn(async move {
            let _held = (unpublished, place);
            let stopping = async {
                send_path.env.stopping.cancelled().await;
                sleep(NOTIFY_STOP_TIMEOUT).await;
            };
            let is_done = tokio::select! {
                is_done = send_path.try_notify(&sender, &request) => is_done,
                () = stopping => false,
            };
            if !is_done {
                tracing::warn!(
                    "a sender does not learn that a message was stored: no owner answers"
                );
            }
        });
    }

    /// Returns whether an owner has served the request.
    async fn try_notify(self: &Arc<Self>, sender: &UserId, request: &FollowLog) -> bool {
        let ends = Instant::now() + NOTIFY_SENDER_TIMEOUT;
        let mut wait = OWNER_REQUEST_RETRY_DELAY;
        for _ in 0..NOTIFY_SENDER_TRIES_MAX {
            let deadline = ends.min(self.env.deadline());
            match self.at_owner(sender, request, deadline).await {
                Ok(()) => return true,
                // A record that an owner cannot read now cannot be read later.
                Err(CallError::Failed(Failure::Internal)) => return false,
                Err(error) => tracing::debug!(%error, "a sender's owner does not answer yet"),
            }
            if Instant::now() + wait >= ends {
                return false;
            }
            sleep(wait).await;
            wait = (wait * 2).min(FOLLOW_RETRY_MAX);
        }
        false
    }
}
