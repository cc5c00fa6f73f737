//! The load: messages to a service that answers each, offered at a rate or so many at a time.

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
use super::{Connections, closed, open};

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(250);
/// How long answers may take once a run was ended before its time.
const LEAVE: Duration = Duration::from_secs(2);
/// Between the order to begin and the beginning: connections subscribe meanwhile.
const LEAD: Duration = Duration::from_millis(200);
/// The event that brings a message to its receiver.
pub(super) const RECEIVED: &str = "peer_message_received";

/// How messages are offered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Offer {
    /// So many at a time: the next one when an answer came.
    InFlight(usize),
    /// So many a second, whatever the answers do.
    PerSecond(f64),
}

/// How long, and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) offer: Offer,
    pub(super) warm_up: Duration,
    pub(super) duration: Duration,
    /// How long an answer may take.
    pub(super) patience: Duration,
    /// Whether all events of users are subscribed to.
    pub(super) events: bool,
}

/// Who is sent to whom, on which subject.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) subject: Subject,
    pub(super) body: Template,
}

/// A service that answers messages.
#[derive(Debug)]
pub(super) struct Target {
    /// By pair.
    pub(super) calls: Vec<Call>,
    pub(super) headers: HeaderMap,
    /// All events of users.
    pub(super) all_events: String,
    /// A subject that nobody serves, and that who may call may publish to.
    pub(super) nobody: String,
    /// What recognizes a user of the run by the subject's last token but one.
    pub(super) user_prefix: String,
    pub(super) run: Run,
    /// Messages so far, in all rounds: each has a number of its own, or it would be a repeat.
    pub(super) numbers: AtomicU64,
    /// The service's own processes, and nats-server's.
    pub(super) responder: Processes,
    pub(super) nats: Processes,
}

impl Target {
    /// The number of the next message.
    pub(super) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) tally: Tally,
    /// What was measured; empty when the run was ended before.
    pub(super) window: Window,
    /// From when a message was due to when its receiver had the event.
    pub(super) received: Latencies,
    /// Events within the window, of all kinds.
    pub(super) events: u64,
    pub(super) responder: Option<Used>,
    pub(super) nats: Option<Used>,
    /// This process.
    pub(super) load: Option<Used>,
}

/// What all parts of a run share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) target: Arc<Target>,
    pub(super) plan: Plan,
    pub(super) began: Instant,
    /// What is measured, unless the run is ended before its time.
    planned: Window,
    /// Messages accepted so far.
    accepted: AtomicU64,
    /// When the run was ended before its time, in microseconds; [`NEVER`] if it was not.
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

    /// What is measured.
    pub(super) fn window(&self) -> Window {
        let Window { from_us, to_us } = self.planned;
        Window { from_us, to_us: to_us.min(self.ended_us.load(Ordering::Relaxed)) }
    }

    /// Ends the run before its time.
    fn end(&self) {
        self.ended_us.store(self.now_us(), Ordering::Relaxed);
        self.ended.cancel();
    }

    /// Sends the message of a pair that is due, whose answer will name the place. False if the
    /// client did not take it: without a connection to NATS it holds a bounded number of messages.
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
            // In this order: the others are not looked at where there is room, which is nearly always.
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
        // Before it begins, nothing is late.
        micros(Instant::now().saturating_duration_since(self.began))
    }

    pub(super) fn at(&self, us: u64) -> Instant {
        self.began + Duration::from_micros(us)
    }

    /// Whether it was ended before its time.
    pub(super) fn was_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether nothing more is to be sent.
    pub(super) fn is_over(&self, now_us: u64) -> bool {
        now_us >= self.window().to_us
    }

    /// By when the last answer may come.
    pub(super) fn patient_until(&self) -> Instant {
        let patience = if self.was_ended() { LEAVE } else { self.plan.patience };
        self.at(self.window().to_us) + patience
    }
}

/// What of a message its answer's subject says: the number of its place, and when it was due.
pub(super) fn reply_subject(inbox: &str, place: usize, due_us: u64) -> Subject {
    format!("{inbox}.{place}.{due_us}").into()
}

/// Reads it back.
pub(super) fn read_reply_subject(subject: &str) -> Option<(usize, u64)> {
    let (rest, due_us) = subject.rsplit_once('.')?;
    let (_, place) = rest.rsplit_once('.')?;
    Some((place.parse().ok()?, due_us.parse().ok()?))
}

/// How far a run is, for who looks on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Progress {
    /// The part of the time that is over, 0 to 1.
    pub(super) part: f64,
    pub(super) accepted: u64,
}

/// Runs a load to its end. `looks` is called a few times a second with the progress, and says whether to
/// go on.
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
        // A lane that has panicked has said so; what the others saw still holds.
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

/// Looks on until the window is over; answers what was used in it by the service, nats-server and
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

    /// Ends it once every event has come that was published before the last answer.
    async fn end(self, client: &Client, shared: &Shared) -> (Latencies, u64) {
        // The server's answer comes after all that it had for this connection before. Whether that is
        // an error does not matter: nobody is there to answer.
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
    // Once it is ending: until when what is here may still be read.
    let mut ending: Option<Instant> = None;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = &mut ends, if ending.is_none() => {
                let until = Instant::now() + LEAVE;
                ending = Some(until);
                // Without a connection, nobody takes the order and the subscription does not end.
                let _ = timeout_at(until, events.unsubscribe()).await;
                continue;
            }
            () = until(ending) => None,
        };
        let Some(event) = event else { return (received, count) };
        let mut tokens = event.subject.rsplit('.');
        let (name, user) = (tokens.next(), tokens.next().unwrap_or_default());
        if !user.starts_with(user_prefix.as_str()) {
            continue;
        }
        let now_us = shared.now_us();
        count += u64::from(shared.window().holds(now_us));
        if name == Some(RECEIVED)
            && let Some(due_us) = run.due_us(&event.payload, &mut place)
            && shared.window().holds(due_us)
        {
            received.record(now_us.saturating_sub(due_us));
        }
    }
}

/// Waits until then; for ever where there is no such time.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
