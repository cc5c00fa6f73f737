//! Typed reads. Each names the sentinel of its stream, so that no answer is empty and a lagging
//! replica is recognized, and returns values. Unreadable records are skipped, counted and logged
//! here.

mod amended;
mod entries;
mod items;
mod log;

use tokio::time::Instant;

use super::unreadable::Unreadable;
use crate::store::{ReadError, Record, Store, StreamId};
use crate::wire::packed::RecordError;
use peerd_core::id::Partition;
use peerd_protocol::subject::{Subjects, is_sentinel};

pub use self::amended::whole;
pub use self::items::{Found, Item, Logged, Page, Pair, Raw, Slot};

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store did not answer, or could not.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The stored record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Reads of stored records, with a deadline.
pub struct Storage<'s, S> {
    store: &'s S,
    subjects: &'s Subjects,
    unreadable: &'s Unreadable,
    /// Messages stored up to this time, by the server's clock in milliseconds since 1970, have aged
    /// out; `None`: messages do not age.
    aged_ms: Option<u64>,
    deadline: Instant,
}

impl<S> Clone for Storage<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Storage<'_, S> {}

impl<'s, S: Store> Storage<'s, S> {
    /// Reads from a store. `aged_ms`: messages stored up to this time, by the server's clock in
    /// milliseconds since 1970, have aged out; `None`: messages do not age.
    #[must_use]
    pub const fn new(
        store: &'s S,
        subjects: &'s Subjects,
        unreadable: &'s Unreadable,
        aged_ms: Option<u64>,
        deadline: Instant,
    ) -> Self {
        Self { store, subjects, unreadable, aged_ms, deadline }
    }

    /// Notes that another owner has stored a message at this sequence of a log: later reads reach
    /// it.
    pub fn note_stored(&self, partition: Partition, stream_seq: u64) {
        self.store.reaches(StreamId::Log(partition), stream_seq);
    }

    /// Notes that another owner has stored an entry at this sequence of a state stream, so that
    /// later reads include it.
    pub fn note_entry(&self, partition: Partition, stream_seq: u64) {
        self.store.reaches(StreamId::State(partition), stream_seq);
    }

    /// The newest record of each of these subjects, without the sentinel.
    async fn last(
        &self,
        stream: StreamId,
        mut subjects: Vec<String>,
    ) -> Result<Vec<Record>, ReadError> {
        subjects.push(match stream {
            StreamId::Log(partition) => self.subjects.log_sentinel(partition),
            StreamId::State(partition) => self.subjects.state_sentinel(partition),
        });
        let mut records = self.store.last(stream, subjects, self.deadline).await?;
        records.retain(|record| !is_sentinel(&record.subject));
        Ok(records)
    }

    fn leave_out(&self, stream: StreamId, record: &Record, error: &RecordError) {
        self.unreadable.note(self.store, stream, record, error);
    }
}
