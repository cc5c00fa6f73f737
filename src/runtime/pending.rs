//! Tracks work in progress, to compute the time up to which all events were published.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Work in progress, by start time.
#[derive(Debug, Default)]
pub(super) struct Pending {
    by_start_ms: Mutex<BTreeMap<u64, usize>>,
}

/// One piece of work in progress, until this is dropped.
#[derive(Debug)]
#[must_use]
pub(super) struct UnderWay<P: std::ops::Deref<Target = Pending>> {
    pending: P,
    start_ms: u64,
}

/// Work in progress that is independent of its call.
pub(super) type OwnedUnderWay = UnderWay<Arc<Pending>>;

impl Pending {
    /// Notes that work begins.
    pub(super) fn begin(&self, now_ms: u64) -> UnderWay<&Self> {
        *self.lock().entry(now_ms).or_default() += 1;
        UnderWay { pending: self, start_ms: now_ms }
    }

    /// As [`Pending::begin`], for work that is independent of its call.
    pub(super) fn begin_owned(self: Arc<Self>, now_ms: u64) -> OwnedUnderWay {
        *self.lock().entry(now_ms).or_default() += 1;
        UnderWay { pending: self, start_ms: now_ms }
    }

    /// The start time of the oldest work in progress; `now_ms` if there is none.
    pub(super) fn since(&self, now_ms: u64) -> u64 {
        self.lock().first_key_value().map_or(now_ms, |(start_ms, _)| now_ms.min(*start_ms))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, usize>> {
        self.by_start_ms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<P: std::ops::Deref<Target = Pending>> Drop for UnderWay<P> {
    fn drop(&mut self) {
        let mut by_start_ms = self.pending.lock();
        if let Some(count) = by_start_ms.get_mut(&self.start_ms) {
            *count -= 1;
            if *count == 0 {
                by_start_ms.remove(&self.start_ms);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_that_has_not_ended_counts() {
        let pending = Pending::default();
        assert_eq!(pending.since(9), 9);
        let first = pending.begin(5);
        let second = pending.begin(5);
        let third = pending.begin(7);
        drop(first);
        assert_eq!(pending.since(9), 5);
        drop(second);
        assert_eq!(pending.since(9), 7);
        drop(third);
        assert_eq!(pending.since(9), 9);
    }
}
