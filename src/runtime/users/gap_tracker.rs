//! The gap tracker: which records of a stream this instance wrote, so that foreign writes show as
//! gaps.
//!
//! Only the owner writes to a partition. But an owner that was paused and taken for dead may have
//! had an append in flight, and the stream accepts it if no newer record is on its subject. The gap
//! in what the new owner wrote is then the only sign of it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// The records of a stream that this instance wrote.
#[derive(Debug, Default)]
pub(in crate::runtime) struct GapTracker {
    /// Every record up to here is known.
    up_to: u64,
    /// Records written beyond that.
    beyond: BTreeSet<u64>,
    /// The end of the stream at the last look.
    looked: u64,
}

impl GapTracker {
    /// A tracker for a stream that ends at `up_to`: all earlier records are known.
    pub(in crate::runtime) const fn since(up_to: u64) -> Self {
        Self { up_to, beyond: BTreeSet::new(), looked: up_to }
    }

    /// Notes a record that this instance wrote.
    pub(in crate::runtime) fn note(&mut self, seq: u64) {
        if seq > self.up_to {
            self.beyond.insert(seq);
            self.close_up();
        }
    }

    /// The newest record that this instance is known to have written, or that was there before.
    pub(in crate::runtime) fn newest(&self) -> u64 {
        self.beyond.last().copied().unwrap_or(self.up_to)
    }

    /// Whether a record is known: this instance wrote it or took it in, or it was there before.
    pub(in crate::runtime) fn knows(&self, seq: u64) -> bool {
        seq <= self.up_to || self.beyond.contains(&seq)
    }

    /// Compares with a stream that ends at `last` and returns the gaps: foreign writes. A record
    /// that appeared after the previous look is not reported yet, since its acknowledgement may not
    /// have been noted.
    pub(in crate::runtime) fn look(&mut self, last: u64) -> Vec<RangeInclusive<u64>> {
        let mut gaps = Vec::new();
        let mut next = self.up_to + 1;
        for &seq in self.beyond.range(..=self.looked) {
            if next < seq {
                gaps.push(next..=seq - 1);
            }
            next = seq + 1;
        }
        if next <= self.looked {
            gaps.push(next..=self.looked);
        }
        self.looked = last.max(self.looked);
        gaps
    }

    /// Notes that a foreign write, and everything before it, is known.
    pub(in crate::runtime) fn know(&mut self, gap: RangeInclusive<u64>) {
        self.up_to = self.up_to.max(*gap.end());
        self.beyond = self.beyond.split_off(&(self.up_to + 1));
        self.close_up();
    }

    fn close_up(&mut self) {
        while self.beyond.remove(&(self.up_to + 1)) {
            self.up_to += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_not_noted_by_the_next_look_is_a_gap() {
        let mut written = GapTracker::since(10);
        for seq in [11, 13, 12, 16] {
            written.note(seq);
        }
        assert_eq!(written.look(18), [], "the acknowledgement may still arrive");
        written.note(15);
        assert_eq!(written.look(20), [14..=14, 17..=18]);
        assert_eq!(written.look(20), [14..=14, 17..=20], "the gap was not taken in");
        written.know(14..=14);
        written.note(17);
        assert_eq!(written.look(20), [18..=20]);
        written.know(18..=20);
        assert_eq!(written.look(20), []);
        assert_eq!(written.look(0), [], "a stream that was lost");
    }

    #[test]
    fn the_only_writer_finds_no_gaps_and_keeps_no_state() {
        let mut written = GapTracker::default();
        for seq in 1..1000 {
            written.note(seq);
            assert_eq!(written.look(seq), []);
        }
        assert!(written.beyond.is_empty());
    }
}
