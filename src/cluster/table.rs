//! The routing table: where calls go.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use peerd_core::id::Partition;

/// The place of a partition's owner, as far as this instance knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// There is no owner, or it does not answer.
    #[default]
    Nobody,
    /// This instance owns it, or is about to.
    Here,
    /// Another instance owns it.
    There,
}

/// The place of each partition's owner, for the routing of calls. Follows the owner entries.
#[derive(Debug)]
pub struct Table {
    places: RwLock<Vec<Place>>,
    /// A single queue of waiting tasks: the one that has waited longest is woken first.
    changed: Notify,
    /// The number of calls and requests that wait for an owner.
    waiting: AtomicUsize,
    /// Whether this instance serves the partitions that are assigned to it.
    is_settled: AtomicBool,
}

/// A registration as waiting for an owner, until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Waiting(Arc<Table>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Table {
    /// A table in which no partition has an owner.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let places = vec![Place::Nobody; usize::from(partitions)];
        Self {
            places: RwLock::new(places),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            is_settled: AtomicBool::new(false),
        }
    }

    /// The place of a partition's owner.
    #[must_use]
    pub fn place(&self, partition: Partition) -> Place {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.get(usize::from(partition.0)).copied().unwrap_or_default()
    }

    /// The number of partitions without an owner that answers.
    #[must_use]
    pub fn without_owner(&self) -> usize {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.iter().filter(|place| **place == Place::Nobody).count()
    }

    /// Whether this instance is a member that serves the partitions that are assigned to it, as far
    /// as no other one still serves them.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.is_settled.load(Ordering::Relaxed)
    }

    /// Sets [`Table::is_settled`].
    pub(super) fn set_settled(&self, is_settled: bool) {
        self.is_settled.store(is_settled, Ordering::Relaxed);
    }

    /// Sets all places, and wakes the waiting tasks if a place has changed.
    pub(super) fn set(&self, places: Vec<Place>) {
        let mut known = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if *known != places {
            *known = places;
            drop(known);
            self.wake();
        }
    }

    /// Wakes the waiting tasks: a partition was opened or closed here.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Registers the caller as waiting for an owner: a leaving instance keeps following the owner
    /// entries until it is done.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Whether anything waits for an owner.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Completes with the next change from now on, even one that comes before the first poll.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
