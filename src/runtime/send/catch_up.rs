//! Catching up with the log after an append whose outcome is not known.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::SendPath;
use super::commit::Stored;
use super::deliver::Accepted;
use crate::bus::Bus;
use crate::runtime::injected;
use crate::runtime::users::{LATE_WRITE, LoadError, Ownership, PairLock, UserCell, Work};
use crate::storage::reads::{Found, Item, Logged, Slot};
use crate::store::{ReadError, Start, Store};
use peerd_core::amendment::{Removed, Stub};
use peerd_core::conversation::Conversation;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::message::{Direction, Message, fingerprint};
use peerd_core::receive::Delivered;
use peerd_core::send::Delivery;
use peerd_core::user::User;
use peerd_protocol::failure::{CallError, Failure};

/// Records read at once.
const BATCH: usize = 64;
/// How much earlier than the sender's owner sent a message first the log is read for it.
const SENT_SLACK_MS: u64 = 30_000;
/// Wait between tries while the store does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Takes in what the log has of `sender` beyond what was published, as its acknowledgement would
    /// have had it. To be called under the pair lock.
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

    /// [`SendPath::catch_up`], except for notifying the sender's owner: that is to be done where
    /// `missed_ms` says since when.
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
            let page = self.env.storage(deadline).page(&pair, &amended, start, BATCH).await?;
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

    /// Takes in a message that was found in the log, on both sides. Where the sender is not in memory,
    /// `missed_ms` says since when the sender's owner is to look.
    async fn take_in_record(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        item: Item,
        missed_ms: &mut Option<u64>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let (stream, seq) = (receiver.log(), item.stream_seq());
        let Found { stored, stored_ms, .. } = match item {
            Item::Slot(Slot::Message(found)) => found,
            Item::Slot(Slot::Removed(removed)) => {
                let (head, counts) = (removed.head(), removed.stub.counts);
                receiver.lock().update(sender, |known| known.take_in_removed(head, counts));
                receiver.ownership.written(stream).note(seq);
                return Ok(());
            }
            Item::Unreadable { .. } => {
                receiver.lock().update(sender, |known| known.pass_over(seq));
                receiver.ownership.written(stream).note(seq);
                return Ok(());
            }
        };
        let in_memory = self.users.user_in_memory(sender);
        let sender_profile = match &in_memory {
            Some(cell) => cell.lock().account.profile.clone(),
            None => self.conversations.profile(sender, deadline).await?,
        };
        let key = stored.message.key;
        let _newest = self.hold_newer(receiver, sender, key, deadline).await?;
        let push = stored.push.clone();
        let stored = Stored::found(stored, push.as_ref(), seq, &sender_profile);
        let of_sender = in_memory.as_ref().map(|cell| &cell.ownership);
        let Accepted { delivered, is_settled } =
            self.commit_in_order(receiver, stored, of_sender, deadline).await;
        match in_memory.zip(delivered.head) {
            Some((sender, head)) => {
                if !is_settled {
                    self.in_flight.settle_received(&sender, &receiver.id, key, deadline).await;
                }
                self.commit_sent(&sender, &delivered.message, head, &delivered.receiver_profile);
            }
            None => *missed_ms = missed_ms.or(Some(stored_ms)),
        }
        receiver.ownership.written(stream).note(seq);
        Ok(())
    }

    /// The newest message of a conversation, where it is newer than `key` and nobody holds it any
    /// more: held until what is answered is dropped, it is shown as the last one, and not the one with
    /// `key`, which becomes known late.
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

    /// Takes in a message of the log that somebody else wrote, or that this owner wrote without
    /// knowing.
    pub(in crate::runtime) async fn take_in_foreign(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        Logged { receiver, sender, record }: Logged,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let (sender, stream_seq) = (&sender, record.stream_seq());
        let receiver = self.ageing.user(ownership, &receiver, deadline).await;
        let receiver = receiver.map_err(|failure| ReadError(failure.to_string()))?;
        // Under the pair lock: it may be this instance's own, not published yet.
        let Ok(_pair_lock) = receiver.pair_lock(sender, deadline).await else { return Ok(()) };
        let known =
            |user: &User| user.conversations.get(sender).map_or(0, |known| known.published_seq);
        let published_seq = known(&receiver.lock());
        self.catch_up(&receiver, sender, deadline).await?;
        if published_seq < stream_seq || ownership.written(receiver.log()).knows(stream_seq) {
            return Ok(());
        }
        // A load has taken it in, and it is not published.
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

    /// The answer that a delivery would have had from an owner before, who has stored it since
    /// `sent_ms` and could not say so; `None` where none has.
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
            // It may be what is sent again, and is published before what comes after it.
            self.catch_up(receiver, sender, deadline).await.map_err(Failure::from)?;
        }
        let pair = self.env.pair(sender, &receiver.id);
        let amended = receiver.amended(sender, Direction::Receive);
        let mut from = Start::TimeMs(sent_ms.saturating_sub(SENT_SLACK_MS));
        loop {
            let page = self.env.storage(deadline).page(&pair, &amended, from, BATCH).await;
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
                    && fingerprint(&message.content, &message.extended_data) == draft.fingerprint();
                if !is_it {
                    continue;
                }
                if draft.local_id.is_none() {
                    // Or another that says the same, sent in the same millisecond.
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

    /// Resolves, after the caller got `outcome_unknown`, whether the message was stored. The pair
    /// lock is held until then: nothing may be decided on a guess.
    pub(super) fn resolve(
        self: &Arc<Self>,
        receiver: Arc<UserCell>,
        sender: UserId,
        pair_lock: PairLock,
        began_ms: u64,
    ) {
        let (send_path, work) = (self.clone(), receiver.ownership.go_on());
        // It may have been stored at any time since. Whoever takes over either side is to know.
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
                // Whoever owns the receiver now publishes it there, and the sender may be here still.
                tokio::select! {
                    biased;
                    () = send_path.env.stopping.cancelled() => {}
                    () = sleep(LATE_WRITE) => {}
                }
                send_path.notify_sender(&sender, &receiver.id, began_ms);
            }
        });
    }

    /// Resolves whether a message was stored, however long it takes.
    async fn resolve_outcome(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        (pair_lock, work): (PairLock, Work),
    ) {
        while receiver.ownership.may_act() {
            match self.catch_up(receiver, sender, Instant::now() + TRY).await {
                Ok(()) => break,
                Err(LoadError::Read(error)) => {
                    tracing::warn!(%error, "it is not known yet whether a message was stored");
                    receiver.ownership.sleep(RETRY).await;
                }
                Err(LoadError::Record(error)) => {
                    tracing::error!(%error, "the store holds what peerd cannot read");
                    return;
                }
            }
        }
        // A partition that is about to change hands need not wait for the rest.
        drop((pair_lock, work));
        // Should it come into the log after that, the next append meets it. This is for a pair
        // that falls silent: its counts are to be right all the same.
        receiver.ownership.sleep(LATE_WRITE).await;
        if !receiver.ownership.may_act() {
            return;
        }
        let deadline = Instant::now() + TRY;
        if let Ok(_pair_lock) = receiver.pair_lock(sender, deadline).await
            && let Err(error) = self.catch_up(receiver, sender, deadline).await
        {
            tracing::debug!(%error, "no second look after an unknown outcome");
            receiver.invalidate();
        }
    }
}

/// Whether what was removed may be what a delivery sends again.
fn may_be(stub: &Stub, delivery: &Delivery) -> bool {
    stub.mark.seq > delivery.sent_seq
        && stub.timestamp_ms == delivery.timestamp_ms
        && stub.local_id == delivery.send.draft.local_id
}

/// Whether the receiver has deleted a message, which a load had shown before it was published.
fn is_deleted(receiver: &UserCell, sender: &UserId, found: &Found) -> bool {
    let user = receiver.lock();
    let known = user.conversations.get(sender);
    known.is_some_and(|known| known.hides(Direction::Receive, found.seq()))
}

#[cfg(test)]
mod tests;
