//! The load: messages to a service that answers each, offered at a rate or with a fixed number in
//! flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subject, SubscribeError, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::marker::{Run, Template};
use super::numbers::{Latencies, float, micros};
use super::process::{Processes, Used, Watch};
use super::tally::{Answer, Tally, Window};
use super::users::RECEIVER;
use super::{Connections, closed, open};
use peerd_protocol::event::BUNDLE;

/// How often memory is measured.
const LOOK: Duration = Duration::from_millis(250);
/// How long answers may take after a run was ended early.
const LEAVE: Duration = Duration::from_secs(2);
/// The time before the run begins, in which connections subscribe.
const LEAD: Duration = Duration::from_millis(200);
/// The event with which the receiver gets a message.
pub(super) const RECEIVED: &str = "peer_message_received";

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

/// The measurements of a run.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) tally: Tally,
    /// The measured window; empty if the run was ended before it.
    pub(super) window: Window,
    /// The times from when a message was due until its receiver had the event.
    pub(super) received: Latencies,
    /// Events within the window, of all kinds.
    pub(super) events: u64,
    pub(super) responder: Option<Used>,
    pub(super) nats: Option<Used>,
    /// This process.
    pub(super) load: Option<Used>,
}

/// The shared state of a run.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Arc<Target>,
    pub(super) plan: Plan,
    pub(super) began: Instant,
    /// The window to measure, unless the run is ended early.
    planned: Window,
    /// Messages accepted so far.
    accepted: AtomicU64,
    /// When the run was ended early, in microseconds; [`NEVER`] if it was not.
    ended_us: AtomicU64,
    ended: CancellationToken,
}

/// No time within a run.
const NEVER: u64 = u64::MAX;

impl Shared {
    fn new(target: Arc<Target>, plan: Plan) -> Self {
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
    fn end(&self) {
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

/// The progress of a run, to be displayed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Progress {
    /// The elapsed share of the time, 0 to 1.
    pub(super) part: f64,
    pub(super) accepted: u64,
}

/// Runs a load to its end. `looks` is called a few times a second with the progress, and returns
/// whether to continue.
pub(super) async fn run(
    target: &Arc<Target>,
    connections: &Connections,
    plan: Plan,
    mut looks: impl FnMut(Progress) -> bool,
) -> Result<Measured, async_nats::SubscribeError> {
    let shared = Arc::new(Shared::new(target.clone(), plan));
    let listener = if plan.events {
        Some(Listener::start(&connections.events, shared.clone()).await?)
    } else {
        None
    };
    let sending = match plan.offer {
        Offer::InFlight(count) => closed::start(&connections.calls, &shared, count).await?,
        Offer::PerSecond(rate) => open::start(&connections.calls, &shared, rate).await?,
    };
    let [responder, nats, load] = follow(&shared, &mut looks).await;
    let mut tally = Tally::new();
    for lane in sending {
        // A lane that panicked has reported it; the results of the others are still valid.
        if let Ok(part) = lane.await {
            tally.add(&part);
        }
    }
    let (received, events) = match listener {
        Some(listener) => listener.end(&connections.events, &shared).await,
        None => (Latencies::new(), 0),
    };
    let window = shared.window();
    Ok(Measured { tally, window, received, events, responder, nats, load })
}

/// Waits until the window is over; returns the resources used in it by the service, nats-server and
/// this process.
async fn follow(shared: &Shared, looks: &mut impl FnMut(Progress) -> bool) -> [Option<Used>; 3] {
    let mut looks = || {
        let progress = Progress {
            part: (float(shared.now_us()) / float(shared.planned.to_us)).min(1.0),
            accepted: shared.accepted.load(Ordering::Relaxed),
        };
        let goes_on = looks(progress);
        if !goes_on {
            shared.end();
        }
        goes_on
    };
    let (from, to) = (shared.at(shared.planned.from_us), shared.at(shared.planned.to_us));
    while Instant::now() < from {
        sleep_until((Instant::now() + LOOK).min(from)).await;
        if !looks() {
            return [None; 3];
        }
    }
    let Target { responder, nats, .. } = &*shared.target;
    let load = Processes::of([std::process::id()]);
    let mut watches = [responder, nats, &load].map(Watch::begin);
    let (watched_from, accepted_before) = (Instant::now(), shared.accepted.load(Ordering::Relaxed));
    while Instant::now() < to {
        sleep_until((Instant::now() + LOOK).min(to)).await;
        watches.iter_mut().for_each(Watch::look);
        if !looks() {
            break;
        }
    }
    let accepted = shared.accepted.load(Ordering::Relaxed) - accepted_before;
    watches.map(|watch| watch.end(watched_from.elapsed(), accepted))
}

/// Listens to all events of the run's users.
struct Listener {
    end: oneshot::Sender<()>,
    task: JoinHandle<(Latencies, u64)>,
}

impl Listener {
    async fn start(client: &Client, shared: Arc<Shared>) -> Result<Self, SubscribeError> {
        let events = client.subscribe(shared.target.all_events.clone()).await?;
        let (end, ends) = oneshot::channel();
        Ok(Self { end, task: tokio::spawn(listen(events, shared, ends)) })
    }

    /// Ends it once every event has arrived that was published before the last answer.
    async fn end(self, client: &Client, shared: &Shared) -> (Latencies, u64) {
        // The server's answer arrives after everything that it had for this connection before. It
        // is an error, because there are no responders, which does not matter.
        let nobody = shared.target.nobody.clone();
        let _ = timeout_at(Instant::now() + LEAVE, client.request(nobody, Bytes::new())).await;
        let _ = self.end.send(());
        self.task.await.unwrap_or_else(|_| (Latencies::new(), 0))
    }
}

async fn listen(
    mut events: Subscriber,
    shared: Arc<Shared>,
    mut ends: oneshot::Receiver<()>,
) -> (Latencies, u64) {
    let Target { run, user_prefix, .. } = &*shared.target;
    let (mut received, mut count, mut place) = (Latencies::new(), 0, 0);
    // Once it is ending: the time until which received events may still be read.
    let mut ending: Option<Instant> = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut ends, if ending.is_none() => {
                let until = Instant::now() + LEAVE;
                ending = Some(until);
                // Without a connection, the request is not taken and the subscription does not end.
                let _ = timeout_at(until, events.unsubscribe()).await;
                continue;
            }
            () = until(ending) => None,
        };
        let Some(event) = event else { return (received, count) };
        let mut tokens = event.subject.rsplit('.');
        let (name, user) = (tokens.next(), tokens.next().unwrap_or_default());
        let Some(user) = user.strip_prefix(user_prefix.as_str()) else { continue };
        let now_us = shared.now_us();
        count += u64::from(shared.window().holds(now_us));
        let is_received = match name {
            Some(RECEIVED) => true,
            // The sender's has the message too.
            Some(BUNDLE) => user.starts_with(RECEIVER),
            _ => false,
        };
        if is_received
            && let Some(due_us) = run.due_us(&event.payload, &mut place)
            && shared.window().holds(due_us)
        {
            received.record(now_us.saturating_sub(due_us));
        }
    }
}

/// Waits until then; for ever without a time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
