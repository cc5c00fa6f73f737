//! Deleting messages for the caller only.

use super::conversation::{Cleared, Conversation, Settings};
use super::deletions::Deletions;
use super::id::OrderKey;
use super::message::{Direction, Message};

/// The settings after single messages of the conversation were deleted, and which of `messages` (by
/// index) had not been deleted before; `None` if there were none. The deletion pages of the
/// messages must be loaded.
#[must_use]
pub fn delete_messages(
    conversation: &Conversation,
    messages: &[(Direction, &Message)],
    key: OrderKey,
) -> Option<(Settings, Vec<usize>)> {
    let mut gone = Vec::new();
    let settings = conversation.changed_settings(key, |settings| {
        settings.kept = true;
        for (index, (direction, message)) in messages.iter().enumerate() {
            let was_hidden = message.seq <= settings.cleared(*direction).seq;
            if was_hidden || !settings.deleted.insert(*direction, message.seq) {
                continue;
            }
            gone.push(index);
            let received = *direction == Direction::Receive;
            if received && message.counts && message.seq > settings.read.seq {
                settings.deleted_unread += 1;
            }
        }
    });
    (!gone.is_empty()).then_some((settings, gone))
}

/// The settings after all messages of the conversation were deleted; `None` if all were deleted
/// already.
#[must_use]
pub fn delete_all(conversation: &Conversation, key: OrderKey) -> Option<Settings> {
    let newest = |direction| {
        conversation
            .head(direction)
            .map_or_else(Cleared::default, |head| Cleared { seq: head.mark.seq, key: head.key })
    };
    let (received, sent) = (newest(Direction::Receive), newest(Direction::Send));
    let settings = &conversation.settings;
    if received.seq <= settings.cleared_received.seq && sent.seq <= settings.cleared_sent.seq {
        return None;
    }
    Some(conversation.changed_settings(key, |settings| {
        settings.kept = true;
        settings.cleared_received = received;
        settings.cleared_sent = sent;
        settings.deleted = Deletions::default();
        settings.read = settings.received_mark;
        settings.deleted_unread = 0;
    }))
}
