//! The simulated store: streams with one leader and copies that may be behind. Its replies may be
//! late or lost.
//!
//! It keeps the guarantees of [`peerd::store::Store`] and no more. Any copy that reaches the
//! instance's read watermark of the stream ([`Watermarks`], as in the adapter for JetStream) may answer
//! a read, so a caller that does not first ask for the end of a stream may read stale data.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerd::failpoint::{self, Fault};
use peerd::store::watermarks::Watermarks;
use peerd::store::{
    Append, AppendError, Appended, Batch, Push, ReadError, Record, Start, Store, StreamId,
};
use tokio::time::{Instant, sleep_until};

use crate::append::append_in_task;
use crate::rule::Rule;
use crate::server::Stream;
use crate::world::{Answer, BEGAN_MS, Core, Fate, World};

const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

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
        let is_any_copy = failpoint::is(Fault::StaleCopy);
        let watermark = if is_any_copy { 0 } else { self.watermarks.get(stream) };
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

    async fn withdraw(&self, push: Push, deadline: Instant) -> Result<(), AppendError> {
        self.world.doing(self.who, format_args!("withdraw {}", push.id));
        let mut backoff = Backoff::until(deadline);
        loop {
            let fate = self.world.lock().fate_of_write();
            let id = push.id.clone();
            let serve = move |core: &mut Core, now_ms: u64| {
                let is_led = core.is_led(None, now_ms);
                is_led.then(|| core.pushes.remove(&id)).is_some()
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
