//! The end of a load: what its users see is read back, and what its clients noted is held against what
//! is stored.

use serde_json::Value;

use super::{
    caller::{Caller, Failure},
    load::Pairs,
    notes, reading,
};

/// The most faults that one text names.
const SHOWN_MAX: usize = 20;

/// What a load came to.
#[derive(Debug)]
pub struct Judged {
    /// How many messages were read back.
    pub read: usize,
    /// What `peerd verify` answered.
    pub verdict: Value,
    /// What is wrong, each in a sentence.
    pub faults: Vec<String>,
}

impl Judged {
    /// A figure of `peerd verify`, as text.
    pub fn figure(&self, name: &str) -> String {
        self.verdict[name].to_string()
    }

    /// A text about what is wrong, if anything is.
    pub fn problem(&self) -> Option<String> {
        let shown = &self.faults[..self.faults.len().min(SHOWN_MAX)];
        let count = self.faults.len();
        (count > 0).then(|| format!("{count} faults, such as {shown:#?}"))
    }
}

/// Judges a load that has ended. `pairs`: who wrote to whom. `servers`: where the nats-servers are.
pub async fn judge(caller: &Caller, pairs: &Pairs, servers: &[String]) -> Result<Judged, Failure> {
    // What is read belongs to the notes, too.
    let read = reading::read(caller, pairs).await?;
    let verdict = caller.notes().verify(&servers.join(",")).await?;
    let faults = notes::faults(&verdict);
    Ok(Judged { read, verdict, faults })
}
