//! How far each stream is known to go, so that an answer of a replica that is behind is recognized.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::StreamId;

/// How far each stream is known to go.
#[derive(Debug)]
pub(super) struct Floors {
    logs: Vec<AtomicU64>,
    states: Vec<AtomicU64>,
}

impl Floors {
    /// Floors for the streams of so many partitions; with none, nothing is ever behind.
    pub(super) fn new(partitions: u16) -> Self {
        let floors = || (0..partitions).map(|_| AtomicU64::new(0)).collect();
        Self { logs: floors(), states: floors() }
    }

    /// Whether anything can be behind.
    pub(super) fn is_used(&self) -> bool {
        !self.logs.is_empty()
    }

    fn of(&self, stream: StreamId) -> Option<&AtomicU64> {
        match stream {
            StreamId::Log(partition) => self.logs.get(usize::from(partition.0)),
            StreamId::State(partition) => self.states.get(usize::from(partition.0)),
        }
    }

    /// The stream goes at least as far as `seq`.
    pub(super) fn raise(&self, stream: StreamId, seq: u64) {
        if let Some(floor) = self.of(stream) {
            floor.fetch_max(seq, Ordering::AcqRel);
        }
    }

    /// How far the stream is known to go.
    pub(super) fn get(&self, stream: StreamId) -> u64 {
        self.of(stream).map_or(0, |floor| floor.load(Ordering::Acquire))
    }
}
