//! How the users felt what happened.

use std::fmt;

use crate::{board::lasting, meter::Phase};

/// How one fault was felt.
#[derive(Clone, Debug)]
pub(crate) struct Felt {
    /// What happened.
    pub(crate) what: String,
    pub(crate) phase: Phase,
}

impl fmt::Display for Felt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Phase { answered, slow, slowest, .. } = self.phase;
        write!(f, "slowest send {}; {slow} of {answered} over 1 s", lasting(slowest))
    }
}

/// All of them, as a table.
pub(crate) fn table(felt: &[Felt]) -> String {
    let mut lines = vec![format!(
        "  {:<26}{:>7}{:>14}{:>10}{:>16}",
        "how it was felt", "sends", "slowest send", "over 1 s", "repeated calls"
    )];
    lines.extend(felt.iter().map(|Felt { what, phase }| {
        let Phase { answered, slow, slowest, repeated } = phase;
        let slowest = lasting(*slowest);
        format!("  {what:<26}{answered:>7}{slowest:>14}{slow:>10}{repeated:>16}")
    }));
    lines.join("\n")
}
