//! Repeats: a message that was sent before gets the answer of the first one.

use std::sync::Arc;

use tokio::time::Instant;

use super::SendPath;
use crate::bus::Bus;
use crate::runtime::tuning::{READ_BACK_RECORDS, REPEAT_CLOCK_SLACK_MS};
use crate::runtime::users::{LoadError, Ownership, UserCell};
use crate::storage::reads::{Found, Item, Slot};
use crate::store::{Start, Store};
use crate::wire::owner_request::FindRepeat;
use peerd_core::amendment::Removed;
use peerd_core::id::{Direction, LocalMessageId, UserId};
use peerd_core::message::Message;
use peerd_core::receive::Delivered;
use peerd_core::rejection::Rejection;
use peerd_core::repeats::{Known, Repeat};
use peerd_core::send::{Delivery, Send};
use peerd_core::user_info::Profile;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::reply;

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Answers a send that exceeds the rate limit; a repeat gets its first answer.
    pub(super) async fn repeat_over_rate(
        self: &Arc<Self>,
        sender: &UserCell,
        Send { to, draft, .. }: Send,
        refusal: Rejection,
        deadline: Instant,
    ) -> Result<reply::Sent, CallError> {
        let request = FindRepeat { from: sender.id.clone(), to: to.clone(), draft };
        match self.at_owner(&to, &request, deadline).await {
            Ok(Some(mut message)) => {
                self.show_repeat(sender, &mut message, deadline).await?;
                Ok(reply::Sent { message, is_duplicate: true })
            }
            Ok(None) | Err(_) => Err(refusal.into()),
        }
    }

    /// Shows the receipt and the pin of a message that its sender sends again.
    pub(super) async fn show_repeat(
        &self,
        sender: &UserCell,
        message: &mut Arc<Message>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let other = message.receiver.clone();
        let receipts = sender.lock().conversations.get(&other).map(|known| known.settings.receipts);
        receipts.unwrap_or_default().show_shared(Direction::Send, message);
        self.env.show_pins(sender, &other, std::slice::from_mut(message), deadline).await?;
        Ok(())
    }

    /// The first message of a send that is a repeat, according to memory: nothing is loaded or
    /// searched for a sender over the rate limit.
    pub(in crate::runtime) async fn find_repeat(
        &self,
        ownership: &Ownership,
        FindRepeat { from, to, draft }: &FindRepeat,
        deadline: Instant,
    ) -> Option<Arc<Message>> {
        let local_id = draft.local_id.as_ref()?;
        let receiver = ownership.cell_in_memory(to)?;
        let oldest_ms = self.env.clock.wall_ms().saturating_sub(self.env.limits().repeat_window_ms);
        let known = {
            let user = receiver.lock();
            let conversation = user.conversations.get(from)?;
            conversation.repeats.find(local_id, draft.fingerprint(), oldest_ms)
        };
        let Known::Same(stream_seq) = known else { return None };
        let first = Box::pin(self.first_message(&receiver, from, local_id, stream_seq, deadline));
        first.await.ok().flatten()
    }

    /// Since when a message is a repeat of one that was sent before, at a time of the wall clock
    /// (milliseconds since 1970).
    pub(super) fn repeats_since_ms(&self, delivery: &Delivery, now_ms: u64) -> u64 {
        let limits = self.env.limits();
        let is_retry = delivery.send.options.is_retry;
        let span_ms = if is_retry { limits.retry_window_ms } else { limits.repeat_window_ms };
        now_ms.saturating_sub(span_ms)
    }

    /// Reads back the messages of the sender since then from the log, so that their repeats are
    /// recognized. A pair that was silent for so long, or is in memory, needs no read.
    pub(super) async fn read_back(
        &self,
        receiver: &UserCell,
        delivery: &Delivery,
        since_ms: u64,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let read = self.read_repeats(receiver, &delivery.from, since_ms, deadline).await?;
        let mut user = receiver.lock();
        user.update(&delivery.from, |known| known.repeats.complete(since_ms, read));
        Ok(())
    }

    async fn read_repeats(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        since_ms: u64,
        deadline: Instant,
    ) -> Result<Vec<Repeat>, LoadError> {
        let mut repeats = Vec::new();
        let mut from = Start::TimeMs(since_ms.saturating_sub(REPEAT_CLOCK_SLACK_MS));
        let pair = self.env.pair(sender, &receiver.id);
        let amended = receiver.amended(sender, Direction::Receive);
        loop {
            let page =
                self.env.storage(deadline).page(&pair, &amended, from, READ_BACK_RECORDS).await?;
            let slots = page.items.into_iter().filter_map(Item::slot);
            repeats.extend(slots.filter_map(|slot| repeat_of(&slot, since_ms)));
            match page.next {
                Some(next) => from = Start::Seq(next),
                None => return Ok(repeats),
            }
        }
    }

    /// Answers a repeat of the message at `stream_seq`; `None` if that no longer exists.
    pub(super) async fn repeat(
        &self,
        receiver: &UserCell,
        delivery: &Delivery,
        stream_seq: u64,
        since_ms: u64,
        deadline: Instant,
    ) -> Result<Option<Delivered>, CallError> {
        let Some(local_id) = &delivery.send.draft.local_id else { return Ok(None) };
        let first = self.first_message(receiver, &delivery.from, local_id, stream_seq, deadline);
        if let Some(message) = first.await? {
            let receiver_profile = Profile::default();
            return Ok(Some(Delivered {
                message,
                head: None,
                receiver_profile,
                is_duplicate: true,
            }));
        }
        let is_lost = self.users.compare_end(receiver, &delivery.from, deadline).await;
        if is_lost.map_err(Failure::from)? {
            return Ok(None);
        }
        let is_known = {
            let user = receiver.lock();
            let known = user.conversations.get(&delivery.from);
            known.is_some_and(|known| known.repeats.covers(since_ms))
        };
        if !is_known {
            // It exists and cannot be read.
            return Ok(None);
        }
        tracing::warn!("a message that is to be repeated is not found");
        Err(Failure::StoreUnavailable.into())
    }

    /// The first of repeated messages. `None` if it is not found: the store lost its end, or
    /// retention removed it. Another message may have its sequence then.
    async fn first_message(
        &self,
        receiver: &UserCell,
        sender: &UserId,
        local_id: &LocalMessageId,
        stream_seq: u64,
        deadline: Instant,
    ) -> Result<Option<Arc<Message>>, CallError> {
        let (pair, start) = (self.env.pair(sender, &receiver.id), Start::Seq(stream_seq));
        let amended = receiver.amended(sender, Direction::Receive);
        let page = self.env.storage(deadline).page(&pair, &amended, start, 1).await;
        let page = page.map_err(|error| Failure::from(LoadError::from(error)))?;
        let there = page.items.into_iter().find(|item| match item {
            // Its carrier has another sequence.
            Item::Slot(Slot::Removed(removed)) => removed.stub.local_id.as_ref() == Some(local_id),
            Item::Slot(Slot::Message(_)) | Item::Unreadable { .. } => {
                item.stream_seq() == stream_seq
            }
        });
        let stored = match there {
            Some(Item::Slot(Slot::Message(found))) => found.stored,
            Some(Item::Slot(Slot::Removed(_))) => {
                // Its content is gone, so the repeat cannot be compared.
                return Err(Rejection::LocalMessageIdReused.into());
            }
            Some(Item::Unreadable { .. }) => {
                // It is sent as a new message, since the first one is unknown.
                receiver.lock().update(sender, |known| known.repeats.forget());
                return Ok(None);
            }
            None => return Ok(None),
        };
        let is_it = stored.message.local_id.as_ref() == Some(local_id);
        Ok(is_it.then(|| Arc::new(stored.message)))
    }
}

/// The record by which repeats of a message are recognized, if it was accepted since then.
fn repeat_of(slot: &Slot, since_ms: u64) -> Option<Repeat> {
    match slot {
        Slot::Message(Found { stream_seq, stored, .. }) => {
            let Message { local_id, timestamp_ms, .. } = &stored.message;
            let local_id = local_id.as_ref().filter(|_| *timestamp_ms >= since_ms)?;
            let fingerprint = stored.message.fingerprint();
            Some(Repeat::new(local_id, fingerprint, *timestamp_ms, *stream_seq))
        }
        Slot::Removed(Removed { stream_seq, stub, .. }) => {
            let local_id = stub.local_id.as_ref().filter(|_| stub.timestamp_ms >= since_ms)?;
            Some(Repeat::of_removed(local_id, stub.timestamp_ms, *stream_seq))
        }
    }
}
