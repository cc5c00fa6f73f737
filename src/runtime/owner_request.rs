//! A request to the owner of a user of another partition, and what is known of it when no answer
//! comes.
//!
//! The server says that a request met nobody only where nobody at all is subscribed to its subject.
//! So a request that has no answer after a while is inquired about, at whoever owns the partition by
//! then: one that was not begun is sent again.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::node::Node;
use super::received::Inquired;
use super::route::Route;
use super::tenure::{Tenure, What};
use crate::bus::{Answer, AskError, Bus, IsAnswer, Kind, Outgoing};
use crate::domain::id::Partition;
use crate::store::Store;
use crate::wire::delivery::{self, Inquiry};
use crate::wire::encoding::Encoding;
use crate::wire::subject::Token;

/// After how long without an answer it is inquired about a request, and again.
const INQUIRE_EVERY: Duration = Duration::from_millis(250);

/// What came of a request.
pub(super) enum Asked {
    /// It was answered.
    Answered(Bytes),
    /// Nothing was done, and nothing will be.
    NotDone,
    /// The present owner has not done it and will not. An owner before may have.
    NotDoneHere,
    /// It may or may not have been done.
    Unknown,
}

/// What an inquiry came to.
enum Told {
    Inquiry(Inquiry),
    /// Nothing: the next may.
    Nothing,
    /// The owner's release knows no inquiries.
    NotUnderstood,
    /// Nobody came to own the partition in time.
    NoOwner,
}

/// Whom a request is for.
pub(super) struct Recipient<'r> {
    pub(super) user: &'r Token,
    pub(super) partition: Partition,
    /// Until when the partition may be without an owner.
    pub(super) until: Instant,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Sends a request to the owner of a user, until it is known what came of it, or the deadline.
    pub(super) async fn ask_owner(
        &self,
        recipient: &Recipient<'_>,
        body: Bytes,
        deadline: Instant,
    ) -> Asked {
        let (began, reply_to) = (Instant::now(), self.bus.inbox());
        let request = self.owner_request(recipient.user, body, reply_to.clone());
        let is_answer: IsAnswer = Box::new(|answer: &Answer| delivery::is_answer(&answer.body));
        let mut request = pin!(self.bus.ask(request, is_answer, deadline));
        let mut inquires = true;
        loop {
            let next = Instant::now() + INQUIRE_EVERY;
            tokio::select! {
                biased;
                answer = &mut request => return asked(answer),
                () = sleep_until(next), if inquires => {}
            }
            // In a box: a call's state has room for the largest that is not in one.
            let inquiry = Box::pin(self.inquire(recipient, &reply_to, deadline));
            let told = tokio::select! {
                biased;
                answer = &mut request => return asked(answer),
                told = inquiry => told,
            };
            match told {
                Told::Inquiry(Inquiry::NotBegun { known_for }) => {
                    // Whoever has had the partition since before the request was sent would know.
                    let is_sure = known_for >= began.elapsed();
                    return if is_sure { Asked::NotDone } else { Asked::NotDoneHere };
                }
                Told::NoOwner => return Asked::Unknown,
                Told::NotUnderstood => inquires = false,
                Told::Inquiry(Inquiry::Begun) | Told::Nothing => {}
            }
        }
    }

    /// Asks whoever owns the partition whether a request was begun.
    async fn inquire(&self, recipient: &Recipient<'_>, reply_to: &str, deadline: Instant) -> Told {
        let Recipient { user, partition, until } = *recipient;
        // The request is under way, and an owner that was silent for a moment may still answer it.
        let until = until.max(Instant::now() + 2 * INQUIRE_EVERY).min(deadline);
        match self.wait_for_owner(partition, What::Delivery, until).await {
            // It came to this instance meanwhile.
            Route::Here(work) => return Told::Inquiry(self.inquired(&work.tenure, reply_to)),
            Route::Nowhere => return Told::NoOwner,
            Route::There => {}
        }
        let Ok(body) = delivery::encode_inquiry(reply_to) else { return Told::NotUnderstood };
        let inquiry = self.owner_request(user, body, self.bus.inbox());
        let is_answer: IsAnswer = Box::new(|answer: &Answer| {
            delivery::decode_inquired(&answer.body).is_ok() || delivery::is_answer(&answer.body)
        });
        let until = deadline.min(Instant::now() + 2 * INQUIRE_EVERY);
        match self.bus.ask(inquiry, is_answer, until).await {
            Ok(answer) => match delivery::decode_inquired(&answer.body) {
                Ok(inquiry) => Told::Inquiry(inquiry),
                Err(_) if delivery::is_not_understood(&answer.body) => Told::NotUnderstood,
                // Too much is under way there, or it is not the owner any more.
                Err(_) => Told::Nothing,
            },
            Err(AskError::Nobody) => {
                sleep_until(until.min(Instant::now() + INQUIRE_EVERY / 10)).await;
                Told::Nothing
            }
            Err(AskError::Unknown) => Told::Nothing,
        }
    }

    /// Whether a request to this instance was begun. If not, it will not be.
    pub(super) fn inquired(&self, tenure: &Tenure, reply_to: &str) -> Inquiry {
        match self.received.inquire(reply_to) {
            Inquired::Begun => Inquiry::Begun,
            Inquired::NotBegun(known_for) => {
                let owned_for = tenure.opened.elapsed();
                let known_for = known_for.map_or(owned_for, |known_for| known_for.min(owned_for));
                Inquiry::NotBegun { known_for }
            }
        }
    }

    /// A request to the owner of a user.
    pub(super) fn owner_request(&self, user: &Token, body: Bytes, reply_to: String) -> Outgoing {
        let kind = Kind::Routed { reply_to: Some(reply_to), content_type: None, hops: 0 };
        let encoding = Encoding::MessagePack;
        Outgoing { subject: self.subjects.ask(user), encoding, kind, body, permit: None }
    }
}

fn asked(answer: Result<Answer, AskError>) -> Asked {
    match answer {
        Ok(answer) => Asked::Answered(answer.body),
        Err(AskError::Nobody) => Asked::NotDone,
        Err(AskError::Unknown) => Asked::Unknown,
    }
}
