//! One nats-server, one peerd and one client that may act as any user, for most tests.

use serde_json::{Value, json};

use crate::support::{Client, Events, Nats, Peerd, Reply, Store, login, send_text};

pub(crate) const INVALID: i64 = 6_000_001;
pub(crate) const RATE_LIMITED: i64 = 6_000_005;
pub(crate) const FAULT: i64 = 6_000_007;
pub(crate) const STORE: i64 = 6_000_008;
pub(crate) const NOT_LOGGED_IN: i64 = 6_000_121;
pub(crate) const TARGET_NOT_FOUND: i64 = 6_000_204;
pub(crate) const NO_CONVERSATION: i64 = 6_000_603;

pub(crate) const RECEIVED: &str = "peer_message_received";
pub(crate) const CHANGED: &str = "conversation_changed";
pub(crate) const TOTAL: &str = "conversation_total_unread_message_count_updated";
pub(crate) const DELETED: &str = "message_deleted";
pub(crate) const CONNECTION: &str = "connection_state_changed";

/// Raises the rate limit for a test about something else.
pub(crate) const FAST: (&str, &str) = ("PEERD__LIMITS__MESSAGES_PER_SECOND", "100000");

/// The parts; dropped from top to bottom.
pub(crate) struct World {
    pub(crate) peerd: Peerd,
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) nats: Nats,
}

impl World {
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(envs: &[(&str, &str)]) -> Self {
        let nats = Nats::start().await;
        let peerd = Peerd::start_with(&nats.url(), envs).await;
        let client = Client::connect(&nats.url()).await;
        let store = Store::new(&client);
        Self { peerd, client, store, nats }
    }

    /// Two more instances with these settings. They end when they are dropped.
    pub(crate) async fn two_more(&self, envs: &[(&str, &str)]) -> [Peerd; 2] {
        let url = self.nats.url();
        [Peerd::start_with(&url, envs).await, Peerd::start_with(&url, envs).await]
    }

    /// A fresh world with the default settings and these users logged in.
    pub(crate) async fn of(users: &[&str]) -> Self {
        let world = Self::start().await;
        world.login(users).await;
        world
    }

    pub(crate) async fn login(&self, users: &[&str]) {
        for user in users {
            login(&self.client, user).await;
        }
    }

    pub(crate) async fn events(&self, user: &str) -> Events {
        self.client.events(user).await
    }

    pub(crate) async fn call(&self, user: &str, method: &str, body: Value) -> Reply {
        self.client.call(user, method, body).await
    }

    pub(crate) async fn ok(&self, user: &str, method: &str, body: Value) -> Value {
        self.call(user, method, body).await.ok()
    }

    /// The code and reason of a call that is refused.
    pub(crate) async fn refused(&self, user: &str, method: &str, body: Value) -> (i64, String) {
        let asked = format!("{method} {body}");
        let reply = self.call(user, method, body).await;
        assert!(reply.code.is_some(), "{asked} was accepted: {}", reply.body);
        reply.err()
    }

    /// Asserts that a call is refused with 6000001 and a text that names the field.
    pub(crate) async fn invalid(&self, user: &str, method: &str, body: Value, field: &str) {
        let asked: String = format!("{method} {body}").chars().take(200).collect();
        let reply = self.call(user, method, body).await;
        assert_eq!(reply.code, Some(INVALID), "{asked}: {}", reply.body);
        assert!(reply.message().contains(field), "{asked}: {field} is not named in {}", reply.body);
    }

    pub(crate) async fn send(&self, from: &str, to: &str, text: &str) -> Value {
        send_text(&self.client, from, to, text).await
    }

    /// One page of a history, as the list of its messages.
    pub(crate) async fn page(&self, user: &str, other: &str, config: Value) -> Vec<Value> {
        let body = json!({ "conversationID": other, "conversationType": 0, "config": config });
        let page = self.ok(user, "query_history_message", body).await;
        assert_eq!(page["conversationID"], other);
        assert_eq!(page["conversationType"], 0);
        page["messageList"].as_array().unwrap().clone()
    }

    /// The newest messages of a conversation as one user sees it, at most 100.
    pub(crate) async fn history(&self, user: &str, other: &str) -> Vec<Value> {
        self.page(user, other, json!({ "count": 100, "reverse": true })).await
    }

    pub(crate) async fn conversation(&self, user: &str, other: &str) -> Value {
        let reply = self.ok(user, "query_conversation", of(other)).await;
        reply["conversation"].clone()
    }

    pub(crate) async fn conversations(&self, user: &str) -> Vec<Value> {
        let body = json!({ "config": { "count": 100 } });
        let reply = self.ok(user, "query_conversation_list", body).await;
        reply["conversationList"].as_array().unwrap().clone()
    }

    /// The unread total of a user, without and with the muted conversations.
    pub(crate) async fn totals(&self, user: &str) -> (u64, u64) {
        let method = "query_conversation_total_unread_message_count";
        let reply = self.ok(user, method, json!({})).await;
        (number(&reply, "unreadMessageCount"), number(&reply, "unreadMessageCountIncludingMuted"))
    }

    pub(crate) async fn set_status(&self, user: &str, other: &str, status: u8) {
        let body = json!({ "status": status, "conversationID": other, "conversationType": 0 });
        let reply = self.ok(user, "set_conversation_notification_status", body).await;
        assert_eq!(reply, json!({ "conversationID": other, "conversationType": 0 }));
    }

    pub(crate) async fn clear(&self, user: &str, other: &str) {
        let method = "clear_conversation_unread_message_count";
        let reply = self.ok(user, method, of(other)).await;
        assert_eq!(reply, json!({ "conversationID": other, "conversationType": 0 }));
    }
}

/// The body that names a conversation.
pub(crate) fn of(other: &str) -> Value {
    json!({ "conversationID": other, "conversationType": 0 })
}

/// The body of a text to a user.
pub(crate) fn text_to(to: &str, text: &str) -> Value {
    json!({ "message": { "type": 1, "message": text }, "toUserID": to })
}

#[track_caller]
pub(crate) fn number(body: &Value, field: &str) -> u64 {
    body[field].as_u64().unwrap_or_else(|| panic!("{field} is no whole number in {body}"))
}

#[track_caller]
pub(crate) fn string<'a>(body: &'a Value, field: &str) -> &'a str {
    body[field].as_str().unwrap_or_else(|| panic!("{field} is no string in {body}"))
}

/// The field names of an object, sorted.
pub(crate) fn keys(body: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = body
        .as_object()
        .unwrap_or_else(|| panic!("no object: {body}"))
        .keys()
        .map(String::as_str)
        .collect();
    keys.sort_unstable();
    keys
}

/// The texts of a list of messages.
pub(crate) fn texts(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| string(message, "message")).collect()
}

/// The same message as the other side sees it, with another peer and direction.
pub(crate) fn as_received(sent: &Value) -> Value {
    let mut received = sent.clone();
    received["conversationID"] = sent["senderUserID"].clone();
    received["direction"] = json!(1);
    received
}

/// Milliseconds since 1970 by the clock of this machine, which is the daemon's too.
pub(crate) fn now_ms() -> u64 {
    let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since_1970.as_millis()).unwrap()
}
