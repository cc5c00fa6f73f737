//! A small bucket of entries that all instances see: changed by compare-and-set, watched, and with
//! entries that expire.

pub mod memory;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio::time::Instant;

use super::{AppendError, ReadError};

/// The present state of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// It was written.
    Put(Bytes),
    /// It expired.
    Expired,
    /// It was deleted.
    Deleted,
}

/// A change of the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The entry's key.
    pub key: String,
    /// Its new state.
    pub value: Value,
    /// Its revision.
    pub seq: u64,
    /// Whether all entries that existed when the watch began have arrived.
    pub is_caught_up: bool,
    /// When the server stored it, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
}

/// The changes of a bucket.
pub type Changes = Pin<Box<dyn Stream<Item = Result<Change, ReadError>> + Send>>;

/// A bucket of entries. Every call ends by its deadline.
pub trait Registry: Send + Sync + 'static {
    /// Writes an entry whose revision is still `expected_seq` (0: it never existed; `None`: any).
    /// It expires after `ttl`, if given. Returns its new revision.
    fn put(
        &self,
        key: String,
        value: Bytes,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Deletes an entry whose revision is still `expected_seq`.
    fn delete(
        &self,
        key: String,
        expected_seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// The revision of an entry; `None` if it does not exist any more. The answer is never stale.
    fn find(
        &self,
        key: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<u64>, ReadError>> + Send;

    /// The time since which this bucket replaces a lost one, by the server's clock, in milliseconds
    /// since 1970; `None`: it is the first one. Members of the lost one may still act until their
    /// leases end.
    fn stands_in_since(
        &self,
        _deadline: Instant,
    ) -> impl Future<Output = Result<Option<u64>, ReadError>> + Send {
        std::future::ready(Ok(None))
    }

    /// All entries in the order in which they were written, and then every change.
    fn watch(&self, deadline: Instant) -> impl Future<Output = Result<Changes, ReadError>> + Send;
}
