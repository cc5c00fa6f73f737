//! A real node over a store and a bus in memory, on time that only the case advances.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerd::bus::memory::Memory as Bus;
use peerd::bus::{Incoming, Kind};
use peerd::clock::Clock;
use peerd::runtime::node::{Node, Options};
use peerd::store::memory::{HandedOff, Memory};
use peerd::store::{
    Append, AppendError, Appended, Batch, Push, ReadError, Record, Start, Store, StreamId,
};
use peerd_core::limits::Limits;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::subject::Subjects;
use serde_json::Value;
use tokio::time::Instant;

use crate::append::append_in_task;
use crate::names::NAMES;

pub(crate) const BEGAN_MS: u64 = 1_800_000_000_000;
pub(crate) const MESSAGES_PER_SECOND: usize = 3;
/// How long after it was sent a message may be revoked.
pub(crate) const REVOKE_MS: u64 = 20_000;
pub(crate) const COMMANDS_PER_SECOND: usize = 2;
pub(crate) const REPEAT_MS: u64 = 40_000;
pub(crate) const RETRY_MS: u64 = 90_000;
pub(crate) const MAX_SESSIONS: usize = 2;
pub(crate) const OFFLINE_MS: u64 = 35_000;
pub(crate) const IDLE_MS: u64 = 200_000;
pub(crate) const REPLAY_MESSAGES: usize = 6;
pub(crate) const REPLAY_AGE_MS: u64 = 120_000;
pub(crate) const HEARTBEAT_MS: u64 = 10_000;

const INBOX: &str = "_INBOX.model";

/// The daemon's configuration for a case.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) partitions: u16,
    /// The limit of users in memory: 0, so that users are evicted and loaded all the time, or
    /// plenty.
    pub(crate) cached_users: usize,
    pub(crate) require_known_receiver: bool,
    /// The duration of an append.
    pub(crate) append_takes: Duration,
}

/// A store that outlives its node.
#[derive(Clone)]
pub(crate) struct Shared {
    memory: Arc<Memory>,
    /// The duration of an append.
    append_takes: Duration,
}

impl Store for Shared {
    async fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        if !self.append_takes.is_zero() {
            tokio::time::sleep(self.append_takes).await;
        }
        self.memory.append(stream, subject, payload, expected_seq, deadline).await
    }

    fn append_then(
        &self,
        append: Append,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    ) {
        append_in_task(self, append, deadline, then);
    }

    fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Record>, ReadError>> + Send {
        self.memory.last(stream, subjects, deadline)
    }

    fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Batch, ReadError>> + Send {
        self.memory.read(stream, subject, from, limit, deadline)
    }

    fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send {
        self.memory.erase(stream, seq, deadline)
    }

    fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send {
        self.memory.hand_off(subject, payload, content_type, id, deadline)
    }

    async fn withdraw(&self, push: Push, deadline: Instant) -> Result<(), AppendError> {
        self.memory.withdraw(push, deadline).await
    }

    async fn last_seq(&self, stream: StreamId, deadline: Instant) -> Result<u64, ReadError> {
        self.memory.last_seq(stream, deadline).await
    }

    fn reaches(&self, stream: StreamId, seq: u64) {
        self.memory.reaches(stream, seq);
    }

    fn forget_ends(&self) {
        self.memory.forget_ends();
    }

    fn generation(&self) -> u64 {
        self.memory.generation()
    }
}

/// An event as published to a user.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PublishedEvent {
    pub(crate) user: usize,
    pub(crate) name: String,
    pub(crate) body: Value,
    /// Whether it is encoded in `MessagePack`.
    pub(crate) packed: bool,
}

/// An offline push in the work queue.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pushed {
    pub(crate) subject: String,
    pub(crate) id: String,
    pub(crate) body: Value,
}

/// The observed results of a call.
#[derive(Clone, Debug)]
pub(crate) struct Observed {
    pub(crate) kind: Kind,
    pub(crate) reply: Value,
    /// The events in the order of publication.
    pub(crate) events: Vec<PublishedEvent>,
    /// The number of events that were published before the reply.
    pub(crate) events_before_reply: usize,
    pub(crate) pushes: Vec<Pushed>,
}

/// The daemon under test.
pub(crate) struct World {
    setup: Setup,
    store: Shared,
    node: Arc<Node<Shared, Bus>>,
    began: Instant,
    /// The IDs of the pushes that were observed; one may have been taken back since.
    pushes_seen: HashSet<String>,
}

fn options(setup: &Setup) -> Options {
    Options {
        event_encoding: Encoding::Json,
        bundle_events: false,
        delivered_receipts: false,
        call_deadline: Duration::from_secs(5),
        owner_wait: Duration::from_secs(1),
        stale_after: Duration::MAX,
        heartbeat_interval_ms: HEARTBEAT_MS,
        last_seen_write_interval_ms: 0,
        cached_users: setup.cached_users,
        history_bytes: 1 << 20,
        calls_under_way: 16,
        body_bytes: 64 * 1024,
        new_session_id: || nuid::next().to_string(),
        limits: Limits {
            messages_per_second: MESSAGES_PER_SECOND,
            commands_per_second: COMMANDS_PER_SECOND,
            // The cases do not test this rate.
            amendments_per_second: usize::MAX,
            revoke_window_ms: REVOKE_MS,
            repeat_window_ms: REPEAT_MS,
            retry_window_ms: RETRY_MS,
            max_sessions: MAX_SESSIONS,
            offline_after_ms: OFFLINE_MS,
            idle_limit_ms: IDLE_MS,
            replay_messages: REPLAY_MESSAGES,
            replay_age_ms: REPLAY_AGE_MS,
            require_known_receiver: setup.require_known_receiver,
            ..Limits::default()
        },
    }
}

/// A user's token in subjects, implemented from the contract.
pub(crate) fn token(user: &str) -> String {
    let spell = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    user.bytes().map(spell).collect()
}

impl World {
    pub(crate) async fn start(setup: &Setup) -> Self {
        let began = Instant::now();
        let memory = Arc::new(Memory::new(move || wall_ms(began)));
        let store = Shared { memory, append_takes: setup.append_takes };
        let node = node(setup, &store, began).await;
        Self { setup: setup.clone(), store, node, began, pushes_seen: HashSet::new() }
    }

    /// Starts a new node over the same store, as after a crash.
    pub(crate) async fn restart(&mut self) {
        self.node = node(&self.setup, &self.store, self.began).await;
    }

    pub(crate) fn now_ms(&self) -> u64 {
        wall_ms(self.began)
    }

    /// Makes two calls at the same time.
    pub(crate) async fn cross(&self, calls: [(&str, &str, String); 2]) {
        let json = Encoding::Json;
        let [one, other] = calls.map(|(user, method, body)| incoming(json, user, method, &body));
        tokio::join!(self.node.handle(one), self.node.handle(other));
        self.node.settle().await;
        self.node.bus().take();
    }

    pub(crate) async fn call(&mut self, user: &str, method: &str, body: String) -> Observed {
        self.call_as(Encoding::Json, user, method, body).await
    }

    /// Makes a call with a body, given as JSON, in an encoding.
    pub(crate) async fn call_as(
        &mut self,
        encoding: Encoding,
        user: &str,
        method: &str,
        body: String,
    ) -> Observed {
        self.node.handle(incoming(encoding, user, method, &body)).await;
        self.node.settle().await;
        self.observed(encoding)
    }

    /// What the daemon publishes in a round of showing changes of the status of users.
    pub(crate) async fn follow(&mut self) -> Observed {
        self.node.follow_status_once().await;
        self.node.settle().await;
        self.observed(Encoding::Json)
    }

    fn observed(&mut self, encoding: Encoding) -> Observed {
        let mut observed = Observed {
            kind: Kind::Plain,
            reply: Value::Null,
            events: Vec::new(),
            events_before_reply: 0,
            pushes: Vec::new(),
        };
        for outgoing in self.node.bus().take() {
            let packed = outgoing.encoding == Encoding::MessagePack;
            let body = read(outgoing.encoding, &outgoing.body);
            if outgoing.subject == INBOX {
                assert_eq!(outgoing.encoding, encoding, "the reply has the encoding of the call");
                assert_eq!(observed.reply, Value::Null, "one reply");
                observed.events_before_reply = observed.events.len();
                (observed.kind, observed.reply) = (outgoing.kind, body);
                continue;
            }
            assert!(matches!(outgoing.kind, Kind::Event { .. }), "{}", outgoing.subject);
            let tokens: Vec<&str> = outgoing.subject.split('.').collect();
            let [_, "event", to, name] = tokens[..] else { panic!("{}", outgoing.subject) };
            let user = NAMES.iter().position(|user| token(user) == to).expect("a known user");
            observed.events.push(PublishedEvent { user, name: name.to_owned(), body, packed });
        }
        let mut pushes = self.store.memory.pushes();
        pushes.retain(|push| self.pushes_seen.insert(push.id.clone()));
        for HandedOff { subject, id, payload } in pushes {
            let body = serde_json::from_slice(&payload).expect("a JSON body");
            observed.pushes.push(Pushed { subject, id, body });
        }
        observed
    }
}

fn read(encoding: Encoding, body: &[u8]) -> Value {
    match encoding {
        Encoding::Json => serde_json::from_slice(body).expect("a JSON body"),
        Encoding::MessagePack => {
            let value = rmpv::decode::read_value(&mut &*body).expect("a MessagePack body");
            unpacked(value)
        }
    }
}

/// A `MessagePack` value as JSON.
fn unpacked(value: rmpv::Value) -> Value {
    use base64::Engine as _;
    match value {
        rmpv::Value::Binary(bytes) => {
            base64::engine::general_purpose::STANDARD.encode(bytes).into()
        }
        rmpv::Value::Array(items) => items.into_iter().map(unpacked).collect(),
        rmpv::Value::Map(fields) => {
            let name = |name: &rmpv::Value| name.as_str().expect("a field's name").to_owned();
            let field = |(key, value)| (name(&key), unpacked(value));
            Value::Object(fields.into_iter().map(field).collect())
        }
        plain @ (rmpv::Value::Nil
        | rmpv::Value::Boolean(_)
        | rmpv::Value::Integer(_)
        | rmpv::Value::F32(_)
        | rmpv::Value::F64(_)
        | rmpv::Value::String(_)
        | rmpv::Value::Ext(..)) => serde_json::to_value(plain).expect("a plain value"),
    }
}

fn incoming(encoding: Encoding, user: &str, method: &str, body: &str) -> Incoming {
    let bytes = match encoding {
        Encoding::Json => body.to_owned().into(),
        Encoding::MessagePack => {
            let value: Value = serde_json::from_str(body).expect("a JSON body");
            encoding.encode(&value).expect("a body that fits")
        }
    };
    Incoming {
        subject: format!("peer.api.{}.{method}", token(user)).into(),
        reply_to: Some(INBOX.into()),
        content_type: Some(encoding.content_type().into()),
        malformed: None,
        status: None,
        body: bytes,
        hops: 0,
    }
}

fn wall_ms(began: Instant) -> u64 {
    BEGAN_MS + u64::try_from(began.elapsed().as_millis()).expect("a short case")
}

async fn node(setup: &Setup, store: &Shared, began: Instant) -> Arc<Node<Shared, Bus>> {
    let subjects = Subjects::new("peer", setup.partitions);
    let clock = Clock::simulated(wall_ms(began));
    let node = Node::alone(store.clone(), Bus::default(), subjects, options(setup), clock).await;
    node.expect("the store answers")
}
