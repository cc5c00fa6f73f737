//! Finds the permission that a NATS user lacks, in terms of `deploy/nats/users.conf`.

use crate::callout;
use crate::link::{Operation, Violation};
use crate::store::jetstream::StreamNames;

/// The subject on which the server reports the permissions of a NATS user.
pub(super) const USER_INFO: &str = "$SYS.REQ.USER.INFO";

/// The permissions that peerd and its command line need.
#[derive(Clone, Debug)]
pub struct Permissions {
    prefix: String,
    owners: String,
    inbox_prefix: String,
}

/// The purpose of a subject.
enum Use {
    /// An entry of `users.conf` that allows it.
    Entry(String),
    /// The replies to this connection.
    Inbox,
    /// A caller's reply subject, or a subject that peerd does not use.
    Reply,
}

impl Permissions {
    /// The permissions for a subject prefix and an inbox prefix.
    #[must_use]
    pub fn new(subject_prefix: &str, inbox_prefix: &str) -> Self {
        Self {
            prefix: subject_prefix.to_owned(),
            owners: StreamNames::new(subject_prefix).all_owners(),
            inbox_prefix: inbox_prefix.to_owned(),
        }
    }

    fn of(&self, violation: &Violation) -> Use {
        let Self { prefix, owners, inbox_prefix } = self;
        let subject = violation.subject.as_str();
        let is_under = |space: &str| {
            subject.strip_prefix(space).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        for space in ["api", "event", "push", "part", "log", "state"] {
            let space = format!("{prefix}.{space}");
            if is_under(&space) {
                return Use::Entry(format!("{space}.>"));
            }
        }
        if subject == callout::SUBJECT {
            return Use::Entry(callout::SUBJECT.to_owned());
        }
        for space in ["$JS.API", "$JS.FC", "$SRV"] {
            if is_under(space) {
                return Use::Entry(format!("{space}.>"));
            }
        }
        if is_under(owners.trim_end_matches(".>")) {
            return Use::Entry(owners.clone());
        }
        if is_under(inbox_prefix) && violation.operation == Operation::Subscribe {
            return Use::Inbox;
        }
        Use::Reply
    }

    /// One subject of each kind that the daemon publishes to.
    pub(super) fn published(&self) -> Vec<String> {
        let own = ["event.a.b", "push.a", "part.0.a.b", "log.0.a.b", "state.0.a.account"];
        let own = own.map(|rest| format!("{}.{rest}", self.prefix));
        let owners = format!("{}.member.a", self.owners.trim_end_matches(".>"));
        let servers = ["$JS.API.STREAM.INFO.A".to_owned(), "$JS.FC.A.B".to_owned(), owners];
        own.into_iter().chain(servers).collect()
    }

    /// Whether a violation can be ignored: the request for the permissions is optional.
    #[must_use]
    pub fn is_harmless(violation: &Violation) -> bool {
        violation.subject == USER_INFO
    }

    /// A key that violations share if they are due to the same missing permission.
    #[must_use]
    pub fn kind(&self, violation: &Violation) -> String {
        let what = match self.of(violation) {
            Use::Entry(entry) => entry,
            Use::Inbox => format!("{}.>", self.inbox_prefix),
            Use::Reply => "replies".to_owned(),
        };
        format!("{:?} {what}", violation.operation)
    }

    /// The change of the configuration of the daemon's NATS user.
    #[must_use]
    pub fn remedy(&self, violation: &Violation) -> String {
        match self.of(violation) {
            Use::Entry(entry) => self.add(violation.operation, &entry),
            Use::Inbox => self.inbox(),
            Use::Reply => {
                "the NATS user of peerd needs allow_responses, as in deploy/nats/users.conf; where \
                 it has that, the reply came too late, or the reply subject is not the caller's own"
                    .to_owned()
            }
        }
    }

    /// The change of the configuration of a command's NATS user, with only the permissions that the
    /// command needs.
    #[must_use]
    pub fn remedy_of_command(&self, violation: &Violation) -> String {
        let (api, event) = (format!("{}.api.", self.prefix), format!("{}.event.", self.prefix));
        let subject = violation.subject.as_str();
        for space in [api, event] {
            if let Some(user) = subject.strip_prefix(&space).and_then(|rest| rest.split('.').next())
            {
                return self.add(violation.operation, &format!("{space}{user}.>"));
            }
        }
        match self.of(violation) {
            Use::Entry(_) | Use::Reply => self.add(violation.operation, subject),
            Use::Inbox => self.inbox(),
        }
    }

    /// Whether peerd cannot work without the missing permission.
    #[must_use]
    pub fn is_essential(&self, violation: &Violation) -> bool {
        match self.of(violation) {
            Use::Entry(entry) => {
                let is_push = entry == format!("{}.push.>", self.prefix);
                !is_push && !["$SRV.>", "$JS.FC.>"].contains(&entry.as_str())
            }
            Use::Inbox => true,
            Use::Reply => false,
        }
    }

    #[expect(clippy::unused_self, reason = "reads like its neighbours")]
    fn add(&self, operation: Operation, entry: &str) -> String {
        let list = match operation {
            Operation::Publish => "publish",
            Operation::Subscribe => "subscribe",
        };
        format!(
            "allow the NATS user {entry:?} in permissions.{list}; deploy/nats/users.conf lists all \
             permissions that are needed"
        )
    }

    fn inbox(&self) -> String {
        let inbox = format!("{}.>", self.inbox_prefix);
        format!(
            "allow the NATS user {inbox:?} in permissions.subscribe, or set nats.inbox_prefix to \
             the prefix that it may subscribe to"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_maps_to_the_missing_permission() {
        let permissions = Permissions::new("peer", "_INBOX");
        let of = |operation, subject: &str| {
            let violation = Violation { operation, subject: subject.to_owned() };
            (permissions.kind(&violation), permissions.is_essential(&violation))
        };
        let publish = |subject| of(Operation::Publish, subject);
        let subscribe = |subject| of(Operation::Subscribe, subject);
        let kind = |text: &str, essential| (text.to_owned(), essential);
        assert_eq!(publish("peer.event.alice.x"), kind("Publish peer.event.>", true));
        assert_eq!(publish("peer.log.0.=.="), kind("Publish peer.log.>", true));
        assert_eq!(publish("$JS.API.STREAM.INFO.X"), kind("Publish $JS.API.>", true));
        assert_eq!(publish("$KV.PEER_OWNERS.member.x"), kind("Publish $KV.PEER_OWNERS.>", true));
        assert_eq!(publish("peer.push.bob"), kind("Publish peer.push.>", false));
        assert_eq!(publish("_INBOX.abc.1"), kind("Publish replies", false));
        assert_eq!(subscribe("_INBOX.abc.*"), kind("Subscribe _INBOX.>", true));
        assert_eq!(subscribe("peer.api.*.*"), kind("Subscribe peer.api.>", true));
        assert_eq!(subscribe("$SRV.PING"), kind("Subscribe $SRV.>", false));
        let callout = kind("Subscribe $SYS.REQ.USER.AUTH", true);
        assert_eq!(subscribe("$SYS.REQ.USER.AUTH"), callout);
    }

    #[test]
    fn a_command_asks_for_no_more_permissions_than_it_needs() {
        let permissions = Permissions::new("peer", "_INBOX");
        let subject = "peer.event.alice.>".to_owned();
        let violation = Violation { operation: Operation::Subscribe, subject };
        let remedy = permissions.remedy_of_command(&violation);
        assert!(remedy.contains("\"peer.event.alice.>\""), "{remedy}");
        assert!(remedy.contains("permissions.subscribe"), "{remedy}");
    }
}
