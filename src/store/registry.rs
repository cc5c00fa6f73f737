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

/// What an entry came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// It was written.
    Put(Bytes),
    /// It was not renewed in time.
    Expired,
    /// It was deleted.
    Deleted,
}

/// A change of the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The entry's key.
    pub key: String,
    /// What it came to.
    pub value: Value,
    /// Its place in the bucket.
    pub seq: u64,
    /// Whether everything that was there when the watch began has come.
    pub is_caught_up: bool,
    /// When the server stored it, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
}

/// The changes of a bucket.
pub type Changes = Pin<Box<dyn Stream<Item = Result<Change, ReadError>> + Send>>;

/// A bucket of entries. Every call ends by its deadline.
pub trait Registry: Send + Sync + 'static {
    /// Writes an entry whose key is still at `expected_seq` (0: it was never there; `None`: wherever
    /// it is). It expires after `ttl`, where one is given. Answers its place in the bucket.
    fn put(
        &self,
        key: String,
        value: Bytes,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Deletes an entry that is still at `expected_seq`.
    fn delete(
        &self,
        key: String,
        expected_seq: u64,
        deadline: Instant,
    ) -> impl Future<Output = Result<u64, AppendError>> + Send;

    /// Where an entry is; `None` where it is not, or no more. Never an old answer.
    fn find(
        &self,
        key: String,
        deadline: Instant,
    ) -> impl Future<Output = Result<Option<u64>, ReadError>> + Send;

    /// Since when this bucket stands in for one that was lost, by the server's clock, in milliseconds
    /// since 1970; `None`: it is the first one. Whoever was in the one before may still act for as
    /// long as its last sign of life there lets it.
    fn stands_in_since(
        &self,
        _deadline: Instant,
    ) -> impl Future<Output = Result<Option<u64>, ReadError>> + Send {
        std::future::ready(Ok(None))
    }

    /// All entries as they are, in the order in which they were written, and then every change.
    fn watch(&self, deadline: Instant) -> impl Future<Output = Result<Changes, ReadError>> + Send;
}
