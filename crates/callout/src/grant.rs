//! The permissions of a user: those of `deploy/nats/users.conf`, with the user's token in place.

use peerd_core::id::UserId;
use peerd_protocol::subject::{Subjects, Token, all_replies};
use serde::Serialize;

/// Gives users their permissions.
#[derive(Clone, Debug)]
pub struct Grants {
    /// The subjects of the deployment.
    pub subjects: Subjects,
    /// Whether nats-server maps calls to the partitions of their users
    /// (`deploy/nats/mapping.conf`), and checks permissions for the mapped subject.
    pub with_mapping: bool,
}

/// What a user may do, in the form of a user JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Grant {
    /// Subjects to publish to.
    #[serde(rename = "pub")]
    pub publish: Allowed,
    /// Subjects to subscribe to.
    #[serde(rename = "sub")]
    pub subscribe: Allowed,
}

/// The subjects of a permission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// The subjects; everything else is denied.
    pub allow: Vec<String>,
}

impl Grants {
    /// The permissions of a user.
    #[must_use]
    pub fn of(&self, user: &UserId) -> Grant {
        let token = Token::of(user);
        let mut publish = vec![self.subjects.all_calls_of(&token)];
        if self.with_mapping {
            publish.push(self.subjects.all_routed_calls_of(&token));
        }
        let subscribe = vec![self.subjects.all_events(&token), all_replies(&token)];
        Grant { publish: Allowed { allow: publish }, subscribe: Allowed { allow: subscribe } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_protocol::subject::matches;
    use proptest::prelude::*;

    fn grants(with_mapping: bool) -> Grants {
        Grants { subjects: Subjects::new("peer", 8), with_mapping }
    }

    fn user(id: &str) -> UserId {
        UserId::new(id, "userID").expect("a valid ID")
    }

    #[test]
    fn a_user_gets_what_the_shipped_configuration_gives() {
        let grant = grants(false).of(&user("alice"));
        assert_eq!(grant.publish.allow, ["peer.api.alice.>"]);
        assert_eq!(grant.subscribe.allow, ["peer.event.alice.>", "_INBOX_alice.>"]);
        let grant = grants(true).of(&user("a..b>%"));
        assert_eq!(
            grant.publish.allow,
            ["peer.api.a%2E%2Eb%3E%25.>", "peer.part.*.a%2E%2Eb%3E%25.>"]
        );
    }

    proptest! {
        #[test]
        fn no_permission_of_a_user_reaches_another_user(
            one in "[A-Za-z0-9!#$%&()+:;<=.>?@\\[\\]^_{}|~ -]{1,12}",
            other in "[A-Za-z0-9!#$%&()+:;<=.>?@\\[\\]^_{}|~ -]{1,12}",
        ) {
            let (grant, token) = (grants(true).of(&user(&one)), Token::of(&user(&other)));
            let subjects = [
                format!("peer.api.{token}.login"),
                format!("peer.part.3.{token}.login"),
                format!("peer.event.{token}.typing"),
                format!("_INBOX_{token}.x.y"),
            ];
            for allowed in grant.publish.allow.iter().chain(&grant.subscribe.allow) {
                for subject in &subjects {
                    prop_assert!(one == other || !matches(allowed, subject), "{} {}", allowed, subject);
                }
                // The one wildcard in front stands for the partition.
                prop_assert!(!allowed.contains([' ', '\t', '\r', '\n']));
                prop_assert!(allowed.strip_suffix(".>").is_some_and(|rest| !rest.contains('>')));
            }
        }
    }
}
