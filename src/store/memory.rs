//! A fake of the store in memory, for tests: it keeps every promise of [`super::Store`] and nothing
//! beyond the process.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::Instant;

use super::{
    Append, AppendError, Appended, Batch, Push, ReadError, Record, Start, Store, StreamId,
};
use peerd_protocol::subject::matches;

/// An offline push in the work queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandedOff {
    /// Its subject.
    pub subject: String,
    /// Its ID.
    pub id: String,
    /// Its body.
    pub payload: Bytes,
}

#[derive(Default)]
struct Stream {
    records: Vec<Record>,
    /// The last sequence ever assigned: a sequence is not used twice.
    last_seq: u64,
}

#[derive(Default)]
struct State {
    streams: BTreeMap<StreamId, Stream>,
    pushes: Vec<HandedOff>,
}

/// Streams in memory.
pub struct Memory {
    state: Mutex<State>,
    wall_ms: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Memory {
    /// Empty streams; `wall_ms` is the server's clock.
    #[must_use]
    pub fn new(wall_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), wall_ms: Box::new(wall_ms) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that is stored in a stream.
    #[must_use]
    pub fn records(&self, stream: StreamId) -> Vec<Record> {
        self.lock().streams.get(&stream).map(|found| found.records.clone()).unwrap_or_default()
    }

    /// Removes the oldest records of a subject from a stream, as retention does.
    pub fn remove(&self, stream: StreamId, subject: &str, count: usize) {
        let mut state = self.lock();
        let mut left = count;
        if let Some(Stream { records, .. }) = state.streams.get_mut(&stream) {
            records.retain(|record| {
                let is_removed = left > 0 && matches(subject, &record.subject);
                left -= usize::from(is_removed);
                !is_removed
            });
        }
    }

    /// The work queue of offline pushes.
    #[must_use]
    pub fn pushes(&self) -> Vec<HandedOff> {
        self.lock().pushes.clone()
    }
}

/// [`Store::append_then`] of a store in memory, whose appends complete at once.
pub fn append_at_once(
    store: &impl Store,
    append: Append,
    deadline: Instant,
    then: impl FnOnce(Appended),
) {
    let Append { stream, subject, payload, expected_seq } = append;
    let stored = store.append(stream, subject, payload, expected_seq, deadline).now_or_never();
    then(Appended::Now(stored.unwrap_or(Err(AppendError::Unknown))));
}

impl Store for Memory {
    async fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        _deadline: Instant,
    ) -> Result<u64, AppendError> {
        let stored_ms = (self.wall_ms)();
        let mut state = self.lock();
        let Stream { records, last_seq } = state.streams.entry(stream).or_default();
        let last = records.iter().rev().find(|record| record.subject == subject);
        if last.map_or(0, |record| record.stream_seq) != expected_seq {
            return Err(AppendError::Conflict);
        }
        if matches!(stream, StreamId::State(_)) {
            records.retain(|record| record.subject != subject || record.stream_seq > expected_seq);
        }
        *last_seq += 1;
        records.push(Record { subject, stream_seq: *last_seq, stored_ms, payload });
        Ok(*last_seq)
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
        _deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        let state = self.lock();
        let mut last: BTreeMap<&str, &Record> = BTreeMap::new();
        for record in state.streams.get(&stream).into_iter().flat_map(|found| &found.records) {
            if subjects.iter().any(|filter| matches(filter, &record.subject)) {
                last.insert(&record.subject, record);
            }
        }
        let mut records: Vec<Record> = last.into_values().cloned().collect();
        records.sort_unstable_by_key(|record| record.stream_seq);
        Ok(records)
    }

    async fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        _deadline: Instant,
    ) -> Result<Batch, ReadError> {
        let state = self.lock();
        let reached = |record: &&Record| match from {
            Start::Seq(seq) => record.stream_seq >= seq,
            Start::TimeMs(ms) => record.stored_ms >= ms,
        };
        let stored = state.streams.get(&stream).into_iter().flat_map(|found| &found.records);
        let mut matching =
            stored.filter(reached).filter(|record| matches(&subject, &record.subject));
        let records = matching.by_ref().take(limit).cloned().collect();
        Ok(Batch { records, remaining: matching.count() as u64 })
    }

    async fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        _deadline: Instant,
    ) -> Result<(), AppendError> {
        if let Some(Stream { records, .. }) = self.lock().streams.get_mut(&stream) {
            records.retain(|record| record.stream_seq != seq);
        }
        Ok(())
    }

    async fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        _content_type: &'static str,
        id: String,
        _deadline: Instant,
    ) -> Result<(), AppendError> {
        let mut state = self.lock();
        if state.pushes.iter().all(|push| push.id != id) {
            state.pushes.push(HandedOff { subject, id, payload });
        }
        Ok(())
    }

    async fn withdraw(&self, push: Push, _deadline: Instant) -> Result<(), AppendError> {
        self.lock().pushes.retain(|waiting| waiting.id != push.id);
        Ok(())
    }

    async fn last_seq(&self, stream: StreamId, _deadline: Instant) -> Result<u64, ReadError> {
        Ok(self.lock().streams.get(&stream).map_or(0, |found| found.last_seq))
    }

    fn reaches(&self, _stream: StreamId, _seq: u64) {}

    fn forget_ends(&self) {}

    fn generation(&self) -> u64 {
        1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_not_given_twice() {
        let store = Memory::new(|| 0);
        let stream = StreamId::State(peerd_core::id::Partition(0));
        let mut expected_seq = 0;
        for seq in 1..=3 {
            let payload = Bytes::from_static(b"entry");
            let deadline = Instant::now();
            let append = store.append(stream, "entry".to_owned(), payload, expected_seq, deadline);
            expected_seq = append.await.expect("stored");
            assert_eq!(expected_seq, seq);
        }
        assert_eq!(store.records(stream).len(), 1);
    }
}
