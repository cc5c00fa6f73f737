//! Read watermarks: how far each stream is known to reach, so that the answer of a lagging replica
//! is recognized. A watermark rises with acknowledged appends, with the end that the leader
//! reports, and with places in answers of other owners.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::store::StreamId;

/// The watermark of a stream.
#[derive(Debug, Default)]
struct Floor {
    seq: AtomicU64,
    /// The round in which its end was last requested.
    asked_in: AtomicU64,
}

/// The watermarks of all streams.
#[derive(Debug)]
pub struct Watermarks {
    logs: Vec<Floor>,
    states: Vec<Floor>,
    /// Rises when the ends must be requested again.
    round: AtomicU64,
}

impl Watermarks {
    /// Watermarks for the streams of `partitions` partitions; with none, no answer is ever stale.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let watermarks = || (0..partitions).map(|_| Floor::default()).collect();
        Self { logs: watermarks(), states: watermarks(), round: AtomicU64::new(1) }
    }

    fn of(&self, stream: StreamId) -> Option<&Floor> {
        match stream {
            StreamId::Log(partition) => self.logs.get(usize::from(partition.0)),
            StreamId::State(partition) => self.states.get(usize::from(partition.0)),
        }
    }

    /// Notes that the stream reaches `seq` at least.
    pub fn raise(&self, stream: StreamId, seq: u64) {
        if let Some(watermark) = self.of(stream) {
            watermark.seq.fetch_max(seq, Ordering::AcqRel);
        }
    }

    /// Notes that the stream was replaced and reaches `seq`.
    pub fn lower(&self, stream: StreamId, seq: u64) {
        if let Some(watermark) = self.of(stream) {
            watermark.seq.store(seq, Ordering::Release);
        }
    }

    /// The stream's watermark.
    #[must_use]
    pub fn get(&self, stream: StreamId) -> u64 {
        self.of(stream).map_or(0, |watermark| watermark.seq.load(Ordering::Acquire))
    }

    /// Makes all ends be requested again.
    pub fn forget(&self) {
        self.round.fetch_add(1, Ordering::AcqRel);
    }

    /// The round for which the stream's end must be requested now, if any.
    #[must_use]
    pub fn is_due(&self, stream: StreamId) -> Option<u64> {
        let round = self.round.load(Ordering::Acquire);
        let asked_in = self.of(stream)?.asked_in.load(Ordering::Acquire);
        (asked_in < round).then_some(round)
    }

    /// Notes that the stream's end was requested in a round.
    pub fn asked(&self, stream: StreamId, round: u64) {
        if let Some(watermark) = self.of(stream) {
            watermark.asked_in.fetch_max(round, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerd_core::id::Partition;

    #[test]
    fn ends_are_asked_for_once_a_round() {
        let watermarks = Watermarks::new(2);
        let stream = StreamId::Log(Partition(1));
        let round = watermarks.is_due(stream).expect("not asked yet");
        watermarks.forget();
        watermarks.asked(stream, round);
        let round = watermarks.is_due(stream).expect("what was written meanwhile may be missing");
        watermarks.asked(stream, round);
        assert_eq!(watermarks.is_due(stream), None);
        watermarks.raise(stream, 9);
        watermarks.raise(stream, 4);
        assert_eq!(watermarks.get(stream), 9);
    }

    #[test]
    fn a_single_copy_is_never_behind() {
        let watermarks = Watermarks::new(0);
        let stream = StreamId::State(Partition(0));
        watermarks.raise(stream, 9);
        assert_eq!((watermarks.get(stream), watermarks.is_due(stream)), (0, None));
    }
}
