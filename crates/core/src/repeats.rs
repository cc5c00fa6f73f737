//! The recent messages of one sender to one receiver, by which repeats are recognized.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::sync::LazyLock;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::id::LocalMessageId;

/// A message that was stored with a local message ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    local_id_hash: u64,
    fingerprint: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Its stream sequence.
    pub stream_seq: u64,
}

impl Repeat {
    /// Notes a stored message.
    #[must_use]
    pub fn new(
        local_id: &LocalMessageId,
        fingerprint: u64,
        timestamp_ms: u64,
        stream_seq: u64,
    ) -> Self {
        Self { local_id_hash: hash(local_id), fingerprint, timestamp_ms, stream_seq }
    }

    /// Notes a message whose content was removed. Its content can no longer be compared; reading it
    /// shows that.
    #[must_use]
    pub fn of_removed(local_id: &LocalMessageId, timestamp_ms: u64, stream_seq: u64) -> Self {
        Self::new(local_id, 0, timestamp_ms, stream_seq)
    }
}

fn hash(local_id: &LocalMessageId) -> u64 {
    // With a secret key: senders choose their IDs, and could make them collide.
    static KEY: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    KEY.hash_one(local_id)
}

/// The index of the message with this number, after `forgotten` earlier ones were removed.
const fn place_of(number: u32, forgotten: u32) -> usize {
    number.wrapping_sub(forgotten) as usize
}

/// The use of a local message ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not used within the remembered time.
    No,
    /// Used for the same content: the message is at this stream sequence.
    Same(u64),
    /// Used for other content.
    Other,
}

/// Up to this many are searched linearly.
const SCANNED: usize = 32;

/// The local message IDs of one sender's recent messages to one receiver, oldest first. Bounded by
/// the sender's rate times the window.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    recent: VecDeque<Repeat>,
    /// The number of messages removed from the front of `recent` so far. It wraps.
    forgotten: u32,
    /// The newest message of each local message ID, by its number, counted like `forgotten`. Empty
    /// while there are few, which is the usual case.
    index: HashTable<u32>,
    /// No message stored at or after this time is missing; `None`: unknown.
    complete_since_ms: Option<u64>,
}

impl Repeats {
    /// Whether all messages since `since_ms` are remembered.
    #[must_use]
    pub fn covers(&self, since_ms: u64) -> bool {
        self.complete_since_ms.is_some_and(|complete| complete <= since_ms)
    }

    /// Adds the messages that were read back from the log since `since_ms`, in the order of the
    /// log, to those noted meanwhile.
    pub fn complete(&mut self, since_ms: u64, read_back: Vec<Repeat>) {
        let noted = std::mem::take(&mut self.recent);
        let newest = read_back.last().map_or(0, |repeat| repeat.stream_seq);
        self.recent = read_back.into();
        self.recent.extend(noted.into_iter().filter(|repeat| repeat.stream_seq > newest));
        self.index = HashTable::new();
        self.index_if_many();
        self.complete_since_ms = Some(since_ms);
    }

    /// Notes a message that was just stored, and forgets those older than `oldest_ms`.
    pub fn note(&mut self, repeat: Repeat, oldest_ms: u64) {
        self.forget_before(oldest_ms);
        self.recent.push_back(repeat);
        if self.index.is_empty() {
            self.index_if_many();
        } else {
            self.index_one(self.recent.len() - 1);
        }
    }

    fn index_if_many(&mut self) {
        if self.recent.len() > SCANNED {
            self.index = HashTable::with_capacity(self.recent.len());
            (0..self.recent.len()).for_each(|place| self.index_one(place));
        }
    }

    /// Adds the message at this index of `recent` to the index.
    fn index_one(&mut self, place: usize) {
        let Self { recent, forgotten, index, .. } = self;
        let Some(local_id_hash) = recent.get(place).map(|repeat| repeat.local_id_hash) else {
            return;
        };
        let number = forgotten.wrapping_add(u32::try_from(place).unwrap_or(u32::MAX));
        let hash_of = |number: &u32| {
            let repeat = recent.get(place_of(*number, *forgotten));
            repeat.map_or(0, |repeat| repeat.local_id_hash)
        };
        let is_same = |number: &u32| hash_of(number) == local_id_hash;
        index
            .entry(local_id_hash, is_same, hash_of)
            .and_modify(|known| *known = number)
            .or_insert(number);
    }

    /// Forgets messages older than `oldest_ms`.
    pub fn forget_before(&mut self, oldest_ms: u64) {
        while self.recent.front().is_some_and(|repeat| repeat.timestamp_ms < oldest_ms) {
            let Some(repeat) = self.recent.pop_front() else { break };
            let is_it = |number: &u32| *number == self.forgotten;
            if let Ok(indexed) = self.index.find_entry(repeat.local_id_hash, is_it) {
                indexed.remove();
            }
            self.forgotten = self.forgotten.wrapping_add(1);
        }
        if self.recent.len() < SCANNED / 2 {
            self.index = HashTable::new();
        }
        self.complete_since_ms = self.complete_since_ms.map(|since| since.max(oldest_ms));
        if self.recent.is_empty() && self.recent.capacity() > 16 {
            self.recent.shrink_to_fit();
        }
    }

    /// Forgets everything, after the store lost messages.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// The use of `local_id` since `oldest_ms`.
    #[must_use]
    pub fn find(&self, local_id: &LocalMessageId, fingerprint: u64, oldest_ms: u64) -> Known {
        let local_id_hash = hash(local_id);
        let is_same = |repeat: &&Repeat| repeat.local_id_hash == local_id_hash;
        let newest = if self.index.is_empty() {
            self.recent.iter().rev().find(is_same)
        } else {
            let numbered = |number: &u32| self.recent.get(place_of(*number, self.forgotten));
            let is_its = |number: &u32| numbered(number).as_ref().is_some_and(is_same);
            self.index.find(local_id_hash, is_its).and_then(numbered)
        };
        match newest.filter(|repeat| repeat.timestamp_ms >= oldest_ms) {
            None => Known::No,
            Some(repeat) if repeat.fingerprint == fingerprint => Known::Same(repeat.stream_seq),
            Some(_) => Known::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> LocalMessageId {
        LocalMessageId::new(text).expect("a valid ID")
    }

    #[test]
    fn a_local_id_is_known_for_the_window_and_no_longer() {
        let mut repeats = Repeats::default();
        repeats.note(Repeat::new(&id("a"), 7, 1000, 3), 0);
        assert_eq!(repeats.find(&id("a"), 7, 1000), Known::Same(3));
        assert_eq!(repeats.find(&id("a"), 8, 1000), Known::Other);
        assert_eq!(repeats.find(&id("a"), 7, 1001), Known::No);
        assert_eq!(repeats.find(&id("b"), 7, 0), Known::No);
    }

    #[test]
    fn many_are_known_like_few() {
        let mut repeats = Repeats::default();
        let name = |number: u64| id(&number.to_string());
        for number in 0..500 {
            repeats.note(Repeat::new(&name(number), number, number, number), 0);
            // Some IDs are used again.
            if number % 7 == 0 && number > 0 {
                repeats.note(Repeat::new(&name(number - 5), 9, number, 1000 + number), 0);
            }
        }
        let check = |repeats: &Repeats, oldest: u64| {
            for number in 0..500 {
                let again = number + 5;
                let is_again = again % 7 == 0 && again < 500;
                let (at, fingerprint, seq) =
                    if is_again { (again, 9, 1000 + again) } else { (number, number, number) };
                let known = if at < oldest { Known::No } else { Known::Same(seq) };
                assert_eq!(repeats.find(&name(number), fingerprint, oldest), known, "{number}");
            }
        };
        check(&repeats, 0);
        check(&repeats, 250);
        for oldest in [100, 300, 480, 490, 500] {
            repeats.forget_before(oldest);
            check(&repeats, oldest);
        }
        let read_back = (0..200).map(|number| Repeat::new(&name(number), number, number, number));
        repeats.complete(0, read_back.collect());
        assert_eq!(repeats.find(&name(17), 17, 0), Known::Same(17));
    }

    #[test]
    fn the_numbers_of_the_index_may_wrap() {
        let mut repeats = Repeats { forgotten: u32::MAX - 20, ..Repeats::default() };
        let name = |number: u64| id(&number.to_string());
        for number in 0..400_u64 {
            let (at, oldest) = (number, number.saturating_sub(99));
            repeats.note(Repeat::new(&name(number), number, at, number), oldest);
            let [oldest, gone] = [oldest, oldest.wrapping_sub(1)];
            assert_eq!(repeats.find(&name(number), number, 0), Known::Same(number));
            assert_eq!(repeats.find(&name(oldest), oldest, 0), Known::Same(oldest), "{number}");
            assert_eq!(repeats.find(&name(gone), gone, 0), Known::No, "{number}");
        }
        assert_eq!(repeats.index.len(), 100);
        // Messages that are read back get the next numbers.
        let read_back = (0..100).map(|number| Repeat::new(&name(number), 7, 1000, number));
        repeats.complete(1000, read_back.collect());
        repeats.note(Repeat::new(&name(5), 8, 2000, 500), 1000);
        assert_eq!(repeats.find(&name(5), 8, 0), Known::Same(500));
        repeats.forget_before(2000);
        assert_eq!(repeats.find(&name(6), 7, 0), Known::No);
        assert_eq!(repeats.find(&name(5), 8, 0), Known::Same(500));
    }

    #[test]
    fn messages_read_back_do_not_double_noted_ones() {
        let mut repeats = Repeats::default();
        repeats.note(Repeat::new(&id("b"), 1, 20, 2), 0);
        repeats.note(Repeat::new(&id("c"), 1, 30, 3), 0);
        assert!(!repeats.covers(10));
        let read = vec![Repeat::new(&id("a"), 1, 10, 1), Repeat::new(&id("b"), 1, 20, 2)];
        repeats.complete(10, read);
        assert!(repeats.covers(10) && !repeats.covers(9));
        assert_eq!(repeats.recent.len(), 3);
        repeats.forget_before(30);
        assert_eq!(repeats.find(&id("a"), 1, 0), Known::No);
        assert_eq!(repeats.find(&id("c"), 1, 0), Known::Same(3));
        repeats.forget();
        assert_eq!(repeats.find(&id("c"), 1, 0), Known::No);
        assert!(!repeats.covers(40));
    }
}
