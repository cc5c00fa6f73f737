//! An instance on its connections: what it is made of, its run, and its stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::{Connections, ServeError, Settings};
use crate::bus::Bus;
use crate::bus::discovery::Discovery;
use crate::bus::nats::Nats;
use crate::clock::Clock;
use crate::cluster::membership::{self, MembershipManager};
use crate::cluster::process;
use crate::cluster::table::Table;
use crate::link::Link;
use crate::runtime::health::ConnectionState;
use crate::runtime::logins::AnsweringLogins;
use crate::runtime::monitor::{Look, Monitor, Sources};
use crate::runtime::node::Node;
use crate::runtime::stream_monitor::StreamMonitor;
use crate::runtime::tuning::{
    MESSAGES_PER_CALL, ROOM_BEYOND_CALLS, START_TIMEOUT, STOP_UNSERVED_TIMEOUT,
};
use crate::store::Store;
use crate::store::jetstream::{JetStream, StreamNames};
use crate::store::trouble;
use peerd_protocol::discovery::{
    BUILD, EndpointInfo, Identity, PARTITIONS, QUEUE_GROUP, SERVICE, SUBJECT_PREFIX, THIS_BUILD,
};
use peerd_protocol::subject::Subjects;
use peerd_protocol::time::rfc3339;

/// The node, and the parts beside it.
struct Composed {
    node: Arc<Node<JetStream, Nats>>,
    jetstream: JetStream,
    table: Arc<Table>,
    subjects: Subjects,
    streams: StreamMonitor,
    /// Writes the outgoing messages.
    writer: JoinHandle<()>,
}

/// Runs an instance until `shutdown` completes, and stops it. `ready` is called once calls are
/// being taken.
pub(super) async fn run(
    settings: Settings,
    connections: Connections,
    (clock, monitor): (Clock, Arc<Monitor>),
    mut shutdown: impl Future<Output = ()> + Unpin,
    ready: impl FnOnce(&str),
) -> Result<(), ServeError> {
    let Composed { node, jetstream, table, subjects, streams, writer } =
        compose(&settings, &connections, clock);
    let login = answer_logins(&settings, &connections, &subjects, clock)?;
    monitor.exists(sources(&node, connections.links(), &jetstream, login.as_ref()));
    monitor.waits_for("its partitions");

    let instance = nuid::next().to_string();
    let discovery = discovery(&subjects, &instance, &node, clock.wall_ms());
    // Before it joins: the other members probe each new member.
    node.bus().answer_probes(&instance);
    let streams = AbortOnDrop::new(tokio::spawn(streams.run()));
    let background = background(&settings, &node);
    let (leave, leaving) = watch::channel(false);
    let (settled, has_settled) = oneshot::channel();
    let options = membership_options(&settings, &instance);
    let registry = Arc::new(jetstream);
    let manager = MembershipManager::new(registry, node.clone(), table, clock, options);
    let mut manager = tokio::spawn(manager.run(leaving, || _ = settled.send(())));

    let (mut discoverable, mut is_ready) = (None, false);
    let starting = async {
        // This cannot fail before the membership manager ends.
        let _ = has_settled.await;
        node.bus().take_calls(node.call_receiver()).await;
        let discovery = discovery.serve(connections.bus.client.clone());
        discoverable = Some(AbortOnDrop::new(tokio::spawn(discovery)));
        // Any permission violation has arrived by the time the server answers.
        node.bus().reach(Instant::now() + START_TIMEOUT).await;
    };
    let started = async {
        tokio::select! {
            biased;
            forbidden = connections.forbidden() => return Err(forbidden),
            () = starting => {}
        }
        is_ready = true;
        monitor.serves();
        ready(&instance);
        std::future::pending::<Result<(), ServeError>>().await
    };
    let result = tokio::select! {
        () = &mut shutdown => Ok(()),
        Err(error) = started => Err(error),
        // It ends by itself only through a fault.
        _ = &mut manager => Err(ServeError::Fault),
    };

    let most = if is_ready { Duration::MAX } else { STOP_UNSERVED_TIMEOUT };
    let deadline = Instant::now() + settings.shutdown_deadline.min(most);
    drop((discoverable, background));
    let deadline = leave_in_order(&node, login, (leave, manager), &connections, deadline).await;
    node.bus().reach(deadline).await;
    drop((streams, node));
    let _ = timeout_at(deadline, writer).await;
    result
}

/// Composes the parts of an instance. Nothing runs yet but the writer of outgoing messages.
fn compose(settings: &Settings, connections: &Connections, clock: Clock) -> Composed {
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let names = StreamNames::new(&settings.subject_prefix);
    let (store, bus) = (connections.store.clone(), connections.bus.clone());
    let capacity = settings.node.most_under_way() * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
    let (nats, writer) = Nats::new(bus.clone(), subjects.clone(), capacity);
    let partitions = settings.partitions;
    let jetstream = JetStream::new(store.clone(), bus, names.clone(), partitions, &settings.stream);
    for resource in connections.lost.iter().copied() {
        jetstream.trouble().met(resource, trouble::Cause::Gone);
        jetstream.trouble().is_well(resource, true);
    }
    let table = Arc::new(Table::new(partitions));
    let options = settings.node.clone();
    let node = Node::new(jetstream.clone(), nats, subjects.clone(), options, clock, table.clone());
    node.set_messages_may_age(settings.stream.may_forget());
    node.set_max_age(settings.stream.max_age);
    let streams = StreamMonitor {
        store,
        jetstream: jetstream.clone(),
        subjects: subjects.clone(),
        names,
        options: settings.stream.clone(),
    };
    Composed { node, jetstream, table, subjects, streams, writer }
}

/// Starts the tasks that end when the stop begins.
fn background(settings: &Settings, node: &Arc<Node<JetStream, Nats>>) -> Vec<AbortOnDrop<()>> {
    let mut tasks = vec![tokio::spawn(node.follow_status_of_all())];
    if settings.audit_reads_per_second > 0 {
        tasks.push(tokio::spawn(node.audit_all(settings.audit_reads_per_second)));
    }
    if !settings.stream.max_age.is_zero() {
        tasks.push(tokio::spawn(node.follow_ageing_of_all()));
    }
    tasks.into_iter().map(AbortOnDrop::new).collect()
}

fn membership_options(settings: &Settings, instance: &str) -> membership::Options {
    membership::Options {
        instance: instance.to_owned(),
        release: env!("CARGO_PKG_VERSION").to_owned(),
        partitions: settings.partitions,
        ttl: settings.member_ttl,
        process: process::this(),
    }
}

/// Takes no new calls; hands the partitions over, each with its work in progress; finishes the
/// stores that calls still need, and drains the outgoing queue. After that, one round trip shows
/// that the server has received everything: returns its deadline.
async fn leave_in_order(
    node: &Arc<Node<JetStream, Nats>>,
    login: Option<AnsweringLogins>,
    (leave, manager): (watch::Sender<bool>, JoinHandle<()>),
    connections: &Connections,
    deadline: Instant,
) -> Instant {
    let ending = async {
        tokio::join!(AnsweringLogins::end(login), node.bus().end_calls());
        leave.send_replace(true);
        if !manager.is_finished() {
            let _ = manager.await;
        }
        node.end_soon();
        node.settle().await;
    };
    tokio::select! {
        ended = timeout_at(deadline, ending) => {
            if ended.is_err() {
                tracing::warn!("work was still in progress at the shutdown deadline");
            }
            deadline
        }
        () = connections.cut_off() => {
            tracing::warn!("stopped without a connection: partitions were not handed over");
            Instant::now()
        }
    }
}

/// Begins to answer logins by token, if that is configured.
fn answer_logins(
    settings: &Settings,
    connections: &Connections,
    subjects: &Subjects,
    clock: Clock,
) -> Result<Option<AnsweringLogins>, ServeError> {
    let Some(login) = &settings.callout else { return Ok(None) };
    let connection = connections.for_callouts().clone();
    let begun = login.answer(connection, subjects, clock, settings.shutdown_deadline);
    begun.map(Some).map_err(ServeError::Callout)
}

/// What the monitor shows of an instance.
fn sources(
    node: &Arc<Node<JetStream, Nats>>,
    links: Vec<(&'static str, Link)>,
    jetstream: &JetStream,
    login: Option<&AnsweringLogins>,
) -> Sources {
    let weak_node = Arc::downgrade(node);
    let logins = login.map(|login| login.counters.clone()).unwrap_or_default();
    let service = login.map(|login| login.service.clone());
    let look = move || {
        let node = weak_node.upgrade()?;
        let connections = links.iter().map(|(name, link)| ConnectionState {
            name,
            problem: link.problem(),
            reconnects: link.reconnects(),
        });
        Some(Look {
            connections: connections.collect(),
            queue_capacity: node.bus().capacity(),
            dropped: node.bus().dropped().collect(),
            login_problem: service.as_ref().and_then(|service| service.problem()),
            ..node.look()
        })
    };
    let (counters, waits) = (node.counters(), jetstream.waits().clone());
    Sources { counters, waits, logins, look: Box::new(look) }
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
    let (weak_node, counters) = (Arc::downgrade(node), node.counters());
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
        // A weak reference: service discovery does not keep the node alive.
        statistics: Arc::new(move || {
            let gauges = weak_node.upgrade().map(|node| node.gauges()).unwrap_or_default();
            (counters.totals(), gauges)
        }),
        subjects: subjects.clone(),
    }
}
