//! What one sender sent to one receiver lately, so that a repeat is recognized.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::id::LocalMessageId;

/// A message that was stored with a local message ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    local_id_hash: u64,
    fingerprint: u64,
    /// When it was accepted, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Where the store has it.
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
}

fn hash(local_id: &LocalMessageId) -> u64 {
    let mut hasher = DefaultHasher::new();
    local_id.hash(&mut hasher);
    hasher.finish()
}

/// What is known of a local message ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not used in the time that is remembered.
    No,
    /// Used for the same content: the message is at this stream sequence.
    Same(u64),
    /// Used for other content.
    Other,
}

/// The local message IDs of one sender's recent messages to one receiver, oldest first. Bounded by
/// the sender's rate times the window.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    recent: VecDeque<Repeat>,
    /// Nothing that was stored at or after this time is missing; `None` when nothing is known yet.
    complete_since_ms: Option<u64>,
}

impl Repeats {
    /// Whether everything since `since_ms` is remembered.
    #[must_use]
    pub fn covers(&self, since_ms: u64) -> bool {
        self.complete_since_ms.is_some_and(|complete| complete <= since_ms)
    }

    /// Takes what was read back from the log since `since_ms`, in the order of the log, beside
    /// what was noted meanwhile.
    pub fn complete(&mut self, since_ms: u64, read_back: Vec<Repeat>) {
        let noted = std::mem::take(&mut self.recent);
        let newest = read_back.last().map_or(0, |repeat| repeat.stream_seq);
        self.recent = read_back.into();
        self.recent.extend(noted.into_iter().filter(|repeat| repeat.stream_seq > newest));
        self.complete_since_ms = Some(since_ms);
    }

    /// Notes a message that was just stored, and forgets what is older than `oldest_ms`.
    pub fn note(&mut self, repeat: Repeat, oldest_ms: u64) {
        self.forget_before(oldest_ms);
        self.recent.push_back(repeat);
    }

    /// Forgets what is older than `oldest_ms`.
    pub fn forget_before(&mut self, oldest_ms: u64) {
        while self.recent.front().is_some_and(|repeat| repeat.timestamp_ms < oldest_ms) {
            self.recent.pop_front();
        }
        self.complete_since_ms = self.complete_since_ms.map(|since| since.max(oldest_ms));
        if self.recent.is_empty() && self.recent.capacity() > 16 {
            self.recent.shrink_to_fit();
        }
    }

    /// What is known of `local_id`, as far back as `oldest_ms`.
    #[must_use]
    pub fn find(&self, local_id: &LocalMessageId, fingerprint: u64, oldest_ms: u64) -> Known {
        let local_id_hash = hash(local_id);
        let newest_first = self.recent.iter().rev();
        let mut in_window = newest_first.take_while(|repeat| repeat.timestamp_ms >= oldest_ms);
        match in_window.find(|repeat| repeat.local_id_hash == local_id_hash) {
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
    fn what_is_read_back_does_not_double_what_was_noted() {
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
    }
}
