//! Delivers a message to the owner of its receiver: this instance, or another by a `Deliver`
//! request.

use std::sync::Arc;

use tokio::time::Instant;

use super::{SendPath, Source};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::crossing::Flight;
use crate::runtime::owner_request::{Outcome, Recipient};
use crate::runtime::router::Route;
use crate::runtime::tuning::NO_OWNER;
use crate::runtime::users::{QueuedPairLock, UserCell, What};
use crate::store::Store;
use crate::wire::owner_request::Deliver;
use peerd_core::receive::Delivered;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

/// The answer of the receiver's owner to a message.
pub(super) struct Accepted {
    pub(super) delivered: Delivered,
    /// Whether it may be published to its sender, because no crossing message can be stored with a
    /// smaller key. Otherwise that must be settled first.
    pub(super) is_settled: bool,
}

impl Accepted {
    pub(super) const fn unsettled(delivered: Delivered) -> Self {
        Self { delivered, is_settled: false }
    }
}

/// A delivery to the owner of a receiver.
struct Attempt<'a> {
    flight: &'a mut Flight,
    queued: Option<QueuedPairLock>,
    began_ms: u64,
    /// Whether a former owner may have stored it.
    may_be_there: bool,
}

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Delivers a message to the owner of the receiver.
    pub(super) async fn deliver_to_owner(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        mut request: Deliver,
        (flight, queued): (&mut Flight, Option<QueuedPairLock>),
        began_ms: u64,
        deadline: Instant,
    ) -> Result<Accepted, CallError> {
        let mut attempt = Attempt { flight, queued, began_ms, may_be_there: false };
        let sent = self.try_deliver_to_owner(sender, &mut request, &mut attempt, deadline).await;
        if sent.is_err() && attempt.may_be_there {
            // Regardless of later outcomes.
            self.follow_unknown(sender, &request.delivery, began_ms);
            return Err(Failure::OutcomeUnknown.into());
        }
        sent
    }

    /// [`SendPath::deliver_to_owner`] without following an unknown outcome. The message is sent
    /// again only if nothing was done, or in a way that cannot store it twice.
    async fn try_deliver_to_owner(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        request: &mut Deliver,
        attempt: &mut Attempt<'_>,
        deadline: Instant,
    ) -> Result<Accepted, CallError> {
        let receiver = Token::of(&request.delivery.send.to);
        let partition = self.env.subjects.partition(&receiver);
        let until = deadline.min(Instant::now() + self.env.options.owner_wait);
        let recipient = Recipient { user: &receiver, partition, until };
        loop {
            let route = self.router.wait_for_owner(partition, What::Delivery, until).await;
            if !sender.ownership.may_act() && !failpoint::is(Fault::FormerOwnerSends) {
                // Another instance decides for the sender now.
                return Err(NO_OWNER.into());
            }
            match route {
                Route::Here(work) => {
                    let queued = attempt.queued.take();
                    let flight = &mut *attempt.flight;
                    let source = Source { sender: Some(sender), flight, queued };
                    return self.deliver(&work.ownership, request, source, deadline).await;
                }
                Route::There => {}
                Route::Nowhere => return Err(self.router.no_owner().into()),
            }
            match self.router.request_owner(&recipient, request, deadline).await {
                Outcome::Answered(answer) => {
                    if let Ok(Delivered { head: Some(head), .. }) = &answer {
                        self.env.storage(deadline).note_stored(partition, head.stream_seq);
                    }
                    attempt.may_be_there |= answer.as_ref().is_err_and(may_be_stored);
                    return answer.map(Accepted::unsettled);
                }
                Outcome::NotDone => self.router.wait_to_send_again(until).await?,
                // A former owner may have stored it, and it must not be stored twice.
                Outcome::NotDoneHere => {
                    request.sent_before_ms.get_or_insert(attempt.began_ms);
                    attempt.may_be_there = true;
                }
                Outcome::Unknown => {
                    attempt.may_be_there = true;
                    return Err(Failure::StoreUnavailable.into());
                }
            }
        }
    }
}

/// Whether a message may be stored although its delivery failed.
pub(super) fn may_be_stored(error: &CallError) -> bool {
    *error == CallError::Failed(Failure::OutcomeUnknown)
}
