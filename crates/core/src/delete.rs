//! Deleting messages and conversations for the caller only.

use super::conversation::{Cleared, Conversation, Delisted, Settings};
use super::deletions::Deletions;
use super::id::{Direction, OrderKey};
use super::message::Message;

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
        settings.kept = conversation.exists();
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
        settings.kept = conversation.exists();
        settings.cleared_received = received;
        settings.cleared_sent = sent;
        settings.deleted = Deletions::default();
        settings.read = settings.received_mark;
        settings.deleted_unread = 0;
    }))
}

/// The settings after the conversation was deleted, which leaves its messages; `None` where there is no
/// such conversation. Its pin, its marks and its notification status stay for when it comes back.
#[must_use]
pub fn delete_conversation(conversation: &Conversation, key: OrderKey) -> Option<Settings> {
    conversation.exists().then(|| {
        conversation.changed_settings(key, |settings| {
            let (received, sent) = (settings.received_mark.seq, settings.sent_mark.seq);
            settings.delisted = Some(Delisted { received, sent });
            settings.kept = false;
            settings.draft = None;
            settings.marked_unread = None;
            settings.read = settings.received_mark;
            settings.deleted_unread = 0;
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Head, Mark, MarkedUnread};
    use crate::id::UserId;
    use crate::preferences::set_draft;
    use crate::user::User;

    fn head(seq: u64) -> Head {
        let mark = Mark { seq, counted: seq };
        Head { mark, key: OrderKey(10 * seq), stream_seq: seq, ..Head::BEFORE_FIRST }
    }

    #[test]
    fn a_deleted_conversation_comes_back_with_a_message_as_it_was() {
        let mut known = Conversation { received: Some(head(3)), ..Conversation::default() };
        known.settings.pinned_ms = 7;
        known.settings.draft = Some("Dear".into());
        known.settings.marked_unread = Some(MarkedUnread { sent: 0, read: 0 });
        known.settings = delete_conversation(&known, OrderKey(99)).expect("a change");
        assert!(!known.exists());
        assert_eq!((known.unread(), known.settings.draft.as_deref()), (0, None));
        assert_eq!(delete_conversation(&known, OrderKey(100)), None);
        for direction in [Direction::Receive, Direction::Send] {
            let mut known = known.clone();
            known.adopt_head(direction, head(4));
            assert!(known.exists() && known.is_pinned() && !known.is_marked_unread());
            assert_eq!(known.unread(), u64::from(direction == Direction::Receive));
        }
        known.settings = set_draft(&known, "Dear", OrderKey(101)).expect("a change");
        assert!(known.exists(), "or with a setting");
    }

    #[test]
    fn deleting_messages_of_a_deleted_conversation_leaves_it_deleted() {
        let mut known = Conversation { received: Some(head(3)), ..Conversation::default() };
        known.settings = delete_conversation(&known, OrderKey(99)).expect("a change");
        known.settings = delete_all(&known, OrderKey(100)).expect("a change");
        assert!(!known.exists());
    }

    #[test]
    fn a_deletion_is_a_change_that_a_load_finds() {
        let mut user = User::new(UserId::new("me", "").expect("valid"));
        let other = UserId::new("other", "").expect("valid");
        user.update(&other, |known| {
            known.received = Some(head(3));
            let settings = delete_conversation(known, OrderKey(99)).expect("a change");
            known.adopt_settings(settings, 1);
        });
        user.settle_revision();
        assert_eq!(user.revision.current, 99);
    }
}
