//! What is stored and cannot be read: damaged, written by somebody else, or a later version's. It is
//! left out, counted, and named once. Nothing waits for it: it will not become readable.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::store::{Record, Store, StreamId};
use crate::wire::packed::RecordError;

/// Most records that are remembered, so that each is named once.
const KNOWN_MAX: usize = 4096;
/// For how long a record that was not met again is still counted: it may have been deleted since.
const COUNTED: Duration = Duration::from_secs(15 * 60);

/// The records that could not be read, and when each was met last.
#[derive(Debug, Default)]
pub struct Unreadable {
    known: Mutex<HashMap<(StreamId, u64), Instant>>,
}

impl Unreadable {
    fn known(&self) -> MutexGuard<'_, HashMap<(StreamId, u64), Instant>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are, as far as is known.
    #[must_use]
    pub fn count(&self) -> usize {
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
            tracing::error!(most = KNOWN_MAX, "further unreadable records are not logged");
        }
    }
}
