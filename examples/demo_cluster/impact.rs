//! The impact of faults on the users.

use std::fmt;

use crate::{dashboard::lasting, meter::Phase};

/// The impact of one fault.
#[derive(Clone, Debug)]
pub(crate) struct Impact {
    /// The fault.
    pub(crate) what: String,
    pub(crate) phase: Phase,
}

impl fmt::Display for Impact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Phase { answered, slow, slowest, .. } = self.phase;
        write!(f, "slowest send {}; {slow} of {answered} over 1 s", lasting(slowest))
    }
}

/// The reasons for which the slowest sends waited.
const REASONS: [&str; 5] = [
    "The slowest send after a killed peerd waited for its successor: the others take over when the",
    "lease is over, 5 s after the last heartbeat (cluster.member_ttl_ms). After a killed nats-server",
    "it waited until another server was elected to lead the stream, or the bucket of owners, without",
    "which peerd cannot renew its leases. A call that was not answered in time is repeated with the",
    "same localMessageID, and stored once.",
];

/// All of them as a table, with the reasons for slow sends.
pub(crate) fn table(impacts: &[Impact]) -> String {
    let mut lines = vec![format!(
        "  {:<26}{:>7}{:>14}{:>10}{:>16}",
        "impact on sends", "sends", "slowest send", "over 1 s", "repeated calls"
    )];
    lines.extend(impacts.iter().map(|Impact { what, phase }| {
        let Phase { answered, slow, slowest, repeated } = phase;
        let slowest = lasting(*slowest);
        format!("  {what:<26}{answered:>7}{slowest:>14}{slow:>10}{repeated:>16}")
    }));
    lines.push(String::new());
    lines.extend(REASONS.iter().map(|line| format!("  {line}")));
    lines.join("\n")
}
