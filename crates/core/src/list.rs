//! The conversation list.

use std::cmp::Reverse;

use super::conversation::Conversation;
use super::event::Totals;
use super::id::{OrderKey, UserId};
use super::marks::ConversationMarks;
use super::user::User;

/// A conversation's position in the list: pinned ones first, then the latest.
type Rank<'a> = Reverse<(bool, OrderKey, &'a str)>;

/// The conversation after which a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The conversation's ID.
    pub id: UserId,
    /// Its order key on the previous page. A message since then may have moved the conversation up,
    /// and the page must not start again from there.
    pub order_key: Option<OrderKey>,
    /// Whether it was pinned on the previous page.
    pub is_pinned: Option<bool>,
}

/// Which conversations a list shows, by whether they are pinned, with the SDK's numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum PinnedFilter {
    /// All.
    #[default]
    All = 0,
    /// The pinned ones.
    OnlyPinned = 1,
    /// The others.
    OnlyUnpinned = 2,
}

/// A filter by marks: a conversation passes if one of the fields admits it. The default admits all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MarkFilter {
    /// Conversations with one of these marks.
    pub marks: ConversationMarks,
    /// Conversations with any mark.
    pub any: bool,
    /// Conversations without a mark.
    pub unmarked: bool,
}

impl MarkFilter {
    /// Whether all conversations pass.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    fn admits(self, marks: ConversationMarks) -> bool {
        self.is_all()
            || (self.any && !marks.is_empty())
            || (self.unmarked && marks.is_empty())
            || self.marks.intersects(marks)
    }
}

/// Which conversations a list shows. The default is all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListFilter {
    /// Only conversations with unread messages.
    pub only_unread: bool,
    /// The filter by pins.
    pub pinned: PinnedFilter,
    /// The filter by marks.
    pub marks: MarkFilter,
    /// Only conversations that changed after this key.
    pub changed_after: Option<OrderKey>,
}

impl ListFilter {
    fn admits(&self, known: &Conversation) -> bool {
        let is_wanted = match self.pinned {
            PinnedFilter::All => true,
            PinnedFilter::OnlyPinned => known.is_pinned(),
            PinnedFilter::OnlyUnpinned => !known.is_pinned(),
        };
        is_wanted
            && self.marks.admits(known.settings.marks)
            && self.changed_after.is_none_or(|key| known.has_changed_after(key))
            && (!self.only_unread || known.unread() > 0)
    }
}

impl User {
    /// The next `count` conversations after `anchor`, in the list's order.
    #[must_use]
    pub fn list(&self, anchor: Option<&Anchor>, count: usize, filter: &ListFilter) -> Vec<UserId> {
        let after = anchor.map(|anchor| self.rank_of_anchor(anchor));
        let existing = self.conversations.iter().filter(|(_, known)| known.exists());
        let mut ranked: Vec<(Rank<'_>, &UserId)> = existing
            .filter(|(_, known)| filter.admits(known))
            .map(|(id, known)| (rank(id, known), id))
            .filter(|(rank, _)| after.as_ref().is_none_or(|after| rank > after))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().take(count).map(|(_, id)| id.clone()).collect()
    }

    /// The unread messages of the conversations with these marks.
    #[must_use]
    pub fn totals_of(&self, filter: &MarkFilter) -> Totals {
        if filter.is_all() {
            return self.totals;
        }
        let meant = self.conversations.values().filter(|known| filter.admits(known.settings.marks));
        meant.fold(Totals::default(), |Totals { unmuted, all }, known| {
            let unread = known.unread();
            let unmuted = unmuted + if known.is_muted() { 0 } else { unread };
            Totals { unmuted, all: all + unread }
        })
    }

    fn rank_of_anchor<'a>(&self, anchor: &'a Anchor) -> Rank<'a> {
        let known = self.conversations.get(&anchor.id);
        let order_key = known.map_or(OrderKey::ZERO, Conversation::order_key);
        let is_pinned = known.is_some_and(Conversation::is_pinned);
        Reverse((
            anchor.is_pinned.unwrap_or(is_pinned),
            anchor.order_key.unwrap_or(order_key),
            anchor.id.as_str(),
        ))
    }
}

fn rank<'a>(id: &'a UserId, conversation: &Conversation) -> Rank<'a> {
    Reverse((conversation.is_pinned(), conversation.order_key(), id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Head, Mark};
    use crate::id::Direction;
    use crate::marks::ConversationMark;

    fn id(text: &str) -> UserId {
        UserId::new(text, "userID").expect("a valid ID")
    }

    fn user() -> User {
        let mut user = User::new(id("me"));
        for (other, key, pinned_ms) in [("a", 10, 0), ("b", 30, 0), ("c", 20, 5), ("d", 20, 0)] {
            user.update(&id(other), |conversation| {
                conversation.settings.kept = true;
                conversation.settings.changed = OrderKey(key);
                conversation.settings.pinned_ms = pinned_ms;
            });
        }
        user
    }

    const ALL: ListFilter = ListFilter {
        only_unread: false,
        pinned: PinnedFilter::All,
        marks: MarkFilter { marks: ConversationMarks::from_bits(0), any: false, unmarked: false },
        changed_after: None,
    };

    #[test]
    fn pinned_conversations_come_first_then_the_latest() {
        assert_eq!(user().list(None, 9, &ALL), ["c", "b", "d", "a"].map(id));
    }

    #[test]
    fn a_filter_shows_the_pinned_or_the_others() {
        let only = |pinned| user().list(None, 9, &ListFilter { pinned, ..ALL });
        assert_eq!(only(PinnedFilter::OnlyPinned), [id("c")]);
        assert_eq!(only(PinnedFilter::OnlyUnpinned), ["b", "d", "a"].map(id));
    }

    #[test]
    fn a_filter_shows_those_with_one_of_several_marks() {
        let mut user = user();
        let mark = |number| ConversationMark::new(number).expect("a mark");
        let one = |number| ConversationMarks::default().with(mark(number), true);
        for (other, number) in [("a", 1), ("b", 20)] {
            user.update(&id(other), |known| {
                known.settings.marks = one(number);
                known.adopt_head(
                    Direction::Receive,
                    Head {
                        mark: Mark { seq: number, counted: number },
                        stream_seq: 1,
                        ..Head::BEFORE_FIRST
                    },
                );
            });
        }
        let of = |marks, any, unmarked| MarkFilter { marks, any, unmarked };
        let nothing = ConversationMarks::default();
        for (filter, shown, unread) in [
            (of(nothing, false, false), &["c", "b", "d", "a"][..], 21),
            (of(one(1), false, false), &["a"], 1),
            (of(one(1).with(mark(20), true), false, false), &["b", "a"], 21),
            (of(one(2), false, false), &[], 0),
            (of(nothing, true, false), &["b", "a"], 21),
            (of(nothing, false, true), &["c", "d"], 0),
            (of(one(1), false, true), &["c", "d", "a"], 1),
        ] {
            let list = user.list(None, 9, &ListFilter { marks: filter, ..ALL });
            assert_eq!(list, shown.iter().map(|other| id(other)).collect::<Vec<_>>(), "{filter:?}");
            let totals = Totals { unmuted: unread, all: unread };
            assert_eq!(user.totals_of(&filter), totals, "{filter:?}");
        }
    }

    #[test]
    fn a_page_continues_after_the_previous_one_even_if_its_last_conversation_moved_up() {
        let mut user = user();
        let anchor = Anchor { id: id("b"), order_key: Some(OrderKey(30)), is_pinned: Some(false) };
        user.update(&id("b"), |conversation| conversation.settings.changed = OrderKey(99));
        assert_eq!(user.list(Some(&anchor), 9, &ALL), [id("d"), id("a")]);
        let anchor = Anchor { id: id("d"), order_key: None, is_pinned: None };
        assert_eq!(user.list(Some(&anchor), 9, &ALL), [id("a")]);
    }
}
