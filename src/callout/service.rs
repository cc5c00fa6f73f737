//! Takes authorization requests and answers them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::Message;
use futures::StreamExt as _;
use peerd_callout::callout::{Callout, XKEY_HEADER};
use peerd_callout::refusal::Refusal;
use peerd_callout::request::{Request, Unreadable};
use peerd_callout::token::{Login, Rules, verify};
use peerd_protocol::subject::Subjects;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::counters::{Counters, Outcome};
use super::keys::KeyStore;
use super::options::{Options, Parts, Problem};
use super::revoked::Revoked;
use super::tuning::{
    KEY_WAITERS_PART, LOG_REFUSED_EVERY, LOG_UNREADABLE_EVERY, PUBLISH_TIMEOUT, REFUSED_AT_ONCE_MAX,
};
use super::{QUEUE_GROUP, SUBJECT};
use crate::clock::Clock;
use crate::link::Connection;

/// Answers authorization requests.
pub struct Service {
    callout: Callout,
    rules: Rules,
    keys: KeyStore,
    revoked: Revoked,
    counters: Arc<Counters>,
    clock: Clock,
    /// One permit for each request in progress.
    permits: Arc<Semaphore>,
    requests: u32,
    /// Of those, the ones that may wait for a new key.
    waiters: Semaphore,
    /// One permit for each request beyond the bound that is refused at once.
    refusers: Arc<Semaphore>,
    answer_refused: bool,
    answer_overloaded: bool,
    log: Mutex<Log>,
}

/// What the log has said, so that a flood of requests is no flood of lines.
#[derive(Default)]
struct Log {
    refused: Option<Instant>,
    /// Refusals without a line.
    unsaid: u64,
    unreadable: Option<Instant>,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service").finish_non_exhaustive()
    }
}

impl Service {
    /// Reads the files of the options.
    pub fn new(
        options: &Options,
        subjects: &Subjects,
        clock: Clock,
        counters: Arc<Counters>,
    ) -> Result<Arc<Self>, Vec<Problem>> {
        let Parts { callout, keys, revocations } = options.load(subjects)?;
        let keys = KeyStore::new(options, keys, counters.clone());
        let keys = keys.map_err(|problem| vec![("callout.tls_ca_file", problem)])?;
        Ok(Arc::new(Self {
            callout,
            rules: options.rules.clone(),
            keys,
            revoked: Revoked::new(options.revocation_file.clone(), revocations),
            counters,
            clock,
            permits: Arc::new(Semaphore::new(options.requests)),
            requests: u32::try_from(options.requests).unwrap_or(u32::MAX),
            waiters: Semaphore::new(options.requests.div_ceil(KEY_WAITERS_PART)),
            refusers: Arc::new(Semaphore::new(REFUSED_AT_ONCE_MAX)),
            answer_refused: options.answer_refused,
            answer_overloaded: options.answer_overloaded,
            log: Mutex::default(),
        }))
    }

    /// Why no client can log in; `None`: clients can.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.keys.problem()
    }

    /// Answers requests until `stop`, and then those that arrived before it, within a time.
    pub(crate) async fn run(
        self: Arc<Self>,
        connection: Connection,
        stop: CancellationToken,
        stop_within: Duration,
    ) {
        let serving = async {
            // Until then, other instances answer; a request that no instance takes is refused.
            if stop.run_until_cancelled(self.keys.usable()).await.is_none() {
                return;
            }
            self.serve(&connection, &stop).await;
            self.end(&connection, Instant::now() + stop_within).await;
        };
        let renewing = async {
            tokio::join!(self.keys.run(), self.revoked.run());
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = serving => {}
            () = renewing => {}
        }
    }

    async fn serve(self: &Arc<Self>, connection: &Connection, stop: &CancellationToken) {
        let subscribing = connection.client.queue_subscribe(SUBJECT, QUEUE_GROUP.to_owned());
        let mut requests = match subscribing.await {
            Ok(requests) => requests,
            Err(error) => {
                // The client has ended, and with it the daemon.
                tracing::error!(%error, "cannot subscribe to authorization requests");
                return;
            }
        };
        let _ = connection.client.flush().await;
        tracing::info!(issuer = self.callout.issuer.public(), "answers logins by token");
        let mut is_draining = false;
        loop {
            let message = tokio::select! {
                message = requests.next() => message,
                () = stop.cancelled(), if !is_draining => {
                    is_draining = true;
                    if requests.drain().await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Some(message) = message else { return };
            self.take(connection, message);
        }
    }

    /// Waits for the answers in progress, and until the server has them.
    async fn end(&self, connection: &Connection, deadline: Instant) {
        let _ = timeout_at(deadline, async {
            let _ = self.permits.acquire_many(self.requests).await;
            let _ = connection.client.flush().await;
        })
        .await;
    }

    /// Starts answering a request, or turns it away. Never waits, so that requests do not become old
    /// in the subscription.
    fn take(self: &Arc<Self>, connection: &Connection, message: Message) {
        let began = Instant::now();
        let (service, connection) = (self.clone(), connection.clone());
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            tokio::spawn(async move { service.answer(&connection, message, began, permit).await });
            return;
        }
        let overloaded = Outcome::Refused(Refusal::Overloaded);
        self.counters.answered(overloaded, began.elapsed());
        let refuser = self.refusers.clone().try_acquire_owned();
        if let (true, Ok(permit)) = (self.answer_overloaded, refuser) {
            tokio::spawn(async move {
                let now_s = service.now_s();
                if let Ok(request) = service.read(&message, now_s) {
                    let answer = service.callout.refuse(&request, Refusal::Overloaded, now_s);
                    publish(&connection, &message, answer).await;
                }
                drop(permit);
            });
        }
    }

    fn now_s(&self) -> u64 {
        self.clock.wall_ms() / 1000
    }

    fn read(&self, message: &Message, now_s: u64) -> Result<Request, Unreadable> {
        let headers = message.headers.as_ref();
        let server_xkey = headers.and_then(|headers| headers.get(XKEY_HEADER));
        self.callout.read(&message.payload, server_xkey.map(async_nats::HeaderValue::as_str), now_s)
    }

    async fn answer(
        &self,
        connection: &Connection,
        message: Message,
        began: Instant,
        permit: OwnedSemaphorePermit,
    ) {
        let request = match self.read(&message, self.now_s()) {
            Ok(request) => request,
            Err(problem) => {
                self.counters.answered(Outcome::Unreadable, began.elapsed());
                self.log_unreadable(&problem);
                return;
            }
        };
        let outcome = self.judge(&request).await;
        let now_s = self.now_s();
        let answer = match &outcome {
            Ok(login) => Some(self.callout.accept(&request, login, now_s)),
            Err(refusal) => {
                self.answer_refused.then(|| self.callout.refuse(&request, *refusal, now_s))
            }
        };
        if let Some(answer) = answer {
            publish(connection, &message, answer).await;
        }
        drop(permit);
        let counted = match &outcome {
            Ok(_) => Outcome::Accepted,
            Err(refusal) => Outcome::Refused(*refusal),
        };
        self.counters.answered(counted, began.elapsed());
        if let Err(refusal) = outcome {
            self.log_refused(refusal, &request.host);
        }
    }

    /// Decides. A token with an unknown key waits for new keys, if they may come soon.
    async fn judge(&self, request: &Request) -> Result<Login, Refusal> {
        let token = request.token.as_deref().ok_or(Refusal::NoToken)?;
        let (verified, attempts) = self.verify(token);
        let login = match verified {
            Err(Refusal::UnknownKey) if self.is_renewed(attempts).await => self.verify(token).0?,
            verified => verified?,
        };
        match &request.user {
            Some(user) if user != login.user.as_str() => Err(Refusal::OtherUser),
            _ => Ok(login),
        }
    }

    /// Verifies a token with the present keys. Returns the attempts to fetch them, too.
    fn verify(&self, token: &str) -> (Result<Login, Refusal>, u64) {
        let (keys, attempts) = self.keys.current();
        let verified = keys
            .ok_or(Refusal::NoKeys)
            .and_then(|keys| verify(token, &keys, &self.revoked.list(), &self.rules, self.now_s()));
        (verified, attempts)
    }

    async fn is_renewed(&self, attempts: u64) -> bool {
        let waiter = self.waiters.try_acquire();
        waiter.is_ok() && self.keys.newer_than(attempts).await
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log_refused(&self, refusal: Refusal, host: &str) {
        let mut log = self.log();
        if log.refused.is_some_and(|at| at.elapsed() < LOG_REFUSED_EVERY) {
            log.unsaid += 1;
            return;
        }
        log.refused = Some(Instant::now());
        let others = std::mem::take(&mut log.unsaid);
        drop(log);
        let reason = refusal.name();
        tracing::info!(host, reason, others, "refused a login: {refusal}");
    }

    fn log_unreadable(&self, problem: &Unreadable) {
        let mut log = self.log();
        if log.unreadable.is_some_and(|at| at.elapsed() < LOG_UNREADABLE_EVERY) {
            return;
        }
        log.unreadable = Some(Instant::now());
        drop(log);
        tracing::error!("cannot answer an authorization request: {problem}");
    }
}

async fn publish(connection: &Connection, message: &Message, answer: Vec<u8>) {
    let Some(reply) = message.reply.clone() else { return };
    // Without a connection, the server does not wait any more when there is one again.
    let published = connection.client.publish(reply, answer.into());
    let _ = timeout(PUBLISH_TIMEOUT, published).await;
}
