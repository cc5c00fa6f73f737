//! The sender's part of a send: the budget before it, the sender's own view after it.

use std::sync::Arc;

use smallvec::smallvec;

use super::content::Content;
use super::conversation::{Head, Settings};
use super::event::{Event, Publication};
use super::id::{Direction, OrderKey, UserId};
use super::limits::{EXTENDED_DATA_MAX_BYTES, Limits};
use super::message::{Draft, Message, ReceiptStatus};
use super::rate::Place;
use super::rejection::Rejection;
use super::user::User;
use super::user_info::Profile;

/// The content of an offline push. peerd passes it on without reading it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// First line.
    pub title: String,
    /// The text.
    pub content: String,
    /// Data for the application that is woken.
    pub payload: String,
    /// The vendor resources to use.
    pub resources_id: String,
    /// Groups notifications on the device.
    pub thread_id: String,
}

/// How a message is to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// The offline push, if one is wanted.
    pub push: Option<Push>,
    /// Whether a read receipt is requested.
    pub has_receipt: bool,
    /// Whether this repeats a send that failed, perhaps long ago.
    pub is_retry: bool,
    /// Whether it does not count as unread.
    pub not_counted: bool,
    /// For a reply, the highest `messageSeq` that it may get ([`super::reply`]).
    pub seq_max: Option<u64>,
}

/// A send as requested by the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The receiver.
    pub to: UserId,
    /// The field of the request that names the receiver.
    pub to_field: &'static str,
    /// The message.
    pub draft: Draft,
    /// The options.
    pub options: SendOptions,
}

/// A message on its way from the sender's owner to the receiver's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The sender.
    pub from: UserId,
    /// The sender's profile, for the receiver's conversation.
    pub from_profile: Profile,
    /// The send.
    pub send: Box<Send>,
    /// When the sender's owner accepted it, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The newest key that was published to the sender, or of the sender's last change of the
    /// conversation: the message sorts after it.
    pub floor: OrderKey,
    /// `messageSeq` of the newest message that the sender is known to have sent to the receiver:
    /// after retention has emptied the log, counting continues above it.
    pub sent_seq: u64,
}

/// The state on which a message builds, as known to its sender's owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basis {
    /// Whether the conversation has a stored entry.
    pub has_entry: bool,
    /// See [`Delivery::floor`].
    pub floor: OrderKey,
    /// See [`Delivery::sent_seq`].
    pub sent_seq: u64,
}

impl Send {
    /// Checks the message without any state.
    pub fn validate(&self, from: &UserId, limits: &Limits) -> Result<(), Rejection> {
        if self.to == *from {
            return Err(Rejection::invalid(self.to_field, "must not be the sender's own"));
        }
        if self.draft.extended_data.len() > EXTENDED_DATA_MAX_BYTES {
            let problem = "must be 1024 bytes or shorter";
            return Err(Rejection::invalid("message.extendedData", problem));
        }
        if self.draft.reply.is_some() && !self.draft.content.is_stored() {
            return Err(Rejection::invalid("message.type", "must not be 2, a Command, in a reply"));
        }
        if self.options.has_receipt && matches!(self.draft.content, Content::Command { .. }) {
            return Err(Rejection::invalid("config.hasReceipt", "is not for a Command message"));
        }
        self.draft.content.validate(limits)
    }

    /// The receipt status that the message starts with.
    #[must_use]
    pub const fn receipt(&self) -> ReceiptStatus {
        if self.options.has_receipt { ReceiptStatus::Processing } else { ReceiptStatus::None }
    }
}

impl User {
    /// Takes a slot of the rate limit for the message's kind: stored, or a Command.
    pub fn admit(
        &mut self,
        is_stored: bool,
        now_us: u64,
        limits: &Limits,
    ) -> Result<Place, Rejection> {
        let taken = if is_stored {
            self.messages_sent.take(now_us, limits.messages_per_second)
        } else {
            self.commands_sent.take(now_us, limits.commands_per_second)
        };
        taken.map_err(|retry_after_ms| Rejection::RateLimited { retry_after_ms })
    }

    /// Gives the slot back: the message was not accepted.
    pub fn readmit(&mut self, is_stored: bool, place: Place) {
        if is_stored {
            self.messages_sent.give_back(place);
        } else {
            self.commands_sent.give_back(place);
        }
    }

    /// The state on which a message to `other` builds, as known to the sender's owner.
    #[must_use]
    pub fn basis(&self, other: &UserId) -> Basis {
        let Some(known) = self.conversations.get(other) else {
            return Basis { has_entry: false, floor: self.newest_published(), sent_seq: 0 };
        };
        Basis {
            has_entry: known.settings_seq > 0,
            floor: self.newest_published().max(known.settings.changed),
            sent_seq: known.sent_mark().seq,
        }
    }

    /// The entry to store before the first message to `other`; `None` if it exists. It makes the
    /// conversation findable for its sender.
    #[must_use]
    pub fn first_contact(&self, other: &UserId, key: OrderKey) -> Option<Settings> {
        match self.conversations.get(other) {
            Some(known) if known.settings_seq > 0 => None,
            Some(known) => Some(known.changed_settings(key, |_| {})),
            None => Some(Settings { changed: key, ..Settings::default() }),
        }
    }

    /// Updates the sender's view after the store has acknowledged a message. `profile` is
    /// the receiver's.
    pub fn sent(&mut self, message: &Arc<Message>, head: Head, profile: &Profile) -> Publication {
        let other = &message.receiver;
        let changed =
            self.update(other, |known| known.take_in(Direction::Send, message, head, profile));
        let revision = self.advance(message.key);
        Publication { revision, events: smallvec![Event::ConversationChanged(smallvec![changed])] }
    }
}
