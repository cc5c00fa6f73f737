//! Entries that a later release has written to.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bus;
use crate::clock::Clock;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::Node;
use crate::storage::{account, conversation, deletions};
use crate::store::memory::Memory;
use crate::store::{Record, Store as _, StreamId};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{Direction, UserId};
use peerd_core::later::LaterFields;
use peerd_core::limits::Limits;
use peerd_protocol::subject::Token;

type TestNode = Node<Memory, bus::memory::Memory>;

async fn call(node: &Arc<TestNode>, user: &str, method: &str, body: Value) -> Value {
    node.bus().take();
    node.handle(incoming(user, method, &body)).await;
    node.settle().await;
    let sent = node.bus().take();
    let reply = sent.iter().find(|sent| sent.subject == "reply").expect("a reply");
    serde_json::from_slice(&reply.body).expect("a JSON body")
}

fn id(name: &str) -> UserId {
    UserId::new(name, "userID").expect("a userID")
}

fn stored(node: &TestNode, stream: StreamId, subject: &str) -> Option<Record> {
    node.store().records(stream).into_iter().rfind(|record| record.subject == subject)
}

/// Replaces a stored entry.
async fn replace(node: &TestNode, stream: StreamId, subject: &str, payload: Bytes) {
    let expected_seq = stored(node, stream, subject).map_or(0, |there| there.stream_seq);
    let deadline = node.parts.env.deadline();
    let append = node.store().append(stream, subject.to_owned(), payload, expected_seq, deadline);
    append.await.expect("stored");
}

#[tokio::test(start_paused = true)]
async fn fields_of_a_later_release_survive_load_change_and_store() {
    let clock = Clock::simulated(WALL_MS);
    let limits = Limits { messages_per_second: 1000, ..Limits::default() };
    let node = fake::node(Memory::new(move || clock.wall_ms()), limits, clock).await;
    for user in ["alice", "bob"] {
        call(&node, user, "login", json!({})).await;
    }
    let message = json!({ "type": 1, "message": "x" });
    let sent = json!({ "toUserID": "bob", "message": message });
    let sent = call(&node, "alice", "send_peer_message", sent).await["message"].clone();
    let muted = |status: u8| json!({ "conversationID": "alice", "status": status });
    call(&node, "bob", "set_conversation_notification_status", muted(2)).await;

    // Field 200 with a list, as a later release may have it.
    let later = LaterFields::new(1, b"\xcc\xc8\x93\x01\xa1x\xc0");
    let (bob, alice) = (Token::of(&id("bob")), Token::of(&id("alice")));
    let partition = node.parts.env.subjects.partition(&bob);
    let stream = StreamId::State(partition);
    let account_key = account::key(&node.parts.env.subjects, partition, &bob);
    let entry_key = conversation::key(&node.parts.env.subjects, partition, &bob, &alice);
    let page = PageId::of(Direction::Receive, 1);
    let page_key = deletions::key(&node.parts.env.subjects, partition, &bob, &alice, page);

    let there = stored(&node, stream, &account_key).expect("an account");
    let mut account = account::decode(&there.payload).expect("readable");
    account.later = later.clone();
    let bytes = account::encode(&account).expect("writable");
    replace(&node, stream, &account_key, bytes).await;

    let there = stored(&node, stream, &entry_key).expect("an entry");
    let mut settings = conversation::decode(&there.payload).expect("readable");
    settings.later = later.clone();
    settings.deleted = peerd_core::deletions::Deletions::new([], false, true);
    let bytes = conversation::encode(&settings).expect("writable");
    replace(&node, stream, &entry_key, bytes).await;
    let bitmap = Bitmap::from_bytes(&[2]).with_later(later.clone());
    replace(&node, stream, &page_key, deletions::encode(&bitmap).expect("writable")).await;

    // Load again, and change each entry.
    node.parts.users.user_in_memory(&id("bob")).expect("in memory").invalidate();
    call(&node, "bob", "set_conversation_notification_status", muted(1)).await;
    let body = json!({ "conversationID": "alice", "messageList": [sent] });
    let deleted = call(&node, "bob", "delete_messages", body).await;
    assert_eq!(deleted["code"], Value::Null, "{deleted}");
    call(&node, "bob", "login", json!({ "userName": "Bob" })).await;

    let there = stored(&node, stream, &account_key).expect("an account");
    let account = account::decode(&there.payload).expect("readable");
    assert_eq!((account.profile.name.as_str(), account.sessions.len()), ("Bob", 2));
    assert_eq!(account.later, later);
    let there = stored(&node, stream, &entry_key).expect("an entry");
    let settings = conversation::decode(&there.payload).expect("readable");
    assert!(!settings.later.as_bytes().is_empty() && settings.later == later);
    let kept: Vec<_> = settings.deleted.pages().collect();
    // The page is in the entry now, with both deletions and the unknown field.
    assert_eq!(kept, [(&page, &Bitmap::from_bytes(&[3]).with_later(later))]);
}
