//! The user's own profile (name, avatar, extended data) and privacy settings.

use std::sync::Arc;

use super::id::UserId;
use super::limits::PROFILE_CHANGES_PER_SECOND;
use super::privacy::Hidden;
use super::rejection::Rejection;
use super::user::{Account, User};
use super::user_info::{FullUserInfo, UserInfo};

/// A new value of one part of the profile. An empty text takes the value away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProfileChange {
    /// The name.
    Name(String),
    /// The URL of the avatar.
    AvatarUrl(String),
    /// The extended data, which no conversation shows.
    ExtendedData(String),
}

impl User {
    /// The account after a change of the profile; `None` if it has that value already.
    #[must_use]
    pub fn change_profile(&self, change: &ProfileChange) -> Option<Account> {
        let mut account = self.account.clone();
        match change {
            ProfileChange::Name(name) => account.profile.name.clone_from(name),
            ProfileChange::AvatarUrl(url) => account.profile.avatar_url = shared(url),
            ProfileChange::ExtendedData(data) => account.extended_data = shared(data),
        }
        (account != self.account).then_some(account)
    }

    /// The account with changed privacy settings; `None` if nothing changes.
    #[must_use]
    pub fn change_privacy(&self, changes: &[(Hidden, Option<bool>)]) -> Option<Account> {
        let after = changes.iter().fold(self.account.privacy, |privacy, (what, hide)| {
            hide.map_or(privacy, |hide| privacy.with(*what, hide))
        });
        (after != self.account.privacy).then(|| Account { privacy: after, ..self.account.clone() })
    }

    /// Admits a change of the profile, by the rate.
    pub fn admit_profile_change(&mut self, now_us: u64) -> Result<(), Rejection> {
        let taken = self.profile_changes.take(now_us, PROFILE_CHANGES_PER_SECOND);
        let refused = |retry_after_ms| Rejection::RateLimited { retry_after_ms };
        taken.map(drop).map_err(refused)
    }

    /// The other users of the newest conversations, which show the user's profile.
    #[must_use]
    pub fn newest_peers(&self, most: usize) -> Vec<UserId> {
        let shown = self.conversations.iter().filter(|(_, known)| known.has_begun());
        let mut shown: Vec<_> = shown.map(|(id, known)| (known.order_key(), id)).collect();
        if shown.len() > most {
            shown.select_nth_unstable_by(most, |one, other| other.cmp(one));
            shown.truncate(most);
        }
        shown.sort_unstable_by(|one, other| other.cmp(one));
        shown.into_iter().map(|(_, id)| id.clone()).collect()
    }
}

impl Account {
    /// The user's public information.
    #[must_use]
    pub fn info(&self, id: &UserId) -> FullUserInfo {
        let user = UserInfo { id: id.clone(), profile: self.profile.clone() };
        FullUserInfo { user, extended_data: self.extended_data.clone() }
    }
}

fn shared(text: &str) -> Option<Arc<str>> {
    (!text.is_empty()).then(|| Arc::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::{Conversation, Head, Mark, PagePointers};
    use crate::id::OrderKey;
    use crate::privacy::Privacy;

    fn id(name: &str) -> UserId {
        UserId::new(name, "userID").expect("a valid ID")
    }

    #[test]
    fn a_value_is_set_once_and_an_empty_one_takes_it_away() {
        let mut user = User::new(id("alice"));
        let changes = |text: &str| {
            [ProfileChange::Name, ProfileChange::AvatarUrl, ProfileChange::ExtendedData]
                .map(|change| change(text.to_owned()))
        };
        for change in changes("x") {
            user.account = user.change_profile(&change).expect("a change");
            assert_eq!(user.change_profile(&change), None);
        }
        let info = user.account.info(&user.id);
        assert_eq!(info.user.profile.name, "x");
        assert_eq!(info.user.profile.avatar_url.as_deref(), Some("x"));
        assert_eq!(info.extended_data.as_deref(), Some("x"));
        for change in changes("") {
            user.account = user.change_profile(&change).expect("a change");
        }
        assert_eq!(user.account, Account::default());
    }

    #[test]
    fn more_changes_in_a_second_are_refused() {
        let mut user = User::new(id("alice"));
        for _ in 0..PROFILE_CHANGES_PER_SECOND {
            assert_eq!(user.admit_profile_change(1_000_000), Ok(()));
        }
        let refused = Rejection::RateLimited { retry_after_ms: 1000 };
        assert_eq!(user.admit_profile_change(1_000_000), Err(refused));
        assert_eq!(user.admit_profile_change(2_000_000), Ok(()));
    }

    #[test]
    fn the_newest_conversations_with_messages_show_the_profile() {
        let mut user = User::new(id("alice"));
        for (name, key) in [("bob", 10), ("carol", 30), ("dora", 20), ("eve", 0)] {
            let head = Head {
                mark: Mark { seq: 1, counted: 1 },
                key: OrderKey(key),
                timestamp_ms: 0,
                stream_seq: 1,
                page: PagePointers::default(),
            };
            let sent = (key > 0).then_some(head);
            user.conversations.insert(id(name), Conversation { sent, ..Conversation::default() });
        }
        assert_eq!(user.newest_peers(2), [id("carol"), id("dora")]);
        assert_eq!(user.newest_peers(9), [id("carol"), id("dora"), id("bob")]);
    }

    #[test]
    fn parts_that_are_left_out_stay_and_unknown_ones_are_kept() {
        let mut user = User::new(UserId::new("alice", "userID").expect("a valid ID"));
        user.account.privacy = Privacy::from_bits(1 << 20);
        let typing = [(Hidden::ReadReceipts, None), (Hidden::Typing, Some(true))];
        user.account = user.change_privacy(&typing).expect("a change");
        assert!(user.account.privacy.hides(Hidden::Typing));
        assert!(!user.account.privacy.hides(Hidden::ReadReceipts));
        assert_eq!(user.account.privacy.bits(), 1 << 20 | 1 << 1);
        assert_eq!(user.change_privacy(&typing), None);
        assert_eq!(user.change_privacy(&[]), None);
        let shown = user.change_privacy(&[(Hidden::Typing, Some(false))]).expect("a change");
        assert_eq!(shown.privacy.bits(), 1 << 20);
    }
}
