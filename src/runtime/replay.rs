//! What arrived while a user was away, told at login.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::again::leave_out_unknown;
use super::cell::UserCell;
use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::event::Event;
use crate::domain::id::UserId;
use crate::domain::message::{Direction, Message};
use crate::store::{Batch, Start, Store};
use crate::wire::record;
use crate::wire::subject::{Token, last_token};

/// Records read at once.
const BATCH: usize = 256;
/// Most messages of one event.
const MESSAGES_PER_EVENT: usize = 50;
/// Most bytes of content in one event: far below a server's smallest sensible `max_payload`.
const BYTES_PER_EVENT: usize = 128 * 1024;
/// How much earlier than by peerd's clock reading begins, for a server whose clock is behind.
const CLOCK_SLACK_MS: u64 = 2000;
/// Halvings of the time until reading begins near enough to the newest messages. Seven days halved
/// so often are less than a millisecond.
const HALVINGS_MAX: usize = 30;

impl<S: Store, B: Bus> Node<S, B> {
    /// Tells what was stored for a user since a time, oldest first.
    pub(super) async fn replay(
        &self,
        cell: &UserCell,
        since_ms: u64,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let limits = self.limits();
        let mut messages = self.read_since(cell, since_ms, deadline).await?;
        leave_out_deleted(cell, &mut messages);
        leave_out_unknown(cell, &mut messages);
        messages.sort_by_key(|message| message.key);
        let surplus = messages.len().saturating_sub(limits.replay_messages);
        for run in runs(&messages[surplus..]) {
            let event = Event::PeerMessageReceived {
                from: run[0].sender.clone(),
                messages: run.to_vec(),
                offline: true,
            };
            // An event for each message, at worst.
            self.wait_for_room_beyond(run.len()).await;
            let user = cell.lock();
            let told = user.tell(vec![event]);
            self.tell(cell, &told);
        }
        Ok(())
    }

    /// Since when a user who was last heard at `heard_ms` gets messages replayed.
    pub(super) fn replay_since(&self, heard_ms: Option<u64>) -> u64 {
        let oldest_ms = self.clock.wall_ms().saturating_sub(self.limits().replay_age_ms);
        heard_ms.unwrap_or_default().max(oldest_ms)
    }

    /// The messages to a user since a time; where they are too many, at least the newest.
    async fn read_since(
        &self,
        cell: &UserCell,
        since_ms: u64,
        deadline: Instant,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let most = self.limits().replay_messages as u64;
        let mut from_ms = since_ms.saturating_sub(CLOCK_SLACK_MS);
        let mut batch = self.read_log(cell, Start::TimeMs(from_ms), deadline).await?;
        let mut until_ms = self.clock.wall_ms();
        for _ in 0..HALVINGS_MAX {
            // Between once and twice the most is near enough.
            if count(&batch) <= 2 * most || until_ms <= from_ms {
                break;
            }
            let middle_ms = from_ms.midpoint(until_ms);
            let later = self.read_log(cell, Start::TimeMs(middle_ms), deadline).await?;
            if count(&later) >= most {
                from_ms = middle_ms + 1;
                batch = later;
            } else {
                until_ms = middle_ms;
            }
        }
        let mut messages = Vec::new();
        let mut senders = BTreeMap::new();
        loop {
            for record in &batch.records {
                let token = last_token(&record.subject);
                let sender = if let Some(sender) = senders.get(token) {
                    sender
                } else {
                    let Ok(sender) = Token::parse(token) else { continue };
                    senders.entry(token.to_owned()).or_insert(sender)
                };
                let stored = match decode(cell, sender, &record.payload) {
                    Ok(stored) => stored,
                    Err(error) => {
                        self.leave_out(cell.log(), record, &error);
                        continue;
                    }
                };
                // Accepted before and stored since is news too.
                if stored.timestamp_ms >= since_ms || record.stored_ms >= since_ms {
                    messages.push(Arc::new(stored));
                }
            }
            match batch.records.last().filter(|_| batch.remaining > 0) {
                Some(last) => {
                    let from = Start::Seq(last.stream_seq + 1);
                    batch = self.read_log(cell, from, deadline).await?;
                }
                None => return Ok(messages),
            }
        }
    }

    async fn read_log(
        &self,
        cell: &UserCell,
        from: Start,
        deadline: Instant,
    ) -> Result<Batch, LoadError> {
        let subject = self.subjects.log_to(cell.partition, &cell.token);
        Ok(self.store.read(cell.log(), subject, from, BATCH, deadline).await?)
    }
}

pub(super) fn leave_out_deleted(cell: &UserCell, messages: &mut Vec<Arc<Message>>) {
    let user = cell.lock();
    messages.retain(|message| {
        let known = user.conversations.get(&message.sender);
        !known.is_some_and(|known| known.hides(Direction::Receive, message.seq))
    });
}

fn decode(
    cell: &UserCell,
    sender: &UserId,
    payload: &[u8],
) -> Result<Message, record::RecordError> {
    record::decode(payload, sender, &cell.id, cell.partition).map(|stored| stored.message)
}

fn count(batch: &Batch) -> u64 {
    batch.records.len() as u64 + batch.remaining
}

/// Splits messages into what one event can tell: of one sender, and not too much.
pub(super) fn runs(mut messages: &[Arc<Message>]) -> Vec<&[Arc<Message>]> {
    let mut runs = Vec::new();
    while let Some(first) = messages.first() {
        let mut bytes = 0;
        let fits = |message: &&Arc<Message>| {
            bytes += message.content.size_bytes() + message.extended_data.len();
            message.sender == first.sender && bytes <= BYTES_PER_EVENT
        };
        let length = messages.iter().take(MESSAGES_PER_EVENT).take_while(fits).count().max(1);
        let (run, rest) = messages.split_at(length);
        runs.push(run);
        messages = rest;
    }
    runs
}
