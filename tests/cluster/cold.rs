//! A cluster and peerd start together.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::support::{Client, NatsCluster, Peerd, login};

/// Longer than one request to JetStream, and longer than the log waits before it repeats a line.
const ALONE: Duration = Duration::from_secs(25);
const POLL: Duration = Duration::from_millis(100);

#[tokio::test]
async fn a_cluster_that_has_no_leader_yet_is_waited_for() {
    let mut nats = NatsCluster::start("").await;
    for node in 0..nats.node_count() {
        nats.kill9(node);
    }
    // One of three nodes runs, and cannot elect a leader.
    nats.restart(0).await;
    let urls = nats.urls().join(",");
    let envs = [("PEERD__STREAM__REPLICAS".to_owned(), "3".to_owned())];
    let mut peerd = Peerd::spawn(&urls, &envs);
    let began = Instant::now();
    while peerd.log().matches("waiting for JetStream").count() < 2 {
        assert!(peerd.is_running(), "gave up: {}", peerd.log());
        assert!(began.elapsed() < ALONE, "does not say what it waits for: {}", peerd.log());
        sleep(POLL).await;
    }
    nats.restart(1).await;
    nats.restart(2).await;
    peerd.until_ready().await.unwrap();
    let client = Client::connect(&nats.urls()[0]).await;
    login(&client, "alice").await;
}
