//! The composition root: puts the parts together, runs them, and takes them apart in order.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::connect::{ConnectError, NatsOptions, connect};
use super::node::{MESSAGES_PER_CALL, Node, Options, ROOM_BEYOND_CALLS};
use super::payload::{self, TooSmall};
use crate::bus::Bus;
use crate::bus::discovery::Discovery;
use crate::bus::nats::Nats;
use crate::clock::Clock;
use crate::cluster::process;
use crate::cluster::steward::{self, Steward};
use crate::cluster::table::Table;
use crate::link::Connection;
use crate::store::Store;
use crate::store::jetstream::{JetStream, StreamNames};
use crate::store::provision::{ProvisionError, StreamOptions, provision};
use crate::wire::discovery::{
    BUILD, EndpointInfo, Identity, PARTITIONS, QUEUE_GROUP, SERVICE, SUBJECT_PREFIX, THIS_BUILD,
};
use crate::wire::subject::Subjects;
use crate::wire::time::rfc3339;

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
    /// How much the audit reads; 0: it does not run.
    pub audit_reads_per_second: u32,
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
    /// The server takes too little.
    #[error(transparent)]
    Payload(#[from] TooSmall),
    /// The subscriptions were refused.
    #[error("the calls could not be subscribed to: {0}")]
    Subscribe(#[from] async_nats::SubscribeError),
    /// The task that keeps this instance a member has ended.
    #[error("a fault in peerd: it is no member any more")]
    Fault,
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
    let follower = payload::follow(&settings.node.limits, &bus, &store)?;
    provision(&store.client, &subjects, &names, &settings.stream).await?;

    let capacity = settings.node.most_under_way() * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
    let (nats, pump) = Nats::new(bus.clone(), subjects.clone(), capacity);
    let clock = Clock::system();
    let jetstream =
        JetStream::new(store.clone(), names.clone(), settings.partitions, &settings.stream);
    let registry = Arc::new(jetstream.clone());
    let table = Arc::new(Table::new(settings.partitions));
    let options = settings.node.clone();
    let node = Node::new(jetstream, nats, subjects.clone(), options, clock, table.clone());

    node.set_messages_may_age(settings.stream.may_forget());

    let instance = nuid::next().to_string();
    let discovery = discovery(&subjects, &instance, &node, clock.wall_ms());
    // Before it joins: the others ask who has joined whether it answers.
    node.bus().answer_probes(&instance).await?;
    let keeper = keep_streams(store, subjects, names, settings.stream.clone());
    let keeper = AbortOnDrop::new(tokio::spawn(keeper));
    let auditor = (settings.audit_reads_per_second > 0)
        .then(|| node.clone().audit_all(settings.audit_reads_per_second));
    let auditor = auditor.map(|audit| AbortOnDrop::new(tokio::spawn(audit)));
    let (leave, leaving) = watch::channel(false);
    let (settled, has_settled) = oneshot::channel();
    let options = steward::Options {
        instance: instance.clone(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        partitions: settings.partitions,
        ttl: settings.member_ttl,
        process: process::this(),
    };
    let steward = Steward::new(registry, node.clone(), table, clock, options);
    let mut steward = tokio::spawn(steward.run(leaving, || _ = settled.send(())));

    tokio::pin!(shutdown);
    let mut discoverable = None;
    let started = async {
        // It cannot fail before the steward ends.
        let _ = has_settled.await;
        node.bus().take_calls(node.taker()).await?;
        discoverable = Some(AbortOnDrop::new(tokio::spawn(discovery.serve(bus.client.clone()))));
        node.bus().reach(Instant::now() + START).await;
        ready(&instance);
        std::future::pending::<Result<(), ServeError>>().await
    };
    let result = tokio::select! {
        () = &mut shutdown => Ok(()),
        Err(error) = started => Err(error),
        // It ends by itself only by a fault.
        _ = &mut steward => Err(ServeError::Fault),
    };

    // In order: no new calls, the partitions, each with what is under way, what the calls still owe
    // the store, what is still to go out, and one round trip, after which the server has everything.
    let deadline = Instant::now() + settings.shutdown_deadline;
    drop((discoverable, auditor));
    let ending = async {
        node.bus().end_calls().await;
        leave.send_replace(true);
        if !steward.is_finished() {
            let _ = steward.await;
        }
        node.settle().await;
    };
    if timeout_at(deadline, ending).await.is_err() {
        tracing::warn!("something was still under way at the end of the shutdown deadline");
    }
    node.bus().reach(deadline).await;
    drop((keeper, follower, node));
    let _ = timeout_at(deadline, pump).await;
    result
}

fn discovery<S: Store, B: Bus>(
    subjects: &Subjects,
    instance: &str,
    node: &Arc<Node<S, B>>,
    started_ms: u64,
) -> Discovery {
    let metadata = BTreeMap::from([
        (SUBJECT_PREFIX, subjects.prefix().to_owned()),
        (PARTITIONS, subjects.partitions().to_string()),
        (BUILD, THIS_BUILD.to_owned()),
    ]);
    let asked = Arc::downgrade(node);
    Discovery {
        identity: Identity {
            name: SERVICE,
            id: instance.to_owned(),
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
        counters: node.counters.clone(),
        // Who is only asked how it is keeps it from no end.
        gauges: Arc::new(move || asked.upgrade().map(|node| node.gauges()).unwrap_or_default()),
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
