//! Three nats-servers with three replicas of each stream: nodes die and leaders change.

use super::{machine, settings};
use crate::{
    faults::{
        caller::Manner,
        failure::Failure,
        notes::Disturbed,
        trial::{Setup, Trial},
    },
    support::NatsCluster,
    wait::say,
};

/// A stream of each kind.
const STREAMS: [&str; 3] = ["PEER_LOG_0", "PEER_STATE_0", "KV_PEER_OWNERS"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_any_node_and_a_change_of_leaders_lose_nothing() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let mut nats = NatsCluster::start("").await;
    let mut trial = Trial::start(setup(&nats)).await?;
    nats.until_healthy().await?;
    for node in 0..nats.node_count() {
        kill_node(&mut trial, &mut nats, node, "each in turn").await?;
    }
    for stream in STREAMS {
        trial.work_a_while().await?;
        if !nats.step_down(stream).await {
            return Err(trial.failure(format!("{stream} has no leader that steps down")));
        }
        let fault = trial.fault(Disturbed::Nats)?;
        trial.answered(fault).await?;
        nats.until_healthy().await?;
        let leader = nats.leader_of(stream).await;
        let leader = leader.ok_or_else(|| trial.failure(format!("{stream} has no leader")))?;
        kill_node(&mut trial, &mut nats, leader, stream).await?;
    }
    trial.work_a_while().await?;
    trial.finish().await?;
    Ok(())
}

fn setup(nats: &NatsCluster) -> Setup {
    let mut urls = nats.urls();
    let mut setup = settings::setup("nodes", "", Manner::Patient);
    setup.clients.clone_from(&urls);
    setup.listeners = vec![urls.clone()];
    for instance in &mut setup.instances {
        *instance = urls.join(",");
        urls.rotate_left(1);
    }
    setup.settings.push(("PEERD__STREAM__REPLICAS".to_owned(), "3".to_owned()));
    setup.partitions = 4;
    setup
}

async fn kill_node(
    trial: &mut Trial,
    nats: &mut NatsCluster,
    node: usize,
    why: &str,
) -> Result<(), Failure> {
    trial.work_a_while().await?;
    nats.kill9(node);
    let fault = trial.fault(Disturbed::Nats)?;
    // Calls continue with two nodes.
    let took = trial.answered(fault).await?.all;
    say(&format!("nodes: all answered {took:.2?} after node {node} died ({why})"));
    nats.restart(node).await;
    nats.until_healthy().await.map_err(|trouble| trial.failure(trouble))?;
    let fault = trial.fault(None)?;
    trial.answered(fault).await?;
    Ok(())
}
