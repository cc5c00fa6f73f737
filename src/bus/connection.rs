//! The bus's connection to NATS.

use peerd_dataplane::Client;

use crate::link::Link;

/// The bus's connection and its state. It is peerd's own implementation instead of async-nats, so
/// that nothing a client may send ends it
/// ([0022](../../docs/decisions/0022-the-bus-has-a-nats-client-of-its-own.md)).
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) link: Link,
}

impl Connection {
    /// See [`crate::link::Connection::max_payload`].
    pub(crate) fn max_payload(&self) -> usize {
        self.link.note_max_payload(self.client.max_payload())
    }
}
