//! Replay at login: publishes the messages that arrived while a user, or one of the user's devices,
//! was away.

use std::sync::Arc;

use tokio::time::Instant;

use super::env::Env;
use super::history::History;
use super::publisher::Publisher;
use super::tuning::{
    REPLAY_BYTES_PER_EVENT, REPLAY_CLOCK_SLACK_MS, REPLAY_HALVINGS_MAX, REPLAY_MESSAGES_PER_EVENT,
    REPLAY_REACH_FACTOR, REPLAY_RECORDS_PER_READ,
};
use super::users::{LoadError, UserCell};
use crate::bus::Bus;
use crate::storage::reads::{Found, Item, Page};
use crate::store::{Start, Store};
use peerd_core::event::Event;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::message::Message;
use peerd_core::user::User;

#[cfg(test)]
mod tests;

/// The position from which messages are replayed.
#[derive(Clone, Copy)]
pub(super) enum ReplayFrom {
    /// Messages stored since a time, in milliseconds since 1970.
    Since(u64),
    /// Messages that a device, whose newest message has this key, did not receive.
    After(OrderKey),
}

impl ReplayFrom {
    /// Whether it includes a replay that is due since `due_ms`.
    pub(super) const fn covers(self, due_ms: u64) -> bool {
        match self {
            Self::Since(_) => true,
            Self::After(key) => key.unix_ms() <= due_ms,
        }
    }
}

/// Publishes missed messages to users.
pub(super) struct Replays<S, B> {
    env: Arc<Env<S, B>>,
    publisher: Arc<Publisher<S, B>>,
    history: Arc<History<S, B>>,
}

impl<S: Store, B: Bus> Replays<S, B> {
    pub(super) const fn new(
        env: Arc<Env<S, B>>,
        publisher: Arc<Publisher<S, B>>,
        history: Arc<History<S, B>>,
    ) -> Self {
        Self { env, publisher, history }
    }

    /// Publishes the messages that a user missed, oldest first.
    pub(super) async fn replay(
        &self,
        cell: &UserCell,
        from: ReplayFrom,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let limits = self.env.limits();
        let mut messages = self.read_missed(cell, from, deadline).await?;
        leave_out_deleted(cell, &mut messages);
        leave_out_unknown(cell, &mut messages);
        messages.sort_by_key(|message| message.key);
        let surplus = messages.len().saturating_sub(limits.replay_messages);
        let messages = &mut messages[surplus..];
        show_received(&self.history, cell, messages, deadline).await?;
        for run in runs(messages) {
            let mut event = Event::PeerMessageReceived {
                from: run[0].sender.clone(),
                messages: run.into(),
                offline: true,
            };
            // An event for each message, at worst.
            self.env.wait_for_room_beyond(run.len()).await;
            let user = cell.lock();
            event.show_receipts(&user);
            let publication = user.publication(vec![event]);
            self.publisher.publish(cell, &user, &publication);
        }
        Ok(())
    }

    /// The position from which a login's replay begins; `None` if no message arrived since then.
    pub(super) fn replay_from(
        &self,
        user: &User,
        replay_after: Option<OrderKey>,
    ) -> Option<ReplayFrom> {
        // A message may be stored a while after it was accepted.
        let slack_ms = u64::try_from(self.env.options.call_deadline.as_millis()).unwrap_or(0);
        if let Some(key) = replay_after {
            return user.has_news_after(key, slack_ms).then_some(ReplayFrom::After(key));
        }
        let since_ms = self.replay_since(user.replay_due_ms.or(user.account.last_seen_ms));
        let is_news = user.has_news_since(since_ms.saturating_sub(slack_ms));
        is_news.then_some(ReplayFrom::Since(since_ms))
    }

    /// The time since which messages are replayed to a user who was last seen at `last_seen_ms`.
    pub(super) fn replay_since(&self, last_seen_ms: Option<u64>) -> u64 {
        last_seen_ms.unwrap_or_default().max(self.oldest_replayed_ms())
    }

    fn oldest_replayed_ms(&self) -> u64 {
        self.env.clock.wall_ms().saturating_sub(self.env.limits().replay_age_ms)
    }

    /// Finds where the messages that sort after `key` begin in the log of a user's messages: a
    /// time, and the records read from there. Keys may be ahead of the clock, so the search checks
    /// whether there are any before.
    async fn find_behind(
        &self,
        cell: &UserCell,
        key: OrderKey,
        deadline: Instant,
    ) -> Result<(u64, Page), LoadError> {
        let oldest_ms = self.oldest_replayed_ms().saturating_sub(REPLAY_CLOCK_SLACK_MS);
        let near_ms = key.unix_ms().min(self.env.clock.wall_ms());
        let mut back_ms = REPLAY_CLOCK_SLACK_MS;
        loop {
            let from_ms = near_ms.saturating_sub(back_ms).max(oldest_ms);
            let batch = self.read_log(cell, Start::TimeMs(from_ms), deadline).await?;
            let first = batch.items.first().and_then(Item::key);
            let is_before = first.is_some_and(|first| first <= key);
            if is_before || from_ms == oldest_ms {
                return Ok((from_ms, batch));
            }
            back_ms = back_ms.saturating_mul(REPLAY_REACH_FACTOR);
        }
    }

    /// The messages that a user missed; if there are too many, at least the newest.
    async fn read_missed(
        &self,
        cell: &UserCell,
        from: ReplayFrom,
        deadline: Instant,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let most = self.env.limits().replay_messages as u64;
        let (mut from_ms, mut batch) = match from {
            ReplayFrom::Since(since_ms) => {
                let from_ms = since_ms.saturating_sub(REPLAY_CLOCK_SLACK_MS);
                (from_ms, self.read_log(cell, Start::TimeMs(from_ms), deadline).await?)
            }
            ReplayFrom::After(key) => self.find_behind(cell, key, deadline).await?,
        };
        let mut until_ms = self.env.clock.wall_ms();
        for _ in 0..REPLAY_HALVINGS_MAX {
            // Between one and two times the maximum is close enough.
            if batch.count <= 2 * most || until_ms <= from_ms {
                break;
            }
            let middle_ms = from_ms.midpoint(until_ms);
            let later = self.read_log(cell, Start::TimeMs(middle_ms), deadline).await?;
            if later.count >= most {
                from_ms = middle_ms + 1;
                batch = later;
            } else {
                until_ms = middle_ms;
            }
        }
        let oldest_ms = self.oldest_replayed_ms();
        // Stored after the newest message of the device, although it may sort before it.
        let mut is_behind = false;
        let mut messages = Vec::new();
        loop {
            for slot in batch.items.into_iter().filter_map(Item::slot) {
                if let ReplayFrom::After(key) = from {
                    // A message that was removed since marks the place, too.
                    is_behind |= slot.key() == key;
                }
                let Some(Found { stored_ms, stored, .. }) = slot.message() else { continue };
                let stored = stored.message;
                let is_missed = match from {
                    // A message that was accepted before and stored since is new, too.
                    ReplayFrom::Since(since_ms) => {
                        stored.timestamp_ms >= since_ms || stored_ms >= since_ms
                    }
                    ReplayFrom::After(key) => {
                        let is_later = stored.key != key && (is_behind || stored.key > key);
                        is_later && stored.timestamp_ms >= oldest_ms
                    }
                };
                if is_missed {
                    messages.push(Arc::new(stored));
                }
            }
            match batch.next {
                Some(next) => batch = self.read_log(cell, Start::Seq(next), deadline).await?,
                None => return Ok(messages),
            }
        }
    }

    async fn read_log(
        &self,
        cell: &UserCell,
        from: Start,
        deadline: Instant,
    ) -> Result<Page, LoadError> {
        let amended = |sender: &UserId| cell.amended(sender, Direction::Receive);
        Ok(self
            .env
            .storage(deadline)
            .received(&cell.id, from, REPLAY_RECORDS_PER_READ, amended)
            .await?)
    }
}

/// Shows the pins of received messages, and the originals of replies. What one sender's messages need
/// is read together.
pub(super) async fn show_received<S: Store, B: Bus>(
    history: &History<S, B>,
    cell: &UserCell,
    messages: &mut [Arc<Message>],
    deadline: Instant,
) -> Result<(), LoadError> {
    messages.sort_by(|one, other| (&one.sender, one.key).cmp(&(&other.sender, other.key)));
    for of_sender in messages.chunk_by_mut(|message, next| message.sender == next.sender) {
        let other = of_sender[0].sender.clone();
        history.env().show_pins(cell, &other, of_sender, deadline).await?;
        if of_sender.iter().all(|message| message.reply().is_none() && !message.is_root()) {
            continue;
        }
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        history.show_originals(cell, (&other, &known), of_sender, deadline).await?;
    }
    messages.sort_by_key(|message| message.key);
    Ok(())
}

pub(super) fn leave_out_deleted(cell: &UserCell, messages: &mut Vec<Arc<Message>>) {
    let user = cell.lock();
    messages.retain(|message| {
        let known = user.conversations.get(&message.sender);
        !known.is_some_and(|known| known.hides(Direction::Receive, message.seq))
    });
}

/// Leaves out messages that the log has and the user's state does not: they are published with
/// their acknowledgement. Nothing is published that a later call would not show.
pub(super) fn leave_out_unknown(cell: &UserCell, received: &mut Vec<Arc<Message>>) {
    let user = cell.lock();
    received.retain(|message| {
        let known = user.conversations.get(&message.sender).and_then(|known| known.received);
        known.is_some_and(|head| head.mark.seq >= message.seq)
    });
}

/// Splits messages into parts of one event each: from one sender, and within the bounds.
pub(super) fn runs(mut messages: &[Arc<Message>]) -> Vec<&[Arc<Message>]> {
    let mut runs = Vec::new();
    while let Some(first) = messages.first() {
        let mut bytes = 0;
        let fits = |message: &&Arc<Message>| {
            bytes += message.size_bytes();
            message.sender == first.sender && bytes <= REPLAY_BYTES_PER_EVENT
        };
        let length =
            messages.iter().take(REPLAY_MESSAGES_PER_EVENT).take_while(fits).count().max(1);
        let (run, rest) = messages.split_at(length);
        runs.push(run);
        messages = rest;
    }
    runs
}
