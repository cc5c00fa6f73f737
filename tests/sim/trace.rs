//! What happened, line by line: one seed gives one trace, byte for byte.

use std::fmt::{self, Write as _};

/// What happened, line by line.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    text: String,
}

impl Trace {
    pub(crate) fn line(&mut self, at_ms: u64, what: fmt::Arguments<'_>) {
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "{at_ms:>7} {what}");
    }

    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }
}
