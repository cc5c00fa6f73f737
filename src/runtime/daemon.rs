//! The composition root: puts the parts together, runs them, and takes them apart in order.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_nats::Client;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::clock::Clock;
use super::connect::{ConnectError, Connection, NatsOptions, connect};
use super::node::{MESSAGES_PER_CALL, Node, Options, ROOM_BEYOND_CALLS};
use crate::bus::discovery::{Counters, Discovery};
use crate::bus::nats::{Calls, Nats};
use crate::bus::{Bus, Incoming};
use crate::store::Store;
use crate::store::jetstream::{JetStream, StreamNames};
use crate::store::provision::{ProvisionError, StreamOptions, provision};
use crate::wire::discovery::{DISCOVERY_PREFIX, EndpointInfo, Identity, QUEUE_GROUP, SERVICE};
use crate::wire::failure::Failure;
use crate::wire::subject::Subjects;
use crate::wire::time::rfc3339;

/// How long other instances have to answer when one starts.
const OTHERS_ANSWER: Duration = Duration::from_millis(300);
/// How long starting may take once NATS is connected.
const START: Duration = Duration::from_secs(30);

/// All that a daemon is told.
pub struct Settings {
    /// How to reach NATS.
    pub nats: NatsOptions,
    /// First token or tokens of every subject.
    pub subject_prefix: String,
    /// Parts that users are hashed to.
    pub partitions: u16,
    /// How streams are kept.
    pub stream: StreamOptions,
    /// How long an instance is taken to be alive without a sign of life.
    pub member_ttl: Duration,
    /// How calls are handled.
    pub node: Options,
    /// How long a stop may take.
    pub shutdown_deadline: Duration,
}

/// Why the daemon did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams are not as they should be.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// Another instance serves the same subjects.
    #[error("another peerd ({id}) serves the subjects below {prefix:?}; for now there can be one")]
    AnotherInstance {
        /// The other's ID.
        id: String,
        /// The subject prefix of both.
        prefix: String,
    },
    /// The subscriptions were refused.
    #[error("the calls could not be subscribed to: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// The newest messages could not be read.
    #[error("the newest messages could not be read")]
    Resume(#[source] Failure),
    /// The connection was closed for good.
    #[error("the connection to NATS was closed")]
    Closed,
}

/// Runs the daemon until `shutdown` completes. `ready` is called when calls are being taken.
pub async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&str),
) -> Result<(), ServeError> {
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let names = StreamNames::new(&settings.subject_prefix);
    // Two connections, since one uses one core at most: the store's acks do not wait behind
    // events, nor calls behind acks.
    let store = connect(&settings.nats, "peerd store").await?;
    let bus = connect(&settings.nats, "peerd bus").await?;
    refuse_company(&bus.client, subjects.prefix()).await?;
    provision(&store.client, &subjects, &names, &settings.stream).await?;

    let capacity = settings.node.calls_under_way * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
    let (outgoing, pump) = Nats::new(bus.client.clone(), capacity);
    let clock = Clock::system();
    let counters = Arc::new(Counters::default());
    let jetstream = JetStream::new(store.client.clone(), store.link.clone(), names.clone());
    let node = Node::new(
        jetstream,
        outgoing,
        subjects.clone(),
        settings.node.clone(),
        clock,
        counters.clone(),
    );
    node.resume(Instant::now() + START).await.map_err(ServeError::Resume)?;

    let mut calls = Calls::subscribe(&bus.client, &subjects).await?;
    let discovery = discovery(&subjects, counters, clock.now().wall_ms);
    let id = discovery.identity.id.clone();
    let discovery = tokio::spawn(discovery.serve(bus.client.clone()));
    let keeper = tokio::spawn(keep_streams(store, subjects, names, settings.stream.clone()));
    round_trip(&bus.client, Instant::now() + START).await;
    ready(&id);

    tokio::pin!(shutdown);
    let result = loop {
        tokio::select! {
            () = &mut shutdown => break Ok(()),
            call = next_call(&node, &mut calls) => match call {
                Some(call) => node.take(call),
                None => break Err(ServeError::Closed),
            },
        }
    };

    // In order: no new calls, the calls under way, what they still owe the store, what is still to
    // go out, and one round trip, after which the server has everything.
    let deadline = Instant::now() + settings.shutdown_deadline;
    discovery.abort();
    keeper.abort();
    calls.drain().await;
    while let Ok(Some(call)) = timeout_at(deadline, next_call(&node, &mut calls)).await {
        node.take(call);
    }
    if timeout_at(deadline, node.settle()).await.is_err() {
        tracing::warn!("calls were still under way at the end of the shutdown deadline");
    }
    node.store_all_heard(deadline).await;
    drop(node);
    let _ = timeout_at(deadline, pump).await;
    round_trip(&bus.client, deadline).await;
    result
}

/// The next call, once there is room for what it sends.
async fn next_call<S: Store, B: Bus>(node: &Node<S, B>, calls: &mut Calls) -> Option<Incoming> {
    node.wait_for_room().await;
    calls.next().await
}

/// Waits until the server has handled everything that was sent to it. A flush only empties
/// buffers on this side; the answer to a request comes after all that was sent before it.
async fn round_trip(client: &Client, deadline: Instant) {
    let request = client.request("$JS.API.INFO", bytes::Bytes::new());
    if timeout_at(deadline, request).await.is_err() {
        tracing::warn!("the server did not answer in time");
    }
}

/// Makes sure that no other instance serves the same subjects: two that decide for the same users
/// would contradict each other. Not a lock: two that start in the same moment do not see each
/// other.
async fn refuse_company(client: &Client, prefix: &str) -> Result<(), ServeError> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    let subject = format!("{DISCOVERY_PREFIX}.PING.{SERVICE}");
    if client.publish_with_reply(subject, inbox, bytes::Bytes::new()).await.is_err() {
        return Ok(());
    }
    let until = Instant::now() + OTHERS_ANSWER;
    while let Ok(Some(answer)) = timeout_at(until, answers.next()).await {
        if answer.status.is_some() {
            break;
        }
        let body: serde_json::Value = serde_json::from_slice(&answer.payload).unwrap_or_default();
        if body["metadata"]["subject_prefix"] == prefix {
            let id = body["id"].as_str().unwrap_or_default().to_owned();
            return Err(ServeError::AnotherInstance { id, prefix: prefix.to_owned() });
        }
    }
    Ok(())
}

fn discovery(subjects: &Subjects, counters: Arc<Counters>, started_ms: u64) -> Discovery {
    let metadata = BTreeMap::from([
        ("subject_prefix", subjects.prefix().to_owned()),
        ("partitions", subjects.partitions().to_string()),
    ]);
    Discovery {
        identity: Identity {
            name: SERVICE,
            id: nuid::next().to_string(),
            version: env!("CARGO_PKG_VERSION"),
            metadata,
        },
        started: rfc3339(started_ms),
        endpoint: EndpointInfo {
            name: "api",
            subject: subjects.all_calls(),
            queue_group: QUEUE_GROUP,
            metadata: BTreeMap::new(),
        },
        counters,
    }
}

/// Looks after the streams each time the connection was made anew: streams in memory are gone when
/// their server was restarted.
async fn keep_streams(
    store: Connection,
    subjects: Subjects,
    names: StreamNames,
    options: StreamOptions,
) {
    loop {
        store.link.reconnected().await;
        match timeout(START, provision(&store.client, &subjects, &names, &options)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the streams are not as they should be"),
            Err(_) => tracing::warn!("the streams could not be looked after in time"),
        }
    }
}
