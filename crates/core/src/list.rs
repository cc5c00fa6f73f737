//! The conversation list.

use std::cmp::Reverse;

use super::conversation::Conversation;
use super::id::{OrderKey, UserId};
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

impl User {
    /// The next `count` conversations after `anchor`, in the list's order.
    #[must_use]
    pub fn list(&self, anchor: Option<&Anchor>, count: usize, only_unread: bool) -> Vec<UserId> {
        let after = anchor.map(|anchor| self.rank_of_anchor(anchor));
        let existing = self.conversations.iter().filter(|(_, known)| known.exists());
        let mut ranked: Vec<(Rank<'_>, &UserId)> = existing
            .filter(|(_, known)| !only_unread || known.unread() > 0)
            .map(|(id, known)| (rank(id, known), id))
            .filter(|(rank, _)| after.as_ref().is_none_or(|after| rank > after))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().take(count).map(|(_, id)| id.clone()).collect()
    }

    fn rank_of_anchor<'a>(&self, anchor: &'a Anchor) -> Rank<'a> {
        let known = self.conversations.get(&anchor.id);
        let order_key = known.map_or(OrderKey::ZERO, Conversation::order_key);
        let is_pinned = known.is_some_and(|known| known.settings.pinned_ms > 0);
        Reverse((
            anchor.is_pinned.unwrap_or(is_pinned),
            anchor.order_key.unwrap_or(order_key),
            anchor.id.as_str(),
        ))
    }
}

fn rank<'a>(id: &'a UserId, conversation: &Conversation) -> Rank<'a> {
    Reverse((conversation.settings.pinned_ms > 0, conversation.order_key(), id.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn pinned_conversations_come_first_then_the_latest() {
        let order: Vec<String> =
            user().list(None, 9, false).iter().map(ToString::to_string).collect();
        assert_eq!(order, ["c", "b", "d", "a"]);
    }

    #[test]
    fn a_page_continues_after_the_previous_one_even_if_its_last_conversation_moved_up() {
        let mut user = user();
        let anchor = Anchor { id: id("b"), order_key: Some(OrderKey(30)), is_pinned: Some(false) };
        user.update(&id("b"), |conversation| conversation.settings.changed = OrderKey(99));
        assert_eq!(user.list(Some(&anchor), 9, false), [id("d"), id("a")]);
        let anchor = Anchor { id: id("d"), order_key: None, is_pinned: None };
        assert_eq!(user.list(Some(&anchor), 9, false), [id("a")]);
    }
}
