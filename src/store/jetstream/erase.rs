//! Erasing a record: JetStream's secure erase, which overwrites its bytes.

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::JetStream;
use super::acks::ApiError;
use super::publish::Backoff;
use super::reads::{NO_MESSAGE, NewestAnswer};
use crate::store::trouble::Resource;
use crate::store::{AppendError, StreamId};

/// The answer to a request to erase a record.
#[derive(Deserialize)]
struct EraseAnswer {
    #[serde(default)]
    success: bool,
    error: Option<ApiError>,
}

impl JetStream {
    /// See [`crate::store::Store::erase`].
    pub(super) async fn erase_record(
        &self,
        stream: StreamId,
        seq: u64,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let (name, resource) = (self.names.of(stream), Resource::Stream(stream));
        self.erase_from(&name, resource, seq, deadline).await
    }

    /// Erases a record of the stream with this name.
    pub(super) async fn erase_from(
        &self,
        name: &str,
        resource: Resource,
        seq: u64,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{name}");
        let body = Bytes::from(serde_json::json!({ "seq": seq, "no_erase": false }).to_string());
        let mut backoff = Backoff::until(deadline);
        loop {
            let answer = self.ask_api(subject.clone(), body.clone(), &mut backoff).await;
            let answer = answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok());
            if let Some(EraseAnswer { success, error }) = answer {
                if success {
                    return Ok(());
                }
                // An earlier attempt may have erased it, with its answer lost: the leader knows.
                if !self.has_record(name, seq, &mut backoff).await {
                    return Ok(());
                }
                tracing::debug!(?error, seq, "a record was not erased");
                self.troubles.suspect(resource);
            }
            // Perhaps there is no leader at the moment.
            if !backoff.wait().await {
                return Err(AppendError::Unknown);
            }
        }
    }

    /// Whether a record exists, according to the stream's leader.
    async fn has_record(&self, name: &str, seq: u64, backoff: &mut Backoff) -> bool {
        let subject = format!("$JS.API.STREAM.MSG.GET.{name}");
        let body = Bytes::from(serde_json::json!({ "seq": seq }).to_string());
        let answer = self.ask_api(subject, body, backoff).await;
        let answer = answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok());
        let is_gone = matches!(
            answer,
            Some(NewestAnswer { message: None, error: Some(error) }) if error.err_code == NO_MESSAGE
        );
        !is_gone
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peerd_testkit::Nats;

    use super::*;
    use crate::store::jetstream::fresh;
    use crate::store::{Start, Store as _};
    use peerd_core::id::Partition;
    use peerd_protocol::subject::Subjects;

    #[tokio::test]
    async fn an_erased_record_is_gone_from_reads_and_from_the_disk_and_the_others_stay() {
        let (nats, subjects) = (Nats::start().await, Subjects::new("peer", 1));
        let (store, _) = fresh::store(nats.url(), &subjects).await;
        let (log, deadline) =
            (StreamId::Log(Partition(0)), Instant::now() + Duration::from_secs(20));
        let subject = subjects.log_sentinel(Partition(0)).replace('=', "a");
        let mut places = vec![0];
        for text in ["the first one", "a secret of somebody", "the last one"] {
            let (expected, payload) = (places[places.len() - 1], Bytes::from(text));
            let stored = store.append(log, subject.clone(), payload, expected, deadline).await;
            places.push(stored.expect("stored"));
        }
        // A repeat succeeds.
        for _ in 0..2 {
            store.erase(log, places[2], deadline).await.expect("erased");
        }
        let read = store.read(log, subject.clone(), Start::Seq(1), 10, deadline).await;
        let left: Vec<u64> =
            read.expect("read").records.iter().map(|record| record.stream_seq).collect();
        assert_eq!(left, [places[1], places[3]]);
        // The newest one, too: numbering continues after it.
        store.erase(log, places[3], deadline).await.expect("erased");
        let last = store.last(log, vec![subject.clone()], deadline).await.expect("read");
        assert_eq!(last[0].stream_seq, places[1]);
        let next = store.append(log, subject, Bytes::from("more"), places[1], deadline).await;
        assert_eq!(next, Ok(places[3] + 1));
        assert!(holds(nats.dir(), b"the first one"), "this looks for it in the wrong place");
        for gone in [&b"a secret of somebody"[..], b"the last one"] {
            assert!(!holds(nats.dir(), gone), "its bytes are still there");
        }
    }

    /// Whether any file below a folder contains these bytes.
    fn holds(folder: &std::path::Path, bytes: &[u8]) -> bool {
        std::fs::read_dir(folder).expect("a folder").any(|entry| {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                return holds(&path, bytes);
            }
            let file = std::fs::read(&path).unwrap_or_default();
            file.windows(bytes.len()).any(|part| part == bytes)
        })
    }
}
