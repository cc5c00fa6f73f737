//! Which claims of a member its word on published events covers.
//!
//! A dead owner's `told` entry says up to when it had published everything, also what an owner before
//! it had left. It may say so of a partition only if it was written after that partition was opened,
//! and the order in which entries arrive does not show that: a write that was given up may come in
//! after the claim. So the entry itself names the newest claim that it takes into account.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::id::Partition;

/// The claims of one membership.
#[derive(Debug, Default)]
pub(super) struct Claims(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Partitions whose owner entry may name the member although they are not open.
    open_questions: BTreeSet<Partition>,
    /// Where the newest owner entry of an open partition is.
    newest_seq: u64,
    /// The newest such place at which nothing was under way.
    settled_seq: u64,
}

impl Claims {
    /// Notes that an owner entry is about to be written.
    pub(super) fn begin(&self, partition: Partition) {
        self.lock().open_questions.insert(partition);
    }

    /// Notes that a partition is open, by the owner entry at `seq`.
    pub(super) fn opened(&self, partition: Partition, seq: u64) {
        let mut state = self.lock();
        state.newest_seq = state.newest_seq.max(seq);
        state.settle(partition);
    }

    /// Notes that no owner entry of this claim is there.
    pub(super) fn withdrawn(&self, partition: Partition) {
        self.lock().settle(partition);
    }

    /// Each own owner entry up to this place in the bucket belongs to a partition that is open, or
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
    fn nothing_is_settled_while_a_claim_is_under_way_or_its_outcome_unknown() {
        let claims = Claims::default();
        let [one, other] = [Partition(1), Partition(2)];
        claims.begin(one);
        claims.begin(other);
        claims.opened(other, 7);
        assert_eq!(claims.settled_seq(), 0, "the other entry may be at a smaller place");
        claims.begin(one);
        claims.opened(one, 9);
        assert_eq!(claims.settled_seq(), 9);
        claims.begin(other);
        assert_eq!(claims.settled_seq(), 9, "its entry comes after this");
        claims.withdrawn(other);
        assert_eq!(claims.settled_seq(), 9);
    }
}
