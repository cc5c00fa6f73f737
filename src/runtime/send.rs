//! The path of a send, in the order in which it runs.
//!
//! 1. [`admit`](self::admit): the sender's state, once: session, rate, what the message builds on.
//! 2. [`deliver`](self::deliver): to the owner of the receiver, which is this instance or another.
//! 3. [`place`](self::place): the receiver's state, once: rules, repeat, key, `messageSeq`, pages.
//! 4. The append, the only step that waits for the store.
//! 5. [`commit`](self::commit): the receiver's state and then the sender's, once each: counts,
//!    events.
//!
//! `admit`, `place` and `commit` are synchronous functions of locked state. For two users in
//! memory, [`direct`](self::direct) joins them without a task. All other sends take the
//! asynchronous path in this file, which calls the same functions: another owner, a busy pair, a
//! first contact, repeats ([`repeats`](self::repeats)), an outcome in doubt
//! ([`catch_up`](self::catch_up) at the receiver's owner, [`follow`](self::follow) at the
//! sender's).

mod admit;
mod catch_up;
mod commit;
mod counted;
mod deliver;
mod direct;
mod follow;
mod in_order;
mod place;
mod repeats;
mod serve;

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use self::admit::{Admission, Admitted};
use self::commit::Stored;
use self::deliver::{Accepted, may_be_stored};
use super::ageing::Ageing;
use super::commit::Entries;
use super::conversations::Conversations;
use super::crossing::{Flight, InFlight};
use super::delivery_reports::DeliveryReports;
use super::env::Env;
use super::injected;
use super::publisher::Publisher;
use super::pushes::Pushes;
use super::redelivery::Redelivery;
use super::router::Router;
use super::session::Sessions;
use super::tuning::{DECISIONS_MAX, NO_OWNER, NOTICES_MAX, PAIR_LOCK_RESERVE_SHARE};
use super::users::{Ownership, PairLock, QueuedPairLock, UserCell, Users, Work};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::storage::message;
use crate::store::{Append, AppendError, Appending, Store};
use crate::wire::owner_request::{Deliver, MaySend};
use peerd_core::id::{Direction, UserId};
use peerd_core::rate::Place;
use peerd_core::receive::{Delivered, Placed, Plan};
use peerd_core::send::{Delivery, Push, Send};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::reply;
use peerd_protocol::size::needed_by;

pub(super) use self::direct::{Beginning, Direct, Rest};
pub(super) use self::serve::Served;

/// The source of a message, for the receiver's owner.
struct Source<'s> {
    /// The sender, if this instance owns it.
    sender: Option<&'s Arc<UserCell>>,
    flight: &'s mut Flight,
    /// Its place in the queue of its pair, if it has one already.
    queued: Option<QueuedPairLock>,
}

/// A delivery whose append is in progress.
struct InAppend {
    /// Delays a hand-over of the receiver's partition.
    _work: Work,
    receiver: Arc<UserCell>,
    pair_lock: PairLock,
    began_ms: u64,
    append: BegunAppend,
}

/// An append in progress.
struct BegunAppend {
    placed: Placed,
    appending: Appending,
}

/// Sends messages.
pub(super) struct SendPath<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) publisher: Arc<Publisher<S, B>>,
    pub(super) pushes: Arc<Pushes<S, B>>,
    pub(super) conversations: Arc<Conversations<S, B>>,
    pub(super) ageing: Arc<Ageing<S, B>>,
    pub(super) sessions: Arc<Sessions<S, B>>,
    pub(super) entries: Arc<Entries<S, B>>,
    pub(super) redelivery: Arc<Redelivery<S, B>>,
    pub(super) router: Arc<Router<S, B>>,
    pub(super) delivery_reports: Arc<DeliveryReports<S, B>>,
    /// Permits for senders whose owners are asked to follow the log.
    pub(super) notices: Arc<Semaphore>,
    /// Permits for replies that are counted.
    pub(super) counts: Arc<Semaphore>,
}

impl<S: Store, B: Bus> SendPath<S, B> {
    /// All permits for notices.
    pub(super) fn notices() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(NOTICES_MAX))
    }

    /// Sends a message: the part of the sender's owner. Counts as a call of the sender.
    pub(super) async fn send(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        deadline: Instant,
    ) -> Result<reply::Sent, CallError> {
        self.send_queued(sender, send, None, deadline).await
    }

    /// Sends a message, which may have its place in the queue of its pair already.
    async fn send_queued(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        queued: Option<QueuedPairLock>,
        deadline: Instant,
    ) -> Result<reply::Sent, CallError> {
        if let Err(rejection) = self.check(sender, &send) {
            // Only a logged-in user gets the reason of a refusal.
            self.sessions.note_last_seen(sender)?;
            return Err(rejection.into());
        }
        let is_stored = send.draft.content.is_stored();
        if !is_stored && sender.ownership.commands_from > Instant::now() {
            // It is unknown how many Commands the previous owner accepted last.
            sleep_until(sender.ownership.commands_from.min(deadline)).await;
        }
        let now = self.env.clock.now();
        let mut admission = self.admit(sender, send, now)?;
        if let Admission::Admitted(admitted, _) = &mut admission {
            admitted.queued = queued;
        }
        self.send_on(sender, admission, now.wall_ms, deadline).await
    }

    /// Delivers a message that its sender's owner has admitted at a time (milliseconds since 1970).
    async fn send_on(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        admission: Admission,
        wall_ms: u64,
        deadline: Instant,
    ) -> Result<reply::Sent, CallError> {
        let (is_stored, place, delivered) = match admission {
            Admission::Admitted(admitted, place) => {
                let is_stored = admitted.delivery.send.draft.content.is_stored();
                (is_stored, place, self.send_admitted(sender, admitted, None, deadline).await)
            }
            Admission::FirstContact(send, place) => {
                (true, place, Box::pin(self.send_first(sender, send, wall_ms, deadline)).await)
            }
            Admission::OverRate(send, refusal) => {
                return Box::pin(self.repeat_over_rate(sender, *send, refusal, deadline)).await;
            }
        };
        let mut sent = conclude(sender, is_stored, place, delivered)?;
        if sent.is_duplicate {
            Box::pin(self.show_repeat(sender, &mut sent.message, deadline)).await?;
        }
        Ok(sent)
    }

    async fn send_admitted(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        Admitted { delivery, mut flight, queued }: Admitted,
        in_append: Option<InAppend>,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        let (to, began_ms) = (delivery.send.to.clone(), self.env.server_ms());
        // Each of the two users sees the original in another way.
        let reply = delivery.send.draft.reply.clone();
        let request = Deliver { delivery, sent_before_ms: None };
        let sent = match in_append {
            None => {
                let waiting = (&mut flight, queued);
                self.deliver_to_owner(sender, request, waiting, began_ms, deadline).await
            }
            Some(in_append) => {
                let source = Source { sender: Some(sender), flight: &mut flight, queued };
                Box::pin(self.deliver_on(in_append, &request, source, deadline)).await
            }
        };
        let Accepted { mut delivered, is_settled } = sent?;
        if !sender.ownership.may_act() && delivered.head.is_some() {
            // It is not published here either.
            self.notify_sender(&sender.id, &to, began_ms);
        }
        match delivered.head {
            Some(head) => {
                if !is_settled {
                    self.in_flight.settle_received(sender, &to, head.key, deadline).await;
                }
                let is_reply = reply.is_some();
                if let Some(reply) = reply {
                    Arc::make_mut(&mut delivered.message).set_original(reply.original);
                }
                self.commit_sent(sender, &delivered.message, head, &delivered.receiver_profile);
                flight.keep(&delivered.message);
                if is_reply {
                    Box::pin(self.publish_count(sender, &delivered.message)).await;
                }
            }
            None if delivered.is_duplicate => {}
            None => sender.lock().note_command(delivered.message.key),
        }
        Ok(delivered)
    }

    /// The first message to a user: the sender's conversation entry is written before it, so that
    /// the conversation can be found. A refused message leaves no trace.
    async fn send_first(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        timestamp_ms: u64,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        let needed_bytes = needed_by(&send);
        let request = MaySend { from: sender.id.clone(), needed_bytes };
        self.at_owner(&send.to, &request, deadline).await?;
        self.entries.first_contact(sender, &send.to, deadline).await?;
        let admitted = {
            let user = sender.lock();
            let basis = user.basis(&send.to);
            self.admitted(&user, send, basis, timestamp_ms)
        };
        self.send_admitted(sender, admitted, None, deadline).await
    }

    /// Takes in a message that another instance delivers.
    pub(super) async fn take_delivery(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        request: &Deliver,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        let delivery = &request.delivery;
        let mut flight = self.in_flight.begin(&delivery.from, &delivery.send.to);
        let source = Source { sender: None, flight: &mut flight, queued: None };
        Ok(self.deliver(ownership, request, source, deadline).await?.delivered)
    }

    /// Takes in a message: the part of the receiver's owner.
    async fn deliver(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        request: &Deliver,
        source: Source<'_>,
        deadline: Instant,
    ) -> Result<Accepted, CallError> {
        if request.delivery.send.draft.reply.is_none() {
            return self
                .take_in(ownership, request, source, deadline)
                .await
                .map(|(_, taken)| taken);
        }
        let taken = Box::pin(self.take_in(ownership, request, source, deadline));
        let (receiver, accepted) = taken.await?;
        if accepted.delivered.head.is_some() {
            Box::pin(self.publish_count(&receiver, &accepted.delivered.message)).await;
        }
        Ok(accepted)
    }

    async fn take_in(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        request: &Deliver,
        mut source: Source<'_>,
        deadline: Instant,
    ) -> Result<(Arc<UserCell>, Accepted), CallError> {
        let Deliver { delivery, sent_before_ms } = request;
        let receiver = self.ageing.user(ownership, &delivery.send.to, deadline).await?;
        if !delivery.send.draft.content.is_stored() {
            let live = self.deliver_live(&receiver, delivery, sent_before_ms.is_some())?;
            return Ok((receiver, Accepted::unsettled(live)));
        }
        let queued = source.queued.take().filter(|queued| queued.is_of(&receiver));
        let pair_lock = match queued {
            None => receiver.try_pair_lock(&delivery.from),
            Some(_) => None,
        };
        let pair_lock = if let Some(pair_lock) = pair_lock {
            pair_lock
        } else {
            let queued = queued.unwrap_or_else(|| receiver.queue_for_pair_lock(&delivery.from));
            Box::pin(self.wait_for_pair(&receiver, delivery, queued, deadline)).await?
        };
        let pair_lock = (pair_lock, self.env.server_ms());
        let mut shown = None;
        if delivery.send.draft.reply.is_some() {
            shown = Some(Box::pin(self.show_received(&receiver, request, deadline)).await?);
        }
        let request = shown.as_ref().unwrap_or(request);
        let taken = receiver.clone();
        let accepted =
            self.deliver_under_pair_lock(taken, pair_lock, None, request, source, deadline).await?;
        Ok((receiver, accepted))
    }

    /// Continues a delivery whose append is in progress.
    async fn deliver_on(
        self: &Arc<Self>,
        in_append: InAppend,
        request: &Deliver,
        source: Source<'_>,
        deadline: Instant,
    ) -> Result<Accepted, CallError> {
        let InAppend { _work, receiver, pair_lock, began_ms, append } = in_append;
        let pair_lock = (pair_lock, began_ms);
        self.deliver_under_pair_lock(receiver, pair_lock, Some(append), request, source, deadline)
            .await
    }

    /// A reply with its original as its receiver sees it.
    async fn show_received(
        &self,
        receiver: &UserCell,
        request: &Deliver,
        deadline: Instant,
    ) -> Result<Deliver, CallError> {
        let mut request = request.clone();
        let from = &request.delivery.from;
        let known = receiver.lock().conversations.get(from).cloned().unwrap_or_default();
        if let Some(reply) = &mut request.delivery.send.draft.reply {
            let direction = reply.to.direction(Direction::Receive);
            let history = &self.conversations.history;
            let original =
                history.original(receiver, (from, &known), (direction, reply.to), deadline);
            reply.original = original.await.map_err(Failure::from)?;
        }
        Ok(request)
    }

    /// Takes in a message under the pair lock, which was taken at `began_ms` by the server's clock.
    async fn deliver_under_pair_lock(
        self: &Arc<Self>,
        receiver: Arc<UserCell>,
        (pair_lock, began_ms): (PairLock, u64),
        mut begun: Option<BegunAppend>,
        Deliver { delivery, sent_before_ms }: &Deliver,
        source: Source<'_>,
        deadline: Instant,
    ) -> Result<Accepted, CallError> {
        let repeats_since_ms = self.repeats_since_ms(delivery, self.env.clock.wall_ms());
        if failpoint::is(Fault::SendReadsTheLog) {
            Box::pin(self.read_back(&receiver, delivery, repeats_since_ms, deadline)).await?;
        }
        for _ in 0..DECISIONS_MAX {
            if let Some(sent_ms) = sent_before_ms {
                // Each time, since a late write is stored either before this append or not at all.
                let first = self.sent_before(&receiver, delivery, *sent_ms, deadline);
                if let Some(first) = Box::pin(first).await? {
                    return Ok(Accepted::unsettled(first));
                }
            }
            let (placed, appended) = if let Some(BegunAppend { placed, appending }) = begun.take() {
                let appended = appending.await;
                (placed, appended.and_then(|seq| receiver.wrote(receiver.log(), seq)))
            } else {
                let times = (self.env.clock.wall_ms(), repeats_since_ms);
                let plan = self.place(&receiver, delivery, times, source.flight)?;
                let Plan::Store(placed) = plan else {
                    let since_ms = repeats_since_ms;
                    let known = self.prepare(&receiver, delivery, &plan, since_ms, deadline);
                    match Box::pin(known).await? {
                        Some(first) => return Ok(Accepted::unsettled(first)),
                        None => continue,
                    }
                };
                let push = delivery.send.options.push.as_ref();
                let from = &delivery.from;
                let appended = self.append(&receiver, from, &placed, push, deadline).await;
                (placed, appended)
            };
            match injected::appended(appended, placed.expected_seq + 1) {
                Ok(seq) => {
                    let stored = Stored::placed(delivery, placed, seq);
                    let of_sender = source.sender.map(|sender| &sender.ownership);
                    return Ok(self.commit_in_order(&receiver, stored, of_sender, deadline).await);
                }
                Err(AppendError::Conflict) => {
                    source.flight.give_up_key();
                    let caught_up = self.catch_up(&receiver, &delivery.from, deadline);
                    Box::pin(caught_up).await.map_err(Failure::from)?;
                }
                Err(AppendError::Unavailable(_)) if !receiver.ownership.may_act() => {
                    return Err(NO_OWNER.into());
                }
                Err(AppendError::Unavailable(why)) => {
                    // Lasting problems are logged once, by `Troubles`.
                    tracing::debug!(%why, "a message could not be stored");
                    return Err(Failure::StoreUnavailable.into());
                }
                Err(AppendError::Unknown) => {
                    self.resolve(receiver, delivery.from.clone(), pair_lock, began_ms);
                    return Err(Failure::OutcomeUnknown.into());
                }
            }
        }
        tracing::error!("the log keeps moving on: does another instance write to this partition?");
        Err(Failure::StoreUnavailable.into())
    }

    /// Waits until no other message of the pair is in progress.
    async fn wait_for_pair(
        &self,
        receiver: &Arc<UserCell>,
        delivery: &Delivery,
        queued: QueuedPairLock,
        deadline: Instant,
    ) -> Result<PairLock, CallError> {
        // A refused message does not wait.
        injected::accepted(receiver.lock().accepts(&delivery.from, self.env.limits()))?;
        // Refused after a longer wait: an append that begins so late would have an unknown outcome.
        let latest = deadline - self.env.options.call_deadline / PAIR_LOCK_RESERVE_SHARE;
        Ok(queued.wait(latest).await?)
    }

    /// Does the work that a plan requires before a message can be stored. Returns the message that
    /// it repeats; `None`: it must be placed again.
    async fn prepare(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        delivery: &Delivery,
        plan: &Plan,
        repeats_since_ms: u64,
        deadline: Instant,
    ) -> Result<Option<Delivered>, CallError> {
        match plan {
            Plan::Store(_) => {}
            Plan::CatchUp => {
                let caught_up = self.catch_up(receiver, &delivery.from, deadline).await;
                caught_up.map_err(Failure::from)?;
            }
            Plan::ReadBack => {
                self.read_back(receiver, delivery, repeats_since_ms, deadline).await?;
            }
            Plan::Repeat(stream_seq) => {
                let since_ms = repeats_since_ms;
                return self.repeat(receiver, delivery, *stream_seq, since_ms, deadline).await;
            }
        }
        Ok(None)
    }

    async fn append(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        placed: &Placed,
        push: Option<&Push>,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let append = self.record(receiver, sender, placed, push)?;
        self.users.write(receiver, append, deadline).await
    }

    /// The record of a message.
    fn record(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        placed: &Placed,
        push: Option<&Push>,
    ) -> Result<Append, AppendError> {
        let subject = self.users.log_subject(receiver, sender);
        let payload = message::encode(&injected::stored(placed), push).map_err(|error| {
            tracing::error!(%error, "a record could not be written");
            AppendError::Unavailable("a record could not be written".to_owned())
        })?;
        Ok(Append { stream: receiver.log(), subject, payload, expected_seq: placed.expected_seq })
    }
}

/// The answer to the caller. A message that was not accepted gives its slot of the rate limit back.
fn conclude(
    sender: &UserCell,
    is_stored: bool,
    place: Place,
    delivered: Result<Delivered, CallError>,
) -> Result<reply::Sent, CallError> {
    let is_used = match &delivered {
        Ok(delivered) => !delivered.is_duplicate,
        // The message may be stored.
        Err(error) => may_be_stored(error),
    };
    if !is_used {
        sender.lock().readmit(is_stored, place);
    }
    let Delivered { message, is_duplicate, .. } = delivered?;
    Ok(reply::Sent { message, is_duplicate })
}

#[cfg(test)]
mod allocations;
#[cfg(test)]
mod tests;
