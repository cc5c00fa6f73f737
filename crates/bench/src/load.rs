//! The load: messages to a service that answers each, offered at a rate or with a fixed number in
//! flight.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_nats::{Client, SubscribeError, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::numbers::{Latencies, float};
use super::process::{Processes, Used, Watch};
use super::shared::{LEAVE, Offer, Plan, Shared, Target};
use super::tally::{Tally, Window};
use super::users::RECEIVER;
use super::{Connections, closed, open};
use peerd_protocol::event::BUNDLE;

/// How often memory is measured.
const LOOK: Duration = Duration::from_millis(250);
/// The event with which the receiver gets a message.
pub(super) const RECEIVED: &str = "peer_message_received";

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
