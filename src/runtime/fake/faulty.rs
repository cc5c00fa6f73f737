//! A store that fails on demand and counts its reads, for tests of what one instance does then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::store::memory::{Memory, append_at_once};
use crate::store::{
    Append, AppendError, Appended, Batch, Push, ReadError, Record, Start, Store, StreamId,
};

/// Reads of a store.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Counts {
    pub(in crate::runtime) log: u64,
    pub(in crate::runtime) amendments: u64,
    /// Of the newest records of subjects, also those for amendments.
    pub(in crate::runtime) newest: u64,
}

/// A store in memory that fails as a test asks.
pub(in crate::runtime) struct Faulty {
    pub(in crate::runtime) memory: Memory,
    /// Whether the acknowledgement of the next message is lost.
    pub(in crate::runtime) loses_ack: AtomicBool,
    /// Whether reads of ranges fail.
    pub(in crate::runtime) is_deaf: AtomicBool,
    /// The value of [`Store::generation`].
    pub(in crate::runtime) generation: AtomicU64,
    /// How many writes still get through, as before the death of an instance; `None`: all.
    pub(in crate::runtime) writes_left: Mutex<Option<usize>>,
    /// The appends that fail, by the last token of their subjects.
    pub(in crate::runtime) appends: Mutex<Vec<(&'static str, AppendError)>>,
    log_reads: AtomicU64,
    amendment_reads: AtomicU64,
    newest_reads: AtomicU64,
}

impl Faulty {
    /// A store that does not fail yet.
    pub(in crate::runtime) fn new(clock: Clock) -> Self {
        Self::over(Memory::new(move || clock.wall_ms()))
    }

    /// A store that does not fail yet, with the content of another.
    pub(in crate::runtime) fn over(memory: Memory) -> Self {
        Self {
            memory,
            loses_ack: AtomicBool::new(false),
            is_deaf: AtomicBool::new(false),
            generation: AtomicU64::new(1),
            writes_left: Mutex::default(),
            appends: Mutex::default(),
            log_reads: AtomicU64::new(0),
            amendment_reads: AtomicU64::new(0),
            newest_reads: AtomicU64::new(0),
        }
    }

    fn count_write(&self) -> Result<(), AppendError> {
        match &mut *self.writes_left.lock().expect("no panic") {
            None => Ok(()),
            Some(0) => Err(AppendError::Unavailable("disconnected".to_owned())),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    /// The reads so far.
    pub(in crate::runtime) fn counts(&self) -> Counts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            log: count(&self.log_reads),
            amendments: count(&self.amendment_reads),
            newest: count(&self.newest_reads),
        }
    }
}

impl Store for Faulty {
    async fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        self.count_write()?;
        let failing = self.appends.lock().expect("no panic").clone();
        let last = subject.rsplit('.').next().unwrap_or_default();
        if let Some((_, error)) = failing.into_iter().find(|(entry, _)| *entry == last) {
            return Err(error);
        }
        let stored = self.memory.append(stream, subject, payload, expected_seq, deadline).await;
        let is_message = matches!(stream, StreamId::Log(_));
        if is_message && self.loses_ack.swap(false, Ordering::SeqCst) {
            return Err(AppendError::Unknown);
        }
        stored
    }

    fn append_then(
        &self,
        append: Append,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    ) {
        append_at_once(self, append, deadline, then);
    }

    async fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        self.newest_reads.fetch_add(1, Ordering::Relaxed);
        if subjects.iter().any(|subject| subject.contains(".amendments.")) {
            self.amendment_reads.fetch_add(1, Ordering::Relaxed);
        }
        self.memory.last(stream, subjects, deadline).await
    }

    async fn read(
        &self,
        stream: StreamId,
        subject: String,
        start: Start,
        limit: usize,
        deadline: Instant,
    ) -> Result<Batch, ReadError> {
        self.log_reads.fetch_add(1, Ordering::Relaxed);
        if self.is_deaf.load(Ordering::SeqCst) {
            return Err(ReadError("disconnected".to_owned()));
        }
        self.memory.read(stream, subject, start, limit, deadline).await
    }

    async fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        self.count_write()?;
        self.memory.erase(stream, seq, deadline).await
    }

    async fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        self.memory.hand_off(subject, payload, content_type, id, deadline).await
    }

    async fn withdraw(&self, push: Push, deadline: Instant) -> Result<(), AppendError> {
        self.count_write()?;
        self.memory.withdraw(push, deadline).await
    }

    async fn last_seq(&self, stream: StreamId, deadline: Instant) -> Result<u64, ReadError> {
        self.memory.last_seq(stream, deadline).await
    }

    fn reaches(&self, stream: StreamId, seq: u64) {
        self.memory.reaches(stream, seq);
    }

    fn forget_ends(&self) {
        self.memory.forget_ends();
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }
}
