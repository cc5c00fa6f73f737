//! The sender's side follows the log: for messages that are stored without the sender's owner having
//! been told so.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use crate::bus::Bus;
use crate::runtime::cell::{STRAGGLER, UserCell};
use crate::runtime::load::LoadError;
use crate::runtime::node::Node;
use crate::runtime::owner_request::AGAIN;
use crate::store::Store;
use crate::wire::owner_request::FollowLog;
use peerd_core::id::UserId;
use peerd_core::message::Direction;
use peerd_core::send::Delivery;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

/// Most that is waited between two looks, or between two requests to the sender's owner.
const AGAIN_MAX: Duration = Duration::from_secs(1);
/// How long the owner of a sender is sought, and how often it is asked: far longer than a partition
/// is without an owner after a death.
const NOTIFY_FOR: Duration = Duration::from_secs(60);
const NOTIFY_TRIES: u32 = 100;

impl<S: Store, B: Bus> Node<S, B> {
    /// Finds out, after the caller was told that the outcome is unknown, whether the message was
    /// stored by the owner of its receiver: the sender's own view follows the log.
    pub(super) fn follow_unknown(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        delivery: &Delivery,
        began_ms: u64,
    ) {
        if !delivery.send.draft.content.is_stored() {
            return;
        }
        let (node, sender) = (self.clone(), sender.clone());
        let receiver = delivery.send.to.clone();
        let mut published_seq = delivery.sent_seq;
        // Should this owner die before, or give the sender to another, that one has to publish it.
        let under_way =
            (self.pending.clone().begin_owned(began_ms), sender.ownership.begin_in_doubt(began_ms));
        self.tasks.spawn(async move {
            let _under_way = under_way;
            // The other owner has its own deadline, and what it has given up may still be stored.
            let ends = Instant::now() + node.options.call_deadline + STRAGGLER;
            let mut wait = AGAIN;
            while Instant::now() < ends && sender.ownership.may_act() {
                sender.ownership.sleep(wait).await;
                wait = (wait * 4).min(AGAIN_MAX);
                let deadline = node.deadline();
                match node.follow_log(&sender, &receiver, published_seq, deadline).await {
                    Ok(seq) => published_seq = seq,
                    Err(error) => tracing::debug!(%error, "could not look again"),
                }
            }
            if !sender.ownership.may_act() {
                // Whoever owns the sender now did not see the answer that is missing, and what is
                // stored later yet is nobody else's to notice.
                node.notify_sender(&sender.id, &receiver, began_ms);
                sleep_until(ends).await;
                node.notify_sender(&sender.id, &receiver, began_ms);
            }
        });
    }

    /// Looks what the log has of the user's own messages to `receiver`, takes in what is new, and
    /// publishes it. What is known here may have been loaded since, so that nobody was told: what is
    /// above `published_seq` is published again. Answers up to where it is published now.
    pub(in crate::runtime) async fn follow_log(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        receiver: &UserId,
        published_seq: u64,
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let pair = self.pair(&sender.id, receiver);
        let Some(last) = self.storage(deadline).newest_at_leader(&pair).await? else {
            return Ok(published_seq);
        };
        let (head, stored) = (last.head(), last.stored);
        let is_new = {
            let user = sender.lock();
            let known = user.conversations.get(receiver);
            let known = known.and_then(|known| known.head(Direction::Send));
            known.is_none_or(|known| known.mark.seq < head.mark.seq)
        };
        if is_new {
            let name = self.name(receiver, deadline).await?;
            self.settle_received(sender, receiver, head.key, deadline).await;
            self.commit_sent(sender, &Arc::new(stored.message), head, &name);
        } else if head.mark.seq > published_seq {
            self.publish_sent(&sender.id, receiver).await?;
        }
        Ok(head.mark.seq.max(published_seq))
    }

    /// Has the owner of `sender` publish what the log has of the messages to `receiver`: one of
    /// `stored_ms` (server's clock, milliseconds since 1970) was stored without that owner being
    /// told. Asked again until an owner has answered. Until then it counts as unpublished, so that
    /// what this instance owned is published again if it dies.
    pub(in crate::runtime) fn notify_sender(
        self: &Arc<Self>,
        sender: &UserId,
        receiver: &UserId,
        stored_ms: u64,
    ) {
        let Ok(place) = self.notices.clone().try_acquire_owned() else {
            tracing::warn!("a sender does not learn that a message was stored: too many do");
            return;
        };
        // If the sender is here and about to be handed over, the next owner is to publish it.
        let senders = self.ownership(self.subjects.partition(&Token::of(sender)));
        let unpublished = (
            self.pending.clone().begin_owned(stored_ms),
            senders.map(|ownership| ownership.begin_in_doubt(stored_ms)),
        );
        let (node, sender) = (self.clone(), sender.clone());
        let request = FollowLog { receiver: receiver.clone() };
        self.tasks.spawn(async move {
            let _held = (unpublished, place);
            let ends = Instant::now() + NOTIFY_FOR;
            let mut wait = AGAIN;
            for _ in 0..NOTIFY_TRIES {
                let deadline = ends.min(node.deadline());
                match node.at_owner(&sender, &request, deadline).await {
                    Ok(()) => return,
                    // What an owner cannot read now it cannot read later, either.
                    Err(CallError::Failed(Failure::Internal)) => break,
                    Err(error) => tracing::debug!(%error, "a sender's owner does not answer yet"),
                }
                if Instant::now() + wait >= ends {
                    break;
                }
                sleep(wait).await;
                wait = (wait * 2).min(AGAIN_MAX);
            }
            tracing::warn!("a sender does not learn that a message was stored: no owner answers");
        });
    }
}
