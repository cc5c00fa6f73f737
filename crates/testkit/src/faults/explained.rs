//! A failure with what was seen of clients and instances.

use std::fmt;

use super::{caller::Counts, failure::Failure};
use crate::{Peerd, peerd::tail};

/// A failure with the latest failed attempts of the clients and the end of each instance's log,
/// which a test prints: it shows an error by `Debug`.
pub fn explained(what: String, counts: &Counts, peerds: &[Peerd]) -> Failure {
    let logs = peerds.iter().enumerate().map(|(number, peerd)| {
        let (id, pid, log) = (peerd.instance_id(), peerd.pid(), tail(&peerd.log()));
        format!("\n--- the log of instance {number}, {id}, process {pid} ---\n{log}")
    });
    let logs = logs.collect::<String>();
    let latest = counts.latest();
    let seen = format!("the latest attempts that failed, of {counts}:\n{latest}{logs}");
    Box::new(Explained { what, seen })
}

struct Explained {
    what: String,
    seen: String,
}

impl std::error::Error for Explained {}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl fmt::Debug for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.what, self.seen)
    }
}
