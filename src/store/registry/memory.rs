//! A fake of the bucket in memory, for tests: it keeps every promise of [`super::Registry`], on
//! tokio's time, and can cut instances off.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Change, Changes, Registry, Value};
use crate::store::{AppendError, ReadError};

/// How often an instance that is cut off, or that watches, checks again.
const LOOK: Duration = Duration::from_millis(1);

/// An entry, and when it expires.
struct Entry {
    change: Change,
    expires: Option<Instant>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    last_seq: u64,
    /// The prefix of keys that are missing at the beginning of a watch.
    late: Option<&'static str>,
    /// An entry that a watch shows at its beginning although it does not exist.
    ghost: Option<Change>,
    deletions: usize,
}

/// A bucket in memory.
#[derive(Clone)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    changed: Arc<watch::Sender<()>>,
    wall_ms: Arc<dyn Fn() -> u64 + Send + Sync>,
    /// Whether the holder of this handle is cut off from the bucket.
    cut: Arc<AtomicBool>,
    /// How often all watches were interrupted.
    breaks: Arc<AtomicU64>,
}

impl Memory {
    /// An empty bucket; `wall_ms` is the server's clock.
    #[must_use]
    pub fn new(wall_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::default(),
            changed: Arc::new(watch::Sender::new(())),
            wall_ms: Arc::new(wall_ms),
            cut: Arc::default(),
            breaks: Arc::default(),
        }
    }

    /// A handle to the same bucket for another instance.
    #[must_use]
    pub fn for_another(&self) -> Self {
        Self { cut: Arc::default(), ..self.clone() }
    }

    /// Cuts this instance off, or reconnects it.
    pub fn set_cut(&self, is_cut: bool) {
        self.cut.store(is_cut, Ordering::SeqCst);
    }

    /// Interrupts all watches.
    pub fn break_watches(&self) {
        self.breaks.fetch_add(1, Ordering::SeqCst);
        self.changed.send_replace(());
    }

    /// From now on, new watches show entries with this key prefix only once they are rewritten, as
    /// if each was being rewritten when the watch began.
    pub fn set_late(&self, late: Option<&'static str>) {
        self.lock().late = late;
    }

    /// From now on, new watches show an entry that does not exist any more, as a server does that
    /// was killed and has read its files again.
    pub fn set_ghost(&self, key: String, value: Bytes) {
        let (value, stored_ms) = (Value::Put(value), (self.wall_ms)());
        let ghost = Change { key, value, seq: 1, stored_ms, is_caught_up: false };
        self.lock().ghost = Some(ghost);
    }

    /// The number of attempts to delete an entry.
    #[must_use]
    pub fn deletions(&self) -> usize {
        self.lock().deletions
    }

    /// The present state of an entry, if it ever existed.
    #[must_use]
    pub fn entry(&self, key: &str) -> Option<Value> {
        self.lock().entries.get(key).map(|entry| entry.change.value.clone())
    }

    fn is_cut(&self) -> bool {
        self.cut.load(Ordering::SeqCst)
    }

    /// The bucket, after due entries have expired.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let is_due = |entry: &&Entry| entry.expires.is_some_and(|expires| expires <= now);
        let due: Vec<String> =
            state.entries.values().filter(is_due).map(|entry| entry.change.key.clone()).collect();
        for key in due {
            self.write(&mut state, key, Value::Expired, None);
        }
        state
    }

    fn write(&self, state: &mut State, key: String, value: Value, expires: Option<Instant>) -> u64 {
        state.last_seq += 1;
        let (seq, stored_ms) = (state.last_seq, (self.wall_ms)());
        let change = Change { key: key.clone(), value, seq, stored_ms, is_caught_up: true };
        state.entries.insert(key, Entry { change, expires });
        self.changed.send_replace(());
        seq
    }

    fn change(
        &self,
        key: String,
        value: Value,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
    ) -> Result<u64, AppendError> {
        let mut state = self.lock();
        let seq = state.entries.get(&key).map_or(0, |entry| entry.change.seq);
        if expected_seq.is_some_and(|expected| expected != seq) {
            return Err(AppendError::Conflict);
        }
        let expires = ttl.map(|ttl| Instant::now() + ttl);
        Ok(self.write(&mut state, key, value, expires))
    }
}

impl Registry for Memory {
    async fn put(
        &self,
        key: String,
        value: Bytes,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        if self.is_cut() {
            sleep_until(deadline).await;
            return Err(AppendError::Unknown);
        }
        sleep(LOOK).await;
        self.change(key, Value::Put(value), expected_seq, ttl)
    }

    async fn delete(
        &self,
        key: String,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        if self.is_cut() {
            sleep_until(deadline).await;
            return Err(AppendError::Unknown);
        }
        sleep(LOOK).await;
        self.lock().deletions += 1;
        self.change(key, Value::Deleted, Some(expected_seq), None)
    }

    async fn find(&self, key: String, deadline: Instant) -> Result<Option<u64>, ReadError> {
        if self.is_cut() {
            sleep_until(deadline).await;
            return Err(ReadError("cut off".to_owned()));
        }
        let state = self.lock();
        let there = state.entries.get(&key);
        let there = there.filter(|entry| matches!(entry.change.value, Value::Put(_)));
        Ok(there.map(|entry| entry.change.seq))
    }

    async fn watch(&self, deadline: Instant) -> Result<Changes, ReadError> {
        if self.is_cut() {
            sleep_until(deadline).await;
            return Err(ReadError("cut off".to_owned()));
        }
        let breaks = self.breaks.load(Ordering::SeqCst);
        let (late, begun, ghost) = {
            let state = self.lock();
            (state.late, state.last_seq, state.ghost.clone())
        };
        let ghost = stream::iter(ghost.map(Ok));
        let changes = stream::unfold((self.clone(), 0), move |(bucket, seen)| async move {
            loop {
                if bucket.breaks.load(Ordering::SeqCst) != breaks {
                    return Some((Err(ReadError("broken off".to_owned())), (bucket, seen)));
                }
                if !bucket.is_cut() {
                    let next = {
                        let state = bucket.lock();
                        let new = state.entries.values().map(|entry| &entry.change);
                        let is_late = |change: &&Change| {
                            change.seq <= begun
                                && late.is_some_and(|late| change.key.starts_with(late))
                        };
                        let new = new.filter(|change| change.seq > seen && !is_late(change));
                        let newest = new.clone().map(|change| change.seq).max();
                        let next = new.min_by_key(|change| change.seq).cloned();
                        next.map(|change| Change {
                            is_caught_up: Some(change.seq) == newest,
                            ..change
                        })
                    };
                    if let Some(change) = next {
                        let seen = change.seq;
                        return Some((Ok(change), (bucket, seen)));
                    }
                }
                // Expired entries and reconnected instances cause no notification.
                let mut changed = bucket.changed.subscribe();
                tokio::select! {
                    _ = changed.changed() => {}
                    () = sleep(LOOK) => {}
                }
            }
        });
        Ok(Box::pin(ghost.chain(changes)))
    }
}
