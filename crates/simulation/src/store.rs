//! The simulated store: streams with one leader and copies that may be behind. Its replies may be
//! late or lost.
//!
//! It keeps the guarantees of [`peerd::store::Store`] and no more. Any copy that reaches the
//! instance's read watermark of the stream ([`Watermarks`], as in the adapter for JetStream) may answer
//! a read, so a caller that does not first ask for the end of a stream may read stale data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerd::store::watermarks::Watermarks;
use peerd::store::{
    Append, AppendError, Appended, Batch, ReadError, Record, Start, Store, StreamId,
};
use peerd_core::id::Partition;
use peerd_protocol::subject::Subjects;
use tokio::time::{Instant, sleep_until};

use crate::rules::Rule;
use crate::world::{Answer, BEGAN_MS, Core, Fate, World};

const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// All records that a stream ever held.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    records: Vec<Record>,
    /// The places of those that were erased.
    erased: BTreeSet<u64>,
    by_subject: BTreeMap<String, Vec<usize>>,
}

/// The streams after provisioning, with their sentinels.
pub(crate) fn provisioned(subjects: &Subjects) -> BTreeMap<StreamId, Stream> {
    let mut streams = BTreeMap::new();
    for partition in (0..subjects.partitions()).map(Partition) {
        let sentinels = [
            (StreamId::Log(partition), subjects.log_sentinel(partition)),
            (StreamId::State(partition), subjects.state_sentinel(partition)),
        ];
        for (stream, subject) in sentinels {
            let mut fresh = Stream::default();
            fresh.push(subject, Bytes::new(), BEGAN_MS);
            streams.insert(stream, fresh);
        }
    }
    streams
}

impl Stream {
    fn push(&mut self, subject: String, payload: Bytes, stored_ms: u64) -> u64 {
        let stream_seq = self.records.len() as u64 + 1;
        self.by_subject.entry(subject.clone()).or_default().push(self.records.len());
        self.records.push(Record { subject, stream_seq, stored_ms, payload });
        stream_seq
    }

    fn last_seq_of(&self, subject: &str) -> u64 {
        let last = self.by_subject.get(subject).and_then(|places| places.last());
        last.map_or(0, |place| *place as u64 + 1)
    }

    /// Erases a record. Every copy follows at once: a reader hides what an entry says was removed.
    fn erase(&mut self, seq: u64) {
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
    fn length_at(&self, stored_ms: u64) -> usize {
        self.records.partition_point(|record| record.stored_ms <= stored_ms)
    }

    /// The last record of each matching subject, in a copy of this length.
    fn last(&self, filters: &[String], length: usize) -> Vec<Record> {
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
    fn read(&self, filter: &str, from: Start, limit: usize, length: usize, keeps: bool) -> Batch {
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

/// Whether a subject matches a filter with `*` and `>`.
fn matches(filter: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for want in filter.split('.') {
        match (want, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (want, Some(token)) if want == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// The server's reply to an append.
enum Ack {
    Stored(u64),
    WrongLastSequence,
    /// No leader, no responders, or another publish on the subject is in flight (10164).
    NotNow,
}

impl Core {
    fn fate_of_write(&mut self) -> Fate {
        let weather = self.weather;
        if Self::take_one(&mut self.lose_acks) || self.chance(weather.lost_ack) {
            Fate::NoAnswer
        } else if Self::take_one(&mut self.late_writes) || self.chance(weather.late_write) {
            Fate::Late
        } else {
            Fate::Usual
        }
    }

    fn store(
        &mut self,
        stream: StreamId,
        subject: &str,
        payload: &Bytes,
        expected_seq: u64,
        now_ms: u64,
    ) -> Ack {
        let busy = self.weather.busy;
        if !self.is_led(Some(stream), now_ms) || self.chance(busy) {
            return Ack::NotNow;
        }
        let partition = match stream {
            StreamId::Log(partition) => (partition, "log"),
            StreamId::State(partition) => (partition, "state"),
        };
        let prefix = format!("peer.{}.{}.", partition.1, partition.0);
        let Some(all) = self.streams.get_mut(&stream).filter(|_| subject.starts_with(&prefix))
        else {
            self.broken(Rule::StoreIsKept, format!("{subject} does not belong to {stream:?}"));
            return Ack::NotNow;
        };
        let last = all.last_seq_of(subject);
        if last != expected_seq {
            self.trace
                .line(now_ms, format_args!("store {subject} ends at {last}, not {expected_seq}"));
            return Ack::WrongLastSequence;
        }
        let seq = all.push(subject.to_owned(), payload.clone(), BEGAN_MS + now_ms);
        self.trace.line(now_ms, format_args!("store {subject} @{seq}"));
        match stream {
            StreamId::Log(partition) => self.watch.stored(partition, subject, payload, now_ms),
            StreamId::State(_) => self.watch.stored_state(subject, payload),
        }
        Ack::Stored(seq)
    }
}

/// The store as seen by one instance.
#[derive(Clone, Debug)]
pub(crate) struct SimStore {
    pub(crate) world: Arc<World>,
    pub(crate) who: usize,
    watermarks: Arc<Watermarks>,
}

/// Growing waits, up to a deadline.
struct Backoff {
    next: Duration,
    deadline: Instant,
}

impl Backoff {
    const fn until(deadline: Instant) -> Self {
        Self { next: BACKOFF_FIRST, deadline }
    }

    async fn wait(&mut self) -> bool {
        let until = Instant::now() + self.next;
        self.next = (self.next * 2).min(BACKOFF_MAX);
        if until >= self.deadline {
            return false;
        }
        sleep_until(until).await;
        true
    }
}

impl SimStore {
    pub(crate) fn new(world: Arc<World>, who: usize) -> Self {
        let setup = world.lock().setup.clone();
        // A single copy is never behind.
        let partitions = if setup.replicas { setup.partitions } else { 0 };
        let watermarks = Arc::new(Watermarks::new(partitions));
        Self { world, who, watermarks }
    }

    /// Later reads include everything that was read before, whichever copy answers.
    fn note_read(&self, stream: StreamId, records: &[Record]) {
        if let Some(last) = records.last() {
            self.watermarks.raise(stream, last.stream_seq);
        }
    }

    /// The answer of a copy that reaches the read watermark.
    async fn answer<T: Send + 'static>(
        &self,
        stream: StreamId,
        deadline: Instant,
        look: impl Fn(&Stream, usize) -> T + Clone + Send + 'static,
    ) -> Result<T, ReadError> {
        if let Some(round) = self.watermarks.is_due(stream) {
            self.last_seq(stream, deadline).await?;
            self.watermarks.asked(stream, round);
        }
        let watermark = self.watermarks.get(stream);
        let mut backoff = Backoff::until(deadline);
        let is_replicated = {
            let mut core = self.world.lock();
            core.asked.1 += 1;
            core.setup.replicas
        };
        loop {
            let look = look.clone();
            let serve = move |core: &mut Core, now_ms: u64| {
                let lag_ms = if is_replicated { core.lag_of_a_copy(now_ms) } else { 0 };
                let all = core.streams.get(&stream)?;
                let length = all.length_at(BEGAN_MS + now_ms - lag_ms.min(now_ms));
                (length as u64 >= watermark).then(|| look(all, length))
            };
            match self.world.request(self.who, Fate::Usual, deadline, serve).await {
                Answer::Got(Some(answer)) => return Ok(answer),
                Answer::Got(None) | Answer::Down => {}
                Answer::Nothing => return Err(ReadError("no reply".to_owned())),
            }
            if !backoff.wait().await {
                return Err(ReadError(
                    "the copies are behind, or there are no responders".to_owned(),
                ));
            }
        }
    }
}

impl Core {
    /// The lag of the copy that answers next.
    fn lag_of_a_copy(&mut self, now_ms: u64) -> u64 {
        let (behind_ms, until_ms) = self.lag;
        let more_ms = if now_ms < until_ms { behind_ms } else { 0 };
        match self.noise.below(3) {
            0 => 0,
            1 => self.noise.below(self.weather.lag_ms + 1),
            _ => self.noise.below(self.weather.lag_ms + 1) + more_ms,
        }
    }
}

/// [`Store::append_then`] as a task of its own.
pub(crate) fn append_in_task<S: Store + Clone>(
    store: &S,
    append: Append,
    deadline: Instant,
    then: impl FnOnce(Appended) + Send + 'static,
) {
    let store = store.clone();
    tokio::spawn(async move {
        let Append { stream, subject, payload, expected_seq } = append;
        let stored = store.append(stream, subject, payload, expected_seq, deadline).await;
        then(Appended::Now(stored));
    });
}

impl Store for SimStore {
    async fn append(
        &self,
        stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let (who, world) = (self.who, &self.world);
        world.doing(who, format_args!("append {subject} after {expected_seq}"));
        let (StreamId::Log(partition) | StreamId::State(partition)) = stream;
        {
            let mut core = world.lock();
            core.acts(who, partition, &subject);
            core.asked.0 += 1;
        }
        let mut backoff = Backoff::until(deadline);
        loop {
            let fate = world.lock().fate_of_write();
            let (to, bytes) = (subject.clone(), payload.clone());
            let serve = move |core: &mut Core, now_ms: u64| {
                core.store(stream, &to, &bytes, expected_seq, now_ms)
            };
            match world.request(who, fate, deadline, serve).await {
                Answer::Got(Ack::Stored(seq)) => {
                    self.watermarks.raise(stream, seq);
                    return Ok(seq);
                }
                Answer::Got(Ack::WrongLastSequence) => return Err(AppendError::Conflict),
                Answer::Got(Ack::NotNow) | Answer::Down => {}
                Answer::Nothing => return Err(AppendError::Unknown),
            }
            if !backoff.wait().await {
                return Err(AppendError::Unavailable("no leader, or busy".to_owned()));
            }
        }
    }

    fn append_then(
        &self,
        append: Append,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    ) {
        append_in_task(self, append, deadline, then);
    }

    async fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        self.world.doing(self.who, format_args!("last {stream:?}"));
        let last = self.answer(stream, deadline, move |all, length| all.last(&subjects, length));
        let records = last.await?;
        self.note_read(stream, &records);
        Ok(records)
    }

    async fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> Result<Batch, ReadError> {
        self.world.doing(self.who, format_args!("read {subject} {from:?} {limit}"));
        let keeps = matches!(stream, StreamId::Log(_));
        let look = move |all: &Stream, length| all.read(&subject, from, limit, length, keeps);
        let batch = self.answer(stream, deadline, look).await?;
        self.note_read(stream, &batch.records);
        Ok(batch)
    }

    async fn erase(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let (who, world) = (self.who, &self.world);
        world.doing(who, format_args!("erase {stream:?} @{seq}"));
        let (StreamId::Log(partition) | StreamId::State(partition)) = stream;
        {
            let mut core = world.lock();
            core.acts(who, partition, "a record that is erased");
            core.asked.0 += 1;
        }
        let mut backoff = Backoff::until(deadline);
        loop {
            let fate = world.lock().fate_of_write();
            let serve = move |core: &mut Core, now_ms: u64| {
                let is_led = core.is_led(Some(stream), now_ms);
                let all = core.streams.get_mut(&stream).filter(|_| is_led);
                all.map(|all| all.erase(seq)).is_some()
            };
            match world.request(who, fate, deadline, serve).await {
                Answer::Got(true) => return Ok(()),
                // A repeat of what was done is success.
                Answer::Got(false) | Answer::Down | Answer::Nothing => {}
            }
            if !backoff.wait().await {
                return Err(AppendError::Unknown);
            }
        }
    }

    async fn hand_off(
        &self,
        subject: String,
        _payload: Bytes,
        _content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        self.world.doing(self.who, format_args!("push {subject} {id}"));
        let mut backoff = Backoff::until(deadline);
        loop {
            let fate = self.world.lock().fate_of_write();
            let (to, id) = (subject.clone(), id.clone());
            let serve = move |core: &mut Core, now_ms: u64| {
                core.is_led(None, now_ms).then(|| core.pushes.insert(id, to)).is_some()
            };
            match self.world.request(self.who, fate, deadline, serve).await {
                Answer::Got(true) => return Ok(()),
                Answer::Got(false) | Answer::Down | Answer::Nothing => {}
            }
            if !backoff.wait().await {
                return Err(AppendError::Unknown);
            }
        }
    }

    async fn last_seq(&self, stream: StreamId, deadline: Instant) -> Result<u64, ReadError> {
        self.world.doing(self.who, format_args!("end of {stream:?}"));
        let mut backoff = Backoff::until(deadline);
        loop {
            let serve = move |core: &mut Core, now_ms: u64| {
                let is_led = core.is_led(Some(stream), now_ms);
                is_led.then(|| core.streams.get(&stream).map_or(0, |all| all.records.len() as u64))
            };
            match self.world.request(self.who, Fate::Usual, deadline, serve).await {
                Answer::Got(Some(seq)) => {
                    self.watermarks.raise(stream, seq);
                    return Ok(seq);
                }
                Answer::Got(None) | Answer::Down | Answer::Nothing => {}
            }
            if !backoff.wait().await {
                return Err(ReadError("the leader does not answer".to_owned()));
            }
        }
    }

    fn reaches(&self, stream: StreamId, seq: u64) {
        self.watermarks.raise(stream, seq);
    }

    fn forget_ends(&self) {
        self.watermarks.forget();
    }

    fn generation(&self) -> u64 {
        self.world.lock().seats[self.who].store.generation
    }
}
