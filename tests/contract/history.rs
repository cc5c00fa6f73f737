//! Paging through a conversation.

use serde_json::{Value, json};

use super::world::{FAST, World, as_received, number, string, text_to, texts};
use crate::support::Encoding;

/// Pages through a whole history; returns its messages, ascending.
async fn page_through(
    world: &World,
    user: &str,
    other: &str,
    count: usize,
    reverse: bool,
) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let anchor = if reverse { all.first() } else { all.last() };
        let mut config = json!({ "count": count, "reverse": reverse });
        if let Some(message) = anchor {
            config["nextMessage"] = json!({ "messageID": message["messageID"] });
        }
        let page = world.page(user, other, config).await;
        assert!(page.len() <= count);
        if page.is_empty() {
            return all;
        }
        if reverse {
            all.splice(0..0, page);
        } else {
            all.extend(page);
        }
    }
}

#[track_caller]
fn assert_ascending(messages: &[Value]) {
    let keys: Vec<_> = messages.iter().map(|message| number(message, "orderKey")).collect();
    assert!(keys.is_sorted_by(|one, next| one < next), "{keys:?}");
}

#[tokio::test]
async fn a_thousand_messages_page_both_ways_with_none_missed_or_doubled() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut of_alice = Vec::new();
    for number in 0..1_000 {
        // Irregular alternation, so that the pages of the two directions do not align.
        let (from, to) = if number % 7 < 2 || (300..400).contains(&number) {
            ("bob", "alice")
        } else {
            ("alice", "bob")
        };
        let body = text_to(to, &format!("m{number}"));
        let sent = world.ok(from, "send_peer_message", body).await["message"].clone();
        of_alice.push(if from == "alice" { sent } else { as_received(&sent) });
    }
    assert_ascending(&of_alice);
    for (count, reverse) in [(100, true), (100, false), (33, true), (32, false)] {
        let paged = page_through(&world, "alice", "bob", count, reverse).await;
        assert_eq!(texts(&paged), texts(&of_alice), "{count} {reverse}");
        assert_eq!(paged, of_alice);
    }
    let of_bob = page_through(&world, "bob", "alice", 100, true).await;
    assert_eq!(texts(&of_bob), texts(&of_alice));
    for message in &of_bob {
        let own = message["senderUserID"] == "bob";
        assert_eq!(message["conversationID"], "alice");
        assert_eq!(message["direction"], u8::from(!own));
        assert_eq!(message["sentStatus"], 1);
    }
}

#[tokio::test]
async fn a_page_begins_where_it_is_asked_to_and_holds_while_more_arrives() {
    let world = World::with(&[FAST]).await;
    world.login(&["alice", "bob"]).await;
    let mut all = Vec::new();
    for number in 0..10 {
        let (from, to) = if number % 2 == 0 { ("alice", "bob") } else { ("bob", "alice") };
        all.push(world.send(from, to, &format!("m{number}")).await);
    }
    let page = |next: Option<&Value>, count: u8, reverse: bool| {
        let mut config = json!({ "count": count, "reverse": reverse });
        if let Some(next) = next {
            config["nextMessage"] = next.clone();
        }
        world.page("alice", "bob", config)
    };
    assert_eq!(texts(&page(None, 3, true).await), ["m7", "m8", "m9"]);
    assert_eq!(texts(&page(None, 3, false).await), ["m0", "m1", "m2"]);
    // Any message of a page may be the anchor, whole or by its ID alone.
    let middle = &all[5];
    let by_id = json!({ "messageID": middle["messageID"] });
    for anchor in [middle, &by_id] {
        let before = page(Some(anchor), 3, true).await;
        assert_eq!(texts(&before), ["m2", "m3", "m4"]);
        let after = page(Some(anchor), 3, false).await;
        assert_eq!(texts(&after), ["m6", "m7", "m8"]);
    }
    assert_eq!(page(Some(&all[0]), 3, true).await, Vec::<Value>::new());
    assert_eq!(page(Some(&all[9]), 3, false).await, Vec::<Value>::new());
    assert_eq!(page(None, 1, true).await.len(), 1);
    assert_eq!(page(None, 100, true).await.len(), 10);

    world.send("bob", "alice", "m10").await;
    assert_eq!(texts(&page(Some(&all[9]), 3, false).await), ["m10"]);
    assert_eq!(texts(&page(Some(&all[9]), 2, true).await), ["m7", "m8"]);
}

#[tokio::test]
async fn a_query_is_checked_and_answers_in_both_encodings() {
    let world = World::of(&["alice", "bob"]).await;
    let sent = world.send("alice", "bob", "hi").await;
    let query =
        |config: Value| json!({ "conversationID": "bob", "conversationType": 0, "config": config });
    for encoding in Encoding::BOTH {
        let body = query(json!({ "count": 10, "reverse": false }));
        let reply =
            world.client.call_as(encoding, "alice", "query_history_message", body).await.ok();
        assert_eq!(
            reply,
            json!({ "conversationID": "bob", "conversationType": 0, "messageList": [sent] })
        );
    }
    for (config, field) in [
        (json!({ "count": 0, "reverse": true }), "count"),
        (json!({ "count": 101, "reverse": true }), "count"),
        (json!({ "count": -1, "reverse": true }), "count"),
        (json!({ "count": 1.5, "reverse": true }), "count"),
        (json!({ "reverse": true }), "count"),
        (json!({ "count": 1, "reverse": "yes" }), "reverse"),
        (json!({ "count": 1, "reverse": true, "nextMessage": { "messageID": 5 } }), "messageID"),
        (
            json!({ "count": 1, "reverse": true, "nextMessage": { "messageID": "no ID" } }),
            "messageID",
        ),
        (json!({ "count": 1, "reverse": true, "nextMessage": "m" }), "nextMessage"),
    ] {
        world.invalid("alice", "query_history_message", query(config), field).await;
    }
    let config = json!({ "count": 1, "reverse": true });
    for (body, field) in [
        (json!({ "conversationID": "bob" }), "config"),
        (json!({ "config": config }), "conversationID"),
        (json!({ "conversationID": "b*b", "config": config }), "conversationID"),
        (
            json!({ "conversationID": "bob", "conversationType": 2, "config": config }),
            "conversationType",
        ),
    ] {
        world.invalid("alice", "query_history_message", body, field).await;
    }
    // A third user sees nothing of it.
    world.login(&["carol"]).await;
    for other in ["alice", "bob"] {
        let body = json!({ "conversationID": other, "config": config });
        let reply = world.call("carol", "query_history_message", body).await;
        assert!(!reply.body.to_string().contains(string(&sent, "messageID")));
    }
}
