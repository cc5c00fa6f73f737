//! Fields of entries that a later release stored and this one does not know.

use std::fmt;
use std::sync::Arc;

/// Fields of an entry that this release does not know, as they were read. They are written back
/// whenever the entry is.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct LaterFields(Option<(u32, Arc<[u8]>)>);

impl LaterFields {
    /// Fields, each with its number and its encoded value.
    #[must_use]
    pub fn new(count: u32, bytes: &[u8]) -> Self {
        Self((count > 0).then(|| (count, bytes.into())))
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.as_ref().map_or(0, |(count, _)| *count)
    }

    /// All fields, encoded.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], |(_, bytes)| bytes)
    }
}

/// Without the values, which may be a user's content.
impl fmt::Debug for LaterFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LaterFields({}, {} bytes)", self.count(), self.as_bytes().len())
    }
}
