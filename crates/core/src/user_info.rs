//! A user as shown to others.

use std::sync::Arc;

use super::id::UserId;

/// The part of a user's profile that conversations with the user show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The user's name; empty where none was given or it is not known.
    pub name: String,
    /// The URL of the user's avatar; `None` where none was given or it is not known.
    pub avatar_url: Option<Arc<str>>,
}

/// A user as listed for others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's ID.
    pub id: UserId,
    /// The user's profile.
    pub profile: Profile,
}

/// A user with everything that others may query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullUserInfo {
    /// The user, as in lists.
    pub user: UserInfo,
    /// The user's extended data; `None` where there is none.
    pub extended_data: Option<Arc<str>>,
}
