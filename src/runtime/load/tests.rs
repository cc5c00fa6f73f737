//! What a load makes of a user whose owner before may have told more than is stored.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::bus::{self, Incoming, Outgoing};
use crate::clock::Clock;
use crate::cluster::host::{Grant, Host as _};
use crate::cluster::lease::Lease;
use crate::domain::id::{OrderKey, Partition};
use crate::domain::limits::Limits;
use crate::runtime::node::{Node, Options};
use crate::store::memory::Memory;
use crate::wire::encoding::Encoding;
use crate::wire::subject::Subjects;

const WALL_MS: u64 = 1_800_000_000_000;
const PARTITIONS: u16 = 4;

type TestNode = Node<Memory, bus::memory::Memory>;

async fn node(clock: Clock) -> Arc<TestNode> {
    let options = Options {
        event_encoding: Encoding::Json,
        call_deadline: Duration::from_secs(5),
        owner_wait: Duration::from_secs(1),
        stale_after: Duration::MAX,
        heartbeat_interval_ms: 10_000,
        heard_write_interval_ms: 60_000,
        cached_users: 100,
        calls_under_way: 100,
        body_bytes: 100_000,
        new_session_id: || nuid::next().to_string(),
        limits: Limits::default(),
    };
    let store = Memory::new(move || clock.now().wall_ms);
    let (bus, subjects) = (bus::memory::Memory::default(), Subjects::new("peer", PARTITIONS));
    Node::alone(store, bus, subjects, options, clock).await.expect("the store answers")
}

/// Calls, and answers what went out.
async fn call(node: &Arc<TestNode>, user: &str, method: &str, body: Value) -> Vec<Outgoing> {
    let incoming = Incoming {
        subject: format!("peer.api.{user}.{method}"),
        reply_to: Some("reply".to_owned()),
        content_type: None,
        body: body.to_string().into(),
        hops: 0,
    };
    node.handle(incoming).await;
    node.bus().take()
}

fn body(sent: &[Outgoing], subject: &str) -> Option<Value> {
    let found = sent.iter().find(|sent| sent.subject == subject)?;
    Some(serde_json::from_slice(&found.body).expect("JSON"))
}

/// Where bob's conversations stand, and where they stood before what he is told now, if he is.
async fn told(node: &Arc<TestNode>) -> (u64, Option<u64>) {
    let sent = call(node, "bob", "login", json!({})).await;
    let revision = body(&sent, "reply").and_then(|reply| reply["revision"].as_u64());
    let event = "peer.event.bob.conversation_total_unread_message_count_updated";
    let previous = body(&sent, event).and_then(|event| event["previousRevision"].as_u64());
    (revision.expect("a number"), previous)
}

/// Another owner comes, with nobody in memory.
async fn come_anew(node: &Arc<TestNode>, untold_since_ms: Option<u64>) {
    for partition in (0..PARTITIONS).map(Partition) {
        node.abandon(partition);
        let grant = Grant {
            partition,
            epoch: 2,
            lease: Arc::new(Lease::endless()),
            key: OrderKey::ZERO,
            untold_since_ms,
        };
        node.open(grant).await.expect("the store answers");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_death_a_revision_is_above_all_that_was_told() {
    let clock = Clock::simulated(WALL_MS);
    let node = node(clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", json!({})).await;
    }
    let message = json!({ "type": 1, "message": "hello" });
    let send = json!({ "toUserID": "bob", "message": message });
    call(&node, "alice", "send_peer_message", send).await;
    let (one, _) = told(&node).await;
    come_anew(&node, Some(clock.now().wall_ms)).await;
    assert_eq!(told(&node).await, (one, None), "nothing can have crossed the only change");
    let send = json!({ "toUserID": "alice", "message": message });
    call(&node, "bob", "send_peer_message", send).await;
    let (before, _) = told(&node).await;

    come_anew(&node, None).await;
    assert_eq!(told(&node).await, (before, None), "the owner before has stored all");
    come_anew(&node, Some(clock.now().wall_ms)).await;
    let (raised, previous) = told(&node).await;
    assert!(raised > before + 1000, "{raised} after {before}");
    assert_eq!(previous, Some(before), "who was told all that is stored misses nothing");
    assert_eq!(told(&node).await, (raised, None), "once");
    come_anew(&node, None).await;
    assert_eq!(told(&node).await, (raised, None), "it is stored");
    come_anew(&node, Some(clock.now().wall_ms)).await;
    let (again, previous) = told(&node).await;
    assert!(again > raised + 1000, "{again} after {raised}");
    assert_eq!(previous, Some(raised));

    sleep(Duration::from_secs(20 * 60)).await;
    // What was told again meanwhile.
    node.bus().take();
    come_anew(&node, Some(clock.now().wall_ms)).await;
    assert_eq!(told(&node).await, (again, None), "nothing has changed for long");
}
