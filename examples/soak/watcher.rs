//! Samples each peerd every few seconds, from outside and by its statistics.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};

use crate::{
    faults::failure::Failure,
    sample::Sample,
    support::process::{self, Held},
};

/// The interval of samples.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);
/// How long the instances and the nats-servers may take to answer.
const ANSWER_DEADLINE: Duration = Duration::from_millis(800);
const SUBSCRIPTIONS: &str = "GET /connz?limit=10000 HTTP/1.0\r\n\r\n";

/// The processes that are sampled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Instance {
    pub(crate) pid: u32,
    pub(crate) id: String,
    pub(crate) life: u32,
}

/// The state of the watcher.
#[derive(Default)]
pub(crate) struct Watched {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    instances: Vec<Instance>,
    /// The monitoring ports of the live nats-servers.
    monitoring: BTreeMap<usize, u16>,
    samples: Vec<Sample>,
    faults: Vec<(Duration, String)>,
}

impl Watched {
    /// Notes that an instance has a new process.
    pub(crate) fn begins(&self, place: usize, pid: u32, id: &str) {
        let instances = &mut self.state().instances;
        if instances.len() <= place {
            instances.resize(place + 1, Instance::default());
        }
        let life = instances[place].life + u32::from(instances[place].pid > 0);
        instances[place] = Instance { pid, id: id.to_owned(), life };
    }

    /// Sets the monitoring port of a nats-server; `None`: it is dead.
    pub(crate) fn serves(&self, node: usize, monitoring: Option<u16>) {
        let ports = &mut self.state().monitoring;
        ports.remove(&node);
        ports.extend(monitoring.map(|port| (node, port)));
    }

    /// Notes a fault.
    pub(crate) fn fault(&self, at: Duration, what: &str) {
        self.state().faults.push((at, what.to_owned()));
    }

    pub(crate) fn samples(&self) -> Vec<Sample> {
        self.state().samples.clone()
    }

    pub(crate) fn faults(&self) -> Vec<(Duration, String)> {
        self.state().faults.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Samples until it is dropped.
pub(crate) async fn watch(
    watched: Arc<Watched>,
    servers: Vec<String>,
    began: Instant,
) -> Result<(), Failure> {
    let client = async_nats::connect(servers).await?;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        look(&watched, &client, began).await;
    }
}

async fn look(watched: &Watched, client: &async_nats::Client, began: Instant) {
    let (instances, ports) = {
        let state = watched.state();
        (state.instances.clone(), state.monitoring.clone())
    };
    let at = began.elapsed();
    let held: Vec<Option<Held>> =
        instances.iter().map(|instance| process::look(instance.pid).ok()).collect();
    let (answered, subscriptions) =
        tokio::join!(gauges(client, instances.len()), subscriptions(ports.values().copied()));
    let mut state = watched.state();
    for (place, (instance, held)) in instances.into_iter().zip(held).enumerate() {
        // The values of an instance that was killed meanwhile are inconsistent.
        let (Some(held), Some(now)) = (held, state.instances.get(place)) else { continue };
        if now.pid != instance.pid {
            continue;
        }
        let counted: Vec<u64> =
            held.ports.iter().filter_map(|port| subscriptions.get(port).copied()).collect();
        state.samples.push(Sample {
            at,
            instance: place,
            life: instance.life,
            pid: instance.pid,
            rss_bytes: held.rss_bytes,
            open_files: held.open_files,
            threads: held.threads,
            // Each has two connections; with fewer, one is reconnecting.
            subscriptions: (counted.len() == 2).then(|| counted.iter().sum()),
            gauges: answered.get(&instance.id).cloned(),
        });
    }
}

/// The statistics of the instances, by their IDs.
async fn gauges(client: &async_nats::Client, expected: usize) -> HashMap<String, Value> {
    let mut answered = HashMap::new();
    let inbox = client.new_inbox();
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else { return answered };
    let asked = client.publish_with_reply("$SRV.STATS.peerd", inbox, "".into()).await;
    let deadline = Instant::now() + ANSWER_DEADLINE;
    while asked.is_ok() && answered.len() < expected {
        let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await else { break };
        let Ok(answer) = serde_json::from_slice::<Value>(&answer.payload) else { continue };
        let id = answer["id"].as_str().unwrap_or_default().to_owned();
        answered.insert(id, answer["endpoints"][0]["data"].clone());
    }
    answered
}

/// The number of subscriptions of each connection, by the client's port.
async fn subscriptions(monitoring: impl Iterator<Item = u16>) -> HashMap<u16, u64> {
    let mut counts = HashMap::new();
    for port in monitoring {
        let Ok(Some(connections)) = timeout(ANSWER_DEADLINE, connections(port)).await else {
            continue;
        };
        for connection in connections["connections"].as_array().into_iter().flatten() {
            let port = connection["port"].as_u64().and_then(|port| u16::try_from(port).ok());
            let count = connection["subscriptions"].as_u64();
            counts.extend(port.zip(count));
        }
    }
    counts
}

async fn connections(monitoring: u16) -> Option<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", monitoring)).await.ok()?;
    stream.write_all(SUBSCRIPTIONS.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    serde_json::from_slice(&answer[body..]).ok()
}
