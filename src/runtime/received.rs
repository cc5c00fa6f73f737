//! Remembers which requests of other instances were begun here, by their reply subjects. A sender's
//! owner without an answer inquires; a request that was not begun by then never will be, so it can
//! be sent again without being performed twice.

use super::tuning::{REQUESTS_KEPT_FOR, REQUESTS_KEPT_MAX};
use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use tokio::time::Instant;

/// Whether a request was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inquired {
    /// It was begun, and is or will be answered.
    Begun,
    /// It was not begun and never will be. Requests of the last so long are remembered; `None`: all
    /// since the process began.
    NotBegun(Option<Duration>),
}

/// Requests of other instances, by their reply subjects.
#[derive(Debug, Default)]
pub(super) struct Received {
    known: Mutex<Known>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct Known {
    /// Whether a request was begun, by its hash; if not, it must not be.
    begun: HashMap<u64, bool>,
    /// In the order of arrival.
    order: VecDeque<(u64, Instant)>,
    /// When the newest forgotten request arrived.
    forgotten: Option<Instant>,
}

impl Received {
    /// Notes that a request is begun; false if it was begun before, or must not be.
    pub(super) fn begin(&self, reply_to: &str) -> bool {
        self.known(|known, hash| known.note(hash, true).is_none(), reply_to)
    }

    /// Returns whether a request was begun. If not, it never will be.
    pub(super) fn inquire(&self, reply_to: &str) -> Inquired {
        let inquire = |known: &mut Known, hash| match known.note(hash, false) {
            Some(true) => Inquired::Begun,
            Some(false) | None => {
                Inquired::NotBegun(known.forgotten.map(|forgotten| forgotten.elapsed()))
            }
        };
        self.known(inquire, reply_to)
    }

    fn known<T>(&self, with: impl FnOnce(&mut Known, u64) -> T, reply_to: &str) -> T {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.forget();
        with(&mut known, self.hasher.hash_one(reply_to))
    }
}

impl Known {
    /// Notes a request unless it is known; returns what was known of it.
    fn note(&mut self, hash: u64, is_begun: bool) -> Option<bool> {
        if let Some(known) = self.begun.get(&hash) {
            return Some(*known);
        }
        self.begun.insert(hash, is_begun);
        self.order.push_back((hash, Instant::now()));
        None
    }

    fn forget(&mut self) {
        while let Some((hash, came)) = self.order.front().copied() {
            if self.order.len() < REQUESTS_KEPT_MAX && came.elapsed() < REQUESTS_KEPT_FOR {
                return;
            }
            self.order.pop_front();
            self.begun.remove(&hash);
            self.forgotten = Some(came);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_is_begun_once_and_not_after_it_was_said_that_it_was_not() {
        let received = Received::default();
        assert!(received.begin("a"));
        assert!(!received.begin("a"), "it came twice");
        assert_eq!(received.inquire("a"), Inquired::Begun);
        assert_eq!(received.inquire("b"), Inquired::NotBegun(None));
        assert!(!received.begin("b"), "its sender has sent it again since");
        assert_eq!(received.inquire("b"), Inquired::NotBegun(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_forgotten_request_is_not_reported_as_never_begun() {
        let received = Received::default();
        assert!(received.begin("first"));
        advance(Duration::from_secs(1)).await;
        for number in 0..REQUESTS_KEPT_MAX {
            assert!(received.begin(&number.to_string()));
        }
        advance(Duration::from_secs(2)).await;
        // The first was forgotten, so nothing is known of requests of three seconds ago.
        let known_for = Duration::from_secs(3);
        let Inquired::NotBegun(Some(said)) = received.inquire("first") else { panic!("forgotten") };
        assert!(said <= known_for, "{said:?}");
        advance(REQUESTS_KEPT_FOR).await;
        let Inquired::NotBegun(Some(said)) = received.inquire("new") else { panic!("forgotten") };
        assert!(said >= REQUESTS_KEPT_FOR, "{said:?}");
        assert!(received.known.lock().unwrap().order.len() <= 1);
    }
}
