//! The users whose status a user follows.

use std::collections::BTreeMap;

use super::id::UserId;
use super::later::LaterFields;

/// A subscription of a user's status. Times are milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// When it was begun or renewed.
    pub since_ms: u64,
    /// When it expires.
    pub until_ms: u64,
}

/// The subscriptions of a user, by the user who is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriptions {
    /// The subscriptions. Some may have expired.
    pub of: BTreeMap<UserId, Subscription>,
    /// Fields of a later release.
    pub later: LaterFields,
}

impl Subscriptions {
    /// When a subscription expires, if there is one that has not.
    #[must_use]
    pub fn until_ms(&self, user: &UserId, now_ms: u64) -> Option<u64> {
        let until_ms = self.of.get(user)?.until_ms;
        (until_ms > now_ms).then_some(until_ms)
    }

    /// The users who are followed at a time, ascending.
    pub fn active(&self, now_ms: u64) -> impl Iterator<Item = (&UserId, u64)> {
        let active = self.of.iter().filter(move |(_, it)| it.until_ms > now_ms);
        active.map(|(user, it)| (user, it.until_ms))
    }
}
