//! The receiver's part of a send: the receiver's rules, the place of the message, and what the
//! receiver is told once the store has acknowledged it.

use std::sync::Arc;

use super::clock::{KeyClock, Lane};
use super::conversation::{Head, Mark, PagePointers};
use super::event::{Event, Told};
use super::id::{Partition, UserId};
use super::limits::Limits;
use super::message::{Direction, Message};
use super::rejection::Rejection;
use super::repeats::{Known, Repeat};
use super::send::Delivery;
use super::user::User;

/// A message with its place, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The message.
    pub message: Message,
    /// How far the sender has sent with it.
    pub mark: Mark,
    /// Its page.
    pub page: PagePointers,
    /// The stream sequence that its subject must end with; 0: the subject must be empty.
    pub expected_seq: u64,
}

impl Placed {
    /// The head that the message is once the store has put it at `stream_seq`.
    #[must_use]
    pub const fn head(&self, stream_seq: u64) -> Head {
        head(&self.message, self.mark, self.page, stream_seq)
    }
}

/// The head that a stored message is.
#[must_use]
pub const fn head(message: &Message, mark: Mark, page: PagePointers, stream_seq: u64) -> Head {
    let first = if page.first == 0 { stream_seq } else { page.first };
    Head {
        mark,
        key: message.key,
        timestamp_ms: message.timestamp_ms,
        stream_seq,
        page: PagePointers { first, previous: page.previous },
    }
}

/// What the receiver's owner answers to the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The message.
    pub message: Arc<Message>,
    /// Where it is; `None` for a Command, and for a repeat.
    pub head: Option<Head>,
    /// The receiver's name, for the sender's conversation.
    pub receiver_name: String,
    /// Whether it had been stored before.
    pub is_duplicate: bool,
}

/// What is to be done with a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is a repeat of the message at this stream sequence.
    Repeat(u64),
    /// It is to be stored.
    Store(Box<Placed>),
}

impl User {
    /// The receiver's rules: may `from` send to this user at all?
    pub fn accepts(&self, from: &UserId, limits: &Limits) -> Result<(), Rejection> {
        if limits.require_known_receiver && !self.is_known() {
            return Err(Rejection::TargetNotFound);
        }
        if self.blocked.contains(from) {
            return Err(Rejection::BlockedByReceiver);
        }
        Ok(())
    }

    /// A Command message, which has no place: it is delivered live and forgotten.
    #[must_use]
    pub fn command(
        &self,
        delivery: &Delivery,
        partition: Partition,
        clock: &KeyClock,
        now_ms: u64,
    ) -> Message {
        self.message(delivery, partition, 0, clock, now_ms)
    }

    /// Decides about a delivery, which must be the only one of its sender at the moment. What the
    /// sender sent since `repeats_since_ms` must be remembered.
    pub fn plan(
        &self,
        delivery: &Delivery,
        partition: Partition,
        clock: &KeyClock,
        now_ms: u64,
        repeats_since_ms: u64,
    ) -> Result<Plan, Rejection> {
        let conversation = self.conversations.get(&delivery.from);
        if let (Some(local_id), Some(conversation)) = (&delivery.send.draft.local_id, conversation)
        {
            let fingerprint = delivery.send.draft.fingerprint();
            match conversation.repeats.find(local_id, fingerprint, repeats_since_ms) {
                Known::No => {}
                Known::Same(stream_seq) => return Ok(Plan::Repeat(stream_seq)),
                Known::Other => return Err(Rejection::LocalMessageIdReused),
            }
        }
        let newest = conversation.and_then(|conversation| conversation.received);
        let mark = conversation
            .map_or_else(Mark::default, super::conversation::Conversation::received_mark);
        let counts = u64::from(!delivery.send.options.not_counted);
        let seq = mark.seq.max(delivery.sent_seq) + 1;
        let counted = conversation.map_or(0, super::conversation::Conversation::counted);
        let mark = Mark { seq, counted: counted + counts };
        Ok(Plan::Store(Box::new(Placed {
            message: self.message(delivery, partition, mark.seq, clock, now_ms),
            mark,
            page: newest
                .filter(|head| head.stream_seq > 0)
                .map_or_else(PagePointers::default, |head| head.next_pointers()),
            expected_seq: newest.map_or(0, |head| head.stream_seq),
        })))
    }

    fn message(
        &self,
        delivery: &Delivery,
        partition: Partition,
        seq: u64,
        clock: &KeyClock,
        now_ms: u64,
    ) -> Message {
        let send = &delivery.send;
        Message {
            sender: delivery.from.clone(),
            receiver: self.id.clone(),
            partition,
            key: clock.next(now_ms, delivery.floor, Lane::of(&delivery.from, &self.id)),
            seq,
            timestamp_ms: delivery.timestamp_ms,
            local_id: send.draft.local_id.clone(),
            receipt: send.receipt(),
            counts: !send.options.not_counted,
            extended_data: send.draft.extended_data.clone(),
            content: send.draft.content.clone(),
        }
    }

    /// The receiver's view after the store has acknowledged a message. `name` is the sender's.
    pub fn receive(&mut self, message: &Arc<Message>, head: Head, name: &str) -> Told {
        let other = &message.sender;
        let (changed, is_muted) = self.update(other, |conversation| {
            conversation.told_seq = conversation.told_seq.max(head.stream_seq);
            conversation.begins_with(&head, message.counts);
            let changed = conversation.take_in(Direction::Receive, message, head, name);
            (changed, conversation.is_muted())
        });
        let revision = self.advance(message.key);
        let mut events = vec![
            Event::PeerMessageReceived {
                messages: vec![message.clone()],
                from: other.clone(),
                offline: false,
            },
            Event::ConversationChanged(vec![changed]),
        ];
        if !is_muted {
            events.push(Event::TotalChanged(self.totals));
        }
        Told { revision, events }
    }

    /// Whether a load has found a message of the other's that nobody was told of.
    #[must_use]
    pub fn has_untold(&self, other: &UserId) -> bool {
        let known = self.conversations.get(other);
        let head = known.and_then(|known| known.received.map(|head| (head, known.told_seq)));
        head.is_some_and(|(head, told_seq)| head.stream_seq > told_seq)
    }

    /// Notes a stored message, so that a repeat of it is recognized.
    pub fn remember(&mut self, message: &Message, fingerprint: u64, seq: u64, limits: &Limits) {
        let Some(local_id) = &message.local_id else { return };
        let oldest_ms = message.timestamp_ms.saturating_sub(limits.repeat_window_ms);
        let repeat = Repeat::new(local_id, fingerprint, message.timestamp_ms, seq);
        if let Some(conversation) = self.conversations.get_mut(&message.sender) {
            conversation.repeats.note(repeat, oldest_ms);
        }
    }
}
