//! How long operations of the store take, and how many fail.

use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

use super::{AppendError, Appended, ReadError};
use crate::metrics::Durations;

/// The operations that are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Storing a record, until its acknowledgement.
    Append,
    /// Reading records.
    Read,
    /// Asking for the end of a stream.
    End,
    /// Putting an offline push into the work queue.
    HandOff,
    /// Erasing a record.
    Erase,
}

impl Operation {
    /// All operations, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Append, Self::Read, Self::End, Self::HandOff, Self::Erase];

    /// The label.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::End => "end",
            Self::HandOff => "hand_off",
            Self::Erase => "erase",
        }
    }
}

/// An error of an operation.
pub(super) trait Failure {
    /// Whether the store failed: it did not answer, or refused for a reason of its own.
    fn is_of_store(&self) -> bool;
}

impl Failure for ReadError {
    fn is_of_store(&self) -> bool {
        true
    }
}

impl Failure for AppendError {
    fn is_of_store(&self) -> bool {
        match self {
            // The answer to a write that has lost a race.
            Self::Conflict => false,
            Self::Unavailable(_) | Self::Unknown => true,
        }
    }
}

/// The operations so far.
#[derive(Debug, Default)]
pub struct Waits {
    durations: [Durations; Operation::ALL.len()],
    failures: [AtomicU64; Operation::ALL.len()],
}

impl Waits {
    fn ended<T>(&self, operation: Operation, began: Instant, result: &Result<T, impl Failure>) {
        self.durations[operation as usize].record(began.elapsed());
        if result.as_ref().is_err_and(Failure::is_of_store) {
            self.failures[operation as usize].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts an operation.
    pub(super) async fn of<T, E: Failure>(
        &self,
        operation: Operation,
        result: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let result = result.await;
        self.ended(operation, began, &result);
        result
    }

    /// Counts an append that began at a time, once its outcome is known.
    pub(super) fn of_append(
        self: &std::sync::Arc<Self>,
        began: Instant,
        done: Appended,
    ) -> Appended {
        let waits = self.clone();
        done.inspect(move |outcome| waits.ended(Operation::Append, began, outcome))
    }

    /// The durations of each operation.
    pub fn durations(&self) -> impl Iterator<Item = (&'static str, &Durations)> {
        Operation::ALL.map(Operation::name).into_iter().zip(&self.durations)
    }

    /// How often each operation failed.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.failures.iter().map(|count| count.load(Ordering::Relaxed));
        Operation::ALL.map(Operation::name).into_iter().zip(counts)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_operation_is_counted_when_it_ends_and_a_lost_race_is_no_failure() {
        let waits = Arc::<Waits>::default();
        let _ = waits.of(Operation::Read, async { Err::<(), _>(ReadError(String::new())) }).await;
        let began = Instant::now();
        let conflict = Appended::Now(Err(AppendError::Conflict));
        let _ = waits.of_append(began, conflict);
        let later = Appended::Later(Box::pin(async { Err(AppendError::Unknown) }));
        let Appended::Later(later) = waits.of_append(began, later) else { panic!("later") };
        advance(Duration::from_secs(1)).await;
        assert_eq!(later.await, Err(AppendError::Unknown));
        let counts: Vec<u64> = waits.durations().map(|(_, durations)| durations.count()).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0]);
        assert_eq!(waits.durations[Operation::Append as usize].sum_ns(), 1_000_000_000);
        let failures: Vec<u64> = waits.failures().map(|(_, count)| count).collect();
        assert_eq!(failures, [1, 1, 0, 0, 0]);
    }
}
