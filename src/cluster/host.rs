//! The trait of the component that serves the partitions claimed by the membership manager.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::lease::Lease;
use crate::storage::owners::{MemberId, PublishedUpTo};
use peerd_core::id::{OrderKey, Partition};

/// A claimed partition.
#[derive(Clone, Debug)]
pub struct Grant {
    /// The partition.
    pub partition: Partition,
    /// How many times it was claimed, this claim included.
    pub epoch: u64,
    /// The lease, which limits how long it may be served.
    pub lease: Arc<Lease>,
    /// An order key that is not below any assigned one.
    pub key: OrderKey,
    /// The time since which events may be unpublished, by the server's clock, in milliseconds since
    /// 1970: a previous owner could not publish all of them.
    pub unpublished_since_ms: Option<u64>,
}

/// The state in which a partition was closed cleanly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Closed {
    /// The newest order key that was assigned.
    pub key: OrderKey,
    /// As [`Grant::unpublished_since_ms`], for the next owner.
    pub unpublished_since_ms: Option<u64>,
}

/// Why a claimed partition cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotOpened(pub String);

/// Serves the partitions that the membership manager claims.
pub trait Host: Clone + Send + Sync + 'static {
    /// Subscribes to the calls of a partition. Calls that arrive before [`Host::open`] wait.
    fn listen(&self, partition: Partition) -> impl Future<Output = Result<(), NotOpened>> + Send;

    /// Starts to serve a partition.
    fn open(&self, grant: Grant) -> impl Future<Output = Result<(), NotOpened>> + Send;

    /// Stops serving a partition cleanly: work in progress is finished first, new calls wait.
    /// `None`: that took longer than `patience`, and the partition is still served.
    fn close(
        &self,
        partition: Partition,
        patience: Option<Duration>,
    ) -> impl Future<Output = Option<Closed>> + Send;

    /// Ends the subscription to the calls of a partition. Calls that have arrived are still
    /// handled.
    fn unlisten(&self, partition: Partition) -> impl Future<Output = ()> + Send;

    /// Stops serving a partition at once. Its calls still arrive here.
    fn abandon(&self, partition: Partition);

    /// Whether messages from others reach this instance.
    fn is_reached(&self) -> impl Future<Output = bool> + Send;

    /// The time up to which it has published all events, if that is known soon.
    fn published_up_to(&self) -> impl Future<Output = Option<PublishedUpTo>> + Send;

    /// Whether a member answers a probe within the given time. The result is never certain.
    /// `names_itself`: whether the member's release states its ID in the answer.
    fn answers(
        &self,
        member: &MemberId,
        names_itself: bool,
        within: Duration,
    ) -> impl Future<Output = bool> + Send;

    /// Records the time that the server's clock showed a moment ago.
    fn observe_server_time(&self, server_ms: u64);

    /// Checks, at intervals, whether the store holds records that this instance did not write.
    fn look_around(&self) -> impl Future<Output = ()> + Send;
}
