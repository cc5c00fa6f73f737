//! The single messages that a user deleted: bitmaps over `messageSeq`, with 1,024 to a page.

use std::collections::BTreeMap;

use super::id::Direction;
use super::later::LaterFields;

/// Messages that share one bitmap.
pub const PAGE_BITS: u64 = 1024;
/// Bitmaps that stay in the conversation's own entry; more are spilled into entries of their own.
pub const PAGES_INLINE_MAX: usize = 8;

/// The identity of a page of deletions: its direction and its 1,024 sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageId {
    /// The direction of the deleted messages.
    pub direction: Direction,
    /// `(seq − 1) / 1024`.
    pub number: u64,
}

impl PageId {
    /// The page that holds the bit of a message.
    #[must_use]
    pub const fn of(direction: Direction, seq: u64) -> Self {
        Self { direction, number: seq.saturating_sub(1) / PAGE_BITS }
    }
}

/// The bits of one page. Trailing zero bytes are not kept, so that equal sets are equal values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    bits: Vec<u8>,
    /// Fields of a later release.
    pub later: LaterFields,
}

impl Bitmap {
    /// Reads stored bytes; bytes beyond the page's end are dropped.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut bytes: Vec<u8> = bytes.iter().copied().take((PAGE_BITS / 8) as usize).collect();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        Self { bits: bytes, later: LaterFields::default() }
    }

    /// The same with the fields of a later release.
    #[must_use]
    pub fn with_later(self, later: LaterFields) -> Self {
        Self { later, ..self }
    }

    /// The bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bits
    }

    fn place(seq: u64) -> (usize, u8) {
        let bit = seq.saturating_sub(1) % PAGE_BITS;
        ((bit / 8) as usize, 1 << (bit % 8))
    }

    /// Sets the bit of `seq`; false if it was set already.
    fn insert(&mut self, seq: u64) -> bool {
        let (byte, mask) = Self::place(seq);
        if self.bits.len() <= byte {
            self.bits.resize(byte + 1, 0);
        }
        let new = self.bits[byte] & mask == 0;
        self.bits[byte] |= mask;
        new
    }

    fn contains(&self, seq: u64) -> bool {
        let (byte, mask) = Self::place(seq);
        self.bits.get(byte).is_some_and(|bits| bits & mask != 0)
    }
}

/// The known single deletions of one conversation. Pages with `PageId::direction` in `spilled` may
/// also be in entries of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    pages: BTreeMap<PageId, Bitmap>,
    spilled_sent: bool,
    spilled_received: bool,
}

impl Deletions {
    /// Composes it from the stored parts.
    #[must_use]
    pub fn new(
        pages: impl IntoIterator<Item = (PageId, Bitmap)>,
        spilled_sent: bool,
        spilled_received: bool,
    ) -> Self {
        Self { pages: pages.into_iter().collect(), spilled_sent, spilled_received }
    }

    /// Whether pages of a direction may be in entries of their own.
    #[must_use]
    pub const fn has_spilled(&self, direction: Direction) -> bool {
        match direction {
            Direction::Send => self.spilled_sent,
            Direction::Receive => self.spilled_received,
        }
    }

    /// The pages in memory.
    #[must_use]
    pub fn pages(&self) -> impl ExactSizeIterator<Item = (&PageId, &Bitmap)> {
        self.pages.iter()
    }

    /// Whether a page is in memory.
    #[must_use]
    pub fn has_page(&self, page: PageId) -> bool {
        self.pages.contains_key(&page)
    }

    /// Adds a page read from its own entry, unless a newer one is in memory.
    pub fn add_page(&mut self, page: PageId, bitmap: Bitmap) {
        self.pages.entry(page).or_insert(bitmap);
    }

    /// Deletes a message; false if it was deleted already.
    pub fn insert(&mut self, direction: Direction, seq: u64) -> bool {
        self.pages.entry(PageId::of(direction, seq)).or_default().insert(seq)
    }

    /// Whether a message was deleted, according to the pages in memory.
    #[must_use]
    pub fn contains(&self, direction: Direction, seq: u64) -> bool {
        self.pages.get(&PageId::of(direction, seq)).is_some_and(|page| page.contains(seq))
    }

    /// Removes the pages that do not fit the conversation's entry, the oldest first. They must be
    /// stored in entries of their own before the conversation's entry is.
    pub fn spill(&mut self) -> Vec<(PageId, Bitmap)> {
        let mut spilled = Vec::new();
        while self.pages.len() > PAGES_INLINE_MAX {
            let Some(oldest) = self.pages.keys().min_by_key(|page| page.number).copied() else {
                break;
            };
            match oldest.direction {
                Direction::Send => self.spilled_sent = true,
                Direction::Receive => self.spilled_received = true,
            }
            spilled.extend(self.pages.remove_entry(&oldest));
        }
        spilled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_message_stays_deleted_and_only_that_one() {
        let mut deletions = Deletions::default();
        assert!(deletions.insert(Direction::Receive, 1024));
        assert!(!deletions.insert(Direction::Receive, 1024));
        assert!(deletions.contains(Direction::Receive, 1024));
        for (direction, seq) in
            [(Direction::Receive, 1023), (Direction::Receive, 1025), (Direction::Send, 1024)]
        {
            assert!(!deletions.contains(direction, seq));
        }
    }

    #[test]
    fn a_bitmap_survives_its_bytes() {
        let mut bitmap = Bitmap::default();
        for seq in [1, 8, 9, 700] {
            bitmap.insert(seq);
        }
        let mut stored = bitmap.as_bytes().to_vec();
        stored.extend([0, 0]);
        assert_eq!(Bitmap::from_bytes(&stored), bitmap);
    }

    #[test]
    fn the_oldest_pages_are_spilled() {
        let mut deletions = Deletions::default();
        for page in 0..PAGES_INLINE_MAX as u64 + 2 {
            deletions.insert(Direction::Send, page * PAGE_BITS + 1);
        }
        let spilled: Vec<u64> = deletions.spill().iter().map(|(page, _)| page.number).collect();
        assert_eq!(spilled, [0, 1]);
        assert!(deletions.has_spilled(Direction::Send));
        assert!(!deletions.has_spilled(Direction::Receive));
        assert!(!deletions.contains(Direction::Send, 1));
    }
}
