//! Catching up with the log after an append whose outcome is not known.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::cell::{STRAGGLER, Turn, UserCell};
use super::load::LoadError;
use super::node::Node;
use super::tenure::Work;
use crate::bus::Bus;
use crate::domain::id::UserId;
use crate::domain::message::{Direction, fingerprint};
use crate::domain::receive::Delivered;
use crate::domain::send::Delivery;
use crate::storage::reads::{Found, Item};
use crate::store::{Start, Store};
use crate::wire::failure::{CallError, Failure};

/// Records read at once.
const BATCH: usize = 64;
/// How much earlier than the sender's owner sent a message first the log is read for it.
const SENT_SLACK_MS: u64 = 30_000;
/// Wait between tries while the store does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);

impl<S: Store, B: Bus> Node<S, B> {
    /// Takes in what the log has of `sender` beyond what was told: counts it and tells it, as its
    /// acknowledgement would have had it. To be called in the pair's turn.
    pub(super) async fn catch_up(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let told_seq = receiver.lock().conversations.get(sender).map_or(0, |known| known.told_seq);
        let mut next = Some(told_seq + 1);
        let (pair, stream) = (self.pair(sender, &receiver.id), receiver.log());
        let mut is_ahead = false;
        while let Some(from) = next {
            let page = self.storage(deadline).page(&pair, Start::Seq(from), BATCH).await?;
            next = page.next;
            for item in page.items {
                is_ahead = true;
                let found = match item {
                    Item::Message(found) => found,
                    Item::Unreadable { stream_seq, .. } => {
                        receiver.lock().update(sender, |known| known.pass_over(stream_seq));
                        receiver.tenure.written(stream).note(stream_seq);
                        continue;
                    }
                };
                let head = found.head();
                let Found { stream_seq, stored, .. } = found;
                let print = fingerprint(&stored.message.content, &stored.message.extended_data);
                let message = Arc::new(stored.message);
                let from_memory = self.user_in_memory(sender);
                let name = |cell: &Arc<UserCell>| cell.lock().account.name.clone();
                let sender_name = from_memory.as_ref().map(name).unwrap_or_default();
                let key = message.key;
                {
                    let mut user = self.lock_in_order(receiver, sender, key, deadline).await;
                    let told = user.receive(&message, head, &sender_name);
                    user.remember(&message, print, stream_seq, self.limits());
                    self.note_revision(receiver, &mut user);
                    self.tell(receiver, &user, &told);
                    self.push_if_away(receiver, &user, stored.push.as_ref(), &message);
                }
                match from_memory {
                    Some(sender) => {
                        self.settle_received(&sender, &receiver.id, key, deadline).await;
                        self.tell_sender(&sender, &message, head, &name(receiver));
                    }
                    None => self.notify_sender(sender, &receiver.id),
                }
                receiver.tenure.written(stream).note(stream_seq);
            }
        }
        if !is_ahead {
            self.compare_end(receiver, sender, deadline).await?;
        }
        Ok(())
    }

    /// The log has nothing newer than what is known. It should end with what is known, unless it
    /// lost what it had acknowledged: then appends go on from its end, and counts from ours. Answers
    /// whether that is so.
    pub(super) async fn compare_end(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        deadline: Instant,
    ) -> Result<bool, LoadError> {
        let end = self.storage(deadline).end(&self.pair(sender, &receiver.id)).await?;
        let mut user = receiver.lock();
        Ok(user.update(sender, |known| {
            if !known.move_end_back(Direction::Receive, end) {
                return false;
            }
            // Retention does this too, to the last message of a silent pair.
            tracing::warn!("the log ends before what is known of it");
            known.told_seq = end.map_or(0, |end| end.stream_seq);
            // Other messages may come to where those were that are gone.
            known.repeats.forget();
            true
        }))
    }

    /// The answer that a delivery would have had from an owner before, who has stored it since
    /// `sent_ms` and could not say so; `None` where none has.
    pub(super) async fn sent_before(
        &self,
        receiver: &UserCell,
        delivery: &Delivery,
        sent_ms: u64,
        deadline: Instant,
    ) -> Result<Option<Delivered>, CallError> {
        let (sender, draft) = (&delivery.from, &delivery.send.draft);
        let pair = self.pair(sender, &receiver.id);
        let mut from = Start::TimeMs(sent_ms.saturating_sub(SENT_SLACK_MS));
        loop {
            let page = self.storage(deadline).page(&pair, from, BATCH).await;
            let page = page.map_err(|error| Failure::from(LoadError::from(error)))?;
            for item in page.items {
                let found = item.required().map_err(Failure::from)?;
                let head = found.head();
                let stored = found.stored;
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
                    receiver_name: receiver.lock().account.name.clone(),
                    is_duplicate: false,
                }));
            }
            match page.next {
                Some(next) => from = Start::Seq(next),
                None => return Ok(None),
            }
        }
    }

    /// Finds out whether a message was stored, however long it takes.
    pub(super) async fn resolve(
        self: &Arc<Self>,
        receiver: &Arc<UserCell>,
        sender: &UserId,
        (turn, work): (Turn, Work),
    ) {
        while receiver.tenure.may_act() {
            match self.catch_up(receiver, sender, Instant::now() + TRY).await {
                Ok(()) => break,
                Err(LoadError::Read(error)) => {
                    tracing::warn!(%error, "it is not known yet whether a message was stored");
                    receiver.tenure.sleep(RETRY).await;
                }
                Err(LoadError::Record(error)) => {
                    tracing::error!(%error, "the store holds what peerd cannot read");
                    return;
                }
            }
        }
        // A partition that is about to change hands need not wait for the rest.
        drop((turn, work));
        // Should it come into the log after that, the next append meets it. This is for a pair
        // that falls silent: its counts are to be right all the same.
        receiver.tenure.sleep(STRAGGLER).await;
        if !receiver.tenure.may_act() {
            return;
        }
        let deadline = Instant::now() + TRY;
        if let Ok(_turn) = receiver.turn(sender, deadline).await
            && let Err(error) = self.catch_up(receiver, sender, deadline).await
        {
            tracing::debug!(%error, "no second look after an unknown outcome");
            receiver.invalidate();
        }
    }
}

#[cfg(test)]
mod tests;
