//! What a later release has stored beside what this one knows.

use std::fmt;
use std::sync::Arc;

/// Fields of an entry that this release does not know, as they were read. They are written back
/// whenever the entry is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LaterFields(Option<(u32, Arc<[u8]>)>);

impl LaterFields {
    /// So many fields, each with its number and its value as it was encoded.
    #[must_use]
    pub fn new(count: u32, bytes: &[u8]) -> Self {
        Self((count > 0).then(|| (count, bytes.into())))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.as_ref().map_or(0, |(count, _)| *count)
    }

    /// All of them, as they were encoded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |(_, bytes)| bytes)
    }
}

/// Without the values: they may be of a user's.
impl fmt::Debug for LaterFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaterFields({}, {} bytes)", self.count(), self.as_bytes().len())
    }
}
