//! The page cache: where pages of histories ended, and the messages that were read beyond them, for
//! the request of the next page.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::time::{Instant, sleep, timeout};

use super::History;
use super::direction::{Backward, Reads};
use crate::bus::Bus;
use crate::runtime::tuning::{PAGE_END_BYTES, READ_AHEAD_DELAY, READ_AHEAD_SHARE, READ_AHEADS_MAX};
use crate::store::Store;
use peerd_core::id::{OrderKey, UserId};

/// The end of a page of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::runtime) struct PageEnd {
    /// The load of its user's state: after another load the store may differ.
    pub(super) load: u64,
    pub(super) other: UserId,
    /// The oldest message of the page.
    pub(super) before: OrderKey,
}

/// The cursors and messages that are left of reading towards older messages.
pub(in crate::runtime) struct Rest(pub(super) Vec<Backward>);

impl Rest {
    /// The cursors, to continue reading.
    fn take(&mut self) -> Vec<Backward> {
        self.0.iter_mut().for_each(Backward::refresh);
        std::mem::take(&mut self.0)
    }

    /// Forgets the messages that were read and not taken, if they are unlikely to be requested.
    fn strip(&mut self) {
        self.0.iter_mut().for_each(Backward::strip);
    }

    fn bytes(&mut self) -> usize {
        self.0.iter_mut().for_each(|cursor| cursor.buffer.shrink_to_fit());
        PAGE_END_BYTES + self.0.iter().map(Backward::bytes).sum::<usize>()
    }

    fn has(&self, count: usize) -> bool {
        let mut cursors = self.0.iter();
        cursors.all(|cursor| cursor.next.is_none() || cursor.buffer.len() >= count)
    }

    /// Reads until there are `count` messages of each direction.
    async fn read_ahead<S: Store>(&mut self, reads: &Reads<'_, S>, count: usize) {
        let views = self.0.iter_mut().map(|cursor| async move {
            while cursor.next.is_some() && cursor.buffer.len() < count {
                if reads.read_back(cursor, count).await.is_err() {
                    // The call that needs these messages reads them itself, and fails if that read
                    // fails too.
                    break;
                }
            }
        });
        join_all(views).await;
    }
}

/// The ends of pages of history.
pub(super) struct PageCache {
    kept: Mutex<Shelf<PageEnd, Arc<AsyncMutex<Rest>>>>,
    patience: Duration,
    ahead: Arc<Semaphore>,
}

impl PageCache {
    /// A cache of at most `bytes_max` bytes.
    pub(super) fn new(bytes_max: usize, call_deadline: Duration) -> Self {
        Self {
            kept: Mutex::new(Shelf::new(bytes_max)),
            patience: call_deadline / READ_AHEAD_SHARE,
            ahead: Arc::new(Semaphore::new(READ_AHEADS_MAX)),
        }
    }

    /// Takes the cursors for a page end, if they are known. Waits for reading ahead, unless that takes
    /// long.
    pub(super) async fn rest(&self, page_end: &PageEnd) -> Vec<Backward> {
        let Some(rest) = self.kept().take(page_end) else { return Vec::new() };
        timeout(self.patience, rest.lock()).await.map(|mut rest| rest.take()).unwrap_or_default()
    }

    fn kept(&self) -> MutexGuard<'_, Shelf<PageEnd, Arc<AsyncMutex<Rest>>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Store, B: Bus> History<S, B> {
    /// Keeps where a page ended, and reads ahead as many messages as are likely to be requested.
    pub(in crate::runtime) fn keep_place(
        self: &Arc<Self>,
        page_end: PageEnd,
        mut rest: Rest,
        likely: usize,
    ) {
        if likely == 0 {
            rest.strip();
        }
        let (bytes, has_likely) = (rest.bytes(), rest.has(likely));
        let rest = Arc::new(AsyncMutex::new(rest));
        let Some(number) = self.page_cache.kept().keep(page_end.clone(), bytes, rest.clone())
        else {
            return;
        };
        if has_likely {
            return;
        }
        let Ok(permit) = self.page_cache.ahead.clone().try_acquire_owned() else { return };
        let history = self.clone();
        self.env.tasks.spawn(async move {
            sleep(READ_AHEAD_DELAY).await;
            // A caller may have taken them already, or they may have been evicted.
            let is_kept = history.page_cache.kept().has(&page_end, number);
            if let (true, Ok(mut rest)) = (is_kept, rest.try_lock()) {
                let storage = history.env.storage(Instant::now() + history.page_cache.patience);
                rest.read_ahead(&Reads { storage }, likely).await;
                history.page_cache.kept().weigh(&page_end, number, rest.bytes());
            }
            drop(permit);
        });
    }
}

/// Keeps the latest values within a bound of memory.
struct Shelf<K, V> {
    bytes_max: usize,
    bytes: usize,
    last: u64,
    by_key: HashMap<K, Kept<V>>,
    by_age: BTreeMap<u64, K>,
}

struct Kept<V> {
    number: u64,
    bytes: usize,
    value: V,
}

impl<K: Clone + Eq + Hash, V> Shelf<K, V> {
    fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, last: 0, by_key: HashMap::new(), by_age: BTreeMap::new() }
    }

    /// Keeps a value, replaces one with the same key, and returns its number; `None` if there is no
    /// room.
    fn keep(&mut self, key: K, bytes: usize, value: V) -> Option<u64> {
        self.take(&key);
        if bytes > self.bytes_max {
            return None;
        }
        self.last += 1;
        let number = self.last;
        self.bytes += bytes;
        self.by_age.insert(number, key.clone());
        self.by_key.insert(key, Kept { number, bytes, value });
        self.make_room();
        Some(number)
    }

    fn take(&mut self, key: &K) -> Option<V> {
        let Kept { number, bytes, value } = self.by_key.remove(key)?;
        self.by_age.remove(&number);
        self.bytes -= bytes;
        Some(value)
    }

    fn has(&self, key: &K, number: u64) -> bool {
        self.by_key.get(key).is_some_and(|kept| kept.number == number)
    }

    /// Updates the memory that a value takes, if it is still there.
    fn weigh(&mut self, key: &K, number: u64, bytes: usize) {
        if bytes > self.bytes_max && self.has(key, number) {
            self.take(key);
        }
        if let Some(kept) = self.by_key.get_mut(key).filter(|kept| kept.number == number) {
            self.bytes = self.bytes - kept.bytes + bytes;
            kept.bytes = bytes;
            self.make_room();
        }
    }

    fn make_room(&mut self) {
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.by_age.first_key_value() else { return };
            let oldest = oldest.clone();
            self.take(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_are_kept_as_far_as_there_is_room() {
        let mut shelf = Shelf::new(10);
        for key in 1..=4 {
            shelf.keep(key, 3, key);
        }
        assert_eq!(shelf.take(&1), None, "no room");
        assert_eq!((shelf.take(&3), shelf.take(&3)), (Some(3), None), "taken once");
        shelf.keep(5, 3, 5);
        assert_eq!((shelf.bytes, shelf.by_key.len(), shelf.by_age.len()), (9, 3, 3));
        assert_eq!(shelf.keep(6, 11, 6), None, "too large");
        assert_eq!((shelf.bytes, shelf.by_key.len(), shelf.by_age.len()), (9, 3, 3));
    }

    #[test]
    fn an_entry_that_grew_evicts_others() {
        let mut shelf = Shelf::new(10);
        let numbers: Vec<u64> = (1..=3).filter_map(|key| shelf.keep(key, 3, key)).collect();
        shelf.weigh(&3, numbers[2], 6);
        assert_eq!((shelf.bytes, shelf.take(&1)), (9, None));
        shelf.weigh(&1, numbers[0], 9);
        assert_eq!(shelf.bytes, 9, "what is gone weighs nothing");
        shelf.weigh(&3, numbers[2], 11);
        assert_eq!((shelf.bytes, shelf.take(&2)), (3, Some(2)), "it alone is too large");
    }

    #[test]
    fn the_same_place_is_kept_once() {
        let mut shelf = Shelf::new(10);
        let first = shelf.keep(9, 6, 3).expect("room");
        let second = shelf.keep(9, 6, 4).expect("room");
        assert!(shelf.has(&9, second) && !shelf.has(&9, first));
        shelf.weigh(&9, first, 1);
        assert_eq!((shelf.bytes, shelf.take(&9), shelf.by_age.len()), (6, Some(4), 0));
    }
}
