//! So many messages at a time: each place sends its next one when the last was answered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::load::{Shared, read_reply_subject, reply_subject};
use super::numbers::micros;
use super::tally::{Answer, Tally};

/// How often places are looked at that wait, or whose answer is late.
const TICK: Duration = Duration::from_millis(10);
/// How long a place waits that was refused, where the answer does not say.
const PAUSE: Duration = Duration::from_millis(10);

/// The places of one connection.
struct Lane {
    client: Client,
    shared: Arc<Shared>,
    inbox: String,
    places: Vec<Place>,
    /// By how many pairs a place goes on with each message.
    stride: usize,
    under_way: usize,
    /// Places that were refused: when each goes on.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    pair: usize,
    /// When the message was sent whose answer is waited for.
    sent_us: Option<u64>,
}

/// Starts lanes with `count` places in all.
pub(super) async fn start(
    clients: &[Client],
    shared: &Arc<Shared>,
    count: usize,
) -> Result<Vec<JoinHandle<Tally>>, SubscribeError> {
    let mut lanes = Vec::new();
    for (number, client) in clients.iter().enumerate() {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*.*")).await?;
        let pairs = shared.target.calls.len();
        let places = (number..count).step_by(clients.len());
        let lane = Lane {
            client: client.clone(),
            shared: shared.clone(),
            inbox,
            places: places.map(|place| Place { pair: place % pairs, sent_us: None }).collect(),
            stride: count,
            under_way: 0,
            waiting: BinaryHeap::new(),
            tally: Tally::new(shared.window),
        };
        lanes.push(tokio::spawn(lane.run(replies)));
    }
    Ok(lanes)
}

impl Lane {
    async fn run(mut self, mut replies: Subscriber) -> Tally {
        sleep_until(self.shared.began).await;
        for place in 0..self.places.len() {
            self.send(place).await;
        }
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                reply = replies.next() => match reply {
                    Some(reply) => self.take(&reply).await,
                    None => return self.tally,
                },
                _ = tick.tick() => {
                    self.go_on().await;
                    let is_done = self.under_way == 0 || Instant::now() > self.shared.patient_until();
                    if is_done && self.shared.is_over(self.shared.now_us()) {
                        return self.tally;
                    }
                }
            }
        }
    }

    /// Sends the next message of a place.
    async fn send(&mut self, place: usize) {
        let now_us = self.shared.now_us();
        if self.shared.is_over(now_us) {
            return;
        }
        let Place { pair, .. } = self.places[place];
        let reply_to = reply_subject(&self.inbox, place, now_us);
        if self.shared.send(&self.client, reply_to, pair, now_us).await.is_ok() {
            self.tally.note_sent(now_us, now_us);
            self.under_way += 1;
            self.places[place].sent_us = Some(now_us);
        } else {
            self.wait(place, now_us, PAUSE);
        }
        let pairs = self.shared.target.calls.len();
        self.places[place].pair = (pair + self.stride) % pairs;
    }

    fn wait(&mut self, place: usize, now_us: u64, pause: Duration) {
        self.waiting.push(Reverse((now_us + micros(pause), place)));
    }

    async fn take(&mut self, reply: &Message) {
        let Some((place, sent_us)) = read_reply_subject(&reply.subject) else { return };
        let answer = self.shared.read(reply);
        let now_us = self.shared.now_us();
        self.tally.note(sent_us, now_us, &answer);
        let is_awaited = self.places.get(place).is_some_and(|place| place.sent_us == Some(sent_us));
        if !is_awaited {
            // It came too late, and the place has gone on.
            return;
        }
        self.places[place].sent_us = None;
        self.under_way -= 1;
        match answer {
            Answer::Accepted => self.send(place).await,
            Answer::Refused { retry_after, .. } => {
                self.wait(place, now_us, retry_after.unwrap_or(PAUSE).max(PAUSE));
            }
        }
    }

    /// Has those places go on that have waited for long enough, for leave or for an answer.
    async fn go_on(&mut self) {
        let now_us = self.shared.now_us();
        while let Some(Reverse((due_us, place))) = self.waiting.peek().copied() {
            if due_us > now_us {
                break;
            }
            self.waiting.pop();
            self.send(place).await;
        }
        let patience_us = micros(self.shared.plan.patience);
        for place in 0..self.places.len() {
            let is_late = |sent_us: u64| now_us.saturating_sub(sent_us) > patience_us;
            if self.places[place].sent_us.is_some_and(is_late) {
                self.places[place].sent_us = None;
                self.under_way -= 1;
                self.send(place).await;
            }
        }
    }
}
