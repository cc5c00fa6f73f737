//! Operations that the server forbade. It reports each in an error message of the connection, with
//! the subject.

use std::fmt;

/// The kind of operation that was forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Publishing.
    Publish,
    /// Subscribing.
    Subscribe,
}

/// An operation on a subject that the permissions of the NATS user do not allow.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    /// The operation.
    pub operation: Operation,
    /// The subject.
    pub subject: String,
}

impl Violation {
    /// Reads an error message of the server, such as
    /// `Permissions Violation for Subscription to "peer.api.*.*" using queue "q"`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const OPERATIONS: [(&str, Operation); 3] = [
            ("publish to ", Operation::Publish),
            ("publish with reply of ", Operation::Publish),
            ("subscription to ", Operation::Subscribe),
        ];
        let rest = strip_ignoring_case(text.trim(), "permissions violation for ")?;
        let (rest, operation) = OPERATIONS.iter().find_map(|(words, operation)| {
            strip_ignoring_case(rest, words).map(|rest| (rest, *operation))
        })?;
        let subject = rest.strip_prefix('"')?.split('"').next()?;
        Some(Self { operation, subject: subject.to_owned() })
    }
}

fn strip_ignoring_case<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let start = text.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &text[prefix.len()..])
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::Publish => "publish to",
            Operation::Subscribe => "subscribe to",
        };
        write!(f, "not allowed to {operation} {}", self.subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permission_violations_are_read_from_the_servers_messages() {
        let parse = |text: &str| Violation::parse(text).map(|it| (it.operation, it.subject));
        let publish = |subject: &str| Some((Operation::Publish, subject.to_owned()));
        let subscribe = |subject: &str| Some((Operation::Subscribe, subject.to_owned()));
        assert_eq!(parse(r#"Permissions Violation for Publish to "a.b""#), publish("a.b"));
        assert_eq!(parse(r#"permissions violation for publish to "A""#), publish("A"));
        assert_eq!(
            parse(r#"Permissions Violation for Subscription to "a.>" using queue "q""#),
            subscribe("a.>")
        );
        assert_eq!(
            parse(r#"Permissions Violation for Subscription to "a" (sid "7")"#),
            subscribe("a")
        );
        assert_eq!(
            parse(r#"Permissions Violation for Publish with Reply of "_R_.x""#),
            publish("_R_.x")
        );
        assert_eq!(parse("Maximum Payload Violation"), None);
        assert_eq!(parse("Permissions Violation for Publish to a"), None);
        assert_eq!(parse("Permissions Violation for Publish to é"), None);
    }
}
