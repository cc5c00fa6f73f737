//! What a send costs between two users in memory.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::json;

use crate::bus::Kind;
use crate::clock::Clock;
use crate::runtime::node::Node;
use crate::runtime::twin::{self, WALL_MS, incoming};
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

#[tokio::test(start_paused = true)]
async fn a_send_locks_each_side_once_before_the_append_and_once_after() {
    for max_age in [Duration::ZERO, Duration::from_secs(3600)] {
        assert_locks(max_age).await;
    }
}

async fn assert_locks(max_age: Duration) {
    let clock = Clock::simulated(WALL_MS);
    let store = Memory::new(move || clock.wall_ms());
    let node = twin::node(store, Limits::default(), clock).await;
    node.set_max_age(max_age);
    for user in ["alice", "bob"] {
        node.handle(incoming(user, "login", &json!({}))).await;
    }
    for number in 0..3 {
        let message = json!({ "type": 1, "message": "x", "localMessageID": number.to_string() });
        let body = json!({ "toUserID": "bob", "message": message });
        let sides = ["alice", "bob"].map(|user| cell(&node, user));
        let before = sides.each_ref().map(|side| side.locked.load(Ordering::Relaxed));
        node.handle(incoming("alice", "send_peer_message", &body)).await;
        let after = sides.each_ref().map(|side| side.locked.load(Ordering::Relaxed));
        let sent = node.bus().take();
        assert!(sent.last().is_some_and(|reply| reply.kind == Kind::Plain), "{sent:?}");
        let locked = [after[0] - before[0], after[1] - before[1]];
        // The first one is a first contact.
        assert!(number == 0 || locked == [2, 2], "{locked:?}");
    }
}
