//! Unreadable records: damaged, written by another program, or of a later version. They are
//! skipped, counted, and logged once. There are no retries, since they will not become readable.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::tuning::{UNREADABLE_COUNTED_FOR, UNREADABLE_KNOWN_MAX};
use crate::store::{Record, Store, StreamId};
use crate::wire::packed::RecordError;

/// The unreadable records, and when each was last met.
#[derive(Debug, Default)]
pub struct Unreadable {
    known: Mutex<HashMap<(StreamId, u64), Instant>>,
}

impl Unreadable {
    fn known(&self) -> MutexGuard<'_, HashMap<(StreamId, u64), Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of known ones.
    #[must_use]
    pub fn count(&self) -> usize {
        self.known().values().filter(|met| met.elapsed() < UNREADABLE_COUNTED_FOR).count()
    }

    /// Notes an unreadable record.
    pub(super) fn note(
        &self,
        store: &impl Store,
        stream: StreamId,
        record: &Record,
        error: &RecordError,
    ) {
        let (mut known, place) = (self.known(), (stream, record.stream_seq));
        let is_full = known.len() >= UNREADABLE_KNOWN_MAX;
        if let Some(met) = known.get_mut(&place) {
            *met = Instant::now();
            return;
        }
        if is_full {
            return;
        }
        known.insert(place, Instant::now());
        let is_last = known.len() == UNREADABLE_KNOWN_MAX;
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
            tracing::error!(
                most = UNREADABLE_KNOWN_MAX,
                "further unreadable records are not logged"
            );
        }
    }
}
