//! What the user of a connection is told of it.

use crate::error::ConnectError;

/// What happened to a connection.
#[derive(Debug)]
pub enum Event<'e> {
    /// A server took the connection; subscriptions are made again.
    Connected {
        /// The server's address.
        server: &'e str,
    },
    /// The connection is lost. What was not written, and what was on its way, is gone.
    Disconnected {
        /// Why, as far as it is known.
        reason: &'e str,
    },
    /// No server could be reached, and the next try follows after a wait.
    NotConnected {
        /// What the last of the servers met.
        error: &'e ConnectError,
    },
    /// The server is about to end; the connection moves to another where there is one.
    LameDuck,
    /// The server refused a subscription or dropped a message that this connection sent.
    PermissionViolation {
        /// What it refused.
        operation: Operation,
        /// The subject.
        subject: &'e str,
        /// What the server said, whole.
        text: &'e str,
    },
    /// The server reported any other error; those that end the connection are followed by
    /// [`Event::Disconnected`].
    ServerError {
        /// What the server said.
        text: &'e str,
    },
    /// A message was dropped, since its subscription is full. Comes with each: there may be very
    /// many.
    SlowConsumer {
        /// What is subscribed to.
        subject: &'e str,
    },
    /// The client was closed.
    Closed,
}

/// What a permission is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// To publish on a subject.
    Publish,
    /// To subscribe to a subject.
    Subscribe,
}

impl<'e> Event<'e> {
    /// The event for the text of an `-ERR`.
    #[must_use]
    pub fn of_server(text: &'e str) -> Self {
        let subject = |rest: &'e str| rest.trim_start().strip_prefix('"')?.split('"').next();
        let violation = |name: &str| {
            let head = text.get(..name.len()).filter(|head| head.eq_ignore_ascii_case(name))?;
            subject(&text[head.len()..])
        };
        let (operation, subject) = if let Some(subject) = violation(PUBLISH) {
            (Operation::Publish, subject)
        } else if let Some(subject) = violation(REPLY) {
            (Operation::Publish, subject)
        } else if let Some(subject) = violation(SUBSCRIBE) {
            (Operation::Subscribe, subject)
        } else {
            return Self::ServerError { text };
        };
        Self::PermissionViolation { operation, subject, text }
    }
}

const PUBLISH: &str = "Permissions Violation for Publish to";
const REPLY: &str = "Permissions Violation for Publish with Reply of";
const SUBSCRIBE: &str = "Permissions Violation for Subscription to";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_names_operation_and_subject() {
        for (text, operation, subject) in [
            ("Permissions Violation for Publish to \"a.b\"", Operation::Publish, "a.b"),
            ("permissions violation for publish to \"a\"", Operation::Publish, "a"),
            ("Permissions Violation for Publish with Reply of \"r.1\"", Operation::Publish, "r.1"),
            (
                "Permissions Violation for Subscription to \"x.>\" using queue \"q\"",
                Operation::Subscribe,
                "x.>",
            ),
        ] {
            let event = Event::of_server(text);
            let Event::PermissionViolation { operation: is, subject: of, .. } = event else {
                panic!("{event:?}");
            };
            assert_eq!((is, of), (operation, subject));
        }
        for text in ["", "Stale Connection", "Permissions Violation for Publish to x", "\u{e4}\""] {
            let event = Event::of_server(text);
            assert!(matches!(event, Event::ServerError { .. }), "{event:?}");
        }
    }
}
