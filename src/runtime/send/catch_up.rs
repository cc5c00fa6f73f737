//! Reads the log up to its end after an append in doubt, and takes in the messages found.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::SendPath;
use super::commit::Stored;
use super::deliver::Accepted;
use crate::bus::Bus;
use crate::runtime::injected;
use crate::runtime::tuning::{
    CATCH_UP_RECORDS_PER_READ, CATCH_UP_RETRY_DELAY, CATCH_UP_SLACK_MS, CATCH_UP_TIMEOUT,
    LATE_WRITE_MAX,
};
use crate::runtime::users::{LoadError, Ownership, PairLock, UserCell, Work};
use crate::storage::reads::{Found, Item, Logged, Slot};
use crate::store::{ReadError, Start, Store};
use peerd_core::amendment::{Removed, Stub};
use peerd_core::conversation::Conversation;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::message::Message;
use peerd_core::receive::Delivered;
use peerd_core::reply::Original;
use peerd_core::send::Delivery;
use peerd_core::user::User;
use peerd_protocol::failure::{CallError, Failure};

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Takes in the messages of `sender` in the log that were not published, as after their
    /// acknowledgement. Call it under the pair lock.
    pub(in crate::runtime) async fn catch_up(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let mut missed_ms = None;
        let caught_up = self.take_in_newer(receiver, sender, &mut missed_ms, deadline).await;
        if let Some(missed_ms) = missed_ms {
            self.notify_sender(sender, &receiver.id, missed_ms);
        }
        caught_up
    }

    /// [`SendPath::catch_up`] without notifying the sender's owner, which is necessary if
    /// `missed_ms` has a time.
    async fn take_in_newer(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        missed_ms: &mut Option<u64>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let published_seq =
            receiver.lock().conversations.get(sender).map_or(0, |known| known.published_seq);
        let pair = self.env.pair(sender, &receiver.id);
        let amended = receiver.amended(sender, Direction::Receive);
        let (mut next, mut is_ahead) = (Some(published_seq + 1), false);
        while let Some(from) = next {
            let start = Start::Seq(from);
            let page = self
                .env
                .storage(deadline)
                .page(&pair, &amended, start, CATCH_UP_RECORDS_PER_READ)
                .await?;
            next = page.next;
            for item in page.items {
                is_ahead = true;
                self.take_in_record(receiver, sender, item, missed_ms, deadline).await?;
            }
        }
        if !is_ahead {
            self.users.compare_end(receiver, sender, deadline).await?;
        }
        Ok(())
    }

    /// Takes in a message that was found in the log, on both sides. If the sender is not in memory,
    /// `missed_ms` is set to the time from which the sender's owner must read the log.
    async fn take_in_record(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        item: Item,
        missed_ms: &mut Option<u64>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let (stream, seq) = (receiver.log(), item.stream_seq());
        let Found { mut stored, stored_ms, .. } = match item {
            Item::Slot(Slot::Message(found)) => found,
            Item::Slot(Slot::Removed(removed)) => {
                let (head, counts) = (removed.head(), removed.stub.counts);
                receiver.lock().update(sender, |known| known.take_in_removed(head, counts));
                receiver.ownership.gap_tracker(stream).note(seq);
                return Ok(());
            }
            Item::Unreadable { .. } => {
                receiver.lock().update(sender, |known| known.pass_over(seq));
                receiver.ownership.gap_tracker(stream).note(seq);
                return Ok(());
            }
        };
        let in_memory = self.users.user_in_memory(sender);
        let sender_profile = match &in_memory {
            Some(cell) => cell.lock().account.profile.clone(),
            None => self.conversations.profile(sender, deadline).await?,
        };
        let key = stored.message.key;
        let of_sender =
            self.show_found(receiver, in_memory.as_ref(), &mut stored.message, deadline).await?;
        let _newest = self.hold_newer(receiver, sender, key, deadline).await?;
        let push = stored.push.clone();
        let stored = Stored::found(stored, push.as_ref(), seq, &sender_profile);
        let senders = in_memory.as_ref().map(|cell| &cell.ownership);
        let Accepted { mut delivered, is_settled } =
            self.commit_in_order(receiver, stored, senders, deadline).await;
        drop(self.publish_count_later(receiver, &delivered.message));
        match in_memory.zip(delivered.head) {
            Some((sender, head)) => {
                if !is_settled {
                    self.in_flight.settle_received(&sender, &receiver.id, key, deadline).await;
                }
                if let Some(original) = of_sender {
                    Arc::make_mut(&mut delivered.message).set_original(original);
                }
                self.commit_sent(&sender, &delivered.message, head, &delivered.receiver_profile);
                drop(self.publish_count_later(&sender, &delivered.message));
            }
            None => *missed_ms = missed_ms.or(Some(stored_ms)),
        }
        receiver.ownership.gap_tracker(stream).note(seq);
        Ok(())
    }

    /// Reads the original of a reply that was found in the log, as its receiver sees it. Returns it
    /// as its sender does, if that user is in memory.
    async fn show_found(
        &self,
        receiver: &UserCell,
        sender: Option<&Arc<UserCell>>,
        message: &mut Message,
        deadline: Instant,
    ) -> Result<Option<Original>, LoadError> {
        let Some(reference) = message.reply().map(|reply| reply.to) else { return Ok(None) };
        let history = &self.conversations.history;
        let of_sender = match sender {
            Some(cell) => {
                let other = &receiver.id;
                let known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
                let wanted = (reference.direction(Direction::Send), reference);
                Some(history.original(cell, (other, &known), wanted, deadline).await?)
            }
            None => None,
        };
        let other = message.sender.clone();
        let known = receiver.lock().conversations.get(&other).cloned().unwrap_or_default();
        history.show_original(receiver, (&other, &known), message, deadline).await?;
        Ok(of_sender)
    }

    /// Loads the newest message of a conversation if it is newer than `key` and no longer in
    /// memory. While the returned value exists, that message is shown as the last one instead of
    /// the late one with `key`.
    async fn hold_newer(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        key: OrderKey,
        deadline: Instant,
    ) -> Result<Option<Arc<Message>>, LoadError> {
        let known = {
            let user = receiver.lock();
            let known = user.conversations.get(sender);
            let is_newer =
                |known: &&Conversation| known.order_key() > key && known.newest.upgrade().is_none();
            known.filter(is_newer).cloned()
        };
        let Some(known) = known else { return Ok(None) };
        let page = [(sender.clone(), known)];
        let newest = self.conversations.previews(receiver, &page, deadline).await?.pop();
        let Some(newest) = newest.and_then(|preview| preview.last_message) else { return Ok(None) };
        receiver.lock().update(sender, |known| {
            if known.newest.upgrade().is_none() {
                known.newest = Arc::downgrade(&newest);
            }
        });
        Ok(Some(newest))
    }

    /// Takes in a message of the log that is a foreign write, or this owner's own without an
    /// acknowledgement.
    pub(in crate::runtime) async fn take_in_foreign(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        Logged { receiver, sender, record }: Logged,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let (sender, stream_seq) = (&sender, record.stream_seq());
        let receiver = self.ageing.user(ownership, &receiver, deadline).await;
        let receiver = receiver.map_err(|failure| ReadError(failure.to_string()))?;
        // Under the pair lock: it may be this instance's own message, not published yet.
        let Ok(_pair_lock) = receiver.pair_lock(sender, deadline).await else { return Ok(()) };
        let known =
            |user: &User| user.conversations.get(sender).map_or(0, |known| known.published_seq);
        let published_seq = known(&receiver.lock());
        self.catch_up(&receiver, sender, deadline).await?;
        if published_seq < stream_seq || ownership.gap_tracker(receiver.log()).knows(stream_seq) {
            return Ok(());
        }
        // A load has found it, but it is not published.
        let storage = self.env.storage(deadline);
        let records = vec![(sender.clone(), receiver.id.clone(), record)];
        let amended = |sender: &UserId, _: &UserId| receiver.amended(sender, Direction::Receive);
        let items = storage.amended(receiver.partition, records, amended).await?;
        let Some(item) = items.into_iter().next() else { return Ok(()) };
        let mut missed_ms = None;
        let taken_in = if let Item::Slot(Slot::Message(found)) = &item
            && is_deleted(&receiver, sender, found)
        {
            missed_ms = Some(found.stored_ms);
            Ok(())
        } else {
            self.take_in_record(&receiver, sender, item, &mut missed_ms, deadline).await
        };
        if let Some(missed_ms) = missed_ms {
            self.notify_sender(sender, &receiver.id, missed_ms);
        }
        taken_in
    }

    /// The answer to a delivery that a former owner stored since `sent_ms` without answering;
    /// `None` if none did.
    pub(super) async fn sent_before(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        delivery: &Delivery,
        sent_ms: u64,
        deadline: Instant,
    ) -> Result<Option<Delivered>, CallError> {
        let (sender, draft) = (&delivery.from, &delivery.send.draft);
        let has_unpublished = {
            let user = receiver.lock();
            injected::accepted(user.accepts(sender, self.env.limits()))?;
            user.conversations.get(sender).is_some_and(Conversation::has_unpublished)
        };
        if has_unpublished {
            // It may be the repeated message, and must be published before later ones.
            self.catch_up(receiver, sender, deadline).await.map_err(Failure::from)?;
        }
        let pair = self.env.pair(sender, &receiver.id);
        let amended = receiver.amended(sender, Direction::Receive);
        let mut from = Start::TimeMs(sent_ms.saturating_sub(CATCH_UP_SLACK_MS));
        loop {
            let page = self
                .env
                .storage(deadline)
                .page(&pair, &amended, from, CATCH_UP_RECORDS_PER_READ)
                .await;
            let page = page.map_err(|error| Failure::from(LoadError::from(error)))?;
            for item in page.items {
                let slot = item.required().map_err(Failure::from)?;
                let head = slot.head();
                let stored = match slot {
                    Slot::Message(found) => found.stored,
                    Slot::Removed(Removed { stub, .. }) if may_be(&stub, delivery) => {
                        return Err(Failure::OutcomeUnknown.into());
                    }
                    Slot::Removed(_) => continue,
                };
                let message = &stored.message;
                let is_it = message.seq > delivery.sent_seq
                    && message.timestamp_ms == delivery.timestamp_ms
                    && message.local_id == draft.local_id
                    && message.fingerprint() == draft.fingerprint();
                if !is_it {
                    continue;
                }
                if draft.local_id.is_none() {
                    // Or another message with the same content, sent in the same millisecond.
                    return Err(Failure::OutcomeUnknown.into());
                }
                return Ok(Some(Delivered {
                    head: Some(head),
                    message: Arc::new(stored.message),
                    receiver_profile: receiver.lock().account.profile.clone(),
                    is_duplicate: false,
                }));
            }
            match page.next {
                Some(next) => from = Start::Seq(next),
                None => return Ok(None),
            }
        }
    }

    /// Finds out, after the caller was answered `outcome_unknown`, whether the message was stored.
    /// The pair lock is held until then, so that no decision rests on a guess.
    pub(super) fn resolve(
        self: &Arc<Self>,
        receiver: Arc<UserCell>,
        sender: UserId,
        pair_lock: PairLock,
        began_ms: u64,
    ) {
        let (send_path, work) = (self.clone(), receiver.ownership.go_on());
        // It may have been stored at any time since. The next owner of either side must know this.
        let senders = self.users.ownership(self.env.subjects.partition_of_user(&sender));
        let under_way = (
            self.env.pending.clone().begin_owned(began_ms),
            receiver.ownership.begin_in_doubt(began_ms),
            senders.map(|ownership| ownership.begin_in_doubt(began_ms)),
        );
        self.env.tasks.spawn(async move {
            let _under_way = under_way;
            send_path.resolve_outcome(&receiver, &sender, (pair_lock, work)).await;
            if !receiver.ownership.may_act() {
                // The next owner of the receiver publishes it there, but the sender may still be
                // owned here.
                tokio::select! {
                    biased;
                    () = send_path.env.stopping.cancelled() => {}
                    () = sleep(LATE_WRITE_MAX) => {}
                }
                send_path.notify_sender(&sender, &receiver.id, began_ms);
            }
        });
    }

    /// Finds out whether a message was stored, however long it takes.
    async fn resolve_outcome(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        (pair_lock, work): (PairLock, Work),
    ) {
        while receiver.ownership.may_act() {
            match self.catch_up(receiver, sender, Instant::now() + CATCH_UP_TIMEOUT).await {
                Ok(()) => break,
                Err(LoadError::Read(error)) => {
                    tracing::warn!(%error, "it is not known yet whether a message was stored");
                    receiver.ownership.sleep(CATCH_UP_RETRY_DELAY).await;
                }
                Err(LoadError::Record(error)) => {
                    tracing::error!(%error, "the store holds what peerd cannot read");
                    return;
                }
            }
        }
        // A hand-over need not wait for the rest.
        drop((pair_lock, work));
        // If it is stored after that, the next append conflicts with it. This second check is for a
        // pair that falls silent, whose counts must be right too.
        receiver.ownership.sleep(LATE_WRITE_MAX).await;
        if !receiver.ownership.may_act() {
            return;
        }
        let deadline = Instant::now() + CATCH_UP_TIMEOUT;
        if let Ok(_pair_lock) = receiver.pair_lock(sender, deadline).await
            && let Err(error) = self.catch_up(receiver, sender, deadline).await
        {
            tracing::debug!(%error, "no second look after an unknown outcome");
            receiver.invalidate();
        }
    }
}

/// Whether a removed message may be the one that a delivery repeats.
fn may_be(stub: &Stub, delivery: &Delivery) -> bool {
    stub.mark.seq > delivery.sent_seq
        && stub.timestamp_ms == delivery.timestamp_ms
        && stub.local_id == delivery.send.draft.local_id
}

/// Whether the receiver has deleted a message that a load showed before it was published.
fn is_deleted(receiver: &UserCell, sender: &UserId, found: &Found) -> bool {
    let user = receiver.lock();
    let known = user.conversations.get(sender);
    known.is_some_and(|known| known.hides(Direction::Receive, found.seq()))
}

#[cfg(test)]
mod tests;
