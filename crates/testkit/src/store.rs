//! The content of `JetStream`, read from outside.

use async_nats::jetstream;
use futures::TryStreamExt as _;

use super::client::{Client, token};

/// Reads the streams over a connection with all permissions.
#[derive(Clone)]
pub struct Store {
    jetstream: jetstream::Context,
}

impl Store {
    /// Uses the client's connection.
    pub fn new(client: &Client) -> Self {
        Self { jetstream: jetstream::new(client.nats().clone()) }
    }

    /// The `JetStream` context.
    pub fn jetstream(&self) -> &jetstream::Context {
        &self.jetstream
    }

    /// The names of all streams, sorted.
    pub async fn stream_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.jetstream.stream_names().try_collect().await.unwrap();
        names.sort();
        names
    }

    /// The number of messages in a stream.
    pub async fn count(&self, stream: &str) -> u64 {
        self.info(stream).await.state.messages
    }

    /// The last sequence of a stream: the number of messages ever written to it.
    pub async fn last_sequence(&self, stream: &str) -> u64 {
        self.info(stream).await.state.last_sequence
    }

    /// A stream's configuration and state.
    pub async fn info(&self, stream: &str) -> jetstream::stream::Info {
        self.jetstream
            .get_stream(stream)
            .await
            .unwrap_or_else(|error| panic!("stream {stream}: {error}"))
            .cached_info()
            .clone()
    }

    /// The number of messages ever written to the streams with a name prefix, by their last
    /// sequences.
    pub async fn written(&self, prefix: &str) -> u64 {
        let mut written = 0;
        for name in self.stream_names().await {
            if name.starts_with(prefix) {
                written += self.last_sequence(&name).await;
            }
        }
        written
    }

    /// The numbers of messages ever written, which a refused call must not change.
    pub async fn writes(&self) -> Writes {
        Writes {
            log: self.written("PEER_LOG_").await,
            state: self.written("PEER_STATE_").await,
            push: self.written("PEER_PUSH").await,
        }
    }

    /// The subjects of a stream, with their message counts, sorted.
    pub async fn subjects(&self, stream: &str, filter: &str) -> Vec<(String, usize)> {
        let stream = self.jetstream.get_stream(stream).await.unwrap();
        let mut subjects: Vec<_> =
            stream.info_with_subjects(filter).await.unwrap().try_collect().await.unwrap();
        subjects.sort();
        subjects
    }
}

/// The numbers of messages ever written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writes {
    /// Into the logs of messages.
    pub log: u64,
    /// Into the state streams.
    pub state: u64,
    /// Into the stream of offline pushes.
    pub push: u64,
}

/// 32-bit FNV-1a.
pub fn fnv1a32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The partition of a user.
pub fn partition(user: &str, partitions: u32) -> u32 {
    fnv1a32(token(user).as_bytes()) % partitions
}
