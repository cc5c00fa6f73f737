//! The parts of a load: its plan, its target, and the state that its senders share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subject};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::marker::{Run, Template};
use super::numbers::micros;
use super::process::Processes;
use super::tally::{Answer, Window};

/// How long answers may take after a run was ended early.
pub(super) const LEAVE: Duration = Duration::from_secs(2);
/// The time before the run begins, in which connections subscribe.
const LEAD: Duration = Duration::from_millis(200);

/// How messages are offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Offer {
    /// A fixed number in flight: each answer makes room for the next message.
    InFlight(usize),
    /// A rate per second, independent of the answers.
    PerSecond(f64),
}

/// The plan of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) offer: Offer,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    /// How long an answer may take.
    pub(super) patience: Duration,
    /// Whether all events of the users are subscribed to.
    pub(super) events: bool,
}

/// The call of a pair.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) subject: Subject,
    pub(super) body: Template,
}

/// A service that answers messages.
#[derive(Debug)]
pub(super) struct Target {
    /// The calls by pair.
    pub(super) calls: Vec<Call>,
    pub(super) headers: HeaderMap,
    /// All events of users.
    pub(super) all_events: String,
    /// A subject without a responder, to which every caller may publish.
    pub(super) nobody: String,
    /// The prefix of the run's users, in the last token but one of a subject.
    pub(super) user_prefix: String,
    pub(super) run: Run,
    /// The messages so far, in all rounds: each needs a number of its own, or it would be a repeat.
    pub(super) numbers: AtomicU64,
    /// The processes of the service and of nats-server.
    pub(super) responder: Processes,
    pub(super) nats: Processes,
}

impl Target {
    /// The number of the next message.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// The shared state of a run.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Arc<Target>,
    pub(super) plan: Plan,
    pub(super) began: Instant,
    /// The window to measure, unless the run is ended early.
    pub(super) planned: Window,
    /// Messages accepted so far.
    pub(super) accepted: AtomicU64,
    /// When the run was ended early, in microseconds; [`NEVER`] if it was not.
    ended_us: AtomicU64,
    ended: CancellationToken,
}

/// No time within a run.
const NEVER: u64 = u64::MAX;

impl Shared {
    pub(super) fn new(target: Arc<Target>, plan: Plan) -> Self {
        let from_us = micros(plan.warm_up);
        Self {
            target,
            plan,
            began: Instant::now() + LEAD,
            planned: Window { from_us, to_us: from_us + micros(plan.duration) },
            accepted: AtomicU64::new(0),
            ended_us: AtomicU64::new(NEVER),
            ended: CancellationToken::new(),
        }
    }

    /// The window that is measured.
    pub(super) fn window(&self) -> Window {
        let Window { from_us, to_us } = self.planned;
        Window { from_us, to_us: to_us.min(self.ended_us.load(Ordering::Relaxed)) }
    }

    /// Ends the run early.
    pub(super) fn end(&self) {
        self.ended_us.store(self.now_us(), Ordering::Relaxed);
        self.ended.cancel();
    }

    /// Sends the due message of a pair; its answer will name the slot. False if the client did not
    /// take it: without a connection to NATS it holds a bounded number of messages.
    pub(super) async fn send(
        &self,
        client: &Client,
        reply_to: Subject,
        pair: usize,
        due_us: u64,
    ) -> bool {
        let call = &self.target.calls[pair];
        let body = call.body.body(due_us, self.target.next_number());
        let headers = self.target.headers.clone();
        let subject = call.subject.clone();
        tokio::select! {
            // In this order: the others are polled only without room, which is rare.
            biased;
            sent = client.publish_with_reply_and_headers(subject, reply_to, headers, body) => {
                sent.is_ok()
            }
            () = self.ended.cancelled() => false,
            () = sleep_until(self.patient_until()) => false,
        }
    }

    /// Reads an answer and counts it.
    pub(super) fn read(&self, message: &Message) -> Answer {
        let answer = Answer::read(message);
        if answer == Answer::Accepted {
            self.accepted.fetch_add(1, Ordering::Relaxed);
        }
        answer
    }

    pub(super) fn now_us(&self) -> u64 {
        // Before the run begins, nothing is late.
        micros(Instant::now().saturating_duration_since(self.began))
    }

    pub(super) fn at(&self, us: u64) -> Instant {
        self.began + Duration::from_micros(us)
    }

    /// Whether it was ended early.
    pub(super) fn was_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether all messages were sent.
    pub(super) fn is_over(&self, now_us: u64) -> bool {
        now_us >= self.window().to_us
    }

    /// The deadline of the last answer.
    pub(super) fn patient_until(&self) -> Instant {
        let patience = if self.was_ended() { LEAVE } else { self.plan.patience };
        self.at(self.window().to_us) + patience
    }
}

/// The subject of an answer, which has the slot of its message and the time at which it was due.
pub(super) fn reply_subject(inbox: &str, place: usize, due_us: u64) -> Subject {
    format!("{inbox}.{place}.{due_us}").into()
}

/// Parses the subject of an answer.
pub(super) fn read_reply_subject(subject: &str) -> Option<(usize, u64)> {
    let (rest, due_us) = subject.rsplit_once('.')?;
    let (_, place) = rest.rsplit_once('.')?;
    Some((place.parse().ok()?, due_us.parse().ok()?))
}
