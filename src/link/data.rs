//! The connection for messages: calls, events, and what the store appends.

use peerd_dataplane::Client;

use super::Link;

/// A connection and its state. Its client is peerd's own and not async-nats, so that nothing that
/// other clients may send ends it
/// ([0022](../../docs/decisions/0022-the-bus-has-a-nats-client-of-its-own.md)).
#[derive(Clone, Debug)]
pub(crate) struct DataConnection {
    pub(crate) client: Client,
    pub(crate) link: Link,
}

impl DataConnection {
    /// See [`crate::link::Connection::max_payload`].
    pub(crate) fn max_payload(&self) -> usize {
        self.link.note_max_payload(self.client.max_payload())
    }
}
