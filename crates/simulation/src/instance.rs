//! One instance of peerd over the simulated implementations, composed like
//! `runtime/daemon/instance.rs` composes it over NATS.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use peerd::clock::Clock;
use peerd::cluster::membership::{self, MembershipManager};
use peerd::cluster::table::Table;
use peerd::runtime::node::{MESSAGES_PER_CALL, Node, Options, ROOM_BEYOND_CALLS};
use peerd::storage::owners::Process;
use peerd_core::limits::Limits;
use peerd_protocol::encoding::Encoding;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use crate::bus::{SimBus, next};
use crate::plan::Setup;
use crate::registry::SimRegistry;
use crate::rule::Rule;
use crate::store::SimStore;
use crate::world::{Seat, World};

/// The capacity of the queue of incoming messages.
const ARRIVALS: usize = 1024;
/// The longest duration of a stop.
const SHUTDOWN: Duration = Duration::from_secs(10);

pub(crate) type SimNode = Node<SimStore, SimBus>;

/// A handle to a running instance.
pub(crate) struct Instance {
    pub(crate) who: usize,
    node: Arc<SimNode>,
    leave: watch::Sender<bool>,
    manager: tokio::task::JoinHandle<()>,
}

thread_local! {
    /// The number of sessions in this run: each run has a thread of its own.
    static SESSIONS: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// Restarts the numbering of sessions.
pub(crate) fn forget_sessions() {
    SESSIONS.set(0);
}

fn new_session_id() -> String {
    SESSIONS.set(SESSIONS.get() + 1);
    format!("session-{}", SESSIONS.get())
}

fn options(setup: &Setup) -> Options {
    Options {
        event_encoding: Encoding::Json,
        bundle_events: false,
        delivered_receipts: setup.delivered,
        call_deadline: Duration::from_millis(setup.call_deadline_ms),
        owner_wait: Duration::from_millis(setup.owner_wait_ms),
        stale_after: Duration::from_millis(setup.ttl_ms * 3 / 5),
        heartbeat_interval_ms: 10_000,
        last_seen_write_interval_ms: 2000,
        cached_users: setup.cached_users,
        history_bytes: 1 << 20,
        calls_under_way: setup.calls_under_way,
        body_bytes: 64 * 1024,
        new_session_id,
        limits: Limits {
            messages_per_second: setup.messages_per_second,
            commands_per_second: setup.commands_per_second,
            ..Limits::default()
        },
    }
}

/// Starts another instance. It takes calls once it is ready.
pub(crate) fn start(world: &Arc<World>) -> Instance {
    let setup = world.lock().setup.clone();
    let options = options(&setup);
    let capacity = options.most_under_way() * MESSAGES_PER_CALL + ROOM_BEYOND_CALLS;
    let (arrivals, mut arriving) = mpsc::channel(ARRIVALS);
    // Every reader of the time has a copy of the clock, and there are few instances.
    let wall_ms: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(world.server_ms())));
    let (who, name, subjects) = {
        let mut core = world.lock();
        let who = core.seats.len();
        let name = format!("i{who}");
        core.seats.push(Seat::new(name.clone(), wall_ms, arrivals));
        (who, name, core.subjects.clone())
    };
    world.note(format_args!("{name} starts"));
    let clock = Clock::simulated_and_set(wall_ms);
    let table = Arc::new(Table::new(setup.partitions));
    let store = SimStore::new(world.clone(), who);
    let bus = SimBus::new(world.clone(), who, capacity);
    let node = Node::new(store, bus, subjects, options, clock, table.clone());
    let (leave, leaving) = watch::channel(false);
    let options = membership::Options {
        instance: name,
        release: String::new(),
        partitions: setup.partitions,
        ttl: Duration::from_millis(setup.ttl_ms),
        // No instance can see whether another's process has ended.
        process: Process::default(),
    };
    let registry = Arc::new(SimRegistry { world: world.clone(), who });
    let manager = MembershipManager::new(registry, node.clone(), table, clock, options);
    let ready = node.clone();
    let manager = tokio::spawn(manager.run(leaving, move || {
        tokio::spawn(async move { ready.bus().take_calls().await });
    }));
    let taking = tokio::spawn({
        let (world, node) = (world.clone(), node.clone());
        async move {
            loop {
                let Some(incoming) = next(&mut arriving).await else { return };
                world.wait_while_frozen(who).await;
                if let Some(answer) = node.take(incoming) {
                    world.pass_by(who, answer);
                }
            }
        }
    });
    let following = tokio::spawn(node.follow_status_of_all());
    let writer_task = tokio::spawn(world.clone().writer_task(who));
    let tasks =
        [&manager, &taking, &writer_task, &following].map(tokio::task::JoinHandle::abort_handle);
    world.lock().seats[who].tasks.extend(tasks);
    Instance { who, node, leave, manager }
}

impl Instance {
    /// Stops the instance in order.
    pub(crate) async fn stop(self, world: Arc<World>) {
        let deadline = Instant::now() + SHUTDOWN;
        let who = self.who;
        world.note(format_args!("i{who} leaves"));
        let ending = async {
            self.node.bus().end_calls().await;
            self.leave.send_replace(true);
            if !self.manager.is_finished() {
                let _ = self.manager.await;
            }
            self.node.settle().await;
        };
        let _ = timeout_at(deadline, ending).await;
        let _ = peerd::bus::Bus::reach(self.node.bus(), deadline).await;
        let now_ms = world.now_ms();
        let mut core = world.lock();
        if core.seats[who].is_alive {
            core.kill(who, now_ms);
        }
    }

    /// Checks that bounded quantities are within their limits.
    pub(crate) fn check_bounds(&self, world: &World) {
        let gauges = self.node.gauges();
        let mut core = world.lock();
        let most = core.setup.calls_under_way as u64;
        if gauges.calls_under_way > most || gauges.deliveries_under_way > most {
            core.broken(Rule::Bounded, format!("more than {most} are in progress: {gauges:?}"));
        }
    }
}
