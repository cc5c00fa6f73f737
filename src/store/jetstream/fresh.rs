//! A store on a fresh server, for tests.

use std::time::Duration;

use super::JetStream;
use crate::link::{Connection, DataConnection, Link};
use crate::store::names::StreamNames;
use crate::store::provision::{StreamOptions, provision};
use peerd_protocol::subject::Subjects;

const STREAMS: StreamOptions = StreamOptions {
    is_created: true,
    replicas: 1,
    in_memory: false,
    max_age: Duration::ZERO,
    max_bytes: 0,
    push_max_age: Duration::ZERO,
    push_max_messages: 0,
};

/// Creates the streams on the server at `url`, and connects to them. Also returns the connection
/// for a bus.
pub(crate) async fn store(url: String, subjects: &Subjects) -> (JetStream, DataConnection) {
    let client = async_nats::connect(&url).await.expect("connected");
    let names = StreamNames::new("peer");
    provision(&client, subjects, &names, &STREAMS).await.expect("streams");
    let link = Link::new();
    link.note_up();
    let options = peerd_dataplane::Options { servers: vec![url], ..Default::default() };
    let data_plane = peerd_dataplane::Client::connect(options).await.expect("connected");
    let data_plane = DataConnection { client: data_plane, link: link.clone() };
    let connection = Connection { client, link };
    let partitions = subjects.partitions();
    (JetStream::new(connection, data_plane.clone(), names, partitions, &STREAMS), data_plane)
}
