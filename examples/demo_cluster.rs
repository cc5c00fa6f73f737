//! Three nats-servers and three peerds under load, each of which is killed once.
//!
//! `make demo-cluster` starts all servers on loopback, kills each nats-server and each peerd once,
//! restarts the peerds one by one, and then compares the stored messages with the acknowledged ones.
//! It ends by itself after about two minutes, and leaves nothing behind. The exit code is 1 if a
//! check failed.

#[path = "demo_cluster/dashboard.rs"]
mod dashboard;
#[path = "demo_cluster/impact.rs"]
mod impact;
#[path = "demo_cluster/meter.rs"]
mod meter;
#[path = "demo_cluster/poller.rs"]
mod poller;
#[path = "demo_cluster/stage.rs"]
mod stage;
#[path = "demo_cluster/verdict.rs"]
mod verdict;

use std::{process::ExitCode, sync::Arc};

use peerd_testkit::{
    self as support, faults,
    program::{interrupted, report_failure, until_stopped},
};

use crate::{
    dashboard::Dashboard,
    faults::failure::Failure,
    impact::Impact,
    stage::{NODES, Stage},
};

const INTRODUCTION: &str = "\
Three nats-servers store three copies of everything, and three peerds share the users. Hundreds of
users write to each other all the time. Meanwhile each server is killed without warning (kill -9),
one after another; then the peerds are restarted one by one. No message may be lost.
";

#[tokio::main]
async fn main() -> ExitCode {
    until_stopped(Box::pin(play())).await.unwrap_or_else(|| {
        dashboard::say("\nstopped; all servers have ended, and their stores are deleted");
        interrupted()
    })
}

/// Runs the demo; returns whether all checks passed.
async fn play() -> Result<bool, Failure> {
    dashboard::say(INTRODUCTION);
    let dashboard = Arc::new(Dashboard::new());
    let mut stage = Stage::set(&dashboard).await?;
    let verdict = match show(&mut stage).await {
        Ok(impacts) => stage.judge(&impacts).await,
        Err(failure) => Err(failure),
    };
    let is_good = matches!(verdict, Ok(true));
    dashboard.close();
    if !is_good {
        match stage.keep_logs() {
            Ok(folder) => dashboard::say(&format!("\nthe logs are in {}", folder.display())),
            Err(error) => report_failure(&format!("the logs could not be kept: {error}")),
        }
    }
    verdict
}

/// Runs all faults; returns the impact of each on the users.
async fn show(stage: &mut Stage) -> Result<Vec<Impact>, Failure> {
    let mut impacts = vec![stage.steady().await];
    for node in 0..NODES {
        impacts.push(stage.kill_nats(node).await?);
        impacts.push(stage.kill_peerd(node).await?);
    }
    impacts.push(stage.restart_all_peerds().await?);
    Ok(impacts)
}
