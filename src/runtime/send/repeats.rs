//! Repeats: a message that was sent before is answered as the first one was.

use std::sync::Arc;

use tokio::time::Instant;

use super::SendPath;
use crate::bus::Bus;
use crate::runtime::users::{LoadError, Ownership, UserCell};
use crate::storage::reads::{Found, Item, Slot};
use crate::store::{Start, Store};
use crate::wire::owner_request::FindRepeat;
use peerd_core::amendment::Removed;
use peerd_core::id::{LocalMessageId, UserId};
use peerd_core::message::{Direction, Message, fingerprint};
use peerd_core::receive::Delivered;
use peerd_core::rejection::Rejection;
use peerd_core::repeats::{Known, Repeat};
use peerd_core::send::{Delivery, Send};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::reply;

/// How much earlier than by peerd's clock the log is read back, for a server whose clock is behind.
const CLOCK_SLACK_MS: u64 = 2000;
/// Records read at once when the log is read back.
const READ_BACK: usize = 256;

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Answers a send that is over the rate, and is not kept back if it is a repeat.
    pub(super) async fn repeat_over_rate(
        self: &Arc<Self>,
        sender: &UserCell,
        Send { to, draft, .. }: Send,
        refusal: Rejection,
        deadline: Instant,
    ) -> Result<reply::Sent, CallError> {
        let request = FindRepeat { from: sender.id.clone(), to: to.clone(), draft };
        match self.at_owner(&to, &request, deadline).await {
            Ok(Some(message)) => Ok(reply::Sent { message, is_duplicate: true }),
            Ok(None) | Err(_) => Err(refusal.into()),
        }
    }

    /// The first message of a send that is a repeat, as far as memory knows: who is over the rate has
    /// nothing loaded or searched.
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

    /// Reads back from the log what the sender sent since then, so that its repeats are recognized. A
    /// pair that was silent for so long, or that is in memory, needs no read.
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
        let mut from = Start::TimeMs(since_ms.saturating_sub(CLOCK_SLACK_MS));
        let pair = self.env.pair(sender, &receiver.id);
        let amended = receiver.amended(sender, Direction::Receive);
        loop {
            let page = self.env.storage(deadline).page(&pair, &amended, from, READ_BACK).await?;
            let slots = page.items.into_iter().filter_map(Item::slot);
            repeats.extend(slots.filter_map(|slot| repeat_of(&slot, since_ms)));
            match page.next {
                Some(next) => from = Start::Seq(next),
                None => return Ok(repeats),
            }
        }
    }

    /// Answers a repeat of the message at `stream_seq`; `None` where that is not there any more.
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
            let receiver_name = String::new();
            return Ok(Some(Delivered { message, head: None, receiver_name, is_duplicate: true }));
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
            // It is there and cannot be read.
            return Ok(None);
        }
        tracing::warn!("a message that is to be repeated is not found");
        Err(Failure::StoreUnavailable.into())
    }

    /// The first of repeated messages. `None` where it is not found: the store lost its end, or
    /// retention took it. Another message may be in its place then.
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
            // Its carrier has another place.
            Item::Slot(Slot::Removed(removed)) => removed.stub.local_id.as_ref() == Some(local_id),
            Item::Slot(Slot::Message(_)) | Item::Unreadable { .. } => {
                item.stream_seq() == stream_seq
            }
        });
        let stored = match there {
            Some(Item::Slot(Slot::Message(found))) => found.stored,
            Some(Item::Slot(Slot::Removed(_))) => {
                // What it said is gone: nothing shows that this is the same.
                return Err(Rejection::LocalMessageIdReused.into());
            }
            Some(Item::Unreadable { .. }) => {
                // It is sent anew: nobody can say what the first one was.
                receiver.lock().update(sender, |known| known.repeats.forget());
                return Ok(None);
            }
            None => return Ok(None),
        };
        let is_it = stored.message.local_id.as_ref() == Some(local_id);
        Ok(is_it.then(|| Arc::new(stored.message)))
    }
}

/// What a repeat of a message that was accepted since then is recognized by.
fn repeat_of(slot: &Slot, since_ms: u64) -> Option<Repeat> {
    match slot {
        Slot::Message(Found { stream_seq, stored, .. }) => {
            let Message { local_id, timestamp_ms, content, extended_data, .. } = &stored.message;
            let local_id = local_id.as_ref().filter(|_| *timestamp_ms >= since_ms)?;
            let fingerprint = fingerprint(content, extended_data);
            Some(Repeat::new(local_id, fingerprint, *timestamp_ms, *stream_seq))
        }
        Slot::Removed(Removed { stream_seq, stub, .. }) => {
            let local_id = stub.local_id.as_ref().filter(|_| stub.timestamp_ms >= since_ms)?;
            Some(Repeat::of_removed(local_id, stub.timestamp_ms, *stream_seq))
        }
    }
}
