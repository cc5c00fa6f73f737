//! Where calls go.

use std::sync::{PoisonError, RwLock};

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
}

impl Table {
    /// A table in which nobody owns anything.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let places = vec![Place::Nobody; usize::from(partitions)];
        Self { places: RwLock::new(places), changed: Notify::new() }
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

    /// Ends with the next change from now on, awaited or not.
    pub fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }
}
