//! Which messages are taken, and which are refused at once.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::yield_now;

use crate::bus::{self, Kind, Outgoing};
use crate::clock::Clock;
use crate::runtime::fake::{self, CALLS_UNDER_WAY, WALL_MS, incoming};
use crate::runtime::node::{MESSAGES_PER_CALL, Node, ROOM_BEYOND_CALLS};
use crate::store::memory::Memory;
use peerd_core::limits::Limits;

type TestNode = Node<Memory, bus::memory::Memory>;

async fn node() -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let store = Memory::new(move || clock.wall_ms());
    fake::node(store, Limits::default(), clock).await
}

fn take(node: &Arc<TestNode>) -> Option<Outgoing> {
    node.take(incoming("alice", "login", &json!({ "userName": "Alice" })))
}

#[track_caller]
fn assert_overloaded(refusal: Option<Outgoing>) {
    let refusal = refusal.expect("an answer at once");
    assert_eq!(refusal.subject, "reply");
    assert!(matches!(refusal.kind, Kind::Error { code: 6_000_007, .. }), "{refusal:?}");
    let body: Value = serde_json::from_slice(&refusal.body).expect("a JSON body");
    assert_eq!(body["reason"], "overloaded");
    assert_eq!(body["retryAfterMs"], 100);
}

#[tokio::test]
async fn beyond_the_bound_calls_are_refused_at_once() {
    let node = node().await;
    for _ in 0..CALLS_UNDER_WAY {
        assert!(take(&node).is_none());
    }
    assert_overloaded(take(&node));
    assert!(node.bus().take().is_empty(), "a refusal waits behind nothing");
    node.settle().await;
    assert!(take(&node).is_none(), "what has ended leaves its place");
}

#[tokio::test]
async fn a_call_is_taken_only_with_room_for_all_that_may_be_sent() {
    let node = node().await;
    node.bus().set_room(MESSAGES_PER_CALL + ROOM_BEYOND_CALLS);
    assert!(take(&node).is_none());
    assert_overloaded(take(&node));
    node.bus().set_room(2 * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS);
    assert!(take(&node).is_none());
    node.settle().await;
    node.bus().set_room(MESSAGES_PER_CALL + ROOM_BEYOND_CALLS - 1);
    assert_overloaded(take(&node));
}

#[tokio::test]
async fn a_call_that_waits_for_room_leaves_the_reserve_of_all_calls() {
    const NEEDED: usize = 2 * CALLS_UNDER_WAY * MESSAGES_PER_CALL;
    let node = node().await;
    node.bus().set_room(NEEDED + 5);
    node.parts.env.wait_for_room_beyond(5).await;
    let waits = tokio::spawn({
        let node = node.clone();
        async move { node.parts.env.wait_for_room_beyond(6).await }
    });
    yield_now().await;
    assert!(!waits.is_finished());
    node.bus().set_room(NEEDED + 6);
    waits.await.expect("no panic");
}
