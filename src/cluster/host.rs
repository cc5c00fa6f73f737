//! What serves the partitions that the steward claims.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::lease::Lease;
use crate::domain::id::{OrderKey, Partition};
use crate::storage::owners::{MemberId, Told};

/// A partition that was claimed.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which.
    pub partition: Partition,
    /// How often it was claimed so far.
    pub epoch: u64,
    /// Until when it may be served.
    pub lease: Arc<Lease>,
    /// A key that is not below any that was given.
    pub key: OrderKey,
    /// Since when events may be missing, by the server's clock, in milliseconds since 1970: an owner
    /// before had no time to tell everything.
    pub untold_since_ms: Option<u64>,
}

/// What is left of a partition that was closed in order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The newest key that was given.
    pub key: OrderKey,
    /// As [`Grant::untold_since_ms`], for the next owner.
    pub untold_since_ms: Option<u64>,
}

/// Why a partition that was claimed cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotOpened(pub String);

/// What serves the partitions that the steward claims.
pub trait Host: Clone + Send + Sync + 'static {
    /// Takes the calls of a partition in, from now on. What comes before [`Host::open`] waits.
    fn listen(&self, partition: Partition) -> impl Future<Output = Result<(), NotOpened>> + Send;

    /// Serves a partition.
    fn open(&self, grant: Grant) -> impl Future<Output = Result<(), NotOpened>> + Send;

    /// Serves a partition no more, in order: what is under way is finished first, new calls wait.
    /// `None`: that was not done within `patience`, and the partition is served on.
    fn close(
        &self,
        partition: Partition,
        patience: Option<Duration>,
    ) -> impl Future<Output = Option<Closed>> + Send;

    /// Takes no more calls of a partition in; those that have arrived are still handled.
    fn unlisten(&self, partition: Partition) -> impl Future<Output = ()> + Send;

    /// Serves a partition no more, at once. Its calls still come here.
    fn abandon(&self, partition: Partition);

    /// Whether what others send it comes.
    fn is_reached(&self) -> impl Future<Output = bool> + Send;

    /// How far it has told everything, if that is known soon.
    fn told(&self) -> impl Future<Output = Option<Told>> + Send;

    /// Whether a member answers a probe within that time. Nobody can tell for sure. `names_itself`:
    /// whether its release says in the answer who it is.
    fn answers(
        &self,
        member: &MemberId,
        names_itself: bool,
        within: Duration,
    ) -> impl Future<Output = bool> + Send;

    /// Learns what the server's clock said a moment ago.
    fn observe_server_time(&self, server_ms: u64);

    /// Looks, now and then, whether the store holds what this instance did not write.
    fn look_around(&self) -> impl Future<Output = ()> + Send;
}
