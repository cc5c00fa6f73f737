//! Clearing unread counts.

use super::conversation::{Conversation, Mark, Settings};
use super::id::{OrderKey, UserId};
use super::user::User;

/// The settings after everything in the conversation was read; `None` if nothing is unread.
#[must_use]
pub fn clear_unread(conversation: &Conversation, key: OrderKey) -> Option<Settings> {
    is_unread(conversation).then(|| {
        conversation.changed_settings(key, |settings| {
            settings.kept = true;
            settings.read = settings.received_mark;
            settings.deleted_unread = 0;
            settings.marked_unread = None;
        })
    })
}

/// The read position of a conversation after it was read up to a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadUpTo {
    /// The newest message of the other user up to there.
    pub mark: Mark,
    /// The number of later messages that count and are deleted.
    pub deleted_after: u64,
}

/// The settings after the conversation was read up to a message; `None` where nothing up to there
/// is unread.
#[must_use]
pub fn read_up_to(conversation: &Conversation, up_to: ReadUpTo, key: OrderKey) -> Option<Settings> {
    let settings = conversation.changed_settings(key, |settings| {
        settings.kept = true;
        settings.marked_unread = None;
        if up_to.mark.seq > settings.read.seq {
            settings.read = up_to.mark;
            settings.deleted_unread = up_to.deleted_after;
        }
    });
    let mut after = conversation.clone();
    after.adopt_settings(settings.clone(), u64::MAX);
    let is_less = after.unread() < conversation.unread();
    (is_less || conversation.is_marked_unread()).then_some(settings)
}

/// Whether a clear changes anything: there are unread messages, or the user's own mark as unread.
fn is_unread(conversation: &Conversation) -> bool {
    conversation.unread() > 0 || conversation.is_marked_unread()
}

impl User {
    /// The IDs of the other users in conversations that have unread messages or are marked as
    /// unread.
    #[must_use]
    pub fn unread_conversations(&self) -> Vec<UserId> {
        let conversations = self.conversations.iter();
        let unread = conversations.filter(|(_, conversation)| is_unread(conversation));
        let mut unread: Vec<UserId> = unread.map(|(other, _)| other.clone()).collect();
        unread.sort_unstable();
        unread
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Gone, Head};

    fn mark(seq: u64, counted: u64) -> Mark {
        Mark { seq, counted }
    }

    /// Ten messages, nine of which count; read up to the second, and two later ones deleted.
    fn conversation() -> Conversation {
        let newest = Head { mark: mark(10, 9), stream_seq: 10, ..Head::BEFORE_FIRST };
        let mut known = Conversation { received: Some(newest), ..Conversation::default() };
        known.settings.read = mark(2, 2);
        known.settings.deleted_unread = 2;
        known
    }

    #[test]
    fn reading_up_to_a_message_leaves_what_comes_after_it_unread() {
        let mut known = conversation();
        assert_eq!(known.unread(), 5);
        let up_to = ReadUpTo { mark: mark(5, 4), deleted_after: 1 };
        let settings = read_up_to(&known, up_to, OrderKey(7)).expect("a change");
        assert_eq!((settings.read, settings.deleted_unread), (mark(5, 4), 1));
        known.adopt_settings(settings, 1);
        assert_eq!(known.unread(), 4);
        // The read mark only moves forward.
        let back = ReadUpTo { mark: mark(4, 3), deleted_after: 2 };
        assert_eq!(read_up_to(&known, back, OrderKey(8)), None);
        assert_eq!(read_up_to(&known, up_to, OrderKey(8)), None);
        let all = ReadUpTo { mark: mark(10, 9), deleted_after: 0 };
        known.adopt_settings(read_up_to(&known, all, OrderKey(8)).expect("a change"), 2);
        assert_eq!((known.unread(), known.settings.deleted_unread), (0, 0));
    }

    #[test]
    fn reading_up_to_messages_that_do_not_count_or_are_deleted_changes_nothing() {
        let known = conversation();
        let uncounted = ReadUpTo { mark: mark(3, 2), deleted_after: 2 };
        assert_eq!(read_up_to(&known, uncounted, OrderKey(7)), None);
        let deleted = ReadUpTo { mark: mark(3, 3), deleted_after: 1 };
        assert_eq!(read_up_to(&known, deleted, OrderKey(7)), None);
    }

    #[test]
    fn what_aged_out_stays_uncounted_when_the_mark_moves() {
        let mut known = conversation();
        // The first five aged out, one of the deleted ones among them.
        known.gone = Gone { counted: 5, deleted: 1, oldest_ms: 0 };
        assert_eq!(known.unread(), 3);
        let up_to = ReadUpTo { mark: mark(7, 6), deleted_after: 1 };
        known.adopt_settings(read_up_to(&known, up_to, OrderKey(7)).expect("a change"), 1);
        assert_eq!(known.unread(), 2);
    }
}
