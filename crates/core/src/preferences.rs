//! Decides changes of a conversation's settings: muting, pinning, a draft, marks, a mark as unread.
//! Each function returns the new settings, or `None` if the value is already set.

use std::sync::Arc;

use super::conversation::{Conversation, NotificationStatus, Settings};
use super::id::{OrderKey, UserId};
use super::limits::{MARKED_MAX, MUTED_MAX, PINNED_MAX};
use super::marks::ConversationMark;
use super::rejection::Rejection;
use super::user::User;

/// The conversations of one call, each with the settings to write, and those that are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkChange {
    /// The conversations to write.
    pub writes: Vec<(UserId, Settings)>,
    /// The conversations that cannot be marked.
    pub refused: Vec<UserId>,
}

impl User {
    /// The settings with another notification status.
    pub fn set_notification(
        &self,
        known: &Conversation,
        status: NotificationStatus,
        key: OrderKey,
    ) -> Result<Option<Settings>, Rejection> {
        if known.settings.notification == status {
            return Ok(None);
        }
        let is_full = || self.count_of(Conversation::is_muted) >= MUTED_MAX;
        if status == NotificationStatus::DoNotDisturb && is_full() {
            return Err(Rejection::MutedListFull);
        }
        Ok(Some(kept(known, key, |settings| settings.notification = status)))
    }

    /// The settings with the conversation pinned at `now_ms` (milliseconds since 1970), or
    /// unpinned.
    pub fn set_pinned(
        &self,
        known: &Conversation,
        is_pinned: bool,
        key: OrderKey,
        now_ms: u64,
    ) -> Result<Option<Settings>, Rejection> {
        if known.is_pinned() == is_pinned {
            return Ok(None);
        }
        if is_pinned && self.count_of(Conversation::is_pinned) >= PINNED_MAX {
            return Err(Rejection::PinnedListFull);
        }
        let pinned_ms = if is_pinned { now_ms.max(1) } else { 0 };
        Ok(Some(kept(known, key, |settings| settings.pinned_ms = pinned_ms)))
    }

    /// The settings of these conversations, which are ascending, with a mark or without it.
    #[must_use]
    pub fn set_mark(
        &self,
        others: &[UserId],
        mark: ConversationMark,
        is_set: bool,
        key: OrderKey,
    ) -> MarkChange {
        let is_marked = |known: &Conversation| !known.settings.marks.is_empty();
        let mut room = MARKED_MAX.saturating_sub(self.count_of(is_marked));
        let mut change = MarkChange::default();
        let unknown = Conversation::default();
        for other in others {
            let known = self.conversations.get(other).unwrap_or(&unknown);
            let marks = known.settings.marks;
            if *other == self.id {
                change.refused.push(other.clone());
            } else if marks.contains(mark) == is_set {
                // Setting a mark that is already set is not an error.
            } else if is_set && marks.is_empty() && room == 0 {
                change.refused.push(other.clone());
            } else {
                room -= usize::from(is_set && marks.is_empty());
                let settings =
                    kept(known, key, |settings| settings.marks = marks.with(mark, is_set));
                change.writes.push((other.clone(), settings));
            }
        }
        change
    }

    /// The number of conversations with a setting. Deleted ones are included, since a message
    /// brings them back as they were.
    fn count_of(&self, has: impl Fn(&Conversation) -> bool) -> usize {
        self.conversations.values().filter(|known| has(known)).count()
    }
}

/// The settings with another draft; an empty one is none.
#[must_use]
pub fn set_draft(known: &Conversation, draft: &str, key: OrderKey) -> Option<Settings> {
    if known.settings.draft.as_deref().unwrap_or_default() == draft {
        return None;
    }
    let draft = (!draft.is_empty()).then(|| Arc::from(draft));
    Some(kept(known, key, |settings| settings.draft = draft))
}

/// The settings with the conversation marked as unread, or without that mark.
#[must_use]
pub fn set_marked_unread(known: &Conversation, is_marked: bool, key: OrderKey) -> Option<Settings> {
    (known.is_marked_unread() != is_marked).then(|| {
        let mark = is_marked.then(|| known.marked_unread_now());
        kept(known, key, |settings| settings.marked_unread = mark)
    })
}

/// The settings after a change that keeps the conversation in the list.
fn kept(known: &Conversation, key: OrderKey, change: impl FnOnce(&mut Settings)) -> Settings {
    known.changed_settings(key, |settings| {
        settings.kept = true;
        change(settings);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clear::clear_unread;
    use crate::conversation::{Head, Mark};
    use crate::id::Direction;
    use crate::marks::ConversationMarks;

    const KEY: OrderKey = OrderKey(9);

    fn id(text: &str) -> UserId {
        UserId::new(text, "userID").expect("a valid ID")
    }

    fn mark(number: u64) -> ConversationMark {
        ConversationMark::new(number).expect("a mark")
    }

    /// A user with so many conversations, which all have something set.
    fn user(count: usize, set: impl Fn(&mut Settings)) -> User {
        let mut user = User::new(id("me"));
        for number in 0..count {
            user.update(&id(&format!("u{number}")), |known| set(&mut known.settings));
        }
        user
    }

    #[test]
    fn what_is_set_already_changes_nothing() {
        let (user, mut known) = (User::new(id("me")), Conversation::default());
        assert_eq!(user.set_notification(&known, NotificationStatus::Notify, KEY), Ok(None));
        assert_eq!(user.set_pinned(&known, false, KEY, 5), Ok(None));
        assert_eq!(set_draft(&known, "", KEY), None);
        let pinned = user.set_pinned(&known, true, KEY, 5).expect("room").expect("a change");
        assert_eq!((pinned.pinned_ms, pinned.kept, pinned.changed), (5, true, KEY));
        known.settings = pinned;
        assert_eq!(user.set_pinned(&known, true, KEY, 6), Ok(None), "it stays as it was pinned");
        known.settings = set_draft(&known, "Dear", KEY).expect("a change");
        assert_eq!(set_draft(&known, "Dear", KEY), None);
        assert_eq!(set_draft(&known, "", KEY).expect("a change").draft, None);
        let unpinned = user.set_pinned(&known, false, KEY, 7).expect("no limit").expect("a change");
        assert_eq!((unpinned.pinned_ms, unpinned.draft.as_deref()), (0, Some("Dear")));
    }

    #[test]
    fn the_mark_as_unread_goes_away_when_the_user_reads_or_sends() {
        let head =
            |seq| Head { mark: Mark { seq, counted: seq }, stream_seq: seq, ..Head::BEFORE_FIRST };
        let mut known = Conversation { received: Some(head(3)), ..Conversation::default() };
        assert_eq!(set_marked_unread(&known, false, KEY), None);
        known.settings = set_marked_unread(&known, true, KEY).expect("a change");
        assert!(known.is_marked_unread());
        assert_eq!(set_marked_unread(&known, true, KEY), None);
        // A message of the other user or another setting does not remove it.
        known.adopt_head(Direction::Receive, head(4));
        known.settings = set_draft(&known, "Dear", KEY).expect("a change");
        assert!(known.is_marked_unread());
        let mut sent = known.clone();
        sent.adopt_head(Direction::Send, head(1));
        assert!(!sent.is_marked_unread());
        let mut read = known.clone();
        read.settings = clear_unread(&read, KEY).expect("a change");
        assert_eq!((read.is_marked_unread(), read.unread()), (false, 0));
        // Reading removes it even if no message is unread.
        read.settings = set_marked_unread(&read, true, KEY).expect("a change");
        read.settings = clear_unread(&read, KEY).expect("a change");
        assert!(!read.is_marked_unread());
        assert_eq!(clear_unread(&read, KEY), None);
        known.settings = set_marked_unread(&known, false, KEY).expect("a change");
        assert_eq!((known.is_marked_unread(), known.unread()), (false, 4));
    }

    #[test]
    fn so_many_conversations_are_pinned_or_muted_and_no_more() {
        let known = Conversation::default();
        let almost = user(PINNED_MAX - 1, |settings| settings.pinned_ms = 1);
        assert!(almost.set_pinned(&known, true, KEY, 5).is_ok());
        let full = user(PINNED_MAX, |settings| settings.pinned_ms = 1);
        assert_eq!(full.set_pinned(&known, true, KEY, 5), Err(Rejection::PinnedListFull));
        let pinned = &full.conversations[&id("u7")];
        assert!(full.set_pinned(pinned, false, KEY, 5).is_ok_and(|settings| settings.is_some()));
        let muted = NotificationStatus::DoNotDisturb;
        let almost = user(MUTED_MAX - 1, |settings| settings.notification = muted);
        assert!(almost.set_notification(&known, muted, KEY).is_ok());
        let full = user(MUTED_MAX, |settings| settings.notification = muted);
        assert_eq!(full.set_notification(&known, muted, KEY), Err(Rejection::MutedListFull));
    }

    #[test]
    fn each_conversation_is_marked_or_refused_by_itself() {
        let mut user = user(MARKED_MAX - 1, |settings| {
            settings.marks = settings.marks.with(mark(20), true);
        });
        let others = ["me", "new", "newer", "u0"].map(id);
        let MarkChange { writes, refused } = user.set_mark(&others, mark(1), true, KEY);
        assert_eq!(refused, [id("me"), id("newer")], "there is room for one");
        let [(one, new), (other, known)] = &writes[..] else { panic!("two: {writes:?}") };
        assert_eq!((one, new.marks.numbers().collect::<Vec<_>>()), (&id("new"), vec![1]));
        assert_eq!((other, known.marks.numbers().collect::<Vec<_>>()), (&id("u0"), vec![1, 20]));
        user.update(&id("u0"), |known| known.settings.marks = ConversationMarks::default());
        assert_eq!(user.set_mark(&others, mark(20), false, KEY).writes, []);
    }
}
