//! A cluster of three nats-servers on loopback, whose nodes can be killed and restarted.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep, timeout};

use super::nats::{Nats, reserved_port};

const NODES: usize = 3;
const HEALTH_DEADLINE: Duration = Duration::from_secs(60);
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const PROBE: &str = "PROBE";

/// A running cluster. Killed when dropped.
pub struct NatsCluster {
    nodes: Vec<Nats>,
    alive: Vec<bool>,
    _configs: TempDir,
}

impl NatsCluster {
    /// Starts three nodes, and waits until they can have streams with three replicas. `extra` is
    /// added to each node's configuration.
    pub async fn start(extra: &str) -> Self {
        Self::start_with("jetstream {}", extra).await
    }

    /// Starts three nodes that sync their disks before they acknowledge.
    pub async fn start_synced() -> Self {
        Self::start_with("jetstream { sync_interval: always }", "").await
    }

    async fn start_with(jetstream: &str, extra: &str) -> Self {
        let configs = tempfile::Builder::new().prefix("peerd-cluster-").tempdir().unwrap();
        let routes: Vec<_> = (0..NODES).map(|_| reserved_port()).collect();
        let urls: Vec<_> =
            routes.iter().map(|port| format!("\"nats://127.0.0.1:{port}\"")).collect();
        let urls = urls.join(", ");
        let nodes = routes.iter().enumerate().map(|(number, route)| {
            let path = configs.path().join(format!("{number}.conf"));
            let config = format!(
                "server_name: {}\n{jetstream}\n{extra}\n\
                 cluster {{ name: test, listen: \"127.0.0.1:{route}\", routes: [ {urls} ] }}\n",
                name(number),
            );
            std::fs::write(&path, config).unwrap();
            Nats::start_at(reserved_port(), path)
        });
        let nodes = futures::future::join_all(nodes).await;
        let cluster = Self { nodes, alive: vec![true; NODES], _configs: configs };
        cluster.until_streams_can_be_made().await;
        cluster
    }

    /// The number of nodes.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// The addresses of all nodes.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(Nats::url).collect()
    }

    /// The monitoring port of a node, if its configuration has one.
    pub fn monitoring_port(&self, node: usize) -> Option<u16> {
        self.nodes[node].monitoring_port()
    }

    /// A node's log so far.
    pub fn log(&self, node: usize) -> String {
        self.nodes[node].log()
    }

    /// Kills a node with SIGKILL.
    pub fn kill9(&mut self, node: usize) {
        self.nodes[node].kill9();
        self.alive[node] = false;
    }

    /// Restarts a node, on its ports and with its store.
    pub async fn restart(&mut self, node: usize) {
        self.nodes[node].restart().await;
        self.alive[node] = true;
    }

    /// The node that leads a stream, if any.
    pub async fn leader_of(&self, stream: &str) -> Option<usize> {
        let info = self.ask(&format!("STREAM.INFO.{stream}"), &json!({})).await?;
        let leader = info["cluster"]["leader"].as_str()?;
        (0..self.node_count()).find(|number| name(*number) == leader)
    }

    /// Makes the leader of a stream step down.
    pub async fn step_down(&self, stream: &str) -> bool {
        let answer = self.ask(&format!("STREAM.LEADER.STEPDOWN.{stream}"), &json!({})).await;
        answer.is_some_and(|answer| answer["success"] == true)
    }

    /// Waits until each stream has a leader and all its replicas are current.
    pub async fn until_healthy(&self) -> Result<(), String> {
        let deadline = Instant::now() + HEALTH_DEADLINE;
        loop {
            let Some(trouble) = self.trouble().await else { return Ok(()) };
            if Instant::now() > deadline {
                return Err(format!("not healthy within {HEALTH_DEADLINE:?}: {trouble}"));
            }
            sleep(POLL_INTERVAL).await;
        }
    }

    /// A problem of the cluster, if any.
    async fn trouble(&self) -> Option<String> {
        let Some(names) = self.ask("STREAM.NAMES", &json!({})).await else {
            return Some("no list of streams".to_owned());
        };
        for stream in names["streams"].as_array().into_iter().flatten() {
            let stream = stream.as_str().unwrap();
            let info = self.ask(&format!("STREAM.INFO.{stream}"), &json!({})).await;
            let cluster = info.map(|info| info["cluster"].clone()).unwrap_or_default();
            let replicas = cluster["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
            let is_well =
                |replica: &Value| replica["current"] == true && replica["offline"] != true;
            let healthy = cluster["leader"].is_string()
                && replicas.len() == NODES - 1
                && replicas.iter().all(is_well);
            if !healthy {
                return Some(format!("{stream}: {cluster}"));
            }
        }
        None
    }

    async fn until_streams_can_be_made(&self) {
        let config = json!({ "name": PROBE, "subjects": [PROBE], "num_replicas": NODES });
        let deadline = Instant::now() + HEALTH_DEADLINE;
        loop {
            let made = self.ask(&format!("STREAM.CREATE.{PROBE}"), &config).await;
            if made.as_ref().is_some_and(|made| made["error"].is_null()) {
                break;
            }
            assert!(Instant::now() < deadline, "no stream in the cluster: {made:?}");
            sleep(POLL_INTERVAL).await;
        }
        self.ask(&format!("STREAM.DELETE.{PROBE}"), &json!({})).await;
    }

    /// Sends a request to `JetStream` over a connection of its own, since any node may have died.
    async fn ask(&self, subject: &str, body: &Value) -> Option<Value> {
        let node = self.alive.iter().position(|alive| *alive)?;
        let asking = async {
            let client = async_nats::connect(self.nodes[node].url()).await.ok()?;
            let body = body.to_string().into();
            let answer = client.request(format!("$JS.API.{subject}"), body).await.ok()?;
            serde_json::from_slice(&answer.payload).ok()
        };
        timeout(ANSWER_DEADLINE, asking).await.ok().flatten()
    }
}

fn name(number: usize) -> String {
    format!("node-{number}")
}
