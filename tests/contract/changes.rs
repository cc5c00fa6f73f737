//! Catching up: what changed since a revision.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::world::{FAST, World, keys, number, of, string};
use crate::support::Encoding;

const CHANGES: &str = "query_changes";

/// The pages of a reply, one after another: whether all is to be read anew, the conversations, the
/// revision of the first page.
async fn changes(
    world: &World,
    user: &str,
    revision: u64,
    count: usize,
) -> (bool, Vec<Value>, u64) {
    let (mut is_reset, mut list, mut newest) = (false, Vec::<Value>::new(), None);
    loop {
        let config = json!({ "count": count, "nextConversation": list.last() });
        let reply =
            world.ok(user, CHANGES, json!({ "revision": revision, "config": config })).await;
        let page = reply["conversationList"].as_array().unwrap().clone();
        assert!(page.len() <= count);
        is_reset |= reply["reset"] == true;
        newest.get_or_insert(number(&reply, "revision"));
        if page.is_empty() {
            return (is_reset, list, newest.unwrap());
        }
        list.extend(page);
    }
}

fn others(list: &[Value]) -> Vec<&str> {
    list.iter().map(|one| string(one, "conversationID")).collect()
}

/// A client that knows conversations by what it was told, and catches up.
#[derive(Default)]
struct Client {
    revision: u64,
    known: BTreeMap<String, Value>,
}

impl Client {
    async fn catch_up(&mut self, world: &World, user: &str) {
        let (is_reset, list, revision) = changes(world, user, self.revision, 2).await;
        if is_reset {
            self.known.clear();
        }
        for one in list {
            self.known.insert(string(&one, "conversationID").to_owned(), one);
        }
        self.revision = revision;
        let list = world.conversations(user).await.into_iter();
        let list: BTreeMap<String, Value> =
            list.map(|one| (string(&one, "conversationID").to_owned(), one)).collect();
        assert_eq!(self.known, list);
        assert_eq!(changes(world, user, revision, 2).await, (false, vec![], revision));
    }
}

#[tokio::test]
async fn a_client_that_missed_everything_is_right_again_with_one_call() {
    let mut world = World::with(&[FAST]).await;
    world.login(&["alice", "bob", "carol", "dan"]).await;
    let mut client = Client::default();
    client.catch_up(&world, "alice").await;
    let set = async |world: &World, method: &str, mut body: Value, other: &str| {
        body["conversationID"] = json!(other);
        world.ok("alice", method, body).await;
    };
    for step in 0..14 {
        match step {
            0 => _ = world.send("bob", "alice", "hi").await,
            1 => _ = world.send("alice", "carol", "hi").await,
            2 => _ = world.send("dan", "alice", "hi").await,
            3 => world.clear("alice", "bob").await,
            4 => world.set_status("alice", "erin", 2).await,
            5 => {
                set(&world, "update_conversation_pinned_state", json!({ "isPinned": true }), "dan")
                    .await;
            }
            6 => set(&world, "set_conversation_draft", json!({ "draft": "x" }), "bob").await,
            7 => {
                set(&world, "set_conversation_unread", json!({ "isMarkedUnread": true }), "carol")
                    .await;
            }
            8 => set(&world, "delete_conversation", json!({}), "bob").await,
            9 => _ = world.send("bob", "alice", "again").await,
            10 => set(&world, "delete_all_message", json!({}), "dan").await,
            11 => {
                let infos = json!([of("bob"), of("erin")]);
                let body = json!({ "markType": 4, "enable": true, "conversationInfos": infos });
                world.ok("alice", "set_conversation_mark", body).await;
            }
            12 => _ = world.ok("alice", "delete_all_conversations", json!({})).await,
            _ => _ = world.send("carol", "alice", "last").await,
        }
        if step % 3 == 0 {
            assert!(world.peerd.terminate().await.success());
            world.peerd.restart().await;
        }
        client.catch_up(&world, "alice").await;
    }
}

#[tokio::test]
async fn only_what_changed_is_read_and_all_of_it_without_a_revision_or_after_a_deletion() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice"]).await;
    for number in 0..5 {
        world.send("alice", &format!("u{number}"), "hi").await;
    }
    let (is_reset, list, first) = changes(&world, "alice", 0, 100).await;
    assert_eq!((is_reset, others(&list)), (true, vec!["u4", "u3", "u2", "u1", "u0"]));
    for encoding in Encoding::BOTH {
        let body = json!({ "revision": first });
        let reply = world.client.call_as(encoding, "alice", CHANGES, body).await.ok();
        assert_eq!(reply, json!({ "conversationList": [], "revision": first }));
    }
    world.send("alice", "u1", "hi").await;
    world.set_status("alice", "u3", 2).await;
    let (is_reset, list, second) = changes(&world, "alice", first, 1).await;
    assert_eq!((is_reset, others(&list)), (false, vec!["u1", "u3"]));
    for one in &list {
        assert_eq!(*one, world.conversation("alice", string(one, "conversationID")).await);
    }
    // A revision that was never given, as after a restore of an older backup.
    let (is_reset, list, third) = changes(&world, "alice", second + 1, 100).await;
    assert_eq!((is_reset, list.len(), third), (true, 5, second));
    world.ok("alice", "delete_conversation", of("u3")).await;
    let (is_reset, list, fourth) = changes(&world, "alice", second, 100).await;
    assert_eq!((is_reset, others(&list)), (true, vec!["u1", "u4", "u2", "u0"]));
    world.send("alice", "u2", "hi").await;
    let (is_reset, list, _) = changes(&world, "alice", fourth, 100).await;
    assert_eq!((is_reset, others(&list)), (false, vec!["u2"]));
    for (body, field) in [
        (json!({}), "revision"),
        (json!({ "revision": -1 }), "revision"),
        (json!({ "revision": 1, "config": { "count": 101 } }), "config.count"),
        (json!({ "revision": 1, "config": { "count": 0 } }), "config.count"),
    ] {
        world.invalid("alice", CHANGES, body, field).await;
    }
}

#[tokio::test]
async fn a_changed_block_list_is_named() {
    let mut world = World::of(&["alice", "bob"]).await;
    world.send("bob", "alice", "hi").await;
    let since = async |world: &World, revision: u64| {
        let reply = world.ok("alice", CHANGES, json!({ "revision": revision })).await;
        let newest = number(&reply, "revision");
        match keys(&reply)[..] {
            ["blacklistChanged", "conversationList", "revision"] => {
                assert_eq!(reply["blacklistChanged"], true);
                (true, newest)
            }
            ["conversationList", "revision"] => (false, newest),
            ref other => panic!("{other:?}"),
        }
    };
    let (_, first) = (0, world.ok("alice", CHANGES, json!({ "revision": 0 })).await);
    let first = number(&first, "revision");
    assert_eq!(since(&world, first).await, (false, first));
    for method in ["add_users_to_blacklist", "remove_users_from_blacklist"] {
        let (_, before) = since(&world, first).await;
        world.ok("alice", method, json!({ "userIDs": ["carol"] })).await;
        assert_eq!(since(&world, before).await, (true, before), "{method}");
        world.send("alice", "bob", "hi").await;
        let (is_changed, newest) = since(&world, before).await;
        assert!(is_changed && newest > before, "{method}");
        assert_eq!(since(&world, newest).await, (false, newest), "{method}");
    }
    // After a restart nobody knows when a user was unblocked: it may have been since then.
    assert!(world.peerd.terminate().await.success());
    world.peerd.restart().await;
    assert!(since(&world, first).await.0);
}
