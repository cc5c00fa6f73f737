//! The database: JetStream, and a fake of it in memory.
//!
//! A store knows streams, subjects and bytes. Their meaning is in [`crate::storage`].

pub mod jetstream;
pub mod memory;
pub mod names;
pub mod provision;
pub mod registry;
pub mod scan;
pub mod survey;
pub mod trouble;
pub mod waits;
pub mod watermarks;

pub mod batch;
mod direct_get;
mod tuning;

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use tokio::time::Instant;

use self::trouble::Trouble;
use peerd_core::id::Partition;

/// One of the streams of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamId {
    /// The messages.
    Log(Partition),
    /// The last-value entries.
    State(Partition),
}

/// A stored record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its subject.
    pub subject: String,
    /// Its sequence in the stream.
    pub stream_seq: u64,
    /// When the server stored it, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
    /// Its bytes.
    pub payload: Bytes,
}

/// The position at which a read begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At a stream sequence, or at the next existing one.
    Seq(u64),
    /// At the first record stored at or after a time (server's clock, milliseconds since 1970).
    TimeMs(u64),
}

/// A part of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The records, in the stream's order.
    pub records: Vec<Record>,
    /// The number of matching records after them.
    pub remaining: u64,
}

/// A record to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The stream.
    pub stream: StreamId,
    /// The subject.
    pub subject: String,
    /// The bytes.
    pub payload: Bytes,
    /// The stream sequence that the subject must end with; 0: it must be empty.
    pub expected_seq: u64,
}

/// A future with the outcome of an append.
pub type Appending = Pin<Box<dyn Future<Output = Result<u64, AppendError>> + Send>>;

/// The state of an append that was begun without waiting for it.
pub enum Appended {
    /// The outcome.
    Now(Result<u64, AppendError>),
    /// It takes longer than usual, or must be retried: this future waits for the outcome.
    Later(Appending),
}

impl Appended {
    /// Calls `seen` with the outcome, once it is known.
    #[must_use]
    pub fn inspect(self, seen: impl FnOnce(&Result<u64, AppendError>) + Send + 'static) -> Self {
        match self {
            Self::Now(outcome) => {
                seen(&outcome);
                Self::Now(outcome)
            }
            Self::Later(appending) => Self::Later(Box::pin(async move {
                let outcome = appending.await;
                seen(&outcome);
                outcome
            })),
        }
    }
}

/// An offline push in the work queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Its subject.
    pub subject: String,
    /// Its ID.
    pub id: String,
    /// It was stored at this time or later, by the server's clock, in milliseconds since 1970.
    pub since_ms: u64,
}

/// Why an append did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The subject's last sequence is not the expected one. Not stored.
    #[error("the subject does not end where it was expected to")]
    Conflict,
    /// The store does not take writes at present. Not stored.
    #[error("the store does not take writes: {0}")]
    Unavailable(String),
    /// It may or may not be stored.
    #[error("no acknowledgement came")]
    Unknown,
}

/// The store did not answer a read in time, or could not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store does not answer: {0}")]
pub struct ReadError(pub String);

/// The streams. Every call ends by its deadline. Every read includes the records that were
/// acknowledged or read here before it began, and those up to the ends known from
/// [`Store::last_seq`] or [`Store::reaches`].
pub trait Store: Send + Sync + 'static {
    /// Stores a record after checking that its subject's last record is at `expected_seq` (0: that
    /// there is none). Returns its sequence, once it is as durable as the stream is configured to
    /// be.
    fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Begins to store a record, as [`Store::append`] does, without waiting for it. `then` is
    /// called once with the outcome: by the task that reads acknowledgements, so it must not block,
    /// or here if nothing could be sent.
    fn append_then(
        &self,
        append: Append,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    );

    /// The last record of each subject that matches one of `subjects` (wildcards allowed), in the
    /// stream's order.
    fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Record>, ReadError>> + Send;

    /// Up to `limit` records that match `subject` (wildcards allowed), in the stream's order.
    fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Batch, ReadError>> + Send;

    /// Erases the record at a sequence of a stream: the server overwrites its bytes. Succeeds if
    /// the record does not exist any more. A lagging replica may show it a moment longer.
    fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Puts an offline push into the work queue, once per `id`.
    fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Takes an offline push back: erases it from the work queue. Succeeds if it is not there, or
    /// too many others are before it.
    fn withdraw(
        &self,
        push: Push,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// The sequence of the newest record of a stream. The answer is never stale.
    fn last_seq(
        &self,
        stream: StreamId,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, ReadError>> + Send;

    /// Raises the read watermark of a stream: later reads reach it.
    fn reaches(&self, stream: StreamId, seq: u64);

    /// Makes the end of each stream be requested before its next read, because others have written
    /// to it.
    fn forget_ends(&self);

    /// Rises whenever earlier reads may be out of date, because a connection was lost.
    fn generation(&self) -> u64;

    /// Rises when a stream was lost and created again, which [`Store::last_seq`] detects.
    fn incarnation(&self, _stream: StreamId) -> u64 {
        0
    }

    /// The name of a stream, for people.
    fn name(&self, stream: StreamId) -> String {
        format!("{stream:?}")
    }

    /// The lasting problems of the store.
    fn troubles(&self) -> Vec<Trouble> {
        Vec::new()
    }

    /// Whether a lasting problem prevents instances from owning partitions.
    fn is_owning_impossible(&self) -> bool {
        false
    }
}
