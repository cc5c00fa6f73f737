//! A store that counts its reads.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::store::memory::Memory;
use crate::store::{
    Append, AppendError, Appended, Batch, ReadError, Record, Start, Store, StreamId,
};

/// Reads of a store.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) log: u64,
    pub(super) amendments: u64,
}

/// A store in memory that counts reads.
pub(in crate::runtime) struct Counting {
    pub(super) memory: Memory,
    log: AtomicU64,
    amendments: AtomicU64,
}

impl Counting {
    pub(super) fn new(memory: Memory) -> Self {
        Self { memory, log: AtomicU64::new(0), amendments: AtomicU64::new(0) }
    }

    /// The reads so far.
    pub(super) fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { log: count(&self.log), amendments: count(&self.amendments) }
    }
}

impl Store for Counting {
    fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send {
        self.memory.append(stream, subject, payload, expected_seq, deadline)
    }

    fn append_then(
        &self,
        append: Append,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    ) {
        self.memory.append_then(append, deadline, then);
    }

    fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Record>, ReadError>> + Send {
        if subjects.iter().any(|subject| subject.contains(".amendments.")) {
            self.amendments.fetch_add(1, Ordering::Relaxed);
        }
        self.memory.last(stream, subjects, deadline)
    }

    fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> impl Future<Output = Result<Batch, ReadError>> + Send {
        self.log.fetch_add(1, Ordering::Relaxed);
        self.memory.read(stream, subject, from, limit, deadline)
    }

    fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send {
        self.memory.erase(stream, seq, deadline)
    }

    fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AppendError>> + Send {
        self.memory.hand_off(subject, payload, content_type, id, deadline)
    }

    fn last_seq(
        &self,
        stream: StreamId,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, ReadError>> + Send {
        self.memory.last_seq(stream, deadline)
    }

    fn reaches(&self, stream: StreamId, seq: u64) {
        self.memory.reaches(stream, seq);
    }

    fn forget_ends(&self) {
        self.memory.forget_ends();
    }

    fn generation(&self) -> u64 {
        self.memory.generation()
    }
}
