//! The marks that a user puts on conversations: numbers that the application gives a meaning.

use super::limits::MARK_MAX;

/// A mark, 1 to [`MARK_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConversationMark(u8);

impl ConversationMark {
    /// The mark with this number, if there is one.
    #[must_use]
    pub fn new(number: u64) -> Option<Self> {
        let number = u8::try_from(number).ok().filter(|number| (1..=MARK_MAX).contains(number));
        number.map(Self)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    const fn bit(self) -> u32 {
        1 << self.0
    }
}

/// The marks of one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConversationMarks(u32);

impl ConversationMarks {
    /// The marks of stored bits, one for each number. Bits of marks that this release does not know
    /// are kept.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The bits to store.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The marks with one more, or without one.
    #[must_use]
    pub const fn with(self, mark: ConversationMark, is_set: bool) -> Self {
        Self(if is_set { self.0 | mark.bit() } else { self.0 & !mark.bit() })
    }

    /// Whether a mark is set.
    #[must_use]
    pub const fn contains(self, mark: ConversationMark) -> bool {
        self.0 & mark.bit() != 0
    }

    /// Whether one of several marks is set.
    #[must_use]
    pub const fn intersects(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// Whether no mark is set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.numbers().next().is_none()
    }

    /// The numbers of the marks, ascending.
    pub fn numbers(self) -> impl Iterator<Item = u8> + Clone {
        (1..=MARK_MAX).filter(move |number| self.contains(ConversationMark(*number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u64) -> ConversationMark {
        ConversationMark::new(number).expect("a mark")
    }

    #[test]
    fn marks_are_the_numbers_from_one_to_twenty() {
        assert_eq!(
            (ConversationMark::new(0), ConversationMark::new(21), ConversationMark::new(256)),
            (None, None, None)
        );
        assert_eq!((mark(1).number(), mark(20).number()), (1, 20));
    }

    #[test]
    fn marks_are_set_and_taken_away_one_by_one() {
        let marks = ConversationMarks::default().with(mark(20), true).with(mark(3), true);
        assert_eq!(marks.numbers().collect::<Vec<_>>(), [3, 20]);
        assert_eq!(marks.with(mark(3), true), marks);
        assert!(marks.with(mark(3), false).with(mark(20), false).is_empty());
        assert!(marks.contains(mark(20)) && !marks.contains(mark(1)));
    }

    #[test]
    fn bits_that_are_not_known_are_kept_and_are_no_marks() {
        let marks = ConversationMarks::from_bits(1 | 1 << 31);
        assert!(marks.is_empty());
        assert_eq!(marks.with(mark(1), true).bits(), 1 | 1 << 1 | 1 << 31);
    }
}
