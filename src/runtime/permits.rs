//! How much may be in progress at a time: permits for calls and for owner requests.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::admission::Admission;
use super::tuning::{SETTLING_SHARE, WAITING_SHARE};

/// The permits of an instance.
pub(super) struct Permits {
    /// The most calls in progress.
    most: usize,
    pub(super) calls: Arc<Semaphore>,
    /// Permits for owner requests. These are separate, since calls wait for owner requests: the
    /// reverse would deadlock.
    pub(super) deliveries: Arc<Semaphore>,
    /// Permits for settle requests, which settle a direction of a conversation. Deliveries wait for
    /// these, and these wait for no permit.
    pub(super) settling: Arc<Semaphore>,
    /// Permits for calls that wait for an owner.
    pub(super) waiting: Semaphore,
    /// The admission control of calls and owner requests.
    pub(super) admission: Admission,
}

impl Permits {
    /// Permits for `most` calls in progress.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            calls: Arc::new(Semaphore::new(most)),
            deliveries: Arc::new(Semaphore::new(most)),
            settling: Arc::new(Semaphore::new(SETTLING_SHARE * most)),
            waiting: Semaphore::new((most / WAITING_SHARE).max(1)),
            admission: Admission::new(most),
        }
    }

    /// Calls in progress.
    pub(super) fn calls_under_way(&self) -> usize {
        self.most.saturating_sub(self.calls.available_permits())
    }

    /// Owner requests in progress.
    pub(super) fn deliveries_under_way(&self) -> usize {
        self.most.saturating_sub(self.deliveries.available_permits())
    }

    /// Calls and owner requests in progress.
    pub(super) fn under_way(&self) -> usize {
        let free = self.calls.available_permits() + self.deliveries.available_permits();
        (2 * self.most).saturating_sub(free)
    }
}
