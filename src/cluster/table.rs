//! Where calls go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::domain::id::Partition;

/// Who owns a partition, as far as this instance knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// Nobody, or somebody who does not answer.
    #[default]
    Nobody,
    /// This instance, or it is about to.
    Here,
    /// Another.
    There,
}

/// Where calls go, by partition. Follows the entries of the owners.
#[derive(Debug)]
pub struct Table {
    places: RwLock<Vec<Place>>,
    /// One list of those who wait: who waits longest is woken first.
    changed: Notify,
    /// How much waits for an owner.
    waiting: AtomicUsize,
}

/// Something that waits for an owner, until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Waiting(Arc<Table>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Table {
    /// A table in which nobody owns anything.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let places = vec![Place::Nobody; usize::from(partitions)];
        Self { places: RwLock::new(places), changed: Notify::new(), waiting: AtomicUsize::new(0) }
    }

    /// Who owns a partition.
    #[must_use]
    pub fn place(&self, partition: Partition) -> Place {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        places.get(usize::from(partition.0)).copied().unwrap_or_default()
    }

    /// Sets all places, and wakes who waits if any is new.
    pub(super) fn set(&self, places: Vec<Place>) {
        let mut known = self.places.write().unwrap_or_else(PoisonError::into_inner);
        if *known != places {
            *known = places;
            drop(known);
            self.wake();
        }
    }

    /// Wakes who waits: a partition was opened or closed here.
    pub fn wake(&self) {
        self.changed.notify_waiters();
    }

    /// Notes that something waits for an owner: an instance that ends goes on following the entries
    /// for it.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        Waiting(self.clone())
    }

    /// Whether something waits for an owner.
    pub(super) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Acquire) > 0
    }

    /// Ends with the next change from now on, awaited or not.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
