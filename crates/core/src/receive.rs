//! The receiver's part of a send: the receiver's rules, the place of the message, and the
//! receiver's events after the store's acknowledgement.

use std::sync::Arc;

use smallvec::smallvec;

use super::conversation::{Conversation, Head, Mark, PagePointers, head_at};
use super::event::{Event, Publication};
use super::id::{Direction, OrderKey, Partition, UserId};
use super::limits::Limits;
use super::message::{Annotations, Message};
use super::rejection::Rejection;
use super::repeats::{Known, Repeat};
use super::send::Delivery;
use super::user::User;
use super::user_info::Profile;

/// When a reply that found too many messages in progress may be tried again.
const RETRY_REPLY_MS: u64 = 1000;

/// A message with its place, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The message.
    pub message: Arc<Message>,
    /// The sender's mark, this message included.
    pub mark: Mark,
    /// Its page.
    pub page: PagePointers,
    /// The stream sequence that its subject must end with; 0: the subject must be empty.
    pub expected_seq: u64,
}

impl Placed {
    /// The head that the message makes once it is stored at `stream_seq`.
    #[must_use]
    pub fn head(&self, stream_seq: u64) -> Head {
        head(&self.message, self.mark, self.page, stream_seq)
    }
}

/// The head that a stored message makes.
#[must_use]
pub const fn head(message: &Message, mark: Mark, page: PagePointers, stream_seq: u64) -> Head {
    head_at(message.key, message.timestamp_ms, mark, page, stream_seq)
}

/// The answer of the receiver's owner to the sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The message.
    pub message: Arc<Message>,
    /// Its head; `None` for a Command, and for a repeat.
    pub head: Option<Head>,
    /// The receiver's profile, for the sender's conversation.
    pub receiver_profile: Profile,
    /// Whether it had been stored before.
    pub is_duplicate: bool,
}

/// A stored message, for the receiver's state.
#[derive(Clone, Copy, Debug)]
pub struct Arrived<'a> {
    /// The message.
    pub message: &'a Arc<Message>,
    /// Its head.
    pub head: Head,
    /// Distinguishes a repeat of it from a reuse of its local message ID.
    pub fingerprint: u64,
    /// The sender's profile, for the receiver's conversation.
    pub sender_profile: &'a Profile,
}

/// A stored message that the receiver's state has taken in.
#[derive(Clone, Debug)]
pub struct Received {
    /// The events about it.
    pub publication: Publication,
    /// Whether its conversation is muted.
    pub is_muted: bool,
}

/// The decision on a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plan {
    /// It is a repeat of the message at this stream sequence.
    Repeat(u64),
    /// It must be stored.
    Store(Placed),
    /// Not decided: a load has found an unpublished message of the sender. The log must be read up
    /// to its end first.
    CatchUp,
    /// Not decided: the recent messages of the sender must be read back first.
    ReadBack,
}

impl User {
    /// The receiver's rules: whether `from` may send to this user.
    pub fn accepts(&self, from: &UserId, limits: &Limits) -> Result<(), Rejection> {
        if limits.require_known_receiver && !self.is_known() {
            return Err(Rejection::TargetNotFound);
        }
        self.refuse_blocked(from)
    }

    /// Refuses a user whom this user blocked.
    pub fn refuse_blocked(&self, from: &UserId) -> Result<(), Rejection> {
        if self.blocked.contains(from) { Err(Rejection::BlockedByReceiver) } else { Ok(()) }
    }

    /// A Command message, which has no place: it is delivered live and forgotten.
    #[must_use]
    pub fn command(&self, delivery: &Delivery, partition: Partition, key: OrderKey) -> Message {
        message(&self.id, delivery, partition, 0, key)
    }

    /// Decides about a delivery, which must be the only one of its sender at the moment. It can
    /// repeat messages since `repeats_since_ms`. `draw_key` draws the order key of a message that
    /// is to be stored.
    pub fn plan(
        &mut self,
        delivery: &Delivery,
        partition: Partition,
        repeats_since_ms: u64,
        draw_key: impl FnOnce() -> OrderKey,
    ) -> Result<Plan, Rejection> {
        let draft = &delivery.send.draft;
        // This also creates the conversation: if the outcome of its first message is unknown, a
        // load must not take the message for a published one.
        let conversation = self.conversations.entry_ref(&delivery.from).or_default();
        if conversation.has_unpublished() {
            return Ok(Plan::CatchUp);
        }
        if let Some(local_id) = &draft.local_id {
            let newest = conversation.received;
            let is_silent = newest.is_none_or(|head| head.timestamp_ms < repeats_since_ms);
            let repeats = &mut conversation.repeats;
            if !repeats.covers(repeats_since_ms) {
                if !is_silent {
                    return Ok(Plan::ReadBack);
                }
                repeats.complete(repeats_since_ms, Vec::new());
            }
            match repeats.find(local_id, draft.fingerprint(), repeats_since_ms) {
                Known::No => {}
                Known::Same(stream_seq) => return Ok(Plan::Repeat(stream_seq)),
                Known::Other => return Err(Rejection::LocalMessageIdReused),
            }
        }
        let newest = conversation.received;
        let seq = conversation.received_mark().seq.max(delivery.sent_seq) + 1;
        if delivery.send.options.seq_max.is_some_and(|most| seq > most) {
            // Too many messages came in between: the original does not name the page.
            return Err(Rejection::RateLimited { retry_after_ms: RETRY_REPLY_MS });
        }
        let counts = u64::from(!delivery.send.options.not_counted);
        let mark = Mark { seq, counted: conversation.counted() + counts };
        Ok(Plan::Store(Placed {
            message: Arc::new(message(&self.id, delivery, partition, mark.seq, draw_key())),
            mark,
            page: newest
                .filter(|head| head.stream_seq > 0)
                .map_or_else(PagePointers::default, |head| head.next_pointers()),
            expected_seq: newest.map_or(0, |head| head.stream_seq),
        }))
    }

    /// Updates the receiver's view after `stored` has become stored.
    pub fn receive(&mut self, stored: &Arrived<'_>, limits: &Limits) -> Received {
        let Arrived { message, head, fingerprint, sender_profile } = *stored;
        let other = &message.sender;
        let (changed, is_muted) = self.update(other, |conversation| {
            conversation.published_seq = conversation.published_seq.max(head.stream_seq);
            conversation.begins_with(&head, message.counts);
            conversation.remember(message, fingerprint, head.stream_seq, limits);
            let changed = conversation.take_in(Direction::Receive, message, head, sender_profile);
            (changed, conversation.is_muted())
        });
        let revision = self.advance(message.key);
        let mut events = smallvec![
            Event::PeerMessageReceived {
                messages: smallvec![message.clone()],
                from: other.clone(),
                offline: false,
            },
            Event::ConversationChanged(smallvec![changed]),
        ];
        if !is_muted {
            events.push(Event::TotalChanged(self.totals));
        }
        Received { publication: Publication { revision, events }, is_muted }
    }
}

impl Conversation {
    /// Whether a load has found an unpublished message of the other user.
    #[must_use]
    pub fn has_unpublished(&self) -> bool {
        self.received.is_some_and(|head| head.stream_seq > self.published_seq)
    }

    /// Notes a stored message of the other user, so that a repeat of it is recognized.
    fn remember(&mut self, message: &Message, fingerprint: u64, stream_seq: u64, limits: &Limits) {
        let Some(local_id) = &message.local_id else { return };
        let oldest_ms = message.timestamp_ms.saturating_sub(limits.repeat_window_ms);
        let repeat = Repeat::new(local_id, fingerprint, message.timestamp_ms, stream_seq);
        self.repeats.note(repeat, oldest_ms);
    }
}

fn message(
    receiver: &UserId,
    delivery: &Delivery,
    partition: Partition,
    seq: u64,
    key: OrderKey,
) -> Message {
    let send = &delivery.send;
    let reply = send.draft.reply.as_deref().cloned();
    let annotations =
        reply.map(|reply| Box::new(Annotations { reply: Some(reply), ..Annotations::default() }));
    Message {
        sender: delivery.from.clone(),
        receiver: receiver.clone(),
        partition,
        key,
        seq,
        timestamp_ms: delivery.timestamp_ms,
        local_id: send.draft.local_id.clone(),
        receipt: send.receipt(),
        counts: !send.options.not_counted,
        extended_data: send.draft.extended_data.clone(),
        content: send.draft.content.clone(),
        annotations,
    }
}
