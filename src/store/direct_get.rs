//! Batched direct get (NATS ADR-31): one request, many records, served by any replica.

use async_nats::{Client, HeaderValue, StatusCode};
use futures::StreamExt as _;
use serde::Serialize;
use tokio::time::Instant;

use super::tuning::{AROUND_SUBJECT_BYTES, DIRECT_GET_SUBJECTS_MAX, ENVELOPE_BYTES};
use super::{Batch, ReadError, Record, Start};
use crate::link::{Broken, Link};
use crate::store::batch::{self, Part};
use peerd_protocol::time::rfc3339;

/// How many of the first `subjects` fit one request of `most_bytes`. At least one.
pub(super) fn fitting(subjects: &[String], most_bytes: usize) -> usize {
    let mut bytes = ENVELOPE_BYTES;
    let fits = |subject: &&String| {
        bytes += subject.len() + AROUND_SUBJECT_BYTES;
        bytes <= most_bytes
    };
    subjects.iter().take(DIRECT_GET_SUBJECTS_MAX).take_while(fits).count().max(1)
}

/// The request to the server.
#[derive(Serialize)]
pub(super) struct Request {
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_by_subj: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_last: Option<Vec<String>>,
    batch: usize,
}

impl Request {
    /// The last record of each subject.
    pub(super) const fn last(subjects: Vec<String>) -> Self {
        Self {
            seq: None,
            start_time: None,
            next_by_subj: None,
            multi_last: Some(subjects),
            batch: DIRECT_GET_SUBJECTS_MAX,
        }
    }

    /// The records of a subject from a position on.
    pub(super) fn next(subject: String, from: Start, limit: usize) -> Self {
        let (seq, start_time) = match from {
            Start::Seq(seq) => (Some(seq.max(1)), None),
            Start::TimeMs(ms) => (None, Some(rfc3339(ms))),
        };
        Self { seq, start_time, next_by_subj: Some(subject), multi_last: None, batch: limit }
    }
}

/// The server's answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) batch: Batch,
    /// The last sequence that the answering replica has. Only present if last records were found.
    pub(super) up_to: u64,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// More than [`DIRECT_GET_SUBJECTS_MAX`] subjects match.
    TooMany,
    /// No responders: the stream has no leader or replica at the moment.
    NoResponders,
    /// No answer in time.
    TimedOut,
    /// Every replica that answered lagged behind.
    Behind,
    /// No answer, or an invalid one.
    Other(String),
}

impl From<Failed> for ReadError {
    fn from(failed: Failed) -> Self {
        Self(match failed {
            Failed::TooMany => "too many subjects".to_owned(),
            Failed::Behind => "the replicas are behind".to_owned(),
            Failed::NoResponders => "no responders".to_owned(),
            Failed::TimedOut => "timed out".to_owned(),
            Failed::Other(text) => text,
        })
    }
}

/// Requests a batch and collects its messages.
pub(super) async fn fetch(
    client: &Client,
    link: &Link,
    stream: &str,
    request: &Request,
    deadline: Instant,
) -> Result<Answer, Failed> {
    let answer = link.guard(deadline, collect(client, stream, request)).await;
    answer.unwrap_or_else(|broken| {
        Err(match broken {
            Broken::TimedOut => Failed::TimedOut,
            Broken::Disconnected => Failed::Other("disconnected".to_owned()),
        })
    })
}

/// [`fetch`] without a link, and without a deadline of its own.
pub(super) async fn collect(
    client: &Client,
    stream: &str,
    request: &Request,
) -> Result<Answer, Failed> {
    let other = |error: &dyn std::error::Error| Failed::Other(error.to_string());
    let payload = serde_json::to_vec(request).map_err(|error| other(&error))?;
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| other(&error))?;
    client
        .publish_with_reply(format!("$JS.API.DIRECT.GET.{stream}"), inbox, payload.into())
        .await
        .map_err(|error| other(&error))?;
    let mut batch = Batch::default();
    while let Some(answer) = answers.next().await {
        let headers = answer.headers.unwrap_or_default();
        let status = answer.status.map_or(200, |status: StatusCode| status.as_u16());
        let header = |name| headers.get(name).map(HeaderValue::as_str);
        // Without the server's headers it is from another client: an observer of the request can
        // reply to it.
        let Ok(part) = batch::read(status, header) else { continue };
        match part {
            Part::Record { subject, stream_seq, stored_ms, remaining } => {
                let payload = answer.payload;
                batch.remaining = remaining;
                batch.records.push(Record { subject, stream_seq, stored_ms, payload });
            }
            Part::End { up_to } => return Ok(Answer { batch, up_to }),
            Part::Nothing => return Ok(Answer::default()),
            Part::TooMany => return Err(Failed::TooMany),
            Part::NoResponders => return Err(Failed::NoResponders),
            Part::Unexpected => {
                let text = answer.description.unwrap_or_default();
                return Err(Failed::Other(format!("status {status} {text}")));
            }
        }
    }
    Err(Failed::Other("the connection closed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_what_fits_it_and_at_least_one_subject() {
        let subjects = vec!["x".repeat(997); DIRECT_GET_SUBJECTS_MAX + 1];
        assert_eq!(fitting(&subjects, usize::MAX), DIRECT_GET_SUBJECTS_MAX);
        assert_eq!(fitting(&subjects, ENVELOPE_BYTES + 10_000), 10);
        assert_eq!(fitting(&subjects, ENVELOPE_BYTES + 9_999), 9);
        assert_eq!(fitting(&subjects, 1024), 1);
    }
}
