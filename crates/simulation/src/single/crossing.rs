//! Messages that cross: each is sent before its sender receives the event of the other.

use std::time::Duration;

use serde_json::{Value, json};

use crate::names::NAMES;
use crate::single::world::{Setup, World};

/// The message IDs of a conversation, read one message per page.
async fn read(world: &mut World, user: &str, other: &str, reverse: bool) -> Vec<String> {
    let mut ids: Vec<String> = Vec::new();
    loop {
        let next = ids.last().map(|id| json!({ "messageID": id }));
        let config = json!({ "count": 1, "reverse": reverse, "nextMessage": next });
        let body = json!({ "conversationID": other, "config": config });
        let page = world.call(user, "query_history_message", body.to_string()).await.reply;
        match page["messageList"][0]["messageID"].as_str() {
            Some(id) => ids.push(id.to_owned()),
            None => return ids,
        }
    }
}

/// Makes two users write to each other at the same time, and checks that both histories have all
/// messages in the same order.
pub async fn messages_that_cross(partitions: u16) {
    let setup = Setup {
        partitions,
        cached_users: 100,
        require_known_receiver: false,
        append_takes: Duration::from_millis(2),
    };
    let mut world = World::start(&setup).await;
    let [one, other] = [NAMES[0], NAMES[1]];
    for user in [one, other] {
        world.call(user, "login", String::new()).await;
    }
    let send = |to: &str| {
        let message = json!({ "type": 1, "message": "x" });
        json!({ "toUserID": to, "message": message }).to_string()
    };
    for _ in 0..2 {
        let calls = [(one, send(other)), (other, send(one))];
        world.cross(calls.map(|(user, body)| (user, "send_peer_message", body))).await;
    }
    for (user, other) in [(one, other), (other, one)] {
        let body = json!({ "conversationID": other, "config": { "count": 9 } });
        let all = world.call(user, "query_history_message", body.to_string()).await.reply;
        let id = |message: &Value| message["messageID"].as_str().unwrap_or_default().to_owned();
        let all: Vec<String> =
            all["messageList"].as_array().into_iter().flatten().map(id).collect();
        assert_eq!(all.len(), 4, "{partitions} partitions");
        assert_eq!(read(&mut world, user, other, false).await, all, "{partitions} partitions");
        let mut backwards = read(&mut world, user, other, true).await;
        backwards.reverse();
        assert_eq!(backwards, all, "{partitions} partitions");
    }
}
