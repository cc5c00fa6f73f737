//! The events of a connection, for its user.

use crate::error::ConnectError;

/// An event of a connection.
#[derive(Debug)]
pub enum Event<'e> {
    /// A server accepted the connection; the client subscribes again.
    Connected {
        /// The server's address.
        server: &'e str,
    },
    /// The connection is lost, and with it everything that was buffered or in flight.
    Disconnected {
        /// The reason, as far as it is known.
        reason: &'e str,
    },
    /// No server could be reached. The next attempt follows after a delay.
    NotConnected {
        /// The failure of the last server.
        error: &'e ConnectError,
    },
    /// The server is in lame duck mode. The connection moves to another server if there is one.
    LameDuck,
    /// The server refused a subscription, or dropped a message that this connection published.
    PermissionViolation {
        /// The refused operation.
        operation: Operation,
        /// The subject.
        subject: &'e str,
        /// The server's whole error message.
        text: &'e str,
    },
    /// The server reported any other error. An error that ends the connection is followed by
    /// [`Event::Disconnected`].
    ServerError {
        /// The server's error message.
        text: &'e str,
    },
    /// A message was dropped because its subscription is full. There is one event for each message,
    /// so there may be very many.
    SlowConsumer {
        /// The subscription's subject.
        subject: &'e str,
    },
    /// The client was closed.
    Closed,
}

/// The operation that needs a permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Publishing to a subject.
    Publish,
    /// Subscribing to a subject.
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
