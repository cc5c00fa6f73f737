//! The usual setup, and the number and the length of faults, by default and by environment
//! variable.

use std::time::Duration;

use crate::{
    faults::{caller::Manner, load::Plan, trial::Setup},
    support::settings,
    wait::say,
};

/// The daemon's own deadline for a call: below the time-out of a patient client, and above the time
/// for which a call waits for an owner.
const CALL_DEADLINE: Duration = Duration::from_secs(3);
/// So that the audit comes around while a test lasts.
const AUDIT_READS_PER_SECOND: u128 = 50;

/// Three instances on one nats-server.
pub(super) fn setup(name: &'static str, url: &str, manner: Manner) -> Setup {
    let urls = vec![url.to_owned(); 3];
    let plan = Plan { racing_pairs: 4, ..Plan::sends(16, 100) };
    let usual = Setup::new((name, "CLUSTER_SEED"), urls.clone(), urls, plan);
    let mut settings = settings([
        ("PEERD__LIMITS__MESSAGES_PER_SECOND", 100_000),
        ("PEERD__CLUSTER__MEMBER_TTL_MS", ttl().as_millis()),
        ("PEERD__AUDIT__READS_PER_SECOND", AUDIT_READS_PER_SECOND),
    ]);
    // A strict client holds peerd to what it promises with its usual deadline.
    if manner != Manner::Strict {
        let call_deadline_ms = CALL_DEADLINE.as_millis().to_string();
        settings.push(("PEERD__LIMITS__CALL_DEADLINE_MS".to_owned(), call_deadline_ms));
    }
    say(&format!("{name}: CLUSTER_SEED={}", usual.seed));
    Setup { settings, manner, ..usual }
}

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
