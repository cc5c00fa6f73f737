//! The status of a user as it is shown.

use super::id::UserId;

/// Whether a user is online, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OnlineStatus {
    /// The user has a session and was seen recently.
    Online = 0,
    /// The user was not seen for a while, or hides the status.
    Offline = 1,
    /// The user has ended all sessions.
    Logout = 2,
}

impl OnlineStatus {
    /// Of the SDK's number, as far as peerd uses it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Online,
            1 => Self::Offline,
            2 => Self::Logout,
            _ => return None,
        })
    }
}

/// A status that a user has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomStatus {
    /// The text; empty for none.
    pub text: String,
    /// When it was set, in milliseconds since 1970; 0 for never.
    pub since_ms: u64,
    /// When it expires, in milliseconds since 1970; 0 if there is none.
    pub until_ms: u64,
}

impl CustomStatus {
    /// The status at a time. An expired one is none since it expired.
    #[must_use]
    pub fn at(&self, now_ms: u64) -> Self {
        if self.text.is_empty() || self.until_ms > now_ms {
            return self.clone();
        }
        Self { text: String::new(), since_ms: self.until_ms, until_ms: 0 }
    }
}

/// The status of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserStatus {
    /// The user.
    pub id: UserId,
    /// Whether the user is online.
    pub online: OnlineStatus,
    /// The platforms of the sessions as the SDK's numbers, ascending. Empty unless online.
    pub platforms: Vec<u8>,
    /// When the newest session began, or when the user was last seen if the user is not online, in
    /// milliseconds since 1970. 0 if it is hidden.
    pub online_since_ms: u64,
    /// The custom status. Its times are 0 if the status is hidden.
    pub custom: CustomStatus,
}
