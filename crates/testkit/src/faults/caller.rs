//! A client that tolerates failures: a call that is refused or not answered is repeated, as the
//! contract requires of clients.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::Value;
use tokio::{sync::watch, time::Instant};

use crate::faults::failure::Failure;
use crate::faults::notes::{Notes, Sheet};
use crate::token;

/// The daemon's own deadline for a call in these tests. A client waits longer, so that silence
/// means that no instance works on the call any more.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);
const ANSWER_DEADLINE: Duration = Duration::from_secs(4);
/// The same where the daemon's deadlines are the usual ones: two seconds until the user has an owner,
/// and five for the call.
const STRICT_DEADLINE: Duration = Duration::from_secs(8);
/// How long a client waits for the answer to a send when recovery is measured: a send may be
/// repeated during its first attempt, since the repeat is recognized.
const IMPATIENT_DEADLINE: Duration = Duration::from_millis(500);
const SEND: &str = "send_peer_message";
const REPEAT_INTERVAL: Duration = Duration::from_millis(50);
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Beyond this, a call that was repeated all the time without an answer is a failure of the daemon.
const PATIENCE: Duration = Duration::from_secs(30);

const LATEST_KEPT: usize = 12;
const RATE: u64 = 6_000_005;
const OVERLOADED: u64 = 6_000_007;
const STORE: u64 = 6_000_008;

/// How one attempt ended.
#[derive(Debug)]
pub enum Answer {
    /// Success, with the body.
    Done(Value),
    /// An error code.
    Refused(Refusal),
    /// No responders: the call was not accepted.
    NoResponders,
    /// The connection was lost, or no answer came in time.
    Silence,
}

/// An answer with an error code.
#[derive(Clone, Debug)]
pub struct Refusal {
    code: u64,
    reason: String,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// Whether the sender exceeded the rate limit.
    pub fn is_rate(&self) -> bool {
        self.code == RATE
    }

    /// Whether the contract asks the client to repeat the call.
    fn repeatable(&self) -> bool {
        let is_for_now = matches!(self.code, OVERLOADED | RATE) && self.retry_after.is_some();
        self.code == STORE || is_for_now
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.reason)
    }
}

/// How a client reacts to failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Waits for each answer until no instance can work on the call any more, then repeats it.
    Patient,
    /// Repeats a send early, over and over.
    Impatient,
    /// Waits like the patient one, and treats everything but success as a fault of the daemon.
    Strict,
}

/// Receives the method of each call that succeeded, the time that all its attempts took, and the
/// attempts of all clients so far.
pub type Watch = Arc<dyn Fn(&str, Duration, &Counts) + Send + Sync>;

/// The numbers of attempts by outcome.
#[derive(Debug, Default)]
pub struct Counts {
    /// Answered with success.
    pub done: AtomicU64,
    /// Sends among them that were answered as repeats.
    pub duplicates: AtomicU64,
    /// Answered `outcome_unknown`.
    pub outcome_unknown: AtomicU64,
    /// Answered with another error.
    pub refused: AtomicU64,
    /// No responders.
    pub no_responders: AtomicU64,
    /// Not answered.
    pub silence: AtomicU64,
    latest: Mutex<VecDeque<String>>,
}

impl Counts {
    /// The latest failed attempts.
    pub fn latest(&self) -> String {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        latest.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }

    fn keep(&self, attempt: String) {
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == LATEST_KEPT {
            latest.pop_front();
        }
        latest.push_back(attempt);
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} answered ({} as duplicates), {} unknown, {} refused, {} without responder, \
             {} without answer",
            count(&self.done),
            count(&self.duplicates),
            count(&self.outcome_unknown),
            count(&self.refused),
            count(&self.no_responders),
            count(&self.silence),
        )
    }
}

impl Counts {
    /// Attempts that were not the last of their call.
    pub fn repeated(&self) -> u64 {
        let Self { outcome_unknown, refused, no_responders, silence, .. } = self;
        [outcome_unknown, refused, no_responders, silence].into_iter().map(count).sum()
    }
}

/// The value of a counter.
pub fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// One connection that calls as any user.
#[derive(Clone)]
pub struct Caller {
    nats: async_nats::Client,
    connected: watch::Receiver<bool>,
    counts: Arc<Counts>,
    manner: Manner,
    notes: Arc<Notes>,
    sheet: Arc<Sheet>,
    watch: Option<Watch>,
}

impl Caller {
    /// A patient client on one server.
    pub async fn connect(url: &str) -> Result<Self, Failure> {
        let (counts, notes) = (Arc::default(), Notes::new()?);
        Self::connect_any(&[url.to_owned()], Manner::Patient, counts, notes).await
    }

    /// A connection to each server; each moves to another server if its own is lost.
    pub async fn connect_each(servers: &[String], manner: Manner) -> Result<Vec<Self>, Failure> {
        let (counts, notes) = (Arc::<Counts>::default(), Notes::new()?);
        let mut servers = servers.to_vec();
        let mut callers = Vec::new();
        for _ in 0..servers.len() {
            callers.push(Self::connect_any(&servers, manner, counts.clone(), notes.clone()).await?);
            servers.rotate_left(1);
        }
        Ok(callers)
    }

    async fn connect_any(
        servers: &[String],
        manner: Manner,
        counts: Arc<Counts>,
        notes: Arc<Notes>,
    ) -> Result<Self, Failure> {
        let (events, connected) = watch::channel(true);
        let servers: Vec<async_nats::ServerAddr> =
            servers.iter().map(|url| url.parse()).collect::<Result<_, _>>()?;
        let nats = async_nats::ConnectOptions::new()
            .reconnect_delay_callback(|_| REPEAT_INTERVAL)
            .event_callback(move |event| {
                if event == async_nats::Event::Connected {
                    events.send_replace(true);
                } else if event == async_nats::Event::Disconnected {
                    events.send_replace(false);
                }
                std::future::ready(())
            })
            .retain_servers_order()
            .connect(servers)
            .await?;
        let sheet = notes.sheet()?;
        Ok(Self { nats, connected, counts, manner, notes, sheet, watch: None })
    }

    /// The same, with a function that receives each successful call.
    #[must_use]
    pub fn watched(self, watch: Watch) -> Self {
        Self { watch: Some(watch), ..self }
    }

    /// The outcomes of the attempts so far.
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// The notes of this caller and of those that were connected with it.
    pub fn notes(&self) -> Arc<Notes> {
        Arc::clone(&self.notes)
    }

    /// One attempt that is not repeated.
    pub async fn ask(&self, user: &str, method: &str, body: &Value) -> Answer {
        self.attempt(self.notes.operation(), user, method, body).await
    }

    async fn attempt(&self, operation: u64, user: &str, method: &str, body: &Value) -> Answer {
        let began = Instant::now();
        let call = self.sheet.called(operation, user, method, body);
        let subject = format!("peer.api.{}.{method}", token(user));
        let request = async_nats::Request::new()
            .payload(Bytes::from(body.to_string()))
            .timeout(Some(self.deadline(method)));
        let mut connected = self.connected.clone();
        // The answer to a request that was written before a disconnect is lost.
        let disconnected = connected.wait_for(|connected| !connected);
        let answer = tokio::select! {
            biased;
            answer = self.nats.send_request(subject, request) => self.read(answer),
            _ = disconnected => Answer::Silence,
        };
        match &answer {
            Answer::Done(reply) => self.sheet.answered(call, reply),
            Answer::Refused(refusal) => self.sheet.refused(call, &refusal.reason),
            // No instance received it: nothing was done.
            Answer::NoResponders => self.sheet.refused(call, "no_responders"),
            Answer::Silence => {}
        }
        let counter = match &answer {
            Answer::Done(_) => &self.counts.done,
            Answer::Refused(refusal) if refusal.reason == "outcome_unknown" => {
                &self.counts.outcome_unknown
            }
            Answer::Refused(_) => &self.counts.refused,
            Answer::NoResponders => &self.counts.no_responders,
            Answer::Silence => &self.counts.silence,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if !matches!(answer, Answer::Done(_)) {
            let (at, took) = (time_of_day(), began.elapsed());
            self.counts.keep(format!("{at} {method} by {user}, {body}: {answer:?} in {took:.2?}"));
        }
        answer
    }

    /// Repeats one call until it succeeds.
    ///
    /// Fails on a refusal for which a repeat does not help, and after a time limit.
    pub async fn until_done(
        &self,
        user: &str,
        method: &str,
        body: &Value,
    ) -> Result<Value, Failure> {
        Ok(self.until_done_or(user, method, body, "").await?.unwrap_or_default())
    }

    /// As [`Self::until_done`]; `None` if a repeat is refused with this reason, because an earlier
    /// attempt has had its effect.
    pub async fn until_done_or(
        &self,
        user: &str,
        method: &str,
        body: &Value,
        done: &str,
    ) -> Result<Option<Value>, Failure> {
        let began = Instant::now();
        let mut is_repeat = false;
        let patience = began + PATIENCE;
        let operation = self.notes.operation();
        loop {
            self.connected(patience).await?;
            let answer = self.attempt(operation, user, method, body).await;
            let (pause, last) = match answer {
                Answer::Done(reply) => {
                    if let Some(watch) = &self.watch {
                        watch(method, began.elapsed(), &self.counts);
                    }
                    return Ok(Some(reply));
                }
                Answer::Refused(refusal) if is_repeat && refusal.reason == done => return Ok(None),
                failed if self.manner == Manner::Strict => {
                    return Err(format!("{method} by {user}, the first attempt: {failed:?}").into());
                }
                Answer::Refused(refusal) if refusal.repeatable() => {
                    let asked = refusal.retry_after.unwrap_or(REPEAT_INTERVAL);
                    (asked.min(LONGEST_RETRY_AFTER), refusal.to_string())
                }
                Answer::Refused(refusal) => {
                    return Err(format!("{method} by {user} was refused: {refusal}").into());
                }
                Answer::NoResponders => (REPEAT_INTERVAL, "no responders".to_owned()),
                Answer::Silence => (REPEAT_INTERVAL, "silence".to_owned()),
            };
            if Instant::now() + pause > patience {
                let said = format!("{method} by {user}: no success in {PATIENCE:?}, last {last}");
                return Err(said.into());
            }
            is_repeat = true;
            tokio::time::sleep(pause).await;
        }
    }

    fn deadline(&self, method: &str) -> Duration {
        match self.manner {
            Manner::Impatient if method == SEND => IMPATIENT_DEADLINE,
            Manner::Impatient | Manner::Patient => ANSWER_DEADLINE,
            Manner::Strict => STRICT_DEADLINE,
        }
    }

    /// Waits for the connection, so that no request is buffered and sent long after it was given
    /// up.
    async fn connected(&self, deadline: Instant) -> Result<(), Failure> {
        let mut connected = self.connected.clone();
        let wait = connected.wait_for(|connected| *connected);
        tokio::time::timeout_at(deadline, wait)
            .await
            .map_err(|_| format!("no connection to NATS in {PATIENCE:?}"))??;
        Ok(())
    }

    fn read(&self, answer: Result<async_nats::Message, async_nats::RequestError>) -> Answer {
        let message = match answer {
            Ok(message) => message,
            Err(error) if error.kind() == async_nats::RequestErrorKind::NoResponders => {
                return Answer::NoResponders;
            }
            Err(_) => return Answer::Silence,
        };
        let body: Value = serde_json::from_slice(&message.payload).unwrap_or_default();
        let headers = message.headers.unwrap_or_default();
        if headers.get("Nats-Service-Error-Code").is_some() || !body.is_object() {
            return Answer::Refused(Refusal {
                code: body["code"].as_u64().unwrap_or_default(),
                reason: body["reason"].as_str().unwrap_or_default().to_owned(),
                retry_after: body["retryAfterMs"].as_u64().map(Duration::from_millis),
            });
        }
        if headers.get("Peer-Duplicate").is_some() {
            self.counts.duplicates.fetch_add(1, Ordering::Relaxed);
        }
        Answer::Done(body)
    }
}

/// The time in the format of the logs, to find a call in them.
#[expect(clippy::disallowed_methods, reason = "only for people to read")]
fn time_of_day() -> String {
    let now = time::OffsetDateTime::from(std::time::SystemTime::now());
    let (hour, minute, second, ms) = now.time().as_hms_milli();
    format!("{hour:02}:{minute:02}:{second:02}.{ms:03}")
}
