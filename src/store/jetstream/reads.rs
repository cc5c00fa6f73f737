//! Reads of the streams: from any replica that is not behind, or from the leader.

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::Instant;

use super::JetStream;
use super::acks::ApiError;
use super::incarnations::StreamInfo;
use super::publish::Backoff;
use crate::link::Connection;
use crate::store::direct_get::{self, Failed, fitting};
use crate::store::names::Resource;
use crate::store::tuning::DIRECT_GET_SUBJECTS_MAX;
use crate::store::{Batch, ReadError, Record, Start, Store as _, StreamId};
use peerd_protocol::subject::is_sentinel;
use peerd_protocol::time::unix_ms;

/// There is no such message.
pub(super) const NO_MESSAGE: u32 = 10037;

/// The answer to a request for one message.
#[derive(Deserialize)]
pub(super) struct NewestAnswer {
    pub(super) message: Option<Newest>,
    pub(super) error: Option<ApiError>,
}

/// The newest message of some subjects.
#[derive(Deserialize)]
pub(super) struct Newest {
    pub(super) seq: u64,
    time: String,
    #[serde(default)]
    pub(super) data: String,
}

impl JetStream {
    /// The last record of each subject.
    pub(super) async fn last_of(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Record>, ReadError> {
        let most_bytes = self.connection.client.max_payload();
        if fitting(&subjects, most_bytes) >= subjects.len() {
            match self.last_records(stream, subjects.clone(), deadline).await {
                Err(Failed::TooMany) => {}
                Err(failed) => return Err(failed.into()),
                Ok(records) => return Ok(records),
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
        // Each request includes the sentinel, so that its answer is not empty.
        let sentinel = exact.iter().find(|subject| is_sentinel(subject)).cloned();
        let sentinel_bytes = sentinel.as_ref().map_or(0, String::len);
        let mut rest = exact.as_slice();
        while !rest.is_empty() {
            let count = fitting(rest, most_bytes.saturating_sub(sentinel_bytes));
            let (chunk, later) = rest.split_at(count.min(DIRECT_GET_SUBJECTS_MAX - 1));
            rest = later;
            let mut chunk = chunk.to_vec();
            chunk.extend(sentinel.clone().filter(|sentinel| !chunk.contains(sentinel)));
            records.extend(self.last_records(stream, chunk, deadline).await?);
        }
        records.sort_unstable_by(|a, b| a.subject.cmp(&b.subject));
        records.dedup_by(|a, b| a.subject == b.subject);
        records.sort_unstable_by_key(|record| record.stream_seq);
        Ok(records)
    }

    /// Up to `limit` records that match a subject.
    pub(super) async fn read_from(
        &self,
        stream: StreamId,
        subject: String,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> Result<Batch, ReadError> {
        self.know_end(stream, deadline).await?;
        let mut backoff = Backoff::until(deadline);
        loop {
            let batch = self.read_some(stream, &subject, from, limit, deadline).await?;
            if batch.remaining > 0 || self.watermarks.get(stream) == 0 {
                self.note_read(stream, &batch.records);
                return Ok(batch);
            }
            // The stream seems to end here, which a lagging replica would report too.
            let end = batch.records.last().map_or(0, |last| last.stream_seq);
            let newest = self.newest(stream, &subject, deadline).await?;
            let is_missing = newest.is_some_and(|(seq, stored_ms)| match from {
                Start::Seq(from) => seq > end && seq >= from,
                Start::TimeMs(from_ms) => seq > end && stored_ms >= from_ms,
            });
            if !is_missing {
                self.note_read(stream, &batch.records);
                return Ok(batch);
            }
            if !backoff.wait().await {
                return Err(Failed::Behind.into());
            }
        }
    }

    /// The sequence of the newest record of a stream, requested from its leader.
    pub(super) async fn end_of(
        &self,
        stream: StreamId,
        deadline: Instant,
    ) -> Result<u64, ReadError> {
        let subject = format!("$JS.API.STREAM.INFO.{}", self.names.of(stream));
        let mut backoff = Backoff::until(deadline);
        loop {
            let answer = self.ask_api(subject.clone(), Bytes::new(), &mut backoff).await;
            if let Some(answer) = answer {
                if let Ok(info) = serde_json::from_slice::<StreamInfo>(&answer.payload) {
                    let last_seq = info.state.last_seq;
                    if self.incarnations.is_another(stream, info.birth()) {
                        self.watermarks.lower(stream, last_seq);
                    }
                    self.watermarks.raise(stream, last_seq);
                    return Ok(last_seq);
                }
                self.troubles.suspect(Resource::Stream(stream));
            }
            // Perhaps there is no leader at the moment.
            if !backoff.wait().await {
                return Err(ReadError("no stream info".to_owned()));
            }
        }
    }

    async fn fetch(
        &self,
        stream: StreamId,
        request: &direct_get::Request,
        deadline: Instant,
    ) -> Result<direct_get::Answer, Failed> {
        let name = self.names.of(stream);
        let mut backoff = Backoff::until(deadline);
        loop {
            if self.connection.link.is_up() {
                let until = backoff.try_until();
                let Connection { client, link } = &self.connection;
                match direct_get::fetch(client, link, &name, request, until).await {
                    Err(Failed::NoResponders) => {
                        self.troubles.suspect(Resource::Stream(stream));
                    }
                    // Perhaps the stream had no leader, and an observer's subscription hid that.
                    Err(Failed::TimedOut) if until < deadline => {
                        self.troubles.suspect(Resource::Stream(stream));
                    }
                    result => {
                        let is_odd = matches!(result, Err(Failed::Other(_) | Failed::TimedOut));
                        if is_odd && self.connection.link.is_up() {
                            self.troubles.suspect(Resource::Stream(stream));
                        }
                        return result;
                    }
                }
            }
            if !backoff.wait().await {
                return Err(Failed::NoResponders);
            }
        }
    }

    /// Sends one request to JetStream's API; `None` without an answer before the next attempt is
    /// due.
    pub(super) async fn ask_api(
        &self,
        subject: String,
        body: Bytes,
        backoff: &mut Backoff,
    ) -> Option<async_nats::Message> {
        let Connection { client, link } = &self.connection;
        let request = client.request(subject, body);
        link.guard(backoff.try_until(), request).await.ok()?.ok()
    }

    /// Up to `limit` records, from one replica.
    async fn read_some(
        &self,
        stream: StreamId,
        subject: &str,
        from: Start,
        limit: usize,
        deadline: Instant,
    ) -> Result<Batch, Failed> {
        let request = direct_get::Request::next(subject.to_owned(), from, limit);
        let mut batch = self.fetch(stream, &request, deadline).await?.batch;
        // The server ends a batch early when it grows large.
        while batch.records.len() < limit && batch.remaining > 0 {
            let Some(last) = batch.records.last() else { break };
            let (from, left) = (Start::Seq(last.stream_seq + 1), limit - batch.records.len());
            let request = direct_get::Request::next(subject.to_owned(), from, left);
            let more = self.fetch(stream, &request, deadline).await?.batch;
            batch.remaining = more.remaining;
            batch.records.extend(more.records);
        }
        Ok(batch)
    }

    /// The last record of each subject, from a replica that does not lag behind the watermark.
    async fn last_records(
        &self,
        stream: StreamId,
        subjects: Vec<String>,
        deadline: Instant,
    ) -> Result<Vec<Record>, Failed> {
        self.know_end(stream, deadline).await?;
        let watermark = self.watermarks.get(stream);
        let sentinel = subjects.iter().find(|subject| is_sentinel(subject)).cloned();
        let request = direct_get::Request::last(subjects);
        let mut backoff = Backoff::until(deadline);
        loop {
            let answer = self.fetch(stream, &request, deadline).await?;
            if answer.up_to >= watermark {
                self.note_read(stream, &answer.batch.records);
                return Ok(answer.batch.records);
            }
            // An empty answer does not say how far the replica is. The sentinel always exists,
            // unless it has aged out.
            if let (true, Some(sentinel)) = (answer.batch.records.is_empty(), &sentinel)
                && self.newest(stream, sentinel, deadline).await?.is_none()
            {
                self.write_sentinel(stream, sentinel, deadline).await;
            }
            if !backoff.wait().await {
                return Err(Failed::Behind);
            }
        }
    }

    /// Raises the watermark, so that every later read includes these records.
    fn note_read(&self, stream: StreamId, records: &[Record]) {
        if let Some(last) = records.last() {
            self.watermarks.raise(stream, last.stream_seq);
        }
    }

    /// Requests the end of a stream, if that is due.
    async fn know_end(&self, stream: StreamId, deadline: Instant) -> Result<(), Failed> {
        if let Some(round) = self.watermarks.is_due(stream) {
            let asked = self.last_seq(stream, deadline).await;
            asked.map_err(|ReadError(why)| Failed::Other(why))?;
            self.watermarks.asked(stream, round);
        }
        Ok(())
    }

    /// Writes a sentinel that is missing.
    async fn write_sentinel(&self, stream: StreamId, sentinel: &str, deadline: Instant) {
        let written = self.append(stream, sentinel.to_owned(), Bytes::new(), 0, deadline).await;
        if let Err(error) = written {
            // Another instance may have written it; the read is retried in any case.
            tracing::debug!(%error, "a sentinel was not written");
        }
    }

    /// The newest record of the subjects that match a filter: its sequence and its time. Requested
    /// from the stream's leader, which is never stale.
    async fn newest(
        &self,
        stream: StreamId,
        filter: &str,
        deadline: Instant,
    ) -> Result<Option<(u64, u64)>, Failed> {
        let newest = self.newest_of(Resource::Stream(stream), filter, deadline).await;
        let newest = newest.map_err(|ReadError(why)| Failed::Other(why))?;
        Ok(newest.map(|newest| (newest.seq, unix_ms(&newest.time).unwrap_or_default())))
    }

    pub(super) async fn newest_of(
        &self,
        resource: Resource,
        filter: &str,
        deadline: Instant,
    ) -> Result<Option<Newest>, ReadError> {
        let subject = format!("$JS.API.STREAM.MSG.GET.{}", self.names.resource(resource));
        let body = Bytes::from(serde_json::json!({ "last_by_subj": filter }).to_string());
        let mut backoff = Backoff::until(deadline);
        loop {
            let answer = self.ask_api(subject.clone(), body.clone(), &mut backoff).await;
            let answer = answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok());
            if let Some(NewestAnswer { message, error }) = answer {
                match (message, error) {
                    (Some(message), _) => return Ok(Some(message)),
                    (None, Some(error)) if error.err_code == NO_MESSAGE => return Ok(None),
                    (None, Some(_)) => self.troubles.suspect(resource),
                    (None, None) => {}
                }
            }
            // Perhaps there is no leader at the moment.
            if !backoff.wait().await {
                return Err(ReadError("the stream's leader does not answer".to_owned()));
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
        let mut backoff = Backoff::until(deadline);
        loop {
            let body = serde_json::json!({ "subjects_filter": filter, "offset": subjects.len() });
            let subject = format!("$JS.API.STREAM.INFO.{}", self.names.of(stream));
            let answer = self.ask_api(subject, body.to_string().into(), &mut backoff).await;
            let answer = answer.and_then(|answer| serde_json::from_slice(&answer.payload).ok());
            let Some(Info { state, total }) = answer else {
                // Perhaps there is no leader at the moment.
                if backoff.wait().await {
                    continue;
                }
                return Err(ReadError("no stream info".into()));
            };
            let page = state.map(|state| state.subjects).unwrap_or_default();
            let done = page.is_empty() || subjects.len() + page.len() >= total;
            subjects.extend(page.into_keys());
            if done {
                return Ok(subjects);
            }
        }
    }
}
