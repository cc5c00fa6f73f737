//! What is stored and cannot be read: damaged, written by somebody else, or a later version's. It is
//! left out, counted, and named once. Nothing waits for it: it will not become readable.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::conversation::Head;
use crate::domain::id::{Partition, UserId};
use crate::storage::message::{self, RecordError};
use crate::store::{Record, Start, Store, StreamId};

/// Most records that are remembered, so that each is named once.
const KNOWN_MAX: usize = 4096;
/// For how long a record that was not met again is still counted: it may have been deleted since.
const COUNTED: Duration = Duration::from_secs(15 * 60);
/// How far before a record that cannot be read one is looked for that can, at first, and by how much
/// farther each time.
const REACH: u64 = 64;
const FARTHER: u64 = 8;
/// Records that one read asks for.
const BATCH: usize = 256;

/// The records that could not be read, and when each was met last.
#[derive(Debug, Default)]
pub(super) struct Unreadable {
    known: Mutex<HashMap<(StreamId, u64), Instant>>,
}

impl Unreadable {
    fn known(&self) -> MutexGuard<'_, HashMap<(StreamId, u64), Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, as far as is known.
    pub(super) fn count(&self) -> usize {
        self.known().values().filter(|met| met.elapsed() < COUNTED).count()
    }

    /// Takes note of one.
    pub(super) fn note(
        &self,
        store: &impl Store,
        stream: StreamId,
        record: &Record,
        error: &RecordError,
    ) {
        let (mut known, place) = (self.known(), (stream, record.stream_seq));
        let is_full = known.len() >= KNOWN_MAX;
        if let Some(met) = known.get_mut(&place) {
            *met = Instant::now();
            return;
        }
        if is_full {
            return;
        }
        known.insert(place, Instant::now());
        let is_last = known.len() == KNOWN_MAX;
        drop(known);
        let (name, seq) = (store.name(stream), record.stream_seq);
        tracing::error!(
            stream = name,
            subject = record.subject,
            seq,
            remedy = format!("look at it with `nats stream get {name} {seq}`"),
            "what is stored cannot be read and is left out: {error}"
        );
        if is_last {
            tracing::error!(most = KNOWN_MAX, "more that cannot be read is not named any more");
        }
    }
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Takes note of what cannot be read. It is left out.
    pub(super) fn leave_out(&self, stream: StreamId, record: &Record, error: &RecordError) {
        self.unreadable.note(&self.store, stream, record, error);
    }

    /// What the newest record of a pair comes to. Where it cannot be read, that is the one before it,
    /// with all that follow it taken for messages that do not count: no `messageSeq` is given twice.
    pub(super) async fn head_of(
        &self,
        newest: &Record,
        (sender, receiver): (&UserId, &UserId),
        partition: Partition,
        deadline: Instant,
    ) -> Result<Head, LoadError> {
        let error = match message::decode(&newest.payload, sender, receiver, partition) {
            Ok(stored) => return Ok(stored.head(newest.stream_seq)),
            Err(error) => error,
        };
        let stream = StreamId::Log(partition);
        self.leave_out(stream, newest, &error);
        let end = newest.stream_seq;
        let mut reach = REACH;
        loop {
            let first = end.saturating_sub(reach).max(1);
            let (mut head, mut next, mut unread) = (None, Some(first), 0);
            while let Some(from) = next.take() {
                let (subject, from) = (newest.subject.clone(), Start::Seq(from));
                let batch = self.store.read(stream, subject, from, BATCH, deadline).await?;
                for record in batch.records.iter().take_while(|record| record.stream_seq <= end) {
                    match message::decode(&record.payload, sender, receiver, partition) {
                        Ok(stored) => {
                            (head, unread) = (Some(stored.head(record.stream_seq)), 0);
                        }
                        Err(error) => {
                            self.leave_out(stream, record, &error);
                            unread += 1;
                        }
                    }
                }
                let last = batch.records.last().filter(|_| batch.remaining > 0);
                next = last.map(|last| last.stream_seq + 1).filter(|next| *next <= end);
            }
            if head.is_some() || first == 1 {
                return Ok(Head::past(head, unread, end));
            }
            reach = reach.saturating_mul(FARTHER);
        }
    }
}
