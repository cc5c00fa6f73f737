//! The closed load: a fixed number of messages in flight. Each slot sends its next message when the
//! last one was answered.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, Message, SubscribeError, Subscriber};
use futures::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::budget::Budget;
use super::numbers::micros;
use super::shared::{Shared, read_reply_subject, reply_subject};
use super::tally::{Answer, RATE_LIMITED, Tally};

/// How often slots that wait, or whose answer is late, are checked.
const TICK: Duration = Duration::from_millis(10);
/// How long a refused slot waits, if the answer does not say.
const PAUSE: Duration = Duration::from_millis(10);

/// The slots of one connection.
struct Lane {
    client: Client,
    shared: Arc<Shared>,
    /// The senders that may send, shared by all lanes.
    budget: Arc<Budget>,
    inbox: String,
    places: Vec<Place>,
    /// The number of pairs by which a slot advances with each message.
    stride: usize,
    under_way: usize,
    /// Slots that were refused or whose senders wait, by the time at which each continues.
    waiting: BinaryHeap<Reverse<(u64, usize)>>,
    tally: Tally,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    /// The next pair.
    pair: usize,
    /// The message that is not answered yet.
    sent: Option<Sent>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    pair: usize,
    at_us: u64,
}

/// Starts lanes with `count` slots in all.
pub(super) async fn start(
    clients: &[Client],
    shared: &Arc<Shared>,
    count: usize,
) -> Result<Vec<JoinHandle<Tally>>, SubscribeError> {
    let mut lanes = Vec::new();
    let pairs = shared.target.calls.len();
    let budget = Arc::new(Budget::new(pairs));
    for (number, client) in clients.iter().enumerate() {
        let inbox = client.new_inbox();
        let replies = client.subscribe(format!("{inbox}.*.*")).await?;
        let places = (number..count).step_by(clients.len());
        let lane = Lane {
            client: client.clone(),
            shared: shared.clone(),
            budget: budget.clone(),
            inbox,
            places: places.map(|place| Place { pair: place % pairs, sent: None }).collect(),
            stride: count,
            under_way: 0,
            waiting: BinaryHeap::new(),
            tally: Tally::new(),
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

    /// Sends the next message of a slot, from the next sender that may send.
    async fn send(&mut self, place: usize) {
        let now_us = self.shared.now_us();
        if self.shared.is_over(now_us) {
            return;
        }
        let first = self.places[place].pair;
        let pair = match self.budget.take(first, now_us, micros(self.shared.plan.patience)) {
            Ok(pair) => pair,
            Err(free_us) => {
                self.waiting.push(Reverse((free_us, place)));
                return;
            }
        };
        let reply_to = reply_subject(&self.inbox, place, now_us);
        if self.shared.send(&self.client, reply_to, pair, now_us).await {
            self.tally.note_sent(self.shared.window(), now_us, now_us);
            self.under_way += 1;
            self.places[place].sent = Some(Sent { pair, at_us: now_us });
        } else {
            self.budget.give_back(pair, now_us);
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
        self.tally.note(self.shared.window(), sent_us, now_us, &answer);
        let awaited = self.places.get(place).and_then(|place| place.sent);
        let Some(Sent { pair, .. }) = awaited.filter(|sent| sent.at_us == sent_us) else {
            // The answer came too late; the slot has moved on.
            return;
        };
        self.places[place].sent = None;
        self.under_way -= 1;
        let pause = match answer {
            Answer::Accepted => None,
            Answer::Refused { ref problem, retry_after } => {
                let pause = retry_after.unwrap_or(PAUSE).max(PAUSE);
                if problem.0 == RATE_LIMITED {
                    // The sender waits, not the slot: another sender may still send.
                    self.budget.limit(pair, now_us + micros(pause));
                    return self.send(place).await;
                }
                Some(pause)
            }
        };
        self.budget.give_back(pair, now_us);
        match pause {
            None => self.send(place).await,
            Some(pause) => self.wait(place, now_us, pause),
        }
    }

    /// Continues the slots that have waited long enough, for a permission or for an answer.
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
            let is_late = |sent: &Sent| now_us.saturating_sub(sent.at_us) > patience_us;
            if let Some(Sent { pair, .. }) = self.places[place].sent.filter(is_late) {
                self.places[place].sent = None;
                self.under_way -= 1;
                self.budget.give_back(pair, now_us);
                self.send(place).await;
            }
        }
    }
}
