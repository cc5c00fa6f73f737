//! Selects the changes since a revision, for a client that missed events.

use super::conversation::Conversation;
use super::id::OrderKey;
use super::user::{User, change_keys};

/// The greatest distance of a revision above the key of its change, if changes became known in
/// another order than that of their keys: longer than an append may take.
const OUT_OF_ORDER_MS: u64 = 120_000;

/// The changes that a client with a revision must read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// None: it has the newest one.
    Nothing,
    /// The conversations that changed after this key.
    Key(OrderKey),
    /// All conversations: it has no revision, or one that the user never had, or knows
    /// conversations that are deleted.
    Reset,
}

impl User {
    /// The changes that a client with `revision` must read.
    #[must_use]
    pub fn since(&self, revision: u64) -> Since {
        if revision == self.revision.current {
            return Since::Nothing;
        }
        if revision == 0 || revision > self.revision.current {
            return Since::Reset;
        }
        let mut key = OrderKey(revision);
        if self.account.revision > revision {
            // A change may have a revision above its key.
            let slack = OrderKey::at_ms(key.unix_ms().saturating_sub(OUT_OF_ORDER_MS));
            key = slack.min(key);
        }
        let is_gone = |known: &Conversation| {
            !known.exists() && known.settings.delisted.is_some() && known.settings.changed > key
        };
        if self.conversations.values().any(is_gone) { Since::Reset } else { Since::Key(key) }
    }
}

impl Conversation {
    /// Whether a change of the conversation after a key was published to its user.
    #[must_use]
    pub fn has_changed_after(&self, key: OrderKey) -> bool {
        change_keys(self).into_iter().any(|changed| changed > key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Head, Mark};
    use crate::delete::delete_conversation;
    use crate::id::UserId;
    use crate::list::ListFilter;

    fn id(text: &str) -> UserId {
        UserId::new(text, "userID").expect("a valid ID")
    }

    /// The order key at a number of seconds.
    fn key(seconds: u64) -> OrderKey {
        OrderKey::at_ms(crate::id::EPOCH_MS + 1_000_000_000 + seconds * 1000)
    }

    fn user() -> User {
        let mut user = User::new(id("me"));
        for (other, seconds) in [("a", 10), ("b", 20), ("c", 30)] {
            user.update(&id(other), |known| {
                let mark = Mark { seq: 1, counted: 1 };
                known.received =
                    Some(Head { mark, key: key(seconds), stream_seq: 1, ..Head::BEFORE_FIRST });
            });
        }
        user.settle_revision();
        user
    }

    fn changed(user: &User, revision: u64) -> Vec<UserId> {
        let Since::Key(key) = user.since(revision) else { panic!("{:?}", user.since(revision)) };
        let filter = ListFilter { changed_after: Some(key), ..ListFilter::default() };
        user.list(None, 9, &filter)
    }

    #[test]
    fn what_changed_after_a_revision_is_read_and_nothing_else() {
        let mut user = user();
        assert_eq!(user.since(key(30).0), Since::Nothing);
        assert_eq!(changed(&user, key(20).0), [id("c")]);
        assert_eq!(changed(&user, key(10).0), ["c", "b"].map(id));
        user.update(&id("a"), |known| {
            known.settings.kept = true;
            known.settings.changed = key(40);
        });
        user.advance(key(40));
        assert_eq!(changed(&user, key(30).0), [id("a")]);
    }

    #[test]
    fn a_client_without_a_revision_or_with_a_foreign_one_reads_everything() {
        assert_eq!(user().since(0), Since::Reset);
        assert_eq!(user().since(key(31).0), Since::Reset);
        assert_eq!(User::new(id("new")).since(0), Since::Nothing);
    }

    #[test]
    fn a_deletion_since_then_has_everything_read_until_the_conversation_is_back() {
        let mut user = user();
        user.update(&id("a"), |known| {
            let settings = delete_conversation(known, key(40)).expect("a change");
            known.adopt_settings(settings, 1);
        });
        user.advance(key(40));
        assert_eq!(user.since(key(30).0), Since::Reset);
        user.update(&id("b"), |known| {
            known.settings.kept = true;
            known.settings.changed = key(50);
        });
        user.advance(key(50));
        assert_eq!(changed(&user, key(40).0), [id("b")], "who saw the deletion");
        user.update(&id("a"), |known| {
            let mark = Mark { seq: 2, counted: 2 };
            let head = Head { mark, key: key(60), stream_seq: 2, ..Head::BEFORE_FIRST };
            known.adopt_received(head);
        });
        user.advance(key(60));
        assert_eq!(changed(&user, key(30).0), ["a", "b"].map(id));
    }

    #[test]
    fn a_change_that_became_known_late_is_not_missed() {
        let mut user = user();
        // Stored at 29 seconds, but known after the one at 30.
        user.update(&id("d"), |known| {
            let mark = Mark { seq: 1, counted: 1 };
            let head = Head { mark, key: key(29), stream_seq: 1, ..Head::BEFORE_FIRST };
            known.adopt_received(head);
        });
        let revision = user.advance(key(29));
        assert_eq!(revision.previous, key(30).0);
        assert!(changed(&user, key(30).0).contains(&id("d")));
        assert_eq!(user.since(revision.current), Since::Nothing);
        user.update(&id("a"), |known| {
            known.settings.kept = true;
            known.settings.changed = key(40);
        });
        user.advance(key(40));
        assert_eq!(changed(&user, revision.current), [id("a")]);
    }
}
