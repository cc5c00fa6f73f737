//! Paging over a store whose clock differs from peerd's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::Reader;
use crate::bus;
use crate::clock::Clock;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::{Node, Options};
use crate::store::StreamId;
use crate::store::memory::Memory;
use peerd_core::id::{Partition, UserId};
use peerd_core::limits::Limits;

const MESSAGES: usize = 150;

type TestNode = Node<Memory, bus::memory::Memory>;

/// A node over a store whose clock is ahead of the node's by `skew_ms`.
async fn node(skew_ms: i64) -> Arc<TestNode> {
    let clock = Clock::simulated(WALL_MS);
    let store = Memory::new(move || clock.wall_ms().saturating_add_signed(skew_ms));
    fake::node(store, limits(), clock).await
}

fn limits() -> Limits {
    Limits { messages_per_second: 1000, ..Limits::default() }
}

async fn call(node: &Arc<TestNode>, user: &str, method: &str, body: Value) -> Value {
    node.bus().take();
    node.handle(incoming(user, method, &body)).await;
    let sent = node.bus().take();
    let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
    serde_json::from_slice(&reply.body).expect("a JSON body")
}

async fn page(
    node: &Arc<TestNode>,
    backwards: bool,
    anchor: Option<&Value>,
    count: usize,
) -> Vec<Value> {
    let config = json!({ "nextMessage": anchor, "count": count, "reverse": backwards });
    let body = json!({ "conversationID": "bob", "config": config });
    let reply = call(node, "alice", "query_history_message", body).await;
    reply["messageList"].as_array().expect("a page").clone()
}

/// All texts, read in pages.
async fn all(node: &Arc<TestNode>, backwards: bool, count: usize) -> Vec<String> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let anchor = if backwards { all.first() } else { all.last() };
        let page = page(node, backwards, anchor, count).await;
        if page.is_empty() {
            return all
                .iter()
                .map(|it| it["message"].as_str().expect("a text").to_owned())
                .collect();
        }
        if backwards {
            all.splice(0..0, page);
        } else {
            all.extend(page);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn pages_join_whatever_the_servers_clock_says() {
    for skew_ms in [0, 20, -20, 3_000, -3_000, 3_600_000, -3_600_000] {
        let node = node(skew_ms).await;
        for user in ["alice", "bob"] {
            call(&node, user, "login", json!({})).await;
        }
        let mut texts = Vec::new();
        for number in 0..MESSAGES {
            // Bursts, pauses of seconds, and now and then a long silence.
            let pause_ms =
                [0, 0, 3, 150, 0, 2_500][number % 6] + u64::from(number % 50 == 49) * 900_000;
            tokio::time::advance(Duration::from_millis(pause_ms)).await;
            let (from, to) = if number % 3 == 0 { ("bob", "alice") } else { ("alice", "bob") };
            let text = format!("m{number}");
            let message = json!({ "type": 1, "message": text });
            let sent = call(
                &node,
                from,
                "send_peer_message",
                json!({ "toUserID": to, "message": message }),
            );
            assert_eq!(sent.await["message"]["message"], text, "skew {skew_ms}");
            texts.push(text);
        }
        for count in [1, 7, 40, 100] {
            for backwards in [true, false] {
                let read = all(&node, backwards, count).await;
                assert_eq!(read, texts, "skew {skew_ms}, pages of {count}, backwards: {backwards}");
            }
        }
    }
}

async fn send(node: &Arc<TestNode>, from: &str, to: &str, text: &str) -> Value {
    let body = json!({ "toUserID": to, "message": { "type": 1, "message": text } });
    call(node, from, "send_peer_message", body).await["message"].clone()
}

/// A node on which bob sent `count` messages to alice, so long ago that no message can be stored
/// between them.
async fn with_messages(count: usize) -> Arc<TestNode> {
    let node = node(0).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", json!({})).await;
    }
    for number in 0..count {
        tokio::time::advance(Duration::from_millis(5)).await;
        send(&node, "bob", "alice", &format!("m{number}")).await;
    }
    tokio::time::advance(Duration::from_secs(30)).await;
    node
}

fn texts(page: &[Value]) -> Vec<&str> {
    page.iter().map(|message| message["message"].as_str().expect("a text")).collect()
}

#[tokio::test(start_paused = true)]
async fn pages_join_where_messages_are_now_close_together_and_now_far_apart() {
    // The page cache keeps no messages, few, or all.
    for history_bytes in [0, 10_000, 1 << 20] {
        let options = Options { history_bytes, ..fake::options(limits()) };
        let clock = Clock::simulated(WALL_MS);
        let node = fake::alone(Memory::new(move || clock.wall_ms()), options, clock).await;
        for user in ["alice", "bob", "carol"] {
            call(&node, user, "login", json!({})).await;
        }
        let mut sent = Vec::new();
        for others in [0, 30, 0, 3] {
            for number in 0..120 {
                tokio::time::advance(Duration::from_millis(40)).await;
                let text = format!("m{others}-{number}");
                let (from, to) = if number % 5 == 0 { ("alice", "bob") } else { ("bob", "alice") };
                send(&node, from, to, &text).await;
                sent.push(text);
                for _ in 0..others {
                    send(&node, "carol", "alice", "beside").await;
                }
            }
        }
        tokio::time::advance(Duration::from_secs(30)).await;
        for (count, is_hurried) in [(7, true), (7, false), (30, true), (30, false), (100, false)] {
            let (mut all, mut anchor) = (VecDeque::new(), None);
            while all.len() < sent.len() {
                let page = page(&node, true, anchor.as_ref(), count).await;
                for text in texts(&page).into_iter().rev() {
                    all.push_front(text.to_owned());
                }
                anchor = page.first().cloned();
                if !is_hurried {
                    // Until the next was read ahead.
                    node.settle().await;
                }
            }
            assert_eq!(all, sent, "pages of {count}, {history_bytes} bytes, hurried: {is_hurried}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_deleted_after_the_read_are_not_shown() {
    let node = with_messages(100).await;
    let first = page(&node, true, None, 10).await;
    let second = page(&node, true, first.first(), 10).await;
    assert_eq!(texts(&second)[0], "m80");
    // One of the messages kept for the third page.
    node.settle().await;
    let all = page(&node, true, None, 50).await;
    let doomed = all.iter().find(|message| message["message"] == "m75").expect("m75");
    let body = json!({ "conversationID": "bob", "messageList": [doomed] });
    call(&node, "alice", "delete_messages", body).await;
    let third = page(&node, true, second.first(), 10).await;
    let expected: Vec<String> =
        (69..80).filter(|it| *it != 75).map(|it| format!("m{it}")).collect();
    assert_eq!(texts(&third), expected);
    call(&node, "alice", "delete_all_message", json!({ "conversationID": "bob" })).await;
    assert_eq!(page(&node, true, third.first(), 10).await, Vec::<Value>::new());
}

#[tokio::test(start_paused = true)]
async fn messages_that_left_the_store_are_not_shown_for_long() {
    let mut pages = Vec::new();
    for wait_s in [0, 90] {
        let node = with_messages(100).await;
        let first = page(&node, true, None, 10).await;
        let second = page(&node, true, first.first(), 10).await;
        node.settle().await;
        tokio::time::advance(Duration::from_secs(wait_s)).await;
        for partition in 0..4 {
            node.store().remove(StreamId::Log(Partition(partition)), "peer.log.*.alice.bob", 80);
        }
        pages.push(page(&node, true, second.first(), 10).await);
    }
    assert_eq!(texts(&pages[0])[0], "m70", "as it was read");
    assert_eq!(pages[1], Vec::<Value>::new());
}

/// The store has messages that alice sent, and the last one is not published to her yet.
#[tokio::test(start_paused = true)]
async fn a_stored_message_without_ack_is_shown_in_any_page() {
    for known in [1, 31, 32, 33, 60, 63, 64, 65] {
        let node = with_messages(0).await;
        let (alice, bob) = (user("alice"), user("bob"));
        for number in 0..known {
            send(&node, "alice", "bob", &format!("m{number}")).await;
        }
        let cell = node.parts.users.user_in_memory(&alice).expect("she is in memory");
        let seen = cell.lock().conversation(&bob).cloned().expect("a conversation");
        for number in known..known + 40 {
            send(&node, "alice", "bob", &format!("m{number}")).await;
        }
        let deadline = Instant::now() + Duration::from_secs(1);
        for count in [100, 200] {
            let mut reader =
                Reader::with_sent_ahead(&node.parts.history, &cell, (&bob, &seen), true, deadline);
            let page = reader.back(None, count).await.expect("a page");
            let numbers: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
            let all: Vec<u64> = (1..=known + 40).collect();
            let newest = &all[all.len().saturating_sub(count)..];
            assert_eq!(numbers, newest, "{known} are known, {count} are asked for");
        }
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id, "userID").expect("a valid ID")
}
