//! A delivery between two owners: in one process by a call, between two by a request.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::cell::{STRAGGLER, UserCell};
use super::injected;
use super::load::LoadError;
use super::node::Node;
use super::owner_request::{Asked, Recipient};
use super::route::{NO_OWNER, Route};
use super::tenure::{Tenure, What, Work};
use crate::bus::{Bus, Incoming, Kind, Outgoing};
use crate::domain::id::UserId;
use crate::domain::message::Direction;
use crate::domain::receive::Delivered;
use crate::domain::send::{Delivery, Purpose};
use crate::failpoint::{self, Fault};
use crate::store::Store;
use crate::wire::delivery::{self, Answer, Ask};
use crate::wire::encoding::Encoding;
use crate::wire::failure::{CallError, Failure};
use crate::wire::packed::EncodeError;
use crate::wire::subject::Token;

/// Wait before somebody is asked again who was not there.
const AGAIN: Duration = Duration::from_millis(20);
/// Most that is waited between two looks for a message of unknown outcome.
const AGAIN_MAX: Duration = Duration::from_secs(1);

impl<S: Store, B: Bus> Node<S, B> {
    /// Has the receiver's owner do something with a delivery, whoever that is.
    pub(super) async fn consign(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        delivery: &Delivery,
        purpose: Purpose,
        deadline: Instant,
    ) -> Answer {
        let began_ms = self.server_ms();
        let mut consigned = Consigned { purpose, may_be_stored: false };
        let answer = self.consign_once(sender, delivery, &mut consigned, began_ms, deadline).await;
        if answer.is_err() && consigned.may_be_stored {
            // Whatever else was met after that.
            self.find_sent(sender, delivery, began_ms);
            return Err(Failure::OutcomeUnknown.into());
        }
        answer
    }

    /// [`Node::consign`], as far as it is known. Repeated only where nothing was done, or so that
    /// nothing is done twice.
    async fn consign_once(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        delivery: &Delivery,
        consigned: &mut Consigned,
        began_ms: u64,
        deadline: Instant,
    ) -> Answer {
        let receiver = Token::of(&delivery.send.to);
        let partition = self.subjects.partition(&receiver);
        let until = deadline.min(Instant::now() + self.options.owner_wait);
        let recipient = Recipient { user: &receiver, partition, until };
        loop {
            let route = self.wait_for_owner(partition, What::Delivery, until).await;
            if !sender.tenure.may_act() && !failpoint::is(Fault::FormerOwnerSends) {
                // What was decided for the sender is somebody else's to decide now.
                return Err(NO_OWNER.into());
            }
            match route {
                Route::Here(work) => {
                    let purpose = consigned.purpose;
                    return self.accept_delivery(&work.tenure, delivery, purpose, deadline).await;
                }
                Route::There => {}
                Route::Nowhere => return Err(self.no_owner().into()),
            }
            let body = delivery::encode(delivery, consigned.purpose);
            let body = body.map_err(|_| Failure::Internal)?;
            match self.ask_owner(&recipient, body, deadline).await {
                Asked::Answered(answer) => {
                    let (from, to) = (&delivery.from, &delivery.send.to);
                    let answer = delivery::decode_answer(&answer, from, to, partition);
                    let answer = answer.map_err(|error| Failure::from(LoadError::from(error)))?;
                    if let Ok(Some(Delivered { head: Some(head), .. })) = &answer {
                        self.storage(deadline).note_stored(partition, head.stream_seq);
                    }
                    consigned.may_be_stored |= answer.as_ref().is_err_and(may_be_stored);
                    return answer;
                }
                Asked::NotDone => {
                    if Instant::now() + AGAIN >= until {
                        return Err(NO_OWNER.into());
                    }
                    let _ = timeout_at(Instant::now() + AGAIN, self.table.changed()).await;
                }
                Asked::NotDoneHere => consigned.may_be_there(began_ms),
                Asked::Unknown => {
                    consigned.may_be_there(began_ms);
                    return Err(Failure::StoreUnavailable.into());
                }
            }
        }
    }

    /// The receiver's owner's part.
    async fn accept_delivery(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        delivery: &Delivery,
        purpose: Purpose,
        deadline: Instant,
    ) -> Answer {
        match purpose {
            Purpose::Deliver => self.deliver(tenure, delivery, None, deadline).await.map(Some),
            Purpose::DeliverAgain(since_ms) => {
                self.deliver(tenure, delivery, Some(since_ms), deadline).await.map(Some)
            }
            Purpose::Ask => {
                let receiver = self.user(tenure, &delivery.send.to, deadline).await?;
                injected::accepted(receiver.lock().accepts(&delivery.from, self.limits()))?;
                Ok(None)
            }
            Purpose::Repeat => Ok(self.repeated(tenure, delivery, deadline).await),
        }
    }

    /// Handles a request of another instance to its end.
    pub(super) async fn handle_ask(
        self: &Arc<Self>,
        incoming: Incoming,
        user: &UserId,
        work: Work,
    ) {
        let _under_way = self.pending.begin(self.server_ms());
        match delivery::decode(&incoming.body, user) {
            Ok(Ask::Deliver(delivery, purpose)) => {
                let is_new = incoming.reply_to.as_ref().is_none_or(|it| self.received.begin(it));
                if !is_new {
                    // Its sender was told that it was not begun, or it came twice.
                    return;
                }
                // Before whoever asks gives up: an answer that is known is better than none.
                let deadline = Instant::now() + self.options.call_deadline * 4 / 5;
                // The servers of a cluster may differ in what they take.
                let answer = match self.room().check(&delivery.send) {
                    Ok(()) => {
                        self.accept_delivery(&work.tenure, &delivery, purpose, deadline).await
                    }
                    Err(rejection) => Err(rejection.into()),
                };
                self.emit_any(answer_to_ask(&incoming, &answer));
            }
            Ok(Ask::LookAgain(receiver)) => {
                let looked = async {
                    let sender = self.user(&work.tenure, user, self.deadline()).await?;
                    // Nobody here knows what the sender was told of it.
                    let looked = self.look_again(&sender, &receiver, 0, self.deadline()).await;
                    looked.map(drop).map_err(Failure::from)
                };
                if let Err(error) = Box::pin(looked).await {
                    tracing::debug!(%error, "could not look again");
                }
            }
            Ok(Ask::Settle(sender, key)) => {
                let way = (&sender, user);
                self.settle_here(&work.tenure, way, key, self.deadline()).await;
                self.emit_any(answer_to_ask(&incoming, &Ok(None)));
            }
            Ok(Ask::Audit) => {
                let tenure = work.tenure.clone();
                // A hand-over does not wait for it.
                drop(work);
                Box::pin(self.answer_audit(&tenure, user, &incoming)).await;
            }
            Ok(Ask::Inquire(reply_to)) => {
                let inquiry = self.inquired(&work.tenure, &reply_to);
                self.emit_any(answer_to(&incoming, delivery::encode_inquired(inquiry)));
            }
            Err(error) => {
                tracing::error!(%error, "another instance asks what this one does not understand");
                self.emit_any(answer_to_ask(&incoming, &Err(Failure::Internal.into())));
            }
        }
    }

    /// Finds out, after the caller was told that the outcome is unknown, whether the message was
    /// stored by the owner of its receiver: the sender's own view follows the log.
    fn find_sent(self: &Arc<Self>, sender: &Arc<UserCell>, delivery: &Delivery, began_ms: u64) {
        if !delivery.send.draft.content.is_stored() {
            return;
        }
        let (node, sender) = (self.clone(), sender.clone());
        let receiver = delivery.send.to.clone();
        let mut told_seq = delivery.sent_seq;
        // Should this owner die before, or give the sender to another, that one has to tell.
        let under_way =
            (self.pending.clone().begin_owned(began_ms), sender.tenure.begin_unsure(began_ms));
        self.tasks.spawn(async move {
            let _under_way = under_way;
            // The other owner has its own deadline, and what it has given up may still be stored.
            let ends = Instant::now() + node.options.call_deadline + STRAGGLER;
            let mut wait = AGAIN;
            while Instant::now() < ends && sender.tenure.may_act() {
                sender.tenure.sleep(wait).await;
                wait = (wait * 4).min(AGAIN_MAX);
                let deadline = node.deadline();
                match node.look_again(&sender, &receiver, told_seq, deadline).await {
                    Ok(seq) => told_seq = seq,
                    Err(error) => tracing::debug!(%error, "could not look again"),
                }
            }
            if !sender.tenure.may_act() {
                // Whoever owns the sender now did not see the answer that is missing, and what is
                // stored later yet is nobody else's to notice.
                node.notify_sender(&sender.id, &receiver);
                sleep_until(ends).await;
                node.notify_sender(&sender.id, &receiver);
            }
        });
    }

    /// Looks what the log has of the user's own messages to `receiver`, takes in what is new, and
    /// tells of it. What is known here may have been loaded since, so that nobody was told: what is
    /// above `told_seq` is told again. Answers up to where it is told now.
    async fn look_again(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        receiver: &UserId,
        told_seq: u64,
        deadline: Instant,
    ) -> Result<u64, LoadError> {
        let pair = self.pair(&sender.id, receiver);
        let Some(last) = self.storage(deadline).newest_at_leader(&pair).await? else {
            return Ok(told_seq);
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
            self.tell_sender(sender, &Arc::new(stored.message), head, &name);
        } else if head.mark.seq > told_seq {
            let told = self.tell_of_sent(&sender.id, receiver).await;
            if told.is_err() {
                return Ok(told_seq);
            }
        }
        Ok(head.mark.seq.max(told_seq))
    }

    /// Has the owner of `sender` look again what was sent to `receiver`: it was stored without the
    /// sender's owner being told.
    pub(super) fn notify_sender(self: &Arc<Self>, sender: &UserId, receiver: &UserId) {
        let subject = self.subjects.ask(&Token::of(sender));
        match delivery::encode_look_again(receiver) {
            Ok(body) => {
                let kind = Kind::Routed { reply_to: None, content_type: None, hops: 0 };
                let encoding = Encoding::MessagePack;
                self.emit(Outgoing { subject, encoding, kind, body, permit: None });
            }
            Err(error) => tracing::error!(%error, "a notice could not be written"),
        }
    }
}

/// What is known of a delivery to the owner of its receiver.
struct Consigned {
    purpose: Purpose,
    /// Whether another owner may have stored it.
    may_be_stored: bool,
}

impl Consigned {
    /// An owner may have done it, who does not answer. What is stored must not be stored twice.
    const fn may_be_there(&mut self, since_ms: u64) {
        match self.purpose {
            Purpose::Deliver => {
                self.purpose = Purpose::DeliverAgain(since_ms);
                self.may_be_stored = true;
            }
            Purpose::DeliverAgain(_) | Purpose::Ask | Purpose::Repeat => {}
        }
    }
}

/// The answer to a request of another instance.
pub(super) fn answer_to_ask(incoming: &Incoming, answer: &Answer) -> Option<Outgoing> {
    answer_to(incoming, delivery::encode_answer(answer))
}

fn answer_to(incoming: &Incoming, body: Result<Bytes, EncodeError>) -> Option<Outgoing> {
    let subject = incoming.reply_to.clone()?;
    match body {
        Ok(body) => {
            let (encoding, kind) = (Encoding::MessagePack, Kind::Answer);
            Some(Outgoing { subject, encoding, kind, body, permit: None })
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            None
        }
    }
}

/// Whether a delivery may have happened although it failed.
pub(super) fn may_be_stored(error: &CallError) -> bool {
    *error == CallError::Failed(Failure::OutcomeUnknown)
}
