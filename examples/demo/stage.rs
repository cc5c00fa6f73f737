//! The two users, their actions, and how these are shown and checked.

use std::{
    fmt,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    screen::{Look, Screen, Side},
    support::{
        Client, Event, Events, Nats, Peerd, Reply, bin, faults::failure::Failure, wait::until,
    },
};

pub(crate) const RECEIVED: &str = "peer_message_received";
pub(crate) const CHANGED: &str = "conversation_changed";
pub(crate) const TOTAL: &str = "conversation_total_unread_message_count_updated";
pub(crate) const DELETED: &str = "message_deleted";
pub(crate) const READ: &str = "conversation_message_receipt_changed";
pub(crate) const EDITED: &str = "message_edited";
pub(crate) const REVOKED: &str = "message_revoke_received";
pub(crate) const TYPING: &str = "typing";

/// People do not type faster, and peerd accepts at most ten messages a second.
const SCREEN_INTERVAL: Duration = Duration::from_millis(120);
const RECOVERY_DEADLINE: Duration = Duration::from_secs(20);

/// The result of a step in a sentence, or the check that failed.
pub(crate) type Shown = Result<String, Failure>;

/// Fails with a sentence unless both are equal.
pub(crate) fn same<T: PartialEq + fmt::Debug>(
    what: &str,
    is: &T,
    expected: &T,
) -> Result<(), Failure> {
    if is == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {expected:?}, got {is:?}").into())
}

/// The body of a success.
pub(crate) fn success(reply: &Reply) -> Result<&Value, Failure> {
    match reply.code {
        None => Ok(&reply.body),
        Some(_) => Err(format!("a call was refused: {}", reply.body).into()),
    }
}

/// One of the two.
pub(crate) struct Person {
    pub(crate) name: &'static str,
    pub(crate) side: Side,
    pub(crate) events: Events,
    /// Whether peerd has died: it may then publish again what it published shortly before.
    pub(crate) accepts_redelivery: bool,
    /// The texts that this person has sent to the other, as history should show them.
    pub(crate) said: Vec<String>,
}

impl Person {
    async fn new(client: &Client, name: &'static str, side: Side) -> Self {
        let events = client.events(name).await;
        Self { name, side, events, accepts_redelivery: false, said: Vec::new() }
    }

    /// Checks that exactly these events come next, and shows each.
    pub(crate) async fn expect_events(
        &mut self,
        screen: Screen,
        names: &[&str],
    ) -> Result<Vec<Event>, Failure> {
        let mut events = Vec::new();
        for name in names {
            let mut event = self.events.next().await;
            while self.accepts_redelivery && is_redelivery(&event) {
                let again = format!("  (again: {})", event.name);
                screen.say(self.side, Look::Dim, &again);
                event = self.events.next().await;
            }
            show(screen, self.side, &event);
            same(&format!("the next event of {}", self.name), &event.name.as_str(), name)?;
            events.push(event);
        }
        Ok(events)
    }

    /// All events of the calls answered so far, in any order.
    pub(crate) async fn events_so_far(&mut self, screen: Screen) -> Vec<Event> {
        let events = self.events.drain().await;
        for event in &events {
            show(screen, self.side, event);
        }
        events
    }

    /// Checks that the calls answered so far had no events.
    pub(crate) async fn expect_nothing(&mut self, screen: Screen) -> Result<(), Failure> {
        let events = self.events_so_far(screen).await;
        let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
        same(&format!("events of {}", self.name), &names, &Vec::<&str>::new())
    }
}

/// The servers and the two users.
pub(crate) struct Stage {
    pub(crate) screen: Screen,
    pub(crate) client: Client,
    pub(crate) alice: Person,
    pub(crate) bob: Person,
    pub(crate) peerd: Peerd,
    // Last, so that it outlives the daemon that uses it.
    nats: Nats,
}

impl Stage {
    /// Starts the servers and subscribes both.
    pub(crate) async fn set(screen: Screen) -> Self {
        let nats = Nats::start().await;
        let peerd = Peerd::start_with(&nats.url(), &[]).await;
        let client = Client::connect(&nats.url()).await;
        Self {
            screen,
            alice: Person::new(&client, "alice", Side::Left).await,
            bob: Person::new(&client, "bob", Side::Right).await,
            client,
            peerd,
            nats,
        }
    }

    /// The addresses of the servers.
    pub(crate) fn whereabouts(&self) -> String {
        format!(
            "nats-server (pid {}) at {}, peerd (pid {})",
            self.nats.pid(),
            self.nats.url(),
            self.peerd.pid()
        )
    }

    /// One call that must succeed.
    pub(crate) async fn ask(
        &self,
        user: &str,
        method: &str,
        body: Value,
    ) -> Result<Value, Failure> {
        let reply = self.client.call(user, method, body).await;
        match reply.code {
            None => Ok(reply.body),
            Some(_) => Err(format!("{method} by {user}: {}", reply.body).into()),
        }
    }

    /// One user sends a message to the other, who receives the events `expected`; returns the
    /// message.
    pub(crate) async fn send(
        &mut self,
        from: Side,
        message: &Value,
        expected: &[&str],
    ) -> Result<Value, Failure> {
        tokio::time::sleep(SCREEN_INTERVAL).await;
        let (sender, receiver) = match from {
            Side::Left => (&mut self.alice, &mut self.bob),
            Side::Right => (&mut self.bob, &mut self.alice),
        };
        let arrow = format!("→ {}", content(message));
        self.screen.say(from, Look::Plain, &arrow);
        let config = json!({ "hasReceipt": message["type"] != COMMAND });
        let body = json!({ "message": message, "toUserID": receiver.name, "config": config });
        let (reply, events) = tokio::join!(
            self.client.call(sender.name, "send_peer_message", body),
            receiver.expect_events(self.screen, expected)
        );
        let sent = success(&reply)?["message"].clone();
        for event in events?.iter().filter(|event| event.name == RECEIVED) {
            let arrived = content(&event.body["messageList"][0]);
            same("what arrived", &arrived, &content(message))?;
        }
        if message["type"] != COMMAND {
            sender.said.push(content(message));
            let sequence = format!("  stored as messageSeq {}", sent["messageSeq"]);
            self.screen.say(from, Look::Dim, &sequence);
            let seq = u64::try_from(sender.said.len()).unwrap_or_default();
            same("messageSeq", &sent["messageSeq"].as_u64(), &Some(seq))?;
            sender.expect_events(self.screen, &[CHANGED]).await?;
        }
        Ok(sent)
    }

    /// One page of `user`'s view of the conversation with `other`.
    pub(crate) async fn page(
        &self,
        user: &str,
        other: &str,
        config: Value,
    ) -> Result<Vec<Value>, Failure> {
        let body = json!({ "conversationID": other, "conversationType": 0, "config": config });
        let reply = self.ask(user, "query_history_message", body).await?;
        let list = reply["messageList"].as_array().cloned();
        list.ok_or_else(|| format!("no messageList in {reply}").into())
    }

    /// The number of unread messages of all conversations that are not muted, and of all.
    pub(crate) async fn totals(&self, user: &str) -> Result<(Option<u64>, Option<u64>), Failure> {
        let method = "query_conversation_total_unread_message_count";
        let reply = self.ask(user, method, json!({})).await?;
        let number = |field: &str| reply[field].as_u64();
        Ok((number("unreadMessageCount"), number("unreadMessageCountIncludingMuted")))
    }

    /// The views of both users: history, conversations, totals.
    pub(crate) async fn all_seen(&self) -> Result<Value, Failure> {
        let mut all = Vec::new();
        for (user, other) in [("alice", "bob"), ("bob", "alice")] {
            let config = json!({ "count": 100, "reverse": true });
            let history = self.page(user, other, config.clone()).await?;
            let body = json!({ "config": { "count": 100 } });
            let list = self.ask(user, "query_conversation_list", body).await?;
            let totals = self.totals(user).await?;
            all.push(json!([history, list["conversationList"], totals.0, totals.1]));
        }
        Ok(Value::Array(all))
    }

    /// Kills peerd with SIGKILL, starts it again and waits until it answers both users; returns how
    /// long that took.
    pub(crate) async fn kill_and_restart(&mut self) -> Result<Duration, Failure> {
        let killed = Instant::now();
        self.peerd.kill9();
        self.peerd.restart().await;
        for user in ["alice", "bob"] {
            until(RECOVERY_DEADLINE, async || {
                let method = "query_conversation_total_unread_message_count";
                let answer = self.client.try_call(user, method, json!({})).await;
                let reply = answer.map_err(|error| format!("{error:?}"))?;
                if reply.code.is_none() { Ok(()) } else { Err(reply.body.to_string()) }
            })
            .await?;
        }
        Ok(killed.elapsed())
    }
}

/// Whether an event belongs to no change.
fn is_redelivery(event: &Event) -> bool {
    event.body["revision"] == event.body["previousRevision"]
}

/// `type` of a command message.
const COMMAND: u64 = 2;
/// A message that its sender revoked.
const REVOKE: u64 = 31;
/// `type` of an image message.
const IMAGE: u64 = 11;

/// A line of the conversation file as a message to send.
pub(crate) fn message(line: &Value) -> Result<Value, Failure> {
    if let Some(text) = line["text"].as_str() {
        return Ok(json!({ "type": 1, "message": text }));
    }
    if let Some(command) = line["command"].as_str() {
        return Ok(json!({ "type": COMMAND, "message": bin(command.as_bytes()) }));
    }
    let mut image = line["image"].clone();
    if !image.is_object() {
        return Err(format!("neither text, command nor image: {line}").into());
    }
    image["type"] = json!(IMAGE);
    Ok(image)
}

/// The content of a message, in words.
pub(crate) fn content(message: &Value) -> String {
    let text = &message["message"];
    match message["type"].as_u64() {
        Some(IMAGE) => format!("[image] {}", message["fileName"].as_str().unwrap_or("?")),
        Some(COMMAND) => {
            // In JSON bytes are text, in MessagePack the codec marks them.
            let bytes = text.as_str().or_else(|| text["$bin"].as_str());
            let bytes = bytes.and_then(|text| STANDARD.decode(text).ok());
            let command = String::from_utf8(bytes.unwrap_or_default());
            format!("[command] {}", command.as_deref().unwrap_or("?"))
        }
        Some(REVOKE) => "[revoked]".to_owned(),
        _ => {
            let edited = if message.get("editedTime").is_some() { " (edited)" } else { "" };
            format!("{}{edited}", text.as_str().unwrap_or("?"))
        }
    }
}

/// Shows an event on the side of its user.
pub(crate) fn show(screen: Screen, side: Side, event: &Event) {
    let body = &event.body;
    match event.name.as_str() {
        RECEIVED => {
            let missed = body["info"]["isOfflineMessage"] == json!(true);
            for message in body["messageList"].as_array().into_iter().flatten() {
                let note = if missed { " (missed)" } else { "" };
                screen.say(side, Look::Plain, &format!("← {}{note}", content(message)));
            }
        }
        CHANGED => {
            for info in body["infoList"].as_array().into_iter().flatten() {
                screen.say(side, Look::Dim, &conversation(info));
            }
        }
        TOTAL => {
            let total = &body["totalUnreadMessageCount"];
            screen.say(side, Look::Dim, &format!("  total: {total} unread"));
        }
        EDITED | REVOKED => {
            for message in body["messageList"].as_array().into_iter().flatten() {
                screen.say(side, Look::Plain, &format!("← {}", content(message)));
            }
        }
        READ => {
            let is_own = body["infos"][0]["isSelfOperated"] == json!(true);
            let note = if is_own { "  confirmed as read" } else { "← ✓✓ read" };
            screen.say(side, Look::Dim, note);
        }
        other => screen.say(side, Look::Dim, &format!("  {other}")),
    }
}

fn conversation(info: &Value) -> String {
    let what = match info["event"].as_u64() {
        Some(0) => "added",
        Some(1) => "updated",
        Some(2) => "disabled",
        Some(3) => "deleted",
        _ => "?",
    };
    let conversation = &info["conversation"];
    let other = conversation["conversationID"].as_str().unwrap_or("?");
    let unread = &conversation["unreadMessageCount"];
    let muted = conversation["notificationStatus"] == 2;
    let muted = if muted { ", muted" } else { "" };
    format!("  conversation {other} {what}: {unread} unread{muted}")
}
