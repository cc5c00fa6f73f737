//! Tracks which of a member's claims its `published` entry covers.
//!
//! A dead owner's `published` entry has the time up to which it had published all events, including
//! those that a previous owner had left unpublished. For a partition this counts only if the entry
//! was made after the partition was opened. The order in which entries arrive does not show that: a
//! write that was given up may arrive after the claim. So the entry itself names the newest claim
//! that it covers.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use peerd_core::id::Partition;

/// The claims of one membership.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Partitions whose owner entry may name the member although they are not open.
    open_questions: BTreeSet<Partition>,
    /// The revision of the newest owner entry of an opened partition.
    newest_seq: u64,
    /// The newest such revision at a moment when no claim was in progress.
    settled_seq: u64,
}

impl Claims {
    /// Records that an owner entry is about to be written.
    pub(super) fn begin(&self, partition: Partition) {
        self.lock().open_questions.insert(partition);
    }

    /// Records that a partition was opened under the owner entry with revision `seq`.
    pub(super) fn opened(&self, partition: Partition, seq: u64) {
        let mut state = self.lock();
        state.newest_seq = state.newest_seq.max(seq);
        state.settle(partition);
    }

    /// Records that this claim left no owner entry.
    pub(super) fn withdrawn(&self, partition: Partition) {
        self.lock().settle(partition);
    }

    /// Every owner entry of this member up to this revision belongs to a partition that is open, or
    /// was.
    pub(super) fn settled_seq(&self) -> u64 {
        self.lock().settled_seq
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn settle(&mut self, partition: Partition) {
        self.open_questions.remove(&partition);
        if self.open_questions.is_empty() {
            self.settled_seq = self.newest_seq;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_settled_while_a_claim_is_in_progress_or_its_outcome_is_unknown() {
        let claims = Claims::default();
        let [one, other] = [Partition(1), Partition(2)];
        claims.begin(one);
        claims.begin(other);
        claims.opened(other, 7);
        assert_eq!(claims.settled_seq(), 0, "the other entry may have a smaller revision");
        claims.begin(one);
        claims.opened(one, 9);
        assert_eq!(claims.settled_seq(), 9);
        claims.begin(other);
        assert_eq!(claims.settled_seq(), 9, "its entry has a larger revision");
        claims.withdrawn(other);
        assert_eq!(claims.settled_seq(), 9);
    }
}
