//! The trace of a run, line by line. One seed gives one trace, byte for byte.

use std::fmt::{self, Write as _};

/// The trace of a run.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    text: String,
}

impl Trace {
    pub(crate) fn line(&mut self, at_ms: u64, what: fmt::Arguments<'_>) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{at_ms:>7} {what}");
    }

    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
