//! Requests to the owners of users, and inquiries about requests without an answer.
//!
//! The server reports "no responders" only if its subject has no subscriber at all, and any client
//! may subscribe. So after a while without an answer, the requester sends an inquiry to the present
//! owner of the partition. A request that was not begun is sent again; one that a former owner may
//! have stored is sent so that the new owner searches its log first.

use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::received::Inquired;
use super::router::{Route, Router};
use super::tuning::{INQUIRE_EVERY, NO_OWNER, OWNER_REQUEST_RETRY_DELAY};
use super::users::{LoadError, Ownership, What};
use crate::bus::{AskError, Bus, IsAnswer, Kind, Outgoing};
use crate::store::Store;
use crate::wire::owner_request::{self, Begun, OwnerRequest, WasBegun};
use peerd_core::id::{Partition, UserId};
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

/// The outcome of a request.
pub(super) enum Outcome<A> {
    /// It was answered, or refused.
    Answered(Result<A, CallError>),
    /// Nothing was done, and nothing will be.
    NotDone,
    /// The present owner has not performed it and will not. A former owner may have.
    NotDoneHere,
    /// It may or may not have been done.
    Unknown,
}

/// The result of an inquiry.
enum Inquiry {
    Answered(Begun),
    /// No result: the next inquiry may have one.
    Nothing,
    /// The owner's release knows no inquiries.
    NotUnderstood,
    /// The partition had no owner in time.
    NoOwner,
}

/// How long a request may take, and what its caller is answered if the outcome stays unknown.
pub(super) struct Terms {
    /// The time until which the partition may be without an owner.
    pub(super) owner_until: Instant,
    /// By when the caller has to have the answer.
    pub(super) deadline: Instant,
    /// The failure if it cannot be known whether another owner has served the request.
    pub(super) unknown: Failure,
}

/// The recipient of a request.
pub(super) struct Recipient<'r> {
    pub(super) user: &'r Token,
    pub(super) partition: Partition,
    /// The time until which the partition may be without an owner.
    pub(super) until: Instant,
}

impl<S: Store, B: Bus> Router<S, B> {
    /// Serves a request on the owner of a user: here, with `serve`, or on another instance. The
    /// request may be served more than once, and has no effect that matters to the caller.
    pub(super) async fn at_owner<R: OwnerRequest, F>(
        &self,
        user: &UserId,
        request: &R,
        deadline: Instant,
        serve: impl FnOnce(Arc<Ownership>) -> F,
    ) -> Result<R::Answer, CallError>
    where
        F: Future<Output = Result<R::Answer, CallError>>,
    {
        let terms = self.terms(deadline, Failure::StoreUnavailable);
        self.at_owner_on(terms, user, request, serve).await
    }

    /// The usual terms of a request: it waits for an owner as long as a call does.
    pub(super) fn terms(&self, deadline: Instant, unknown: Failure) -> Terms {
        let owner_until = deadline.min(Instant::now() + self.env.options.owner_wait);
        Terms { owner_until, deadline, unknown }
    }

    /// As [`Self::at_owner`], on these terms.
    pub(super) async fn at_owner_on<R: OwnerRequest, F>(
        &self,
        Terms { owner_until, deadline, unknown }: Terms,
        user: &UserId,
        request: &R,
        serve: impl FnOnce(Arc<Ownership>) -> F,
    ) -> Result<R::Answer, CallError>
    where
        F: Future<Output = Result<R::Answer, CallError>>,
    {
        let token = Token::of(user);
        let partition = self.env.subjects.partition(&token);
        let mut recipient = Recipient { user: &token, partition, until: owner_until };
        // The answer if no owner serves it any more. A former one may have.
        let mut unserved = None;
        loop {
            match self.wait_for_owner(partition, What::Delivery, recipient.until).await {
                Route::Here(work) => {
                    let served = serve(work.ownership.clone()).await;
                    // Held until here: a hand-over waits for the request.
                    drop(work);
                    return certain(unserved, served);
                }
                Route::There => {}
                Route::Nowhere => return Err(unserved.unwrap_or_else(|| self.no_owner()).into()),
            }
            match self.request_owner(&recipient, request, deadline).await {
                Outcome::Answered(answer) => return certain(unserved, answer),
                Outcome::NotDone => {}
                Outcome::NotDoneHere => {
                    unserved = Some(unknown);
                    // To give up early would leave the caller without a certain answer.
                    recipient.until = deadline;
                }
                Outcome::Unknown => return Err(unknown.into()),
            }
            let waited = self.wait_to_send_again(recipient.until).await;
            waited.map_err(|failure| unserved.unwrap_or(failure))?;
        }
    }

    /// Waits before a request that reached no owner is sent again, unless `until` is near.
    pub(super) async fn wait_to_send_again(&self, until: Instant) -> Result<(), Failure> {
        if Instant::now() + OWNER_REQUEST_RETRY_DELAY >= until {
            return Err(NO_OWNER);
        }
        // Returns early if the owner changes.
        let _ = timeout_at(Instant::now() + OWNER_REQUEST_RETRY_DELAY, self.table.changed()).await;
        Ok(())
    }

    /// Sends a request to another owner until its outcome is known, or until the deadline.
    pub(super) async fn request_owner<R: OwnerRequest>(
        &self,
        recipient: &Recipient<'_>,
        request: &R,
        deadline: Instant,
    ) -> Outcome<R::Answer> {
        let Ok(body) = request.encode() else {
            return Outcome::Answered(Err(Failure::Internal.into()));
        };
        let (began, reply_to) = (Instant::now(), self.env.bus.inbox());
        let outgoing = self.owner_request(recipient.user, body, reply_to.clone());
        let mut asked = pin!(self.env.bus.ask(outgoing, is_answer::<R>(), deadline));
        let mut inquires = true;
        loop {
            let next = Instant::now() + INQUIRE_EVERY;
            tokio::select! {
                biased;
                answer = &mut asked => {
                    return outcome(request, recipient.partition, answer.map(|it| it.body));
                }
                () = sleep_until(next), if inquires => {}
            }
            // Boxed, because a call's state is as large as the largest unboxed future.
            let inquiry = Box::pin(self.inquire(recipient, &reply_to, deadline));
            let inquiry = tokio::select! {
                biased;
                answer = &mut asked => {
                    return outcome(request, recipient.partition, answer.map(|it| it.body));
                }
                inquiry = inquiry => inquiry,
            };
            match inquiry {
                Inquiry::Answered(Begun::No { known_for }) => {
                    // An owner that has had the partition since before the request was sent would
                    // know it.
                    let is_sure = known_for >= began.elapsed();
                    return if is_sure { Outcome::NotDone } else { Outcome::NotDoneHere };
                }
                Inquiry::NoOwner => return Outcome::Unknown,
                Inquiry::NotUnderstood => inquires = false,
                Inquiry::Answered(Begun::Yes) | Inquiry::Nothing => {}
            }
        }
    }

    /// Asks the present owner of the partition whether a request was begun.
    async fn inquire(
        &self,
        recipient: &Recipient<'_>,
        reply_to: &str,
        deadline: Instant,
    ) -> Inquiry {
        let Recipient { user, partition, until } = *recipient;
        // The request is in progress, and an owner that was silent for a moment may still answer
        // it.
        let until = until.max(Instant::now() + 2 * INQUIRE_EVERY).min(deadline);
        match self.wait_for_owner(partition, What::Delivery, until).await {
            // This instance has become the owner.
            Route::Here(work) => {
                return Inquiry::Answered(self.inquired(&work.ownership, reply_to));
            }
            Route::Nowhere => return Inquiry::NoOwner,
            Route::There => {}
        }
        let until = deadline.min(Instant::now() + 2 * INQUIRE_EVERY);
        let inquiry = WasBegun { reply_to: reply_to.to_owned() };
        match self.request_once((user, partition), &inquiry, until).await {
            Ok(Ok(begun)) => Inquiry::Answered(begun),
            Ok(Err(CallError::Failed(Failure::Internal))) => Inquiry::NotUnderstood,
            // That instance has too much in progress, or is no longer the owner.
            Ok(Err(_)) | Err(AskError::Unknown) => Inquiry::Nothing,
            Err(AskError::Nobody) => {
                sleep_until(until.min(Instant::now() + INQUIRE_EVERY / 10)).await;
                Inquiry::Nothing
            }
        }
    }

    /// Sends a request to another owner once, without inquiries: a later answer would be of no use.
    pub(super) async fn request_once<R: OwnerRequest>(
        &self,
        (user, partition): (&Token, Partition),
        request: &R,
        until: Instant,
    ) -> Result<Result<R::Answer, CallError>, AskError> {
        let Ok(body) = request.encode() else { return Ok(Err(Failure::Internal.into())) };
        let outgoing = self.owner_request(user, body, self.env.bus.inbox());
        let answer = self.env.bus.ask(outgoing, is_answer::<R>(), until).await?;
        Ok(read(request, partition, &answer.body))
    }

    /// Whether a request to this instance was begun. If not, it will not be.
    pub(super) fn inquired(&self, ownership: &Ownership, reply_to: &str) -> Begun {
        match self.received.inquire(reply_to) {
            Inquired::Begun => Begun::Yes,
            Inquired::NotBegun(known_for) => {
                let owned_for = ownership.opened.elapsed();
                let known_for = known_for.map_or(owned_for, |known_for| known_for.min(owned_for));
                Begun::No { known_for }
            }
        }
    }

    fn owner_request(&self, user: &Token, body: Bytes, reply_to: String) -> Outgoing {
        let kind = Kind::Routed { reply_to: Some(reply_to.into()), content_type: None, hops: 0 };
        let encoding = Encoding::MessagePack;
        Outgoing { subject: self.env.subjects.ask(user).into(), encoding, kind, body, permit: None }
    }
}

/// The answer of the last owner. `unserved` is the failure if a former owner may have served the
/// request, too: then a rejection may be for what that owner has changed.
fn certain<A>(unserved: Option<Failure>, answer: Result<A, CallError>) -> Result<A, CallError> {
    match (unserved, answer) {
        (Some(unknown @ Failure::OutcomeUnknown), Err(CallError::Rejected(_))) => {
            Err(unknown.into())
        }
        (_, answer) => answer,
    }
}

fn is_answer<R: OwnerRequest>() -> IsAnswer {
    Box::new(|answer| owner_request::is_answer::<R>(&answer.body))
}

fn outcome<R: OwnerRequest>(
    request: &R,
    partition: Partition,
    answer: Result<Bytes, AskError>,
) -> Outcome<R::Answer> {
    match answer {
        Ok(answer) => Outcome::Answered(read(request, partition, &answer)),
        Err(AskError::Nobody) => Outcome::NotDone,
        Err(AskError::Unknown) => Outcome::Unknown,
    }
}

fn read<R: OwnerRequest>(
    request: &R,
    partition: Partition,
    answer: &[u8],
) -> Result<R::Answer, CallError> {
    let answer = owner_request::decode_answer(request, answer, partition);
    answer.unwrap_or_else(|error| Err(Failure::from(LoadError::from(error)).into()))
}
