//! The open load: messages at a rate, independent of the answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::{Client, SubscribeError, Subscriber};
use futures::StreamExt as _;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::{Instant, interval};

use super::numbers::{count, micros};
use super::schedule::Schedule;
use super::shared::{Shared, read_reply_subject, reply_subject};
use super::tally::Tally;

/// How often to check whether the last answer has arrived.
const TICK: Duration = Duration::from_millis(10);
/// The longest sleep before checking whether the run was ended.
const NAP: Duration = Duration::from_millis(50);
/// The value of [`Lane::sent`] while more messages are to come.
const PACING: u64 = u64::MAX;

/// A connection, and the answers that arrive on it.
struct Lane {
    client: Client,
    inbox: String,
    /// How many messages were sent on it; [`PACING`] while more are to come.
    sent: Arc<AtomicU64>,
}

/// Starts to send at a rate and to receive the answers.
pub(super) async fn start(
    clients: &[Client],
    shared: &Arc<Shared>,
    rate: f64,
) -> Result<Vec<JoinHandle<Tally>>, SubscribeError> {
    let (mut lanes, mut tasks) = (Vec::new(), Vec::new());
    for client in clients {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*.*")).await?;
        let sent = Arc::new(AtomicU64::new(PACING));
        tasks.push(tokio::spawn(take(replies, shared.clone(), sent.clone())));
        lanes.push(Lane { client: client.clone(), inbox, sent });
    }
    let (shared, runtime) = (shared.clone(), Handle::current());
    // A thread of its own: tokio's timers have a resolution of milliseconds, and messages are due
    // in between.
    tasks.push(tokio::task::spawn_blocking(move || {
        dispatch(&lanes, &shared, Schedule::per_second(rate), &runtime)
    }));
    Ok(tasks)
}

/// Sends each message when it is due, or as soon after that as possible.
fn dispatch(lanes: &[Lane], shared: &Shared, schedule: Schedule, runtime: &Handle) -> Tally {
    let mut tally = Tally::new();
    let mut sent = vec![0; lanes.len()];
    let part =
        |number: u64, parts: usize| usize::try_from(number % count(parts)).unwrap_or_default();
    for number in 0.. {
        let due_us = micros(schedule.due(number));
        // By the due time: every message that was due within the window is sent, however late.
        if shared.is_over(due_us) || !sleep_until_due(shared, due_us) {
            break;
        }
        let place = part(number, lanes.len());
        let lane = &lanes[place];
        let reply_to = reply_subject(&lane.inbox, 0, due_us);
        let pair = part(number, shared.target.calls.len());
        let sending = shared.send(&lane.client, reply_to, pair, due_us);
        if runtime.block_on(sending) {
            tally.note_sent(shared.window(), due_us, shared.now_us());
            sent[place] += 1;
        }
    }
    for (lane, sent) in lanes.iter().zip(sent) {
        lane.sent.store(sent, Ordering::Release);
    }
    tally
}

/// Sleeps until a message is due; false if it must not be sent any more.
fn sleep_until_due(shared: &Shared, due_us: u64) -> bool {
    let due = shared.at(due_us);
    while !shared.was_ended() && Instant::now() <= shared.patient_until() {
        match due.checked_duration_since(Instant::now()) {
            Some(early) if !early.is_zero() => std::thread::sleep(early.min(NAP)),
            _ => return true,
        }
    }
    false
}

/// Receives the answers on one connection, until each message has one.
async fn take(mut replies: Subscriber, shared: Arc<Shared>, sent: Arc<AtomicU64>) -> Tally {
    let (mut tally, mut taken) = (Tally::new(), 0_u64);
    let mut tick = interval(TICK);
    loop {
        tokio::select! {
            reply = replies.next() => {
                let Some(reply) = reply else { return tally };
                if let Some((_, due_us)) = read_reply_subject(&reply.subject) {
                    tally.note(shared.window(), due_us, shared.now_us(), &shared.read(&reply));
                    taken += 1;
                }
            }
            _ = tick.tick() => {
                let is_complete = taken >= sent.load(Ordering::Acquire);
                if is_complete || Instant::now() > shared.patient_until() {
                    return tally;
                }
            }
        }
    }
}
