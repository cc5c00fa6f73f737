//! The state of the simulated nats-server: its streams, the entries of the bucket, and the messages
//! that it and the instances have not taken yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use peerd::bus::{Answer, Incoming, IsAnswer, Kind, Outgoing};
use peerd::store::registry::Change;
use peerd::store::{Batch, Record, Start, StreamId};
use peerd_core::id::Partition;
use peerd_protocol::subject::{Subjects, matches};
use tokio::sync::{Notify, oneshot};

/// All records that a stream ever held.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) records: Vec<Record>,
    /// The places of those that were erased.
    erased: BTreeSet<u64>,
    by_subject: BTreeMap<String, Vec<usize>>,
}

/// The streams after provisioning, with their sentinels.
pub(crate) fn provisioned(subjects: &Subjects, at_ms: u64) -> BTreeMap<StreamId, Stream> {
    let mut streams = BTreeMap::new();
    for partition in (0..subjects.partitions()).map(Partition) {
        let sentinels = [
            (StreamId::Log(partition), subjects.log_sentinel(partition)),
            (StreamId::State(partition), subjects.state_sentinel(partition)),
        ];
        for (stream, subject) in sentinels {
            let mut fresh = Stream::default();
            fresh.push(subject, Bytes::new(), at_ms);
            streams.insert(stream, fresh);
        }
    }
    streams
}

impl Stream {
    pub(crate) fn push(&mut self, subject: String, payload: Bytes, stored_ms: u64) -> u64 {
        let stream_seq = self.records.len() as u64 + 1;
        self.by_subject.entry(subject.clone()).or_default().push(self.records.len());
        self.records.push(Record { subject, stream_seq, stored_ms, payload });
        stream_seq
    }

    pub(crate) fn last_seq_of(&self, subject: &str) -> u64 {
        let last = self.by_subject.get(subject).and_then(|places| places.last());
        last.map_or(0, |place| *place as u64 + 1)
    }

    /// Erases a record. Every copy follows at once: a reader hides what an entry says was removed.
    pub(crate) fn erase(&mut self, seq: u64) {
        let place = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
        let Some((place, record)) = place.and_then(|at| Some((at, self.records.get_mut(at)?)))
        else {
            return;
        };
        record.payload = Bytes::new();
        if let Some(places) = self.by_subject.get_mut(&record.subject) {
            places.retain(|other| *other != place);
        }
        self.erased.insert(seq);
    }

    /// The number of records of a copy that has everything stored by a time.
    pub(crate) fn length_at(&self, stored_ms: u64) -> usize {
        self.records.partition_point(|record| record.stored_ms <= stored_ms)
    }

    /// The last record of each matching subject, in a copy of this length.
    pub(crate) fn last(&self, filters: &[String], length: usize) -> Vec<Record> {
        let mut places = Vec::new();
        for (subject, all) in &self.by_subject {
            if filters.iter().any(|filter| matches(filter, subject)) {
                let known = all.partition_point(|place| *place < length);
                places.extend(known.checked_sub(1).map(|index| all[index]));
            }
        }
        places.sort_unstable();
        places.into_iter().map(|place| self.records[place].clone()).collect()
    }

    /// The records from a position on. A state stream keeps only the last record of each subject.
    pub(crate) fn read(
        &self,
        filter: &str,
        from: Start,
        limit: usize,
        length: usize,
        keeps: bool,
    ) -> Batch {
        let begin = match from {
            Start::Seq(seq) => usize::try_from(seq.max(1) - 1).unwrap_or(usize::MAX),
            Start::TimeMs(ms) => self.records.partition_point(|record| record.stored_ms < ms),
        };
        let is_there = |record: &&Record| {
            let all = &self.by_subject[&record.subject];
            let known = all.partition_point(|place| *place < length);
            let is_last = known
                .checked_sub(1)
                .is_some_and(|index| all[index] as u64 + 1 == record.stream_seq);
            let is_kept = (keeps || is_last) && !self.erased.contains(&record.stream_seq);
            is_kept && matches(filter, &record.subject)
        };
        let known = self.records.get(begin.min(length)..length).unwrap_or_default();
        let mut matching = known.iter().filter(is_there);
        let records = matching.by_ref().take(limit).cloned().collect();
        Batch { records, remaining: matching.count() as u64 }
    }
}

/// The current entries.
#[derive(Default)]
pub(crate) struct Bucket {
    pub(crate) entries: BTreeMap<String, Change>,
    pub(crate) last_seq: u64,
    pub(crate) changed: Arc<Notify>,
    /// How many times the watches of each instance were broken.
    pub(crate) breaks: BTreeMap<usize, u64>,
}

/// An incoming message of an instance.
pub(crate) enum Arrival {
    Message(Incoming),
    /// Is notified once every message before it was taken.
    Mark(oneshot::Sender<()>),
}

/// An item in an instance's outgoing queue.
pub(crate) enum Item {
    Message(Box<Outgoing>),
    Mark(oneshot::Sender<()>),
}

/// An item in transit from an instance to the server.
pub(crate) enum OnItsWay {
    Message(Box<Outgoing>),
    /// A request to another instance, and its reply subject.
    Ask {
        request: Box<Outgoing>,
        inbox: String,
    },
    /// A round trip to the server. It returns after everything before it has arrived.
    RoundTrip(oneshot::Sender<()>),
}

/// The receiver of a reply.
pub(crate) enum Inbox {
    Instance { who: usize, notify: oneshot::Sender<Option<Answer>>, is_answer: IsAnswer },
    Client(oneshot::Sender<Reply>),
}

/// The reply to a client's call.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) kind: Kind,
    pub(crate) body: Bytes,
}
