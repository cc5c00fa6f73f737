//! The cost of a send between two users in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::bus::{Incoming, Kind, Outgoing};
use crate::clock::Clock;
use crate::runtime::fake::{self, WALL_MS, incoming};
use crate::runtime::node::Node;
use crate::runtime::users::UserCell;
use crate::store::Store;
use crate::store::memory::Memory;
use peerd_core::id::UserId;
use peerd_core::limits::Limits;

type TestNode<S> = Arc<Node<S, crate::bus::memory::Memory>>;

fn cell<S: Store>(node: &TestNode<S>, user: &str) -> Arc<UserCell> {
    let id = UserId::new(user, "userID").expect("a valid ID");
    node.parts.users.user_in_memory(&id).expect("in memory")
}

/// A node with two users who are logged in, and who have written to each other.
async fn node_of_two(max_age: Duration) -> TestNode<Memory> {
    let clock = Clock::simulated(WALL_MS);
    let store = Memory::new(move || clock.wall_ms());
    let node = fake::node(store, Limits::default(), clock).await;
    node.set_max_age(max_age);
    for user in ["alice", "bob"] {
        node.handle(incoming(user, "login", &json!({}))).await;
    }
    for (from, to) in [("alice", "bob"), ("bob", "alice")] {
        node.handle(send(from, to, "first")).await;
    }
    node.bus().take();
    node
}

fn send(from: &str, to: &str, local_id: &str) -> Incoming {
    let message = json!({ "type": 1, "message": "x", "localMessageID": local_id });
    incoming(from, "send_peer_message", &json!({ "toUserID": to, "message": message }))
}

/// With an offline push, for a receiver who is away.
fn send_with_push(from: &str, to: &str, local_id: &str) -> Incoming {
    let message = json!({ "type": 1, "message": "x", "localMessageID": local_id });
    let config = json!({ "pushConfig": { "title": "t", "content": "c" } });
    let body = json!({ "toUserID": to, "message": message, "config": config });
    incoming(from, "send_peer_message", &body)
}

/// Work that was done so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    /// How often the state of each of the two was locked.
    locks: [u64; 2],
    /// How often each of the two looked a conversation up.
    conversations: [u64; 2],
    /// How often a user was looked up.
    users: u64,
}

impl Work {
    fn so_far(node: &TestNode<Memory>) -> Self {
        let users =
            node.parts.users.ownerships().map(|it| it.looked_up.load(Ordering::Relaxed)).sum();
        let cells = ["alice", "bob"].map(|user| cell(node, user));
        let locks = cells.each_ref().map(|cell| cell.locked.load(Ordering::Relaxed));
        let conversations = cells.map(|cell| cell.lock().conversations.hasher().hashed());
        Self { locks, conversations, users }
    }

    fn since(self, before: Self) -> Self {
        let each = |after: [u64; 2], before: [u64; 2]| [after[0] - before[0], after[1] - before[1]];
        Self {
            // Looking takes the locks too, once each.
            locks: each(self.locks, before.locks).map(|locks| locks - 1),
            conversations: each(self.conversations, before.conversations),
            users: self.users - before.users - 2,
        }
    }
}

/// The names of the events published since the last call, with the reply in its place.
fn published(node: &TestNode<Memory>) -> Vec<String> {
    let name = |outgoing: Outgoing| match outgoing.kind {
        Kind::Event { .. } => outgoing.subject.trim_start_matches("peer.event.").to_owned(),
        Kind::Plain => "reply".to_owned(),
        other @ (Kind::Answer
        | Kind::Duplicate
        | Kind::Error { .. }
        | Kind::Routed { .. }
        | Kind::Relayed { .. }) => format!("{other:?}"),
    };
    node.bus().take().into_iter().map(name).collect()
}

const BOTH_SIDES: [&str; 5] = [
    "bob.peer_message_received",
    "bob.conversation_changed",
    "bob.conversation_total_unread_message_count_updated",
    "alice.conversation_changed",
    "reply",
];

#[tokio::test(start_paused = true)]
async fn a_send_locks_and_looks_up_each_side_once_before_the_append_and_once_after() {
    type Make = fn(&str, &str, &str) -> Incoming;
    let aged = Duration::from_secs(3600);
    let cases: [(Duration, Make, usize); 3] =
        [(Duration::ZERO, send, 0), (aged, send, 0), (Duration::ZERO, send_with_push, 3)];
    for (max_age, make, pushes) in cases {
        let node = node_of_two(max_age).await;
        if pushes > 0 {
            node.handle(incoming("bob", "logout", &json!({}))).await;
            node.bus().take();
        }
        for (number, is_direct) in [true, false, true].into_iter().enumerate() {
            let before = Work::so_far(&node);
            let call = make("alice", "bob", &number.to_string());
            if is_direct {
                assert!(node.take(call).is_none());
            } else {
                node.handle(call).await;
            }
            let work = Work::so_far(&node).since(before);
            let once_each = Work { locks: [2, 2], conversations: [2, 2], users: 2 };
            assert_eq!(work, once_each, "direct: {is_direct}, max_age {max_age:?}, {pushes}");
            assert_eq!(published(&node), BOTH_SIDES, "direct: {is_direct}");
        }
        node.settle().await;
        assert_eq!(node.store().pushes().len(), pushes);
    }
}

#[tokio::test(start_paused = true)]
async fn a_send_between_users_in_memory_needs_no_task() {
    let node = node_of_two(Duration::ZERO).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    assert!(node.take(send("alice", "bob", "a")).is_none());
    assert_eq!(tasks(), before);
    assert_eq!(published(&node), BOTH_SIDES);
    // A repeat is looked up in the log, which takes a task.
    assert!(node.take(send("alice", "bob", "a")).is_none());
    assert_eq!(tasks(), before + 1);
    node.settle().await;
    assert_eq!(published(&node), ["Duplicate"]);
}

#[tokio::test(start_paused = true)]
async fn messages_of_a_pair_keep_the_order_in_which_they_came() {
    let node = node_of_two(Duration::ZERO).await;
    let alice = UserId::new("alice", "userID").expect("a valid ID");
    let pair_lock = cell(&node, "bob").try_pair_lock(&alice).expect("no other message");
    assert!(node.take(send("alice", "bob", "a")).is_none());
    assert!(node.take(send("alice", "bob", "b")).is_none());
    // The tasks of the first two have not run yet when the pair is free again.
    drop(pair_lock);
    assert!(node.take(send("alice", "bob", "c")).is_none());
    node.settle().await;
    let received = |outgoing: Outgoing| {
        let event: serde_json::Value = serde_json::from_slice(&outgoing.body).ok()?;
        let message = &event.get("messageList")?[0];
        Some((message["localMessageID"].as_str()?.to_owned(), message["messageSeq"].as_u64()?))
    };
    let order: Vec<_> = node.bus().take().into_iter().filter_map(received).collect();
    let expected = [("a", 2), ("b", 3), ("c", 4)].map(|(id, seq)| (id.to_owned(), seq));
    assert_eq!(order, expected);
}

#[tokio::test(start_paused = true)]
async fn whatever_cannot_go_on_at_once_goes_on_in_a_task() {
    let node = node_of_two(Duration::ZERO).await;
    // The pair is busy.
    let alice = UserId::new("alice", "userID").expect("a valid ID");
    let pair_lock = cell(&node, "bob").try_pair_lock(&alice).expect("no other message");
    assert!(node.take(send("alice", "bob", "a")).is_none());
    tokio::task::yield_now().await;
    assert_eq!(published(&node), Vec::<String>::new());
    drop(pair_lock);
    node.settle().await;
    assert_eq!(published(&node), BOTH_SIDES);
    // The sender is over the rate.
    let refused = (0..20).find(|number| {
        assert!(node.take(send("alice", "bob", &format!("r{number}"))).is_none());
        !published(&node).contains(&"reply".to_owned())
    });
    assert!(refused.is_some(), "ten a second");
    node.settle().await;
    assert!(published(&node).iter().all(|kind| kind.contains("6000005")), "rate_limited");
    // The state must be loaded again.
    tokio::time::advance(Duration::from_secs(2)).await;
    cell(&node, "bob").invalidate();
    assert!(node.take(send("alice", "bob", "b")).is_none());
    node.settle().await;
    assert!(cell(&node, "bob").is_loaded(1));
}
