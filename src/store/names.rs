//! The streams of a deployment, and their names.

use super::StreamId;
use peerd_core::id::Partition;

/// One of the streams of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// A partition's.
    Stream(StreamId),
    /// The stream behind the bucket of members and owners.
    Owners,
    /// The work queue of offline pushes.
    Push,
}

/// The names of the streams of one deployment, derived from its subject prefix.
#[derive(Clone, Debug)]
pub struct StreamNames {
    prefix: String,
}

impl StreamNames {
    /// Names for a subject prefix: `peer` gives `PEER_LOG_0`.
    #[must_use]
    pub fn new(subject_prefix: &str) -> Self {
        Self { prefix: subject_prefix.to_uppercase().replace('.', "_") }
    }

    /// The stream of a partition.
    #[must_use]
    pub fn of(&self, stream: StreamId) -> String {
        match stream {
            StreamId::Log(Partition(number)) => format!("{}_LOG_{number}", self.prefix),
            StreamId::State(Partition(number)) => format!("{}_STATE_{number}", self.prefix),
        }
    }

    /// Any of the streams.
    #[must_use]
    pub fn resource(&self, resource: Resource) -> String {
        match resource {
            Resource::Stream(stream) => self.of(stream),
            Resource::Owners => self.owners(),
            Resource::Push => self.push(),
        }
    }

    /// The bucket of members and owners.
    #[must_use]
    pub fn owners_bucket(&self) -> String {
        format!("{}_OWNERS", self.prefix)
    }

    /// The stream behind the bucket of members and owners.
    #[must_use]
    pub fn owners(&self) -> String {
        format!("KV_{}", self.owners_bucket())
    }

    /// The subject of an entry of the bucket of members and owners.
    #[must_use]
    pub fn owners_entry(&self, key: &str) -> String {
        format!("$KV.{}.{key}", self.owners_bucket())
    }

    /// The subjects of all entries of the bucket of members and owners.
    #[must_use]
    pub fn all_owners(&self) -> String {
        self.owners_entry(">")
    }

    /// The work queue of offline pushes.
    #[must_use]
    pub fn push(&self) -> String {
        format!("{}_PUSH", self.prefix)
    }
}
