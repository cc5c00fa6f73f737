//! Decides whose status a user follows.

use std::sync::Arc;

use super::id::UserId;
use super::limits::SUBSCRIPTIONS_MAX;
use super::subscriptions::{Subscription, Subscriptions};
use super::user::User;

impl User {
    /// The subscriptions after these users were subscribed for `span_ms`. Beyond the limit, the
    /// earliest are replaced.
    #[must_use]
    pub fn subscribe(&self, users: &[UserId], span_ms: u64, now_ms: u64) -> Subscriptions {
        let Subscriptions { mut of, later } = self.current_subscriptions(now_ms);
        for user in users {
            let renewed = Subscription { since_ms: now_ms, until_ms: now_ms + span_ms };
            of.insert(user.clone(), renewed);
        }
        let surplus = of.len().saturating_sub(SUBSCRIPTIONS_MAX);
        if surplus > 0 {
            let mut earliest: Vec<(u64, UserId)> =
                of.iter().map(|(user, it)| (it.since_ms, user.clone())).collect();
            earliest.sort_unstable();
            earliest.iter().take(surplus).for_each(|(_, user)| _ = of.remove(user));
        }
        Subscriptions { of, later }
    }

    /// The subscriptions after these users were unsubscribed; `None` if none was subscribed.
    #[must_use]
    pub fn unsubscribe(&self, users: &[UserId], now_ms: u64) -> Option<Subscriptions> {
        if !users.iter().any(|user| self.follows(user, now_ms)) {
            return None;
        }
        let Subscriptions { mut of, later } = self.current_subscriptions(now_ms);
        for user in users {
            of.remove(user);
        }
        Some(Subscriptions { of, later })
    }

    /// Takes subscriptions that the store has at sequence `seq`.
    pub fn set_subscriptions(&mut self, subscriptions: Subscriptions, seq: u64) {
        if self.subscriptions_seq < seq {
            self.subscriptions = Some(Arc::new(subscriptions));
            self.subscriptions_seq = seq;
        }
    }

    /// The subscriptions without those that have expired.
    fn current_subscriptions(&self, now_ms: u64) -> Subscriptions {
        let mut current = self.subscriptions.as_deref().cloned().unwrap_or_default();
        current.of.retain(|_, it| it.until_ms > now_ms);
        current
    }

    /// Whether the user follows another.
    #[must_use]
    pub fn follows(&self, user: &UserId, now_ms: u64) -> bool {
        self.subscriptions.as_ref().is_some_and(|known| known.until_ms(user, now_ms).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> UserId {
        UserId::new(name, "userID").expect("a valid ID")
    }

    fn names(user: &User, now_ms: u64) -> Vec<String> {
        let known = user.subscriptions.as_ref().expect("subscriptions");
        known.active(now_ms).map(|(user, _)| user.as_str().to_owned()).collect()
    }

    #[test]
    fn a_subscription_expires_and_can_be_renewed_or_ended() {
        let mut user = User::new(id("alice"));
        assert_eq!(user.unsubscribe(&[id("bob")], 0), None);
        user.set_subscriptions(user.subscribe(&[id("bob"), id("carol")], 1000, 5000), 1);
        assert_eq!(names(&user, 5999), ["bob", "carol"]);
        assert!(user.follows(&id("bob"), 5999) && !user.follows(&id("bob"), 6000));
        user.set_subscriptions(user.subscribe(&[id("bob")], 2000, 5500), 2);
        assert_eq!(names(&user, 6000), ["bob"]);
        assert_eq!(user.unsubscribe(&[id("carol")], 6000), None, "it has expired");
        let ended = user.unsubscribe(&[id("bob")], 6000).expect("a change");
        assert!(ended.of.is_empty(), "also without the expired one");
        // A late answer of the store does not bring them back.
        user.set_subscriptions(ended, 4);
        user.set_subscriptions(user.subscribe(&[id("bob")], 2000, 5500), 3);
        assert!(!user.follows(&id("bob"), 6000));
    }

    #[test]
    fn beyond_the_limit_the_earliest_are_replaced() {
        let mut user = User::new(id("alice"));
        for number in 0..SUBSCRIPTIONS_MAX as u64 {
            let next = user.subscribe(&[id(&format!("u{number}"))], 1_000_000, number);
            user.set_subscriptions(next, number + 1);
        }
        let next = user.subscribe(&[id("u0"), id("bob"), id("carol")], 1_000_000, 5000);
        user.set_subscriptions(next, 9_999);
        let known = user.subscriptions.as_ref().expect("subscriptions");
        assert_eq!(known.of.len(), SUBSCRIPTIONS_MAX);
        let is_there = |name: &str| known.of.contains_key(&id(name));
        assert!(is_there("u0") && is_there("bob") && is_there("u3"));
        assert!(!is_there("u1") && !is_there("u2"));
    }
}
