//! The simulated bucket of owners: compare-and-set, entries that expire by the server's clock,
//! watches that break.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use peerd::store::registry::{Change, Changes, Registry, Value};
use peerd::store::{AppendError, ReadError};
use tokio::time::{Instant, sleep, sleep_until};

use crate::world::{Answer, Core, Fate, World};

const BACKOFF: Duration = Duration::from_millis(50);

/// The server's reply to a change of an entry.
enum Ack {
    Stored(u64),
    WrongLastSequence,
    NotNow,
}

impl World {
    /// Breaks the watches of an instance.
    pub(crate) fn break_watches(&self, who: usize) {
        let mut core = self.lock();
        *core.bucket.breaks.entry(who).or_default() += 1;
        core.bucket.changed.notify_waiters();
    }

    /// Lets an entry expire, unless it is rewritten before.
    fn expire_later(self: &Arc<Self>, key: String, seq: u64, ttl: Duration) {
        let world = self.clone();
        tokio::spawn(async move {
            sleep(ttl).await;
            let now_ms = world.now_ms();
            let mut core = world.lock();
            if core.bucket.entries.get(&key).is_some_and(|entry| entry.seq == seq) {
                core.write_entry(&key, Value::Expired, now_ms);
            }
        });
    }
}

impl Core {
    fn write_entry(&mut self, key: &str, value: Value, now_ms: u64) -> u64 {
        let seq = self.bucket.last_seq + 1;
        let kind = match &value {
            Value::Put(_) => "put",
            Value::Expired => "expired",
            Value::Deleted => "deleted",
        };
        self.trace.line(now_ms, format_args!("bucket {key} {kind} @{seq}"));
        self.watch.entry(key, &value);
        self.bucket.last_seq = seq;
        let stored_ms = crate::world::BEGAN_MS + now_ms;
        let change = Change { key: key.to_owned(), value, seq, is_caught_up: true, stored_ms };
        self.bucket.entries.insert(key.to_owned(), change);
        self.bucket.changed.notify_waiters();
        seq
    }

    fn change_entry(
        &mut self,
        key: &str,
        value: Value,
        expected_seq: Option<u64>,
        now_ms: u64,
    ) -> Ack {
        let busy = self.weather.busy;
        if !self.is_led(None, now_ms) || self.chance(busy) {
            return Ack::NotNow;
        }
        let seq = self.bucket.entries.get(key).map_or(0, |entry| entry.seq);
        if expected_seq.is_some_and(|expected| expected != seq) {
            return Ack::WrongLastSequence;
        }
        Ack::Stored(self.write_entry(key, value, now_ms))
    }
}

/// The bucket as seen by one instance.
pub(crate) struct SimRegistry {
    pub(crate) world: Arc<World>,
    pub(crate) who: usize,
}

impl SimRegistry {
    async fn change(
        &self,
        key: String,
        value: Value,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        loop {
            let fate = {
                let mut core = self.world.lock();
                let weather = core.weather;
                if core.chance(weather.lost_ack) {
                    Fate::NoAnswer
                } else if core.chance(weather.late_write) {
                    Fate::Late
                } else {
                    Fate::Usual
                }
            };
            let (world, key, value) = (self.world.clone(), key.clone(), value.clone());
            let serve = move |core: &mut Core, now_ms: u64| {
                let ack = core.change_entry(&key, value, expected_seq, now_ms);
                if let (Ack::Stored(seq), Some(ttl)) = (&ack, ttl) {
                    world.expire_later(key, *seq, ttl);
                }
                ack
            };
            match self.world.request(self.who, fate, deadline, serve).await {
                Answer::Got(Ack::Stored(seq)) => return Ok(seq),
                Answer::Got(Ack::WrongLastSequence) => return Err(AppendError::Conflict),
                Answer::Got(Ack::NotNow) | Answer::Down => {}
                Answer::Nothing => return Err(AppendError::Unknown),
            }
            if Instant::now() + BACKOFF >= deadline {
                return Err(AppendError::Unavailable("no leader, or busy".to_owned()));
            }
            sleep(BACKOFF).await;
        }
    }

    /// The next change after `seen` that reaches this instance; an error if the watch broke.
    async fn next(world: &World, who: usize, breaks: u64, seen: u64) -> Result<Change, ReadError> {
        loop {
            world.wait_while_frozen(who).await;
            let found = {
                let mut core = world.lock();
                let way_ms = core.latency_ms();
                let bucket = &core.bucket;
                if bucket.breaks.get(&who).copied().unwrap_or_default() != breaks {
                    return Err(ReadError("the watch broke".to_owned()));
                }
                let line = &core.seats[who].store;
                let new = bucket.entries.values().filter(|change| line.is_up && change.seq > seen);
                match new.min_by_key(|change| change.seq) {
                    Some(next) => {
                        let is_caught_up = next.seq == bucket.last_seq;
                        Ok((Change { is_caught_up, ..next.clone() }, way_ms))
                    }
                    None if line.is_up => Err(bucket.changed.clone()),
                    None => Err(line.changed.clone()),
                }
            };
            match found {
                Ok((next, way_ms)) => {
                    sleep(Duration::from_millis(way_ms)).await;
                    world.wait_while_frozen(who).await;
                    return Ok(next);
                }
                Err(changed) => changed.notified().await,
            }
        }
    }
}

impl Registry for SimRegistry {
    async fn put(
        &self,
        key: String,
        value: Bytes,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        self.world.doing(self.who, format_args!("put {key} after {expected_seq:?}"));
        self.change(key, Value::Put(value), expected_seq, ttl, deadline).await
    }

    async fn delete(
        &self,
        key: String,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        self.world.doing(self.who, format_args!("delete {key} after {expected_seq}"));
        self.change(key, Value::Deleted, Some(expected_seq), None, deadline).await
    }

    async fn find(&self, key: String, deadline: Instant) -> Result<Option<u64>, ReadError> {
        self.world.doing(self.who, format_args!("find {key}"));
        loop {
            let of = key.clone();
            let serve = move |core: &mut Core, now_ms: u64| {
                let is_led = core.is_led(None, now_ms);
                let entry = core.bucket.entries.get(&of);
                let entry = entry.filter(|entry| matches!(entry.value, Value::Put(_)));
                is_led.then(|| entry.map(|entry| entry.seq))
            };
            match self.world.request(self.who, Fate::Usual, deadline, serve).await {
                Answer::Got(Some(found)) => return Ok(found),
                Answer::Got(None) | Answer::Down | Answer::Nothing => {}
            }
            if Instant::now() + BACKOFF >= deadline {
                return Err(ReadError("the leader does not answer".to_owned()));
            }
            sleep(BACKOFF).await;
        }
    }

    async fn watch(&self, deadline: Instant) -> Result<Changes, ReadError> {
        self.world.doing(self.who, format_args!("watch"));
        let who = self.who;
        let serve = move |core: &mut Core, now_ms: u64| {
            let breaks = core.bucket.breaks.get(&who).copied().unwrap_or_default();
            core.is_led(None, now_ms).then_some(breaks)
        };
        let breaks = match self.world.request(who, Fate::Usual, deadline, serve).await {
            Answer::Got(Some(breaks)) => breaks,
            Answer::Got(None) | Answer::Down | Answer::Nothing => {
                sleep_until(deadline.min(Instant::now() + BACKOFF)).await;
                return Err(ReadError("the watch was not created".to_owned()));
            }
        };
        let changes = stream::unfold((self.world.clone(), 0), move |(world, seen)| async move {
            let next = Self::next(&world, who, breaks, seen).await;
            let seen = next.as_ref().map_or(seen, |change| change.seq);
            Some((next, (world, seen)))
        });
        Ok(Box::pin(changes))
    }
}
