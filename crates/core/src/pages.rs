//! The pages of a direction of a conversation, and sets of them.

use std::ops::RangeInclusive;

use super::limits::{NUMBER_MAX, PAGE_MESSAGES};

/// The most ranges of page numbers that a conversation's entry lists for one direction.
pub const RANGES_MAX: usize = 16;

/// The page of a direction that contains the message with this `messageSeq`.
#[must_use]
pub const fn page_number(seq: u64) -> u64 {
    seq.saturating_sub(1) / PAGE_MESSAGES as u64
}

/// The `messageSeq` of the first message of a page.
#[must_use]
pub const fn first_of_page(number: u64) -> u64 {
    number.saturating_mul(PAGE_MESSAGES as u64).saturating_add(1)
}

/// The pages of one direction that may have amendments: a superset of those that do. It has at most
/// [`RANGES_MAX`] ranges; beyond that, the two closest ones are merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmendedPages {
    /// First and last page of each range, ascending, not adjacent.
    ranges: Vec<(u64, u64)>,
}

impl AmendedPages {
    /// All pages, for an entry that cannot be read.
    #[must_use]
    pub fn all() -> Self {
        Self { ranges: vec![(0, page_number(NUMBER_MAX))] }
    }

    /// Composes it from the stored ranges, which may come in any order.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut pages = Self::default();
        for (first, last) in ranges {
            pages.insert_range(first.min(last), first.max(last));
        }
        pages
    }

    /// First and last page of each range, ascending.
    #[must_use]
    pub fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Whether no page may have amendments.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether a page may have amendments.
    #[must_use]
    pub fn contains(&self, page: u64) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&page))
    }

    /// The pages of a range that may have amendments, ascending.
    pub fn within(&self, pages: RangeInclusive<u64>) -> impl Iterator<Item = u64> {
        let (from, to) = pages.into_inner();
        self.ranges.iter().flat_map(move |(first, last)| *first.max(&from)..=*last.min(&to))
    }

    /// Adds a page; false if it was included already.
    pub fn insert(&mut self, page: u64) -> bool {
        let is_new = !self.contains(page);
        if is_new {
            self.insert_range(page, page);
        }
        is_new
    }

    fn insert_range(&mut self, mut first: u64, mut last: u64) {
        self.ranges.retain(|(other_first, other_last)| {
            let is_apart =
                *other_first > last.saturating_add(1) || first > other_last.saturating_add(1);
            if !is_apart {
                (first, last) = (first.min(*other_first), last.max(*other_last));
            }
            is_apart
        });
        let place = self.ranges.partition_point(|(other, _)| *other < first);
        self.ranges.insert(place, (first, last));
        while self.ranges.len() > RANGES_MAX {
            let gap = |index: &usize| self.ranges[*index].0 - self.ranges[index - 1].1;
            let Some(closest) = (1..self.ranges.len()).min_by_key(gap) else { return };
            let (_, last) = self.ranges.remove(closest);
            self.ranges[closest - 1].1 = last;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_found_again_and_neighbours_are_one_range() {
        let mut pages = AmendedPages::default();
        assert!(pages.is_empty() && !pages.contains(0));
        assert!(pages.insert(5) && pages.insert(7) && pages.insert(9) && !pages.insert(7));
        assert_eq!(pages.ranges(), [(5, 5), (7, 7), (9, 9)]);
        assert!(pages.insert(6));
        assert_eq!(pages.ranges(), [(5, 7), (9, 9)]);
        assert_eq!(pages.within(6..=100).collect::<Vec<_>>(), [6, 7, 9]);
        assert_eq!(pages.within(8..=8).count(), 0);
        assert_eq!(AmendedPages::new([(9, 9), (7, 5)]), pages);
    }

    #[test]
    fn ranges_have_a_bound_and_every_page_stays() {
        let mut pages = AmendedPages::default();
        let all: Vec<u64> = (0..200).map(|number: u64| number * number).collect();
        for page in &all {
            pages.insert(*page);
            assert!(pages.ranges().len() <= RANGES_MAX);
        }
        assert!(all.iter().all(|page| pages.contains(*page)));
        assert!(!pages.contains(199 * 199 - 1), "where they are far apart each is exact");
    }

    #[test]
    fn all_pages_are_one_range_that_nothing_is_added_to() {
        let mut pages = AmendedPages::all();
        assert!(pages.contains(0) && pages.contains(page_number(NUMBER_MAX)));
        assert!(!pages.insert(7));
        assert_eq!(AmendedPages::new(pages.ranges().iter().copied()), pages);
        assert_eq!(pages.within(5..=7).collect::<Vec<_>>(), [5, 6, 7]);
    }
}
