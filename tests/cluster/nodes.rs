//! Three nats-servers with three replicas of each stream: nodes die and leaders change.

use tokio::time::Instant;

use super::{
    machine,
    scene::{Scene, Setup},
};
use crate::{
    faults::{caller::Manner, failure::Failure, notes::Disturbed},
    support::NatsCluster,
    wait::say,
};

/// A stream of each kind.
const STREAMS: [&str; 3] = ["PEER_LOG_0", "PEER_STATE_0", "KV_PEER_OWNERS"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_death_of_any_node_and_a_change_of_leaders_lose_nothing() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let mut nats = NatsCluster::start("").await;
    let mut scene = Scene::start(setup(&nats)).await?;
    nats.until_healthy().await?;
    for node in 0..nats.node_count() {
        kill_node(&mut scene, &mut nats, node, "each in turn").await?;
    }
    for stream in STREAMS {
        scene.work_a_while().await;
        if !nats.step_down(stream).await {
            return Err(scene.failure(&format!("{stream} has no leader that steps down")));
        }
        let epoch = scene.fault();
        scene.answered(epoch, Instant::now()).await?;
        nats.until_healthy().await?;
        let leader = nats.leader_of(stream).await;
        let leader = leader.ok_or_else(|| scene.failure(&format!("{stream} has no leader")))?;
        kill_node(&mut scene, &mut nats, leader, stream).await?;
    }
    scene.work_a_while().await;
    scene.finish().await?;
    Ok(())
}

fn setup(nats: &NatsCluster) -> Setup {
    let mut urls = nats.urls();
    let mut setup = Setup::new("nodes", "", Manner::Patient);
    setup.clients.clone_from(&urls);
    for instance in &mut setup.instances {
        *instance = urls.join(",");
        urls.rotate_left(1);
    }
    setup.disturbs = Some(Disturbed::Nats);
    setup.replicas = 3;
    setup.partitions = 4;
    setup
}

async fn kill_node(
    scene: &mut Scene,
    nats: &mut NatsCluster,
    node: usize,
    why: &str,
) -> Result<(), Failure> {
    scene.work_a_while().await;
    let killed = Instant::now();
    nats.kill9(node);
    let epoch = scene.fault();
    // Calls continue with two nodes.
    scene.answered(epoch, killed).await?;
    say(&format!("nodes: all answered {:.2?} after node {node} died ({why})", killed.elapsed()));
    nats.restart(node).await;
    nats.until_healthy().await.map_err(|trouble| scene.failure(&trouble))?;
    let epoch = scene.load.new_epoch();
    let answered = scene.load.answered(epoch, Instant::now()).await;
    answered.map_err(|trouble| scene.failure(&format!("with all nodes again: {trouble}")))?;
    Ok(())
}
