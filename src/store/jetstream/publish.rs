//! Publishing into a stream.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::acks::{Ack, Acks, Outcome, Unacked};
use super::entry::Entry;
use crate::link::DataConnection;
use crate::store::names::Resource;
use crate::store::trouble::{Cause, Troubles};
use crate::store::tuning::{
    EXPECTING_BYTES, PUBLISH_BACKOFF_FIRST, PUBLISH_BACKOFF_MAX, PUBLISH_TIMEOUT_FIRST,
};
use crate::store::{AppendError, Appended};

/// The subject does not end at the expected sequence.
const WRONG_LAST_SEQUENCE: u32 = 10071;
/// Another publish on the subject is in flight (replicated streams).
const IN_FLIGHT: u32 = 10164;
/// No leader at the moment.
const TEMPORARILY_UNAVAILABLE: u32 = 10008;

/// Publishes over the data plane's connection.
#[derive(Debug)]
pub(super) struct Publisher {
    connection: DataConnection,
    pub(super) troubles: Arc<Troubles>,
    acks: Acks,
}

/// Why one publish was not acknowledged.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Nothing was stored, and a retry may succeed soon.
    ForNow(&'static str),
    /// A retry would not succeed soon, or the message may be stored.
    ForGood(AppendError),
}

/// Growing waits up to a deadline: between attempts, and for the answer to each.
pub(super) struct Backoff {
    next: Duration,
    patience: Duration,
    deadline: Instant,
}

impl Backoff {
    pub(super) const fn until(deadline: Instant) -> Self {
        Self { next: PUBLISH_BACKOFF_FIRST, patience: PUBLISH_TIMEOUT_FIRST, deadline }
    }

    /// The time until which to wait for the answer to an attempt before the next one. With an
    /// observer on the subject, the server does not report no responders.
    pub(super) fn try_until(&mut self) -> Instant {
        let until = self.deadline.min(Instant::now() + self.patience);
        self.patience *= 2;
        until
    }

    /// Waits; false if the deadline comes first.
    pub(super) async fn wait(&mut self) -> bool {
        let until = Instant::now() + self.next;
        self.next = (self.next * 2).min(PUBLISH_BACKOFF_MAX);
        if until >= self.deadline {
            return false;
        }
        sleep_until(until).await;
        true
    }
}

impl Publisher {
    pub(super) fn start(connection: DataConnection, troubles: Arc<Troubles>) -> Self {
        let acks = Acks::start(&connection);
        Self { connection, troubles, acks }
    }

    /// Ends all waits for a stream that is gone.
    pub(super) fn lose_stream(&self, resource: Resource) {
        self.acks.lose_stream(resource);
    }

    /// One publish with an answer.
    async fn publish_once(&self, entry: &Entry, deadline: Instant) -> Result<u64, Refused> {
        let mut expecting = [0; EXPECTING_BYTES];
        let publish = entry.publish(&mut expecting);
        let answer = self.acks.publish(entry.resource, &publish, deadline).await;
        self.judge(entry.resource, answer)
    }

    /// The meaning of an answer.
    fn judge(&self, resource: Resource, answer: Result<Ack, Unacked>) -> Result<u64, Refused> {
        let unavailable = |why: &str| Refused::ForGood(AppendError::Unavailable(why.to_owned()));
        match answer {
            Ok(Ack { error: Some(error), .. }) => Err(match error.err_code {
                WRONG_LAST_SEQUENCE => Refused::ForGood(AppendError::Conflict),
                IN_FLIGHT | TEMPORARILY_UNAVAILABLE => Refused::ForNow("no leader, or busy"),
                code => {
                    self.troubles.met(resource, Cause::of_refusal(code, &error.description));
                    unavailable(&format!("{} ({code})", error.description))
                }
            }),
            Ok(Ack { seq: Some(seq), error: None }) => {
                self.troubles.stored(resource);
                Ok(seq)
            }
            Ok(Ack { seq: None, error: None }) => Err(Refused::ForGood(AppendError::Unknown)),
            Err(Unacked::NotSent) => Err(Refused::ForNow("disconnected")),
            Err(Unacked::NoRoom) => Err(Refused::ForNow("the connection is busy")),
            Err(Unacked::NoResponders) => {
                self.troubles.suspect(resource);
                Err(Refused::ForNow("no responders"))
            }
            // It may be created again, but waiting here would not help.
            Err(Unacked::Gone) => Err(unavailable("the stream is gone")),
            Err(Unacked::TooLarge) => Err(unavailable("over the server's max_payload")),
            Err(Unacked::Unknown) => {
                if self.connection.link.is_up() {
                    self.troubles.unacked(resource);
                }
                Err(Refused::ForGood(AppendError::Unknown))
            }
        }
    }

    /// Publishes until the store has stored or refused the message, or may have stored it.
    pub(super) async fn publish(
        &self,
        entry: &Entry,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        self.publish_until(entry, &mut Backoff::until(deadline)).await
    }

    async fn publish_until(
        &self,
        entry: &Entry,
        backoff: &mut Backoff,
    ) -> Result<u64, AppendError> {
        let deadline = backoff.deadline;
        loop {
            let once = || self.publish_once(entry, deadline);
            let mut first = pin!(once());
            let published = match timeout_at(backoff.try_until(), &mut first).await {
                Ok(published) => published,
                // Boxed, because it is rare.
                Err(_) => Box::pin(publish_again(first, once, backoff)).await,
            };
            match published {
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

    /// As [`Publisher::publish`], without a task: `then` is called with the outcome if the first
    /// answer decides, and otherwise with a future for the outcome.
    pub(super) fn publish_then(
        self: &Arc<Self>,
        entry: Entry,
        deadline: Instant,
        then: impl FnOnce(Appended) + Send + 'static,
    ) {
        let publisher = self.clone();
        let mut backoff = Backoff::until(deadline);
        let due = backoff.try_until();
        self.acks.publish_then(entry, due, move |entry| {
            Box::new(move |outcome| {
                let later = match outcome {
                    Outcome::Answered(answer) => match publisher.judge(entry.resource, answer) {
                        Ok(seq) => return then(Appended::Now(Ok(seq))),
                        Err(Refused::ForGood(error)) => return then(Appended::Now(Err(error))),
                        Err(Refused::ForNow(why)) => Later::Refused(why),
                    },
                    Outcome::Overdue(answer) => Later::Overdue(answer),
                };
                then(Appended::Later(Box::pin(async move {
                    publisher.go_on(&entry, later, &mut backoff).await
                })));
            })
        });
    }

    /// Continues publishing if the first answer did not decide.
    async fn go_on(
        &self,
        entry: &Entry,
        first: Later,
        backoff: &mut Backoff,
    ) -> Result<u64, AppendError> {
        let why = match first {
            Later::Refused(why) => why,
            Later::Overdue(answer) => {
                let deadline = backoff.deadline;
                let first = pin!(async {
                    let answer = timeout_at(deadline, answer).await;
                    let answer = answer.unwrap_or(Ok(Err(Unacked::Unknown)));
                    self.judge(entry.resource, answer.unwrap_or(Err(Unacked::Unknown)))
                });
                let once = || self.publish_once(entry, deadline);
                match publish_again(first, once, backoff).await {
                    Ok(seq) => return Ok(seq),
                    Err(Refused::ForGood(error)) => return Err(error),
                    Err(Refused::ForNow(why)) => why,
                }
            }
        };
        if !backoff.wait().await {
            return Err(AppendError::Unavailable(why.to_owned()));
        }
        self.publish_until(entry, backoff).await
    }
}

/// Why the first answer to a publish did not decide.
enum Later {
    /// It was refused, but a retry may succeed soon.
    Refused(&'static str),
    /// There was no answer yet.
    Overdue(oneshot::Receiver<Result<Ack, Unacked>>),
}

/// Publishes again what was not answered in time: there may have been no responders, which an
/// observer's subscription hides. All attempts are awaited: each names the expected last sequence,
/// so at most one is stored, and only its own answer shows it.
async fn publish_again<F>(
    first: Pin<&mut impl Future<Output = Result<u64, Refused>>>,
    once: impl Fn() -> F,
    backoff: &mut Backoff,
) -> Result<u64, Refused>
where
    F: Future<Output = Result<u64, Refused>>,
{
    let mut again = FuturesUnordered::new();
    let mut first = Some(first);
    let mut refused = None;
    let mut may_be_stored = false;
    loop {
        let until = backoff.try_until();
        if until < backoff.deadline && !may_be_stored {
            again.push(once());
        }
        loop {
            let next = async {
                match &mut first {
                    Some(waiting) => tokio::select! {
                        biased;
                        published = waiting => {
                            first = None;
                            Some(published)
                        }
                        Some(published) = again.next() => Some(published),
                    },
                    None => again.next().await,
                }
            };
            match timeout_at(until, next).await {
                Ok(Some(Ok(seq))) => return Ok(seq),
                // That attempt stored nothing.
                Ok(Some(Err(
                    it @ (Refused::ForNow(_) | Refused::ForGood(AppendError::Unavailable(_))),
                ))) => {
                    refused = Some(it);
                }
                // This attempt: perhaps because another one is stored.
                Ok(Some(Err(Refused::ForGood(AppendError::Conflict | AppendError::Unknown)))) => {
                    may_be_stored = true;
                }
                Ok(None) => {
                    let refused = refused.filter(|_| !may_be_stored);
                    return Err(refused.unwrap_or(Refused::ForGood(AppendError::Unknown)));
                }
                Err(_) if until >= backoff.deadline || may_be_stored => {
                    return Err(Refused::ForGood(AppendError::Unknown));
                }
                Err(_) => break,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::time::sleep;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(5);

    /// The outcome of attempts that are answered after the given times; the first was made a second
    /// ago.
    async fn publish(
        attempts: Vec<(u64, Result<u64, Refused>)>,
    ) -> (Result<u64, Refused>, usize, Duration) {
        let began = Instant::now();
        let count = attempts.len();
        let attempts = Cell::new(attempts.into_iter());
        let made = Cell::new(0);
        let once = || {
            let mut left = attempts.take();
            let next = left.next();
            attempts.set(left);
            made.set(made.get() + 1);
            async move {
                match next {
                    Some((after_ms, answer)) => {
                        sleep(Duration::from_millis(after_ms)).await;
                        answer
                    }
                    None => std::future::pending().await,
                }
            }
        };
        let mut backoff = Backoff::until(began + DEADLINE);
        let mut first = pin!(once());
        let published = match timeout_at(backoff.try_until(), &mut first).await {
            Ok(published) => published,
            Err(_) => publish_again(first, once, &mut backoff).await,
        };
        assert!(made.get() <= count + 3);
        (published, made.get(), began.elapsed())
    }

    const NEVER_MS: u64 = 1_000_000;
    const CONFLICT: Refused = Refused::ForGood(AppendError::Conflict);
    const UNKNOWN: Refused = Refused::ForGood(AppendError::Unknown);
    const NO_LEADER: Refused = Refused::ForNow("no leader, or busy");

    #[tokio::test(start_paused = true)]
    async fn a_send_that_no_owner_took_is_stored_by_the_next_attempt() {
        let (published, made, took) = publish(vec![(NEVER_MS, Ok(1)), (3, Ok(7))]).await;
        assert_eq!((published, made), (Ok(7), 2));
        assert!(took < Duration::from_secs(2), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_late_acknowledgement_counts_whatever_the_attempt_after_it_met() {
        for second in [CONFLICT, NO_LEADER] {
            let (published, made, _) = publish(vec![(1_400, Ok(5)), (200, Err(second))]).await;
            assert_eq!((published, made), (Ok(5), 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_with_an_own_attempt_is_unknown_and_never_failed() {
        let (published, ..) = publish(vec![(NEVER_MS, Ok(5)), (3, Err(CONFLICT))]).await;
        assert_eq!(published, Err(UNKNOWN));
        let (published, ..) = publish(vec![(1_500, Err(CONFLICT)), (NEVER_MS, Ok(1))]).await;
        assert_eq!(published, Err(UNKNOWN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_answer_is_unknown_at_the_deadline() {
        let (published, made, took) = publish(Vec::new()).await;
        assert_eq!(published, Err(UNKNOWN));
        assert_eq!((made, took), (2, DEADLINE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_send_may_be_retried_if_no_owner_took_an_attempt() {
        let (published, ..) = publish(vec![(1_100, Err(NO_LEADER)), (300, Err(NO_LEADER))]).await;
        assert_eq!(published, Err(NO_LEADER));
    }
}
