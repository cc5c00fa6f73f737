//! A node over in-memory fakes of the store and the bus, for tests of a single instance.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::node::{Node, Options};
use crate::bus::{Incoming, memory};
use crate::clock::Clock;
use crate::store::Store;
use peerd_core::limits::Limits;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::subject::Subjects;

pub(super) mod calls;
pub(super) mod faulty;

pub(super) const WALL_MS: u64 = 1_800_000_000_000;
pub(super) const CALLS_UNDER_WAY: usize = 100;

/// A node with the given limits that owns all partitions.
pub(super) async fn node<S: Store>(
    store: S,
    limits: Limits,
    clock: Clock,
) -> Arc<Node<S, memory::Memory>> {
    alone(store, options(limits), clock).await
}

/// The node's options.
pub(super) fn options(limits: Limits) -> Options {
    Options {
        event_encoding: Encoding::Json,
        bundle_events: false,
        delivered_receipts: false,
        call_deadline: Duration::from_secs(5),
        owner_wait: Duration::from_secs(1),
        stale_after: Duration::MAX,
        heartbeat_interval_ms: 10_000,
        last_seen_write_interval_ms: 60_000,
        cached_users: 100,
        history_bytes: 1 << 20,
        calls_under_way: CALLS_UNDER_WAY,
        body_bytes: 100_000,
        new_session_id: || nuid::next().to_string(),
        limits,
    }
}

/// A node that owns all partitions.
pub(super) async fn alone<S: Store>(
    store: S,
    options: Options,
    clock: Clock,
) -> Arc<Node<S, memory::Memory>> {
    let (bus, subjects) = (memory::Memory::default(), Subjects::new("peer", 4));
    Node::alone(store, bus, subjects, options, clock).await.expect("the store answers")
}

/// A call whose reply subject is `reply`.
pub(super) fn incoming(user: &str, method: &str, body: &Value) -> Incoming {
    Incoming {
        subject: format!("peer.api.{user}.{method}").into(),
        reply_to: Some("reply".into()),
        content_type: None,
        malformed: None,
        status: None,
        body: body.to_string().into(),
        hops: 0,
    }
}
