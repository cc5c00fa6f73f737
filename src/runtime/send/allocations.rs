//! Counts the allocations of a send on the thread of an instance that uses a real nats-server.

use std::sync::Arc;
use std::thread;

use async_nats::Client;
use futures::StreamExt as _;
use peerd_testkit::Nats as Server;
use serde_json::json;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::bus::nats::Nats;
use crate::clock::Clock;
use crate::runtime::fake;
use crate::runtime::node::{MESSAGES_PER_CALL, Node, Options, ROOM_BEYOND_CALLS};
use crate::store::jetstream::{JetStream, fresh};
use peerd_core::limits::Limits;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::subject::Subjects;

/// The most allocations of a send.
const ALLOCATIONS_MAX: u64 = 20;
/// Pairs of users, each with one message at a time.
const PAIRS: usize = 8;
const MESSAGES: usize = 50;

/// An instance that owns all partitions and takes calls.
async fn instance(url: String) -> Arc<Node<JetStream, Nats>> {
    let subjects = Subjects::new("peer", 2);
    let (store, data_plane) = fresh::store(url, &subjects).await;
    let limits = Limits { messages_per_second: 1_000_000, ..Limits::default() };
    let event_encoding = Encoding::MessagePack;
    let options = Options { event_encoding, ..fake::options(limits) };
    let capacity = options.most_under_way() * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
    let (bus, _writer) = Nats::new(data_plane, subjects.clone(), capacity);
    let node = Node::alone(store, bus, subjects, options, Clock::system()).await;
    let node = node.expect("the store answers");
    node.bus().take_calls(node.call_receiver()).await;
    node
}

async fn call(client: &Client, user: &str, method: &str, body: Vec<u8>) {
    let subject = format!("peer.api.{user}.{method}");
    let reply = client.request(subject, body.into()).await.expect("a reply");
    let error = reply.headers.is_some_and(|headers| headers.get("Nats-Service-Error").is_some());
    assert!(!error, "{:?}", reply.payload);
}

/// Sends messages of each pair, one after another.
async fn send_all(client: &Client, round: &str, encoding: Encoding) {
    let pairs = (0..PAIRS).map(|pair| async move {
        for number in 0..MESSAGES {
            let text = "a message of sixty bytes, which is what the benchmark sends.";
            let message = json!({
                "type": 1,
                "message": text,
                "localMessageID": format!("{round}-{number}"),
            });
            let body = json!({ "toUserID": format!("receiver{pair}"), "message": message });
            let body = match encoding {
                Encoding::Json => body.to_string().into_bytes(),
                Encoding::MessagePack => rmp_serde::to_vec_named(&body).expect("MessagePack"),
            };
            call(client, &format!("sender{pair}"), "send_peer_message", body).await;
        }
    });
    futures::future::join_all(pairs).await;
}

#[test]
fn a_send_between_two_users_in_memory_allocates_little() {
    for encoding in [Encoding::MessagePack, Encoding::Json] {
        let here = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let server = here.block_on(Server::start());
        let url = server.url();
        let (begin, begins) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel::<()>();
        let (counting, is_counting) = oneshot::channel::<()>();
        let (end, ends) = oneshot::channel::<()>();
        let counted = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            let node = runtime.block_on(instance(url));
            ready.send(()).expect("a listener");
            runtime.block_on(begins).expect("warm");
            let counted = allocation_counter::measure(|| {
                runtime.block_on(async {
                    counting.send(()).expect("a listener");
                    ends.await.expect("all sent");
                });
            });
            drop(node);
            counted.count_total
        });
        here.block_on(async {
            is_ready.await.expect("an instance");
            let client = async_nats::connect(server.url()).await.expect("connected");
            let mut events = client.subscribe("peer.event.>").await.expect("subscribed");
            tokio::spawn(async move { while events.next().await.is_some() {} });
            for pair in 0..PAIRS {
                let login = match encoding {
                    Encoding::Json => b"{}".to_vec(),
                    Encoding::MessagePack => vec![0x80],
                };
                call(&client, &format!("sender{pair}"), "login", login.clone()).await;
                call(&client, &format!("receiver{pair}"), "login", login).await;
            }
            send_all(&client, "warm", encoding).await;
            begin.send(()).expect("a listener");
            is_counting.await.expect("counting");
            send_all(&client, "counted", encoding).await;
            end.send(()).expect("a listener");
        });
        let total = counted.join().expect("no panic");
        let each = total / u64::try_from(PAIRS * MESSAGES).expect("a small number");
        assert!(each <= ALLOCATIONS_MAX, "{each} allocations for a send, {encoding:?}");
    }
}
