//! Decides read receipts of whole conversations: how far each user has confirmed the messages of
//! the other.
//!
//! A receipt concerns both users. The reader's owner first stores that it begins, the author's
//! owner stores it, and then the reader's owner stores it too. Only then is it shown to the reader,
//! so that it never happens for the reader alone; if the reader's owner ends in between, the next
//! one repeats it. Positions are order keys, which are never assigned again.
//!
//! How far messages were delivered is stored by the author's owner alone: only the author sees it.

use std::sync::Arc;

use super::conversation::{Conversation, Settings};
use super::event::Event;
use super::id::OrderKey;
use super::limits::RECEIPTS_PER_SECOND;
use super::message::Message;
use super::rejection::Rejection;
use super::user::User;

impl User {
    /// Admits a receipt, by the rate.
    pub fn admit_receipt(&mut self, now_us: u64) -> Result<(), Rejection> {
        let taken = self.receipts_sent.take(now_us, RECEIPTS_PER_SECOND);
        let refused = |retry_after_ms| Rejection::RateLimited { retry_after_ms };
        taken.map(drop).map_err(refused)
    }
}

impl Event {
    /// Shows the receipts of the messages of an event to `user`.
    pub fn show_receipts(&mut self, user: &User) {
        if let Self::PinsChanged(infos) = self {
            for info in infos {
                show_receipt(&mut info.message, user);
            }
            return;
        }
        let messages = if let Self::ReactionsChanged { message, .. } = self {
            std::slice::from_mut(message)
        } else if let Self::MessagesRevoked(messages)
        | Self::MessagesEdited(messages)
        | Self::RepliedInfoChanged(messages)
        | Self::MessageDeleted { messages, .. }
        | Self::PeerMessageReceived { messages, .. } = self
        {
            messages.as_mut_slice()
        } else {
            return;
        };
        for message in messages {
            show_receipt(message, user);
        }
    }
}

fn show_receipt(message: &mut Arc<Message>, user: &User) {
    let Some(known) = user.conversations.get(message.other(&user.id)) else { return };
    known.settings.receipts.show_shared(message.direction(&user.id), message);
}

impl Conversation {
    /// The settings with a receipt begun that confirms the other's messages up to `up_to`. `None`:
    /// it has begun before.
    #[must_use]
    pub fn begin_receipt(&self, up_to: OrderKey) -> Option<Settings> {
        let is_new = self.settings.receipts.begun.max(self.settings.receipts.sent) < up_to;
        is_new.then(|| {
            self.changed_settings(self.settings.changed, |settings| settings.receipts.begun = up_to)
        })
    }

    /// The settings at `key` with a receipt that the other's owner has stored. `None`: it was known.
    #[must_use]
    pub fn end_receipt(&self, up_to: OrderKey, key: OrderKey) -> Option<Settings> {
        (self.settings.receipts.sent < up_to).then(|| {
            self.changed_settings(key, |settings| {
                settings.kept = self.exists();
                settings.receipts.sent = up_to;
                settings.receipts.begun = settings.receipts.begun.max(up_to);
            })
        })
    }

    /// The settings without a receipt that had begun and that the other's owner did not store.
    /// `None`: a later one has begun, or it was stored by another call.
    #[must_use]
    pub fn drop_receipt(&self, up_to: OrderKey) -> Option<Settings> {
        let unfinished = self.settings.receipts.unfinished().filter(|begun| *begun <= up_to);
        unfinished.map(|_| {
            self.changed_settings(self.settings.changed, |settings| {
                settings.receipts.begun = settings.receipts.sent;
            })
        })
    }

    /// The settings at `key` after the other has confirmed the user's messages up to `up_to`.
    /// `None`: it was known.
    #[must_use]
    pub fn receive_receipt(&self, up_to: OrderKey, key: OrderKey) -> Option<Settings> {
        (self.settings.receipts.received < up_to).then(|| {
            self.changed_settings(key, |settings| {
                settings.kept = self.exists();
                settings.receipts.received = up_to;
            })
        })
    }

    /// The settings at `key` after the user's messages up to `up_to` were handed to the other.
    /// `None`: it was known.
    #[must_use]
    pub fn note_delivered(&self, up_to: OrderKey, key: OrderKey) -> Option<Settings> {
        (self.settings.receipts.delivered < up_to).then(|| {
            self.changed_settings(key, |settings| {
                settings.kept = self.exists();
                settings.receipts.delivered = up_to;
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Direction;

    fn with(settings: Settings) -> Conversation {
        Conversation { settings, ..Conversation::default() }
    }

    #[test]
    fn a_receipt_is_shown_to_its_reader_when_the_author_has_it() {
        let known = Conversation::default();
        let begun = with(known.begin_receipt(OrderKey(5)).expect("it begins"));
        assert_eq!(begun.settings.receipts.unfinished(), Some(OrderKey(5)));
        assert_eq!(begun.settings.receipts.of(Direction::Receive), OrderKey::ZERO);
        assert_eq!(begun.settings.changed, OrderKey::ZERO, "its user sees nothing of it");
        assert_eq!(begun.begin_receipt(OrderKey(5)), None);
        let ended = with(begun.end_receipt(OrderKey(5), OrderKey(9)).expect("it ends"));
        assert_eq!(ended.settings.receipts.unfinished(), None);
        assert_eq!(ended.settings.receipts.of(Direction::Receive), OrderKey(5));
        assert_eq!(ended.settings.changed, OrderKey(9));
        assert_eq!(ended.begin_receipt(OrderKey(5)), None);
        assert_eq!(ended.begin_receipt(OrderKey(4)), None);
        assert_eq!(ended.end_receipt(OrderKey(4), OrderKey(10)), None, "it never moves back");
    }

    #[test]
    fn a_receipt_that_is_refused_leaves_nothing_unless_a_later_one_has_begun() {
        let begun = with(Conversation::default().begin_receipt(OrderKey(5)).expect("it begins"));
        assert_eq!(begun.drop_receipt(OrderKey(5)).expect("a change").receipts.begun.0, 0);
        let later = with(begun.begin_receipt(OrderKey(7)).expect("it begins"));
        assert_eq!(later.drop_receipt(OrderKey(5)), None);
        let ended = with(later.end_receipt(OrderKey(5), OrderKey(9)).expect("it ends"));
        assert_eq!(ended.settings.receipts.unfinished(), Some(OrderKey(7)));
        let dropped = with(ended.drop_receipt(OrderKey(7)).expect("a change"));
        assert_eq!(dropped.settings.receipts.begun, OrderKey(5));
        assert_eq!(dropped.drop_receipt(OrderKey(7)), None);
    }

    #[test]
    fn the_author_takes_each_receipt_once() {
        let known = Conversation::default();
        let known = with(known.receive_receipt(OrderKey(5), OrderKey(9)).expect("a change"));
        assert_eq!(known.settings.receipts.of(Direction::Send), OrderKey(5));
        assert_eq!(known.receive_receipt(OrderKey(5), OrderKey(10)), None);
        assert_eq!(known.receive_receipt(OrderKey(4), OrderKey(10)), None);
        let known = with(known.note_delivered(OrderKey(7), OrderKey(11)).expect("a change"));
        assert_eq!(known.settings.receipts.delivered, OrderKey(7));
        assert_eq!(known.note_delivered(OrderKey(6), OrderKey(12)), None, "it never moves back");
    }
}
