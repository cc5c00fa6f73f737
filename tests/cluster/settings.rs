//! The number and the length of faults, by default and by environment variable.

use std::time::Duration;

/// How long an instance counts as alive without a heartbeat. `CLUSTER_TTL_MS`
pub(super) fn ttl() -> Duration {
    Duration::from_millis(number("CLUSTER_TTL_MS", 2_000))
}

/// How often instances are killed. `CLUSTER_KILLS`
pub(super) fn kills() -> u64 {
    number("CLUSTER_KILLS", 50)
}

/// How often an instance is paused and resumed. `CLUSTER_STOPS`
pub(super) fn stops() -> u64 {
    number("CLUSTER_STOPS", 20)
}

/// The number of rounds. `CLUSTER_ROUNDS`
pub(super) fn rounds() -> u64 {
    number("CLUSTER_ROUNDS", 3)
}

fn number(variable: &str, default: u64) -> u64 {
    let given = std::env::var_os(variable);
    given.and_then(|text| text.to_str()?.parse().ok()).unwrap_or(default)
}
