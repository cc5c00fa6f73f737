//! A secret in the configuration, which no output shows.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A secret. Empty: there is none.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub String);

impl Hidden {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Replaces the secret, so that the rest can be shown.
    pub(super) fn hide(&mut self) {
        if !self.is_empty() {
            "(hidden)".clone_into(&mut self.0);
        }
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "(none)" } else { "(hidden)" })
    }
}
