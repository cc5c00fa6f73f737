//! The events of one user, in order and with their revisions checked.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::HeaderMap;
use bytes::Bytes;
use futures::StreamExt as _;
use serde_json::Value;

use super::{
    client::{Client, token},
    codec::{Encoding, decode},
    typed,
};

const EVENT_DEADLINE: Duration = Duration::from_secs(5);
const MARKER: &str = "marker";
const BUNDLE: &str = "bundle";

/// One received event.
#[derive(Debug, Clone)]
pub struct Event {
    /// The last token of its subject.
    pub name: String,
    /// The decoded body.
    pub body: Value,
    /// The headers as received.
    pub headers: HeaderMap,
}

/// The events of a bundle, each with the bundle's revision, or the event itself.
pub(crate) fn unbundled(name: &str, body: &Value) -> Vec<(String, Value)> {
    let Some(events) = body["events"].as_array().filter(|_| name == BUNDLE) else {
        return vec![(name.to_owned(), body.clone())];
    };
    let of_one = |event: &Value| {
        let mut one = event["body"].clone();
        one["revision"] = body["revision"].clone();
        one["previousRevision"] = body["previousRevision"].clone();
        (event["event"].as_str().unwrap().to_owned(), one)
    };
    events.iter().map(of_one).collect()
}

/// A subscription to all events of one user.
pub struct Events {
    user: String,
    marker_subject: String,
    publisher: Client,
    subscriber: async_nats::Subscriber,
    last_pair: Option<(u64, u64)>,
    marker: Option<Bytes>,
    /// Events of a bundle that were not asked for yet.
    bundled: VecDeque<Event>,
    seen: Vec<String>,
}

impl Client {
    /// The events of that user from now on.
    pub async fn events(&self, user: &str) -> Events {
        Events::subscribe(self, user).await
    }
}

impl Events {
    /// Subscribes, and returns when the subscription is in force.
    pub async fn subscribe(client: &Client, user: &str) -> Self {
        let events = Self::subscribe_without_round_trip(client, client, user).await;
        client.round_trip().await;
        events
    }

    /// Subscribes over a connection with only a user's permissions. The caller must make a call
    /// over it before relying on the subscription; `publisher` may publish everything.
    pub async fn subscribe_without_round_trip(
        subscriber: &Client,
        publisher: &Client,
        user: &str,
    ) -> Self {
        let subjects = format!("{}.event.{}", subscriber.prefix(), token(user));
        let subscription = subscriber.nats().subscribe(format!("{subjects}.>")).await.unwrap();
        Self {
            user: user.to_owned(),
            marker_subject: format!("{subjects}.{MARKER}"),
            publisher: publisher.clone(),
            subscriber: subscription,
            last_pair: None,
            marker: None,
            bundled: VecDeque::new(),
            seen: Vec::new(),
        }
    }

    /// The next event; panics with the events so far if none arrives in time.
    pub async fn next(&mut self) -> Event {
        let event = self.next_or_marker().await;
        assert_ne!(event.name, MARKER, "a marker that no `none` waits for");
        event
    }

    /// Exactly these events, in this order.
    pub async fn expect(&mut self, names: &[&str]) -> Vec<Event> {
        let mut events = Vec::with_capacity(names.len());
        for (position, name) in names.iter().enumerate() {
            let event = self.next().await;
            assert_eq!(
                event.name, *name,
                "event {position} of {names:?} of {:?}; its body: {}",
                self.user, event.body
            );
            events.push(event);
        }
        events
    }

    /// Proves that nothing more was published to this user by the calls that were answered so far:
    /// events go out before the reply of the call that caused them, so a marker that is published
    /// after the reply arrives after them.
    pub async fn none(&mut self) {
        let rest = self.drain().await;
        assert!(rest.is_empty(), "{:?} received more than expected: {rest:?}", self.user);
    }

    /// All events that were caused by the calls answered so far and not read yet.
    pub async fn drain(&mut self) -> Vec<Event> {
        let nats = self.publisher.nats();
        // Other listeners of the same user have markers of their own.
        let marker = Bytes::from(nats.new_inbox());
        nats.publish(self.marker_subject.clone(), marker.clone()).await.unwrap();
        self.marker = Some(marker);
        let mut events = Vec::new();
        loop {
            let event = self.next_or_marker().await;
            if event.name == MARKER {
                return events;
            }
            events.push(event);
        }
    }

    /// The last revision seen.
    pub fn revision(&self) -> Option<u64> {
        self.last_pair.map(|(_, revision)| revision)
    }

    async fn next_or_marker(&mut self) -> Event {
        if let Some(event) = self.bundled.pop_front() {
            return event;
        }
        let deadline = tokio::time::Instant::now() + EVENT_DEADLINE;
        let (name, message) = loop {
            let received = tokio::time::timeout_at(deadline, self.subscriber.next()).await;
            let Ok(Some(message)) = received else {
                panic!(
                    "no event for {:?} within {EVENT_DEADLINE:?}; seen so far:\n{}",
                    self.user,
                    self.seen.join("\n")
                )
            };
            let name = message.subject.rsplit('.').next().unwrap().to_owned();
            if name != MARKER {
                break (name, message);
            }
            if self.marker.as_ref() == Some(&message.payload) {
                self.marker = None;
                return Event { name, body: Value::Null, headers: HeaderMap::new() };
            }
        };
        let encoding = Encoding::of_headers(message.headers.as_ref())
            .unwrap_or_else(|| panic!("the event {name} came without Content-Type"));
        let body = decode(encoding, &message.payload);
        typed::check_event(&name, encoding, &message.payload);
        self.seen.push(format!("{name} {body}"));
        self.check_revision(&name, &body);
        let headers = message.headers.unwrap_or_default();
        let events = unbundled(&name, &body).into_iter();
        self.bundled.extend(events.map(|(name, body)| Event {
            name,
            body,
            headers: headers.clone(),
        }));
        self.bundled.pop_front().unwrap()
    }

    fn check_revision(&mut self, name: &str, body: &Value) {
        let number = |field: &str| {
            body[field]
                .as_u64()
                .filter(|number| *number < 1 << 53)
                .unwrap_or_else(|| panic!("{name} has no good {field}: {body}"))
        };
        let pair = (number("previousRevision"), number("revision"));
        let chained = match self.last_pair {
            None => pair.0 <= pair.1,
            // One more event of the same change, one that belongs to no change, or the next change.
            Some(last) => pair == last || (pair.0 == last.1 && pair.1 >= last.1),
        };
        assert!(
            chained,
            "{name} of {:?} has (previousRevision, revision) {pair:?} after {:?}; seen:\n{}",
            self.user,
            self.last_pair,
            self.seen.join("\n")
        );
        self.last_pair = Some(pair);
    }
}
