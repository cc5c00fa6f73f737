//! The end of a load: reads back what its users see, compares the clients' notes with the store,
//! and makes the owners recount all users.

use std::time::Duration;

use serde_json::Value;

use super::{caller::Caller, failure::Failure, load::Pairs, notes, reading};
use crate::run_cli_within;

/// The most faults in one text.
const SHOWN_MAX: usize = 20;
/// The time limit of the audit.
const AUDIT_DEADLINE: Duration = Duration::from_secs(600);

/// The result of a load.
#[derive(Debug)]
pub struct Judged {
    /// How many messages were read back.
    pub read: usize,
    /// How many users the owners recounted.
    pub audited: u64,
    /// The output of `peerd verify`.
    pub verdict: Value,
    /// The faults, as sentences.
    pub faults: Vec<String>,
}

impl Judged {
    /// A figure of `peerd verify`, as text.
    pub fn figure(&self, name: &str) -> String {
        self.verdict[name].to_string()
    }

    /// A text about the faults, if there are any.
    pub fn problem(&self) -> Option<String> {
        let shown = &self.faults[..self.faults.len().min(SHOWN_MAX)];
        let count = self.faults.len();
        (count > 0).then(|| format!("{count} faults, such as {shown:#?}"))
    }
}

/// Judges a load that has ended. `pairs`: the users who wrote to each other. `servers`: the
/// addresses of the nats-servers.
pub async fn judge(caller: &Caller, pairs: &Pairs, servers: &[String]) -> Result<Judged, Failure> {
    // These reads are in the notes, too.
    let read = reading::read(caller, pairs).await?;
    let servers = servers.join(",");
    let verdict = caller.notes().verify(&servers).await?;
    let envs = [("PEERD__NATS__SERVERS", &servers)];
    let audit = run_cli_within(AUDIT_DEADLINE, &["audit", "--json"], envs).await.json()?;
    let mut faults = notes::faults(&verdict);
    for field in ["differences", "notAudited"] {
        let found = audit[field].as_array().into_iter().flatten();
        faults.extend(found.map(|found| format!("audit: {found}")));
    }
    let audited = audit["users"].as_u64().unwrap_or_default();
    Ok(Judged { read, audited, verdict, faults })
}
