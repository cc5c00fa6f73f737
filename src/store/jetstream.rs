//! The store on JetStream.

use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::direct_get::{self, Failed, SUBJECTS_MAX};
use super::link::{Broken, Link};
use super::{AppendError, Batch, ReadError, Record, Start, Store, StreamId};
use crate::domain::id::Partition;

const EXPECTED_LAST: &str = "Nats-Expected-Last-Subject-Sequence";
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// The subject does not end at the expected sequence.
const WRONG_LAST_SEQUENCE: u32 = 10071;
/// Another publish on the subject is in flight (replicated streams).
const IN_FLIGHT: u32 = 10164;
/// No leader at the moment.
const TEMPORARILY_UNAVAILABLE: u32 = 10008;
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

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

/// The store on JetStream, over one connection of its own.
#[derive(Clone, Debug)]
pub struct JetStream {
    client: Client,
    link: Link,
    names: StreamNames,
}

/// The answer to a publish.
#[derive(Deserialize)]
struct Ack {
    seq: Option<u64>,
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckError {
    #[serde(default)]
    err_code: u32,
    #[serde(default)]
    description: String,
}

/// Why one publish was not acknowledged.
enum Refused {
    /// Nothing was stored, and it may be different soon.
    ForNow(&'static str),
    /// It would be no different soon, or it may be stored.
    ForGood(AppendError),
}

/// Waits that grow, up to a deadline.
struct Backoff {
    next: Duration,
    deadline: Instant,
}

impl Backoff {
    const fn until(deadline: Instant) -> Self {
        Self { next: BACKOFF_FIRST, deadline }
    }

    /// Waits a while; false when the deadline comes first.
    async fn wait(&mut self) -> bool {
        let until = Instant::now() + self.next;
        self.next = (self.next * 2).min(BACKOFF_MAX);
        if until >= self.deadline {
            return false;
        }
        sleep_until(until).await;
        true
    }
}

impl JetStream {
    pub(crate) const fn new(client: Client, link: Link, names: StreamNames) -> Self {
        Self { client, link, names }
    }

    /// One publish.
    async fn publish_once(
        &self,
        subject: &str,
        headers: &HeaderMap,
        payload: &Bytes,
        deadline: Instant,
    ) -> Result<u64, Refused> {
        if !self.link.is_up() {
            return Err(Refused::ForNow("disconnected"));
        }
        // No timeout of async-nats's own: the link's guard ends the wait.
        let request =
            Request::new().payload(payload.clone()).headers(headers.clone()).timeout(None);
        let answer =
            self.link.guard(deadline, self.client.send_request(subject.to_owned(), request)).await;
        let message = match answer {
            Ok(Ok(message)) => message,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                return Err(Refused::ForNow("no responders"));
            }
            Ok(Err(error)) if error.kind() == RequestErrorKind::MaxPayloadExceeded => {
                let why = "over the server's max_payload".to_owned();
                return Err(Refused::ForGood(AppendError::Unavailable(why)));
            }
            Ok(Err(_)) | Err(Broken::TimedOut | Broken::Disconnected) => {
                return Err(Refused::ForGood(AppendError::Unknown));
            }
        };
        let ack = serde_json::from_slice::<Ack>(&message.payload);
        match ack {
            Ok(Ack { error: Some(error), .. }) => Err(match error.err_code {
                WRONG_LAST_SEQUENCE => Refused::ForGood(AppendError::Conflict),
                IN_FLIGHT | TEMPORARILY_UNAVAILABLE => Refused::ForNow("no leader, or busy"),
                code => {
                    let why = format!("{} ({code})", error.description);
                    Refused::ForGood(AppendError::Unavailable(why))
                }
            }),
            Ok(Ack { seq: Some(seq), error: None }) => Ok(seq),
            Ok(Ack { seq: None, error: None }) | Err(_) => {
                Err(Refused::ForGood(AppendError::Unknown))
            }
        }
    }

    /// Publishes until the store takes it, refuses it, or might have taken it.
    async fn publish(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let mut backoff = Backoff::until(deadline);
        loop {
            match self.publish_once(subject, &headers, &payload, deadline).await {
                Err(Refused::ForNow(why)) => {
                    if !backoff.wait().await {
                        return Err(AppendError::Unavailable(why.to_owned()));
                    }
                }
                Err(Refused::ForGood(error)) => return Err(error),
                Ok(seq) => return Ok(seq),
            }
        }
    }

    async fn fetch(
        &self,
        stream: StreamId,
        request: direct_get::Request,
        deadline: Instant,
    ) -> Result<Batch, Failed> {
        let name = self.names.of(stream);
        let mut backoff = Backoff::until(deadline);
        loop {
            if self.link.is_up() {
                match direct_get::fetch(&self.client, &self.link, &name, &request, deadline).await {
                    Err(Failed::NoResponders) => {}
                    result => return result,
                }
            }
            if !backoff.wait().await {
                return Err(Failed::NoResponders);
            }
        }
    }

    /// The subjects of a stream that match a filter.
    async fn subjects(
        &self,
        stream: StreamId,
        filter: &str,
        deadline: Instant,
    ) -> Result<Vec<String>, ReadError> {
        #[derive(Deserialize)]
        struct Info {
            state: Option<State>,
            #[serde(default)]
            total: usize,
        }
        #[derive(Deserialize)]
        struct State {
            #[serde(default)]
            subjects: std::collections::BTreeMap<String, u64>,
        }
        let mut subjects = Vec::new();
        loop {
            let body = serde_json::json!({ "subjects_filter": filter, "offset": subjects.len() });
            let request = self.client.request(
                format!("$JS.API.STREAM.INFO.{}", self.names.of(stream)),
                body.to_string().into(),
            );
            let answer = self.link.guard(deadline, request).await;
            let Ok(Ok(answer)) = answer else { return Err(ReadError("no stream info".into())) };
            let info: Info = serde_json::from_slice(&answer.payload)
                .map_err(|_| ReadError("stream info that makes no sense".into()))?;
            let page = info.state.map(|state| state.subjects).unwrap_or_default();
            let done = page.is_empty() || subjects.len() + page.len() >= info.total;
            subjects.extend(page.into_keys());
            if done {
                return Ok(subjects);
            }
        }
    }
}

impl Store for JetStream {
    async fn append(
        &self,
        _stream: StreamId,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        // The subject alone names the stream: no other stream of the account may have it.
        let mut headers = HeaderMap::new();
        headers.insert(EXPECTED_LAST, expected_seq.to_string());
        self.publish(&subject, headers, payload, deadline).await
    }

    async fn last(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        if subjects.len() <= SUBJECTS_MAX {
            let request = direct_get::Request::last(subjects.clone());
            match self.fetch(stream, request, deadline).await {
                Err(Failed::TooMany) => {}
                Err(failed) => return Err(failed.into()),
                Ok(batch) => return Ok(batch.records),
            }
        }
        let mut exact = Vec::new();
        for filter in subjects {
            if filter.contains('*') {
                exact.extend(self.subjects(stream, &filter, deadline).await?);
            } else {
                exact.push(filter);
            }
        }
        let mut records = Vec::with_capacity(exact.len());
        for chunk in exact.chunks(SUBJECTS_MAX) {
            let request = direct_get::Request::last(chunk.to_vec());
            records.extend(self.fetch(stream, request, deadline).await?.records);
        }
        records.sort_unstable_by_key(|record| record.stream_seq);
        Ok(records)
    }

    async fn read(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> Result<Batch, ReadError> {
        let request = direct_get::Request::next(subject.clone(), from, limit);
        let mut batch = self.fetch(stream, request, deadline).await?;
        // The server ends a batch early when it grows large.
        while batch.records.len() < limit && batch.remaining > 0 {
            let Some(last) = batch.records.last() else { break };
            let (from, left) = (Start::Seq(last.stream_seq + 1), limit - batch.records.len());
            let request = direct_get::Request::next(subject.clone(), from, left);
            let more = self.fetch(stream, request, deadline).await?;
            batch.remaining = more.remaining;
            batch.records.extend(more.records);
        }
        Ok(batch)
    }

    async fn hand_off(
        &self,
        subject: String,
        payload: Bytes,
        content_type: &'static str,
        id: String,
        deadline: Instant,
    ) -> Result<(), AppendError> {
        let mut headers = HeaderMap::new();
        headers.insert(MESSAGE_ID, id);
        headers.insert(crate::wire::encoding::CONTENT_TYPE, content_type);
        let mut backoff = Backoff::until(deadline);
        loop {
            let published = self.publish(&subject, headers.clone(), payload.clone(), deadline);
            match published.await {
                // Its ID makes a repeat harmless.
                Err(AppendError::Unknown) if backoff.wait().await => {}
                result => return result.map(drop),
            }
        }
    }

    async fn tail(
        &self,
        stream: StreamId,
        count: u64,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        #[derive(Deserialize)]
        struct Info {
            state: State,
        }
        #[derive(Deserialize)]
        struct State {
            last_seq: u64,
        }
        let subject = format!("$JS.API.STREAM.INFO.{}", self.names.of(stream));
        let answer = self.link.guard(deadline, self.client.request(subject, Bytes::new())).await;
        let Ok(Ok(answer)) = answer else { return Err(ReadError("no stream info".into())) };
        let Info { state: State { last_seq } } = serde_json::from_slice(&answer.payload)
            .map_err(|_| ReadError("stream info that makes no sense".into()))?;
        let start = Start::Seq(last_seq.saturating_sub(count.saturating_sub(1)));
        let limit = usize::try_from(count).unwrap_or(usize::MAX);
        Ok(self.read(stream, ">".to_owned(), start, limit, deadline).await?.records)
    }

    fn generation(&self) -> u64 {
        self.link.generation()
    }
}
