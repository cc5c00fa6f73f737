//! The end of a load: reads back what its users see, and compares the clients' notes with the
//! store.

use serde_json::Value;

use super::{caller::Caller, failure::Failure, load::Pairs, notes, reading};

/// The most faults in one text.
const SHOWN_MAX: usize = 20;

/// The result of a load.
#[derive(Debug)]
pub struct Judged {
    /// How many messages were read back.
    pub read: usize,
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
    let verdict = caller.notes().verify(&servers.join(",")).await?;
    let faults = notes::faults(&verdict);
    Ok(Judged { read, verdict, faults })
}
