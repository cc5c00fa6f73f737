//! Privacy settings: what a user hides from others.

use super::user::{Account, User};

/// The privacy settings as a set of bits. Bits that this release does not know are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Privacy(u32);

/// Something that a user may hide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Hidden {
    /// Which messages the user has read.
    ReadReceipts = 0,
    /// Whether the user is typing.
    Typing = 1,
    /// Whether the user is online.
    OnlineStatus = 2,
}

impl Privacy {
    /// The settings in their stored form.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The stored form.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether it is hidden.
    #[must_use]
    pub const fn hides(self, what: Hidden) -> bool {
        self.0 & (1 << what as u8) != 0
    }

    /// The settings with one part hidden or shown.
    #[must_use]
    pub const fn with(self, what: Hidden, hide: bool) -> Self {
        let bit = 1 << what as u8;
        Self(if hide { self.0 | bit } else { self.0 & !bit })
    }
}

impl User {
    /// The account with changed privacy settings; `None` if nothing changes.
    #[must_use]
    pub fn change_privacy(&self, changes: &[(Hidden, Option<bool>)]) -> Option<Account> {
        let after = changes.iter().fold(self.account.privacy, |privacy, (what, hide)| {
            hide.map_or(privacy, |hide| privacy.with(*what, hide))
        });
        (after != self.account.privacy).then(|| Account { privacy: after, ..self.account.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::UserId;

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
