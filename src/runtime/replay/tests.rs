//! The replay for a device that names its newest message.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bus;
use crate::clock::Clock;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::Node;
use crate::storage::message::{self, Recorded};
use crate::store::memory::Memory;
use crate::store::{Start, Store as _};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::limits::Limits;
use peerd_core::message::Message;
use peerd_core::receive::Placed;
use peerd_protocol::subject::Token;

type TestNode = Node<Memory, bus::memory::Memory>;

const MESSAGES: usize = 40;

/// A node over a store whose clock is ahead of the node's by `skew_ms`.
async fn node(skew_ms: i64) -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let store = Memory::new(move || clock.wall_ms().saturating_add_signed(skew_ms));
    let limits =
        Limits { messages_per_second: 1000, replay_messages: MESSAGES, ..Limits::default() };
    fake::node(store, limits, clock).await
}

async fn call(node: &Arc<TestNode>, user: &str, method: &str, body: &Value) -> Value {
    node.bus().take();
    node.handle(incoming(user, method, body)).await;
    node.settle().await;
    let sent = node.bus().take();
    let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
    let mut reply: Value = serde_json::from_slice(&reply.body).expect("a JSON body");
    let published =
        sent.iter().filter(|sent| sent.subject == "peer.event.bob.peer_message_received");
    let published = published.flat_map(|published| {
        let body: Value = serde_json::from_slice(&published.body).expect("a JSON body");
        body["messageList"].as_array().cloned().unwrap_or_default()
    });
    reply["published"] = published.map(|message| message["message"].clone()).collect();
    reply
}

async fn send(node: &Arc<TestNode>, from: &str, text: &str) -> OrderKey {
    let body = json!({ "toUserID": "bob", "message": { "type": 1, "message": text } });
    let reply = call(node, from, "send_peer_message", &body).await;
    OrderKey(reply["message"]["orderKey"].as_u64().expect("a key"))
}

/// The texts that are replayed to a device of Bob's which has messages up to `key`.
async fn replayed(node: &Arc<TestNode>, key: OrderKey) -> Value {
    let body = json!({ "deviceID": "d", "replayAfter": key.0 });
    call(node, "bob", "login", &body).await["published"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_device_gets_what_it_missed_whatever_the_clocks_say() {
    for skew_ms in [0, 3_000, -3_000, 3_600_000, -3_600_000] {
        let node = node(skew_ms).await;
        for user in ["alice", "carol"] {
            call(&node, user, "login", &json!({})).await;
        }
        let (mut keys, mut texts) = (vec![OrderKey::ZERO], Vec::new());
        for number in 0..MESSAGES {
            let pause_ms = [0, 0, 3, 2_500, 0, 150_000][number % 6];
            tokio::time::advance(Duration::from_millis(pause_ms)).await;
            let text = format!("m{number}");
            let from = if number % 3 == 0 { "carol" } else { "alice" };
            keys.push(send(&node, from, &text).await);
            texts.push(text);
        }
        for (at, key) in keys.iter().enumerate() {
            let published = replayed(&node, *key).await;
            assert_eq!(published, json!(texts[at..]), "skew {skew_ms}, after {at}");
        }
        assert_eq!(replayed(&node, OrderKey((1 << 53) - 1)).await, json!([]));
    }
}

/// Of two senders' messages, the one that sorts first may be stored last: a device that has
/// received the other may not have received it.
#[tokio::test(start_paused = true)]
async fn a_message_stored_later_that_sorts_earlier_is_replayed_too() {
    let node = node(0).await;
    for user in ["alice", "carol"] {
        call(&node, user, "login", &json!({})).await;
    }
    send(&node, "alice", "seen").await;
    tokio::time::advance(Duration::from_secs(60)).await;
    let newest = send(&node, "carol", "seen too").await;
    assert_eq!(replayed(&node, newest).await, json!([]));

    // Dave's message is stored only now.
    let [bob, dave] = ["bob", "dave"].map(|id| UserId::new(id, "userID").expect("a userID"));
    let cell = node.parts.users.user_in_memory(&bob).expect("who was loaded");
    let subject = |from: &str| {
        let from = Token::of(&UserId::new(from, "userID").expect("a userID"));
        node.parts.env.subjects.log(cell.partition, &cell.token, &from)
    };
    let (store, deadline) = (node.store(), node.parts.env.deadline());
    let batch = store.read(cell.log(), subject("carol"), Start::Seq(1), 1, deadline).await;
    let carols = &batch.expect("read").records[0].payload;
    let stored = message::decode(carols, &dave, &bob, cell.partition).expect("a record");
    let Recorded::Message(stored) = stored else { panic!("no message: {stored:?}") };
    let message = Message { key: OrderKey(newest.0 - 2), ..stored.message };
    let message = Arc::new(message);
    let placed = Placed { message, mark: stored.mark, page: stored.page, expected_seq: 0 };
    let payload = message::encode(&placed, None).expect("writable");
    store.append(cell.log(), subject("dave"), payload, 0, deadline).await.expect("stored");
    cell.invalidate();
    assert_eq!(replayed(&node, newest).await, json!(["seen too"]), "Dave's says the same");
    assert_eq!(replayed(&node, OrderKey(newest.0 - 2)).await, json!(["seen too"]));
}
