//! A user as shown to others.

use super::id::UserId;

/// A user as shown to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The user's ID.
    pub id: UserId,
    /// The name that the user gave; empty if none was given or it is not known.
    pub name: String,
}
