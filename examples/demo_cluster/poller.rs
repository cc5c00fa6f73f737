//! Polls `peerd status`.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{dashboard::Dashboard, support::run_cli_env};

const INTERVAL: Duration = Duration::from_millis(400);

/// The members, and the partitions that have an owner.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sight {
    /// Instances that answer.
    pub(crate) members: usize,
    /// Partitions with a live owner.
    pub(crate) owned: usize,
    pub(crate) partitions: usize,
}

/// Polls until it is dropped.
pub(crate) async fn poll_status(dashboard: Arc<Dashboard>, servers: String) {
    loop {
        let run = run_cli_env(&["status", "--json"], &[("PEERD__NATS__SERVERS", &servers)]).await;
        // Without an answer the dashboard keeps the previous state.
        if let Ok(report) = serde_json::from_str(&run.stdout) {
            dashboard.see(read(&report));
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

fn read(report: &Value) -> Sight {
    let list = |field: &str| report[field].as_array().cloned().unwrap_or_default();
    let partitions = list("partitions");
    Sight {
        members: list("members").iter().filter(|member| member["routed"].is_u64()).count(),
        owned: partitions.iter().filter(|partition| partition["isOwnerAlive"] == true).count(),
        partitions: partitions.len(),
    }
}
