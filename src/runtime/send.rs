//! The path of a send, from the sender's budget to the events of both sides.
//!
//! Read from top to bottom: [`Node::send`] is the sender's part, [`Node::deliver`] the receiver's.
//! They meet in plain values (`Delivery`, `Delivered`), since the receiver may belong to another
//! instance. Of all that, only the append waits for the store.

use std::sync::{Arc, MutexGuard};

use tokio::time::{Instant, sleep, sleep_until};

use super::cell::{STRAGGLER, Turn, UserCell};
use super::consign::may_be_stored;
use super::injected;
use super::load::LoadError;
use super::node::Node;
use super::route::NO_OWNER;
use super::tenure::Tenure;
use crate::bus::Bus;
use crate::domain::conversation::Head;
use crate::domain::event::Event;
use crate::domain::id::UserId;
use crate::domain::message::{Message, fingerprint};
use crate::domain::receive::{Delivered, Placed, Plan};
use crate::domain::repeats::{Known, Repeat};
use crate::domain::send::{Delivery, Purpose, Push, Send};
use crate::domain::user::User;
use crate::failpoint::{self, Fault};
use crate::storage::message;
use crate::storage::reads::{Found, Item};
use crate::store::{AppendError, Start, Store};
use crate::wire::failure::{CallError, Failure};
use crate::wire::reply::Sent;
use crate::wire::subject::Token;

/// How often a send is decided anew because the log had moved on.
const DECISIONS_MAX: usize = 4;
/// How much earlier than by peerd's clock the log is read back, for a server whose clock is behind.
const CLOCK_SLACK_MS: u64 = 2000;
/// The share of a call's time that is left to a message when its turn comes.
const TURN_RESERVE: u32 = 4;
/// Records read at once when the log is read back.
const READ_BACK: usize = 256;

impl<S: Store, B: Bus> Node<S, B> {
    /// Sends a message: the part of the sender's owner. The sender is logged in.
    pub(super) async fn send(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        deadline: Instant,
    ) -> Result<Sent, CallError> {
        send.validate(&sender.id, self.limits())?;
        self.room().check(&send)?;
        if failpoint::is(Fault::ContentLogged) {
            tracing::debug!(what = send.draft.extended_data, "a send");
        }
        let is_stored = send.draft.content.is_stored();
        if !is_stored {
            // Before it is let through: nobody knows what the owner before has let through last.
            sleep_until(sender.tenure.commands_from.min(deadline)).await;
        }
        let now = self.clock.now();
        let admitted = sender.lock().admit(is_stored, now.steady_us, self.limits());
        let place = match admitted {
            Ok(place) => place,
            Err(refusal) => {
                // A repeat is no new message: the rate is not what keeps its first answer back.
                if send.draft.local_id.is_none() {
                    return Err(refusal.into());
                }
                let delivery = delivery(&sender.lock(), send, now.wall_ms);
                return match self.consign(sender, &delivery, Purpose::Repeat, deadline).await {
                    Ok(Some(Delivered { message, .. })) => Ok(Sent { message, is_duplicate: true }),
                    Ok(None) | Err(_) => Err(refusal.into()),
                };
            }
        };
        let result = self.send_admitted(sender, send, now.wall_ms, deadline).await;
        let used = match &result {
            Ok(delivered) => !delivered.is_duplicate,
            // It may be stored.
            Err(error) => may_be_stored(error),
        };
        if !used {
            sender.lock().readmit(is_stored, place);
        }
        let Delivered { message, is_duplicate, .. } = result?;
        Ok(Sent { message, is_duplicate })
    }

    /// The first answer to a send that is a repeat, as far as memory knows: who is over the rate
    /// has nothing loaded or searched.
    pub(super) async fn repeated(
        &self,
        tenure: &Tenure,
        delivery: &Delivery,
        deadline: Instant,
    ) -> Option<Delivered> {
        let local_id = delivery.send.draft.local_id.as_ref()?;
        let receiver = tenure.cell_in_memory(&delivery.send.to)?;
        let oldest_ms = self.clock.wall_ms().saturating_sub(self.limits().repeat_window_ms);
        let known = {
            let user = receiver.lock();
            let conversation = user.conversations.get(&delivery.from)?;
            conversation.repeats.find(local_id, delivery.send.draft.fingerprint(), oldest_ms)
        };
        let Known::Same(stream_seq) = known else { return None };
        Box::pin(self.first_delivery(&receiver, delivery, stream_seq, deadline))
            .await
            .ok()
            .flatten()
    }

    async fn send_admitted(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        send: Box<Send>,
        timestamp_ms: u64,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        let is_stored = send.draft.content.is_stored();
        let to = send.to.clone();
        if is_stored && !sender.lock().has_settings_with(&to) {
            // What the receiver refuses leaves no trace.
            let asked = delivery(&sender.lock(), send.clone(), timestamp_ms);
            self.consign(sender, &asked, Purpose::Ask, deadline).await?;
            Box::pin(self.first_contact(sender, &to, deadline)).await?;
        }
        let (delivery, _in_flight) = {
            let user = sender.lock();
            let delivery = delivery(&user, send, timestamp_ms);
            // In the lock, so that whoever does not see it has its floor above what is published.
            let in_flight = self.in_flight.begin_delivery(&user.id, &to, delivery.floor);
            (delivery, in_flight)
        };
        let delivered = self.consign(sender, &delivery, Purpose::Deliver, deadline).await?;
        let delivered = delivered.ok_or(Failure::Internal)?;
        if !sender.tenure.may_act() && delivered.head.is_some() {
            // Nor is it told here.
            self.notify_sender(&sender.id, &to);
        }
        match delivered.head {
            Some(head) => {
                self.settle_received(sender, &to, head.key, deadline).await;
                self.tell_sender(sender, &delivered.message, head, &delivered.receiver_name);
            }
            None if delivered.is_duplicate => {}
            None => sender.lock().note_command(delivered.message.key),
        }
        Ok(delivered)
    }

    /// The sender's view after the store has acknowledged a message.
    pub(super) fn tell_sender(
        self: &Arc<Self>,
        sender: &Arc<UserCell>,
        message: &Arc<Message>,
        head: Head,
        receiver_name: &str,
    ) {
        let mut user = sender.lock();
        let told = user.sent(message, head, receiver_name);
        sender.tenure.clock.observe(message.key);
        self.note_revision(sender, &mut user);
        self.tell(sender, &user, &told);
    }

    /// Takes a message in: the part of the receiver's owner. Where it was sent before, and an owner
    /// before may have stored it since `sent_before_ms`, it is looked for in the log first.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        delivery: &Delivery,
        sent_before_ms: Option<u64>,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        let receiver = self.user(tenure, &delivery.send.to, deadline).await?;
        injected::accepted(receiver.lock().accepts(&delivery.from, self.limits()))?;
        if !delivery.send.draft.content.is_stored() {
            if sent_before_ms.is_some() {
                // Nothing is kept of it by which it would be found.
                return Err(Failure::OutcomeUnknown.into());
            }
            return Ok(self.deliver_live(&receiver, delivery));
        }
        // Whoever has waited longer is refused: begun that late, an append would have an unknown outcome.
        let latest = deadline - self.options.call_deadline / TURN_RESERVE;
        let turn = receiver.turn(&delivery.from, latest).await?;
        let began_ms = self.server_ms();
        for _ in 0..DECISIONS_MAX {
            if receiver.lock().has_untold(&delivery.from) {
                // It may be what is sent again, and is told before what comes after it.
                let caught_up = Box::pin(self.catch_up(&receiver, &delivery.from, deadline));
                caught_up.await.map_err(Failure::from)?;
            }
            if let Some(sent_ms) = sent_before_ms {
                // Each time: what is still on its way into the store comes before this, or not at all.
                let first = self.sent_before(&receiver, delivery, sent_ms, deadline);
                if let Some(first) = Box::pin(first).await? {
                    return Ok(first);
                }
            }
            let since_ms = self.recall(&receiver, delivery, deadline).await?;
            let clock = &receiver.tenure.clock;
            let in_flight = self.in_flight.begin_append(&delivery.from, &receiver.id, clock);
            let plan = {
                let user = receiver.lock();
                if user.has_untold(&delivery.from) {
                    // A load came in between.
                    continue;
                }
                let now_ms = self.clock.wall_ms();
                let since_ms = injected::repeats_since(since_ms);
                let plan = user.plan(delivery, receiver.partition, clock, now_ms, since_ms)?;
                injected::planned(plan, now_ms)
            };
            let placed = match plan {
                Plan::Repeat(seq) => {
                    let first = self.first_delivery(&receiver, delivery, seq, deadline);
                    if let Some(first) = Box::pin(first).await? {
                        return Ok(first);
                    }
                    let is_lost = self.compare_end(&receiver, &delivery.from, deadline);
                    if Box::pin(is_lost).await.map_err(Failure::from)? {
                        continue;
                    }
                    let is_known = |user: &User| {
                        let known = user.conversations.get(&delivery.from);
                        known.is_some_and(|known| known.repeats.covers(since_ms))
                    };
                    if !is_known(&receiver.lock()) {
                        // It is there and cannot be read.
                        continue;
                    }
                    tracing::warn!("a message that is to be repeated is not found");
                    return Err(Failure::StoreUnavailable.into());
                }
                Plan::Store(placed) => placed,
            };
            in_flight.drawn(placed.message.key);
            let push = delivery.send.options.push.as_ref();
            match self.append(&receiver, &delivery.from, &placed, push, deadline).await {
                Ok(seq) => {
                    let accepted =
                        self.accept_in_order(&receiver, delivery, *placed, seq, deadline);
                    return Ok(accepted.await);
                }
                Err(AppendError::Unknown) if failpoint::is(Fault::SuccessWithoutAck) => {
                    let seq = placed.expected_seq + 1;
                    return Ok(self.accept(&receiver, receiver.lock(), delivery, *placed, seq));
                }
                Err(AppendError::Conflict) => {
                    let caught_up = self.catch_up(&receiver, &delivery.from, deadline);
                    Box::pin(caught_up).await.map_err(Failure::from)?;
                }
                Err(AppendError::Unavailable(_)) if !receiver.tenure.may_act() => {
                    return Err(NO_OWNER.into());
                }
                Err(AppendError::Unavailable(why)) => {
                    // What does not pass by itself is told once, where it is known.
                    tracing::debug!(%why, "a message could not be stored");
                    return Err(Failure::StoreUnavailable.into());
                }
                Err(AppendError::Unknown) => {
                    self.find_out(receiver, delivery.from.clone(), turn, began_ms);
                    return Err(Failure::OutcomeUnknown.into());
                }
            }
        }
        tracing::error!("the log keeps moving on: does another instance write to this partition?");
        Err(Failure::StoreUnavailable.into())
    }

    /// A Command is told and forgotten.
    fn deliver_live(&self, receiver: &UserCell, delivery: &Delivery) -> Delivered {
        let mut user = receiver.lock();
        let clock = &receiver.tenure.clock;
        let message = user.command(delivery, receiver.partition, clock, self.clock.wall_ms());
        user.note_command(message.key);
        let message = Arc::new(message);
        let told = user.tell(vec![Event::PeerMessageReceived {
            messages: vec![message.clone()],
            from: delivery.from.clone(),
            offline: false,
        }]);
        self.tell(receiver, &user, &told);
        let receiver_name = user.account.name.clone();
        Delivered { message, head: None, receiver_name, is_duplicate: false }
    }

    async fn append(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        placed: &Placed,
        push: Option<&Push>,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let subject = self.log_subject(receiver, sender);
        let payload = message::encode(placed, push).map_err(|error| {
            tracing::error!(%error, "a record could not be written");
            AppendError::Unavailable("a record could not be written".to_owned())
        })?;
        let stream = receiver.log();
        self.write(receiver, stream, subject, payload, placed.expected_seq, deadline).await
    }

    /// The receiver's view after the store has acknowledged a message, as soon as nothing that
    /// crosses it can be stored with a smaller key.
    async fn accept_in_order(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        delivery: &Delivery,
        placed: Placed,
        stream_seq: u64,
        deadline: Instant,
    ) -> Delivered {
        let key = placed.message.key;
        let user = self.lock_in_order(receiver, &delivery.from, key, deadline).await;
        self.accept(receiver, user, delivery, placed, stream_seq)
    }

    fn accept(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        mut user: MutexGuard<'_, User>,
        delivery: &Delivery,
        placed: Placed,
        stream_seq: u64,
    ) -> Delivered {
        let head = placed.head(stream_seq);
        let message = Arc::new(placed.message);
        receiver.tenure.keep_for_a_while(&message);
        let fingerprint = delivery.send.draft.fingerprint();
        let told = user.receive(&message, head, &delivery.from_name);
        user.remember(&message, fingerprint, stream_seq, self.limits());
        self.note_revision(receiver, &mut user);
        self.tell(receiver, &user, &told);
        self.push_if_away(receiver, &user, delivery.send.options.push.as_ref(), &message);
        let receiver_name = user.account.name.clone();
        drop(user);
        Delivered { message, head: Some(head), receiver_name, is_duplicate: false }
    }

    /// Sees to it that what the sender sent in the time in which repeats are recognized is
    /// remembered, and answers since when that is. A pair that was silent for so long, or that is
    /// in memory, needs no read.
    async fn recall(
        &self,
        receiver: &UserCell,
        delivery: &Delivery,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let limits = self.limits();
        let options = &delivery.send.options;
        let span_ms =
            if options.is_retry { limits.retry_window_ms } else { limits.repeat_window_ms };
        let since_ms = self.clock.wall_ms().saturating_sub(span_ms);
        // This also puts the conversation there: should the outcome of its first message be
        // unknown, a load is not to take the message for one that was told.
        let is_remembered = receiver.lock().update(&delivery.from, |known| {
            if delivery.send.draft.local_id.is_none() {
                return true;
            }
            let is_silent = known.received.is_none_or(|head| head.timestamp_ms < since_ms);
            if is_silent && !known.repeats.covers(since_ms) {
                known.repeats.complete(since_ms, Vec::new());
            }
            known.repeats.covers(since_ms) && !failpoint::is(Fault::SendReadsTheLog)
        });
        if !is_remembered {
            let read = self.read_repeats(receiver, &delivery.from, since_ms, deadline);
            let read = Box::pin(read).await?;
            let mut user = receiver.lock();
            user.update(&delivery.from, |known| known.repeats.complete(since_ms, read));
        }
        Ok(since_ms)
    }

    async fn read_repeats(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        since_ms: u64,
        deadline: Instant,
    ) -> Result<Vec<Repeat>, LoadError> {
        let mut repeats = Vec::new();
        let mut from = Start::TimeMs(since_ms.saturating_sub(CLOCK_SLACK_MS));
        let pair = self.pair(sender, &receiver.id);
        loop {
            let page = self.storage(deadline).page(&pair, from, READ_BACK).await?;
            for Found { stream_seq, stored, .. } in page.items.into_iter().filter_map(Item::message)
            {
                let Message { local_id, timestamp_ms, content, extended_data, .. } =
                    &stored.message;
                if let (Some(local_id), true) = (local_id, *timestamp_ms >= since_ms) {
                    let fingerprint = fingerprint(content, extended_data);
                    repeats.push(Repeat::new(local_id, fingerprint, *timestamp_ms, stream_seq));
                }
            }
            match page.next {
                Some(next) => from = Start::Seq(next),
                None => return Ok(repeats),
            }
        }
    }

    /// The answer that the first of repeated sends had. `None` where it is not found: the store lost
    /// its end, or retention took it. Another message may be in its place then.
    async fn first_delivery(
        &self,
        receiver: &UserCell,
        repeat: &Delivery,
        stream_seq: u64,
        deadline: Instant,
    ) -> Result<Option<Delivered>, CallError> {
        let sender = &repeat.from;
        let pair = self.pair(sender, &receiver.id);
        let page = self.storage(deadline).page(&pair, Start::Seq(stream_seq), 1).await;
        let page = page.map_err(|error| Failure::from(LoadError::from(error)))?;
        let there = page.items.into_iter().find(|item| item.stream_seq() == stream_seq);
        let stored = match there {
            Some(Item::Message(found)) => found.stored,
            Some(Item::Unreadable { .. }) => {
                // It is sent anew: nobody can say what the first one was.
                receiver.lock().update(sender, |known| known.repeats.forget());
                return Ok(None);
            }
            None => return Ok(None),
        };
        if stored.message.local_id != repeat.send.draft.local_id {
            return Ok(None);
        }
        Ok(Some(Delivered {
            message: Arc::new(stored.message),
            head: None,
            receiver_name: String::new(),
            is_duplicate: true,
        }))
    }

    pub(super) fn log_subject(&self, receiver: &UserCell, sender: &UserId) -> String {
        let sender = Token::of(sender);
        self.subjects.log(receiver.partition, &receiver.token, &sender)
    }

    /// Finds out, after the caller was told that the outcome is unknown, whether the message was
    /// stored. The pair's turn is kept until then: nothing may be decided on a guess.
    fn find_out(
        self: &Arc<Self>,
        receiver: Arc<UserCell>,
        sender: UserId,
        turn: Turn,
        began_ms: u64,
    ) {
        let (node, work) = (self.clone(), receiver.tenure.go_on());
        // It may have been stored at any time since. Whoever takes over either side is to know: a
        // notice to the sender's owner can be lost while the sender changes hands.
        let senders = self.tenure(self.subjects.partition(&Token::of(&sender)));
        let under_way = (
            self.pending.clone().begin_owned(began_ms),
            receiver.tenure.begin_unsure(began_ms),
            senders.map(|tenure| tenure.begin_unsure(began_ms)),
        );
        self.tasks.spawn(async move {
            let _under_way = under_way;
            node.resolve(&receiver, &sender, (turn, work)).await;
            if !receiver.tenure.may_act() {
                // Whoever owns the receiver now tells the receiver, and the sender may be here still.
                sleep(STRAGGLER).await;
                node.notify_sender(&sender, &receiver.id);
            }
        });
    }
}

/// A message on its way, as its sender knows things now.
fn delivery(sender: &User, send: Box<Send>, timestamp_ms: u64) -> Box<Delivery> {
    Box::new(Delivery {
        from: sender.id.clone(),
        from_name: sender.account.name.clone(),
        timestamp_ms,
        floor: sender.floor_for(&send.to),
        sent_seq: sender.sent_seq(&send.to),
        send: *send,
    })
}
