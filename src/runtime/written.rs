//! What this instance wrote into a stream, so that what somebody else wrote shows.
//!
//! An owner is alone in writing to its partition. One that was paused and taken for dead may have
//! had an append on its way, though, and the stream takes it where nothing newer came on its
//! subject: only that gap in what the new owner wrote tells of it.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use crate::deliberate::{self, Fault};

/// What this instance wrote into a stream.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// Everything up to here is known.
    up_to: u64,
    /// What was written beyond that.
    beyond: BTreeSet<u64>,
    /// How far the stream went when it was last looked at.
    looked: u64,
}

impl Written {
    /// Everything up to `up_to` is known: it was there before.
    pub(super) const fn since(up_to: u64) -> Self {
        Self { up_to, beyond: BTreeSet::new(), looked: up_to }
    }

    /// Notes a record that this instance wrote.
    pub(super) fn note(&mut self, seq: u64) {
        if seq > self.up_to {
            self.beyond.insert(seq);
            self.close_up();
        }
    }

    /// The newest record that this instance is known to have written, or that was there before.
    pub(super) fn newest(&self) -> u64 {
        self.beyond.last().copied().unwrap_or(self.up_to)
    }

    /// Looks at a stream that goes as far as `last`: answers what somebody else wrote. What is
    /// missing since the last look only may still be on its way to being noted.
    pub(super) fn look(&mut self, last: u64) -> Vec<RangeInclusive<u64>> {
        let mut foreign = Vec::new();
        let mut next = self.up_to + 1;
        for &seq in self.beyond.range(..=self.looked) {
            if next < seq {
                foreign.push(next..=seq - 1);
            }
            next = seq + 1;
        }
        if next <= self.looked {
            foreign.push(next..=self.looked);
        }
        self.looked = last.max(self.looked);
        if deliberate::is(Fault::LateWriteUnnoticed) {
            foreign.clear();
        }
        foreign
    }

    /// Notes that what somebody else wrote is known, and everything before it.
    pub(super) fn know(&mut self, foreign: RangeInclusive<u64>) {
        self.up_to = self.up_to.max(*foreign.end());
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
    fn what_was_not_noted_in_time_is_foreign() {
        let mut written = Written::since(10);
        for seq in [11, 13, 12, 16] {
            written.note(seq);
        }
        assert_eq!(written.look(18), [], "it may still be noted");
        written.note(15);
        assert_eq!(written.look(20), [14..=14, 17..=18]);
        assert_eq!(written.look(20), [14..=14, 17..=20], "it was not dealt with");
        written.know(14..=14);
        written.note(17);
        assert_eq!(written.look(20), [18..=20]);
        written.know(18..=20);
        assert_eq!(written.look(20), []);
        assert_eq!(written.look(0), [], "a stream that was lost");
    }

    #[test]
    fn an_owner_that_is_alone_finds_nothing_and_keeps_nothing() {
        let mut written = Written::default();
        for seq in 1..1000 {
            written.note(seq);
            assert_eq!(written.look(seq), []);
        }
        assert!(written.beyond.is_empty());
    }
}
