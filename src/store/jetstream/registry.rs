//! The bucket of owners, as a key-value bucket of JetStream.

use std::time::Duration;

use async_nats::HeaderValue;
use async_nats::jetstream;
use async_nats::jetstream::consumer::push::OrderedConfig;
use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::JetStream;
use super::entry::{EXPECTED_LAST, Entry, Headers};
use crate::store::names::Resource;
use crate::store::registry::{Change, Changes, Registry, Value};
use crate::store::survey;
use crate::store::{AppendError, ReadError};

const TTL: &str = "Nats-TTL";
const OPERATION: &str = "KV-Operation";
const MARKER: &str = "Nats-Marker-Reason";

impl JetStream {
    async fn put_entry(
        &self,
        key: &str,
        headers: Headers,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let subject = self.names.owners_entry(key);
        let entry = Entry { resource: Resource::Owners, subject, headers, payload };
        self.publisher.publish(&entry, deadline).await
    }
}

impl Registry for JetStream {
    async fn put(
        &self,
        key: String,
        value: Bytes,
        expected_seq: Option<u64>,
        ttl: Option<Duration>,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let expected_seq = expected_seq.map(|seq| seq.to_string());
        // The server counts whole seconds.
        let seconds = ttl.map(|ttl| ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0));
        let ttl = seconds.map(|seconds| format!("{}s", seconds.max(1)));
        let named = [(EXPECTED_LAST, expected_seq.as_deref()), (TTL, ttl.as_deref())];
        let named = named.into_iter().filter_map(|(name, value)| Some((name, value?)));
        self.put_entry(&key, Headers::block(named), value, deadline).await
    }

    async fn delete(
        &self,
        key: String,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let expected_seq = expected_seq.to_string();
        // The marker of an expired member is needed for a while only.
        let named = [(EXPECTED_LAST, expected_seq.as_str()), (OPERATION, "DEL"), (TTL, "60s")];
        self.put_entry(&key, Headers::block(named), Bytes::new(), deadline).await
    }

    async fn find(&self, key: String, deadline: Instant) -> Result<Option<u64>, ReadError> {
        let entry = self.names.owners_entry(&key);
        let newest = self.newest_of(Resource::Owners, &entry, deadline).await?;
        // Only the markers of deleted entries are empty.
        Ok(newest.filter(|newest| !newest.data.is_empty()).map(|newest| newest.seq))
    }

    async fn stands_in_since(&self, deadline: Instant) -> Result<Option<u64>, ReadError> {
        let client = &self.connection.client;
        let state = survey::stream(client, &self.names.owners(), deadline).await;
        let state = state.map_err(|unseen| {
            self.troubles.suspect(Resource::Owners);
            ReadError(format!("the bucket of owners {unseen}"))
        })?;
        Ok(state.stands_in.then_some(state.created_ms).flatten())
    }

    async fn watch(&self, deadline: Instant) -> Result<Changes, ReadError> {
        let failed = |error: &dyn std::error::Error| ReadError(error.to_string());
        let watching = async {
            let context = jetstream::new(self.connection.client.clone());
            let stream = context
                .get_stream_no_info(self.names.owners())
                .await
                .map_err(|error| failed(&error))?;
            let consumer = stream
                .create_consumer(OrderedConfig {
                    deliver_subject: self.connection.client.new_inbox(),
                    filter_subject: self.names.all_owners(),
                    deliver_policy: DeliverPolicy::LastPerSubject,
                    replay_policy: ReplayPolicy::Instant,
                    ..OrderedConfig::default()
                })
                .await
                .map_err(|error| failed(&error))?;
            consumer.messages().await.map_err(|error| failed(&error))
        };
        let messages = timeout_at(deadline, watching);
        let messages = messages.await.unwrap_or_else(|_| Err(ReadError("timed out".to_owned())));
        let messages = messages.inspect_err(|_| self.troubles.suspect(Resource::Owners))?;
        let prefix = self.names.owners_entry("");
        let changes = messages.filter_map(move |message| {
            let change = match message {
                Ok(message) => change(&message, &prefix).transpose(),
                Err(error) => Some(Err(ReadError(error.to_string()))),
            };
            std::future::ready(change)
        });
        Ok(Box::pin(changes))
    }
}

fn change(message: &jetstream::Message, prefix: &str) -> Result<Option<Change>, ReadError> {
    let info = message.info().map_err(|error| ReadError(error.to_string()))?;
    let Some(key) = message.subject.strip_prefix(prefix) else { return Ok(None) };
    let headers = message.headers.as_ref();
    let header = |name| headers.and_then(|headers| headers.get(name)).map(HeaderValue::as_str);
    let value = match (header(MARKER), header(OPERATION)) {
        (Some("MaxAge"), _) => Value::Expired,
        (Some(_), _) | (None, Some("DEL" | "PURGE")) => Value::Deleted,
        (None, _) => Value::Put(message.payload.clone()),
    };
    let stored_ms = info.published.unix_timestamp_nanos() / 1_000_000;
    Ok(Some(Change {
        key: key.to_owned(),
        value,
        seq: info.stream_sequence,
        is_caught_up: info.pending == 0,
        stored_ms: u64::try_from(stored_ms).unwrap_or_default(),
    }))
}
