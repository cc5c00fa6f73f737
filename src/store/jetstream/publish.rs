//! Publishing into a stream.

use std::sync::Arc;
use std::time::Duration;

use async_nats::header::NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
use async_nats::{HeaderMap, HeaderName, HeaderValue, Subject};
use bytes::Bytes;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::acks::{Acks, Publish, Unacked};
use crate::link::Connection;
use crate::store::AppendError;

/// The place at which the subject must end for a publish to be stored.
pub(super) const EXPECTED_LAST: HeaderName = NATS_EXPECTED_LAST_SUBJECT_SEQUENCE;
/// The subject does not end at the expected sequence.
const WRONG_LAST_SEQUENCE: u32 = 10071;
/// Another publish on the subject is in flight (replicated streams).
const IN_FLIGHT: u32 = 10164;
/// No leader at the moment.
const TEMPORARILY_UNAVAILABLE: u32 = 10008;
const BACKOFF_FIRST: Duration = Duration::from_millis(10);
const BACKOFF_MAX: Duration = Duration::from_millis(500);

/// Publishes over one connection.
#[derive(Clone, Debug)]
pub(super) struct Publisher {
    pub(super) connection: Connection,
    acks: Arc<Acks>,
}

/// The answer to a publish.
#[derive(Deserialize)]
struct Answer {
    seq: Option<u64>,
    /// How many messages a batch had.
    #[serde(default)]
    count: u64,
    error: Option<ApiError>,
}

/// What JetStream says of a request that it refuses.
#[derive(Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u32,
    #[serde(default)]
    description: String,
}

/// What was stored.
pub(super) struct Ack {
    /// The place of the message, or of the last one of a batch.
    pub(super) seq: u64,
    /// How many messages the batch had; 0 where it was none.
    pub(super) count: u64,
}

/// Why one publish was not acknowledged.
pub(super) enum Refused {
    /// Nothing was stored, and it may be different soon.
    ForNow(&'static str),
    /// It would be no different soon, or it may be stored.
    ForGood(AppendError),
}

/// Waits that grow, up to a deadline.
pub(super) struct Backoff {
    next: Duration,
    deadline: Instant,
}

impl Backoff {
    pub(super) const fn until(deadline: Instant) -> Self {
        Self { next: BACKOFF_FIRST, deadline }
    }

    /// Waits a while; false when the deadline comes first.
    pub(super) async fn wait(&mut self) -> bool {
        let until = Instant::now() + self.next;
        self.next = (self.next * 2).min(BACKOFF_MAX);
        if until >= self.deadline {
            return false;
        }
        sleep_until(until).await;
        true
    }
}

/// The headers of a message that is stored where its subject ends at `expected_seq`.
pub(super) fn expecting(expected_seq: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(EXPECTED_LAST, HeaderValue::from(expected_seq));
    headers
}

impl Publisher {
    pub(super) fn start(connection: Connection) -> Self {
        let acks = Arc::new(Acks::start(&connection));
        Self { connection, acks }
    }

    /// One publish that asks for an answer.
    pub(super) async fn publish_once(
        &self,
        subject: Subject,
        headers: HeaderMap,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<Ack, Refused> {
        let publish = Publish { subject, headers, payload };
        let message = match self.acks.publish(publish, deadline).await {
            Ok(message) => message,
            Err(Unacked::NotSent) => return Err(Refused::ForNow("disconnected")),
            Err(Unacked::NoResponders) => return Err(Refused::ForNow("no responders")),
            Err(Unacked::TooLarge) => {
                let why = "over the server's max_payload".to_owned();
                return Err(Refused::ForGood(AppendError::Unavailable(why)));
            }
            Err(Unacked::Unknown) => return Err(Refused::ForGood(AppendError::Unknown)),
        };
        match serde_json::from_slice(&message.payload) {
            Ok(Answer { error: Some(error), .. }) => Err(match error.err_code {
                WRONG_LAST_SEQUENCE => Refused::ForGood(AppendError::Conflict),
                IN_FLIGHT | TEMPORARILY_UNAVAILABLE => Refused::ForNow("no leader, or busy"),
                code => {
                    let why = format!("{} ({code})", error.description);
                    Refused::ForGood(AppendError::Unavailable(why))
                }
            }),
            Ok(Answer { seq: Some(seq), count, error: None }) => Ok(Ack { seq, count }),
            Ok(Answer { seq: None, error: None, .. }) | Err(_) => {
                Err(Refused::ForGood(AppendError::Unknown))
            }
        }
    }

    /// Publishes until the store takes it, refuses it, or might have taken it. `headers` makes the
    /// headers of each attempt.
    pub(super) async fn publish(
        &self,
        subject: Subject,
        headers: impl Fn() -> HeaderMap,
        payload: Bytes,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let mut backoff = Backoff::until(deadline);
        loop {
            let once = self.publish_once(subject.clone(), headers(), payload.clone(), deadline);
            match once.await {
                Err(Refused::ForNow(why)) => {
                    if !backoff.wait().await {
                        return Err(AppendError::Unavailable(why.to_owned()));
                    }
                }
                Err(Refused::ForGood(error)) => return Err(error),
                Ok(ack) => return Ok(ack.seq),
            }
        }
    }
}
