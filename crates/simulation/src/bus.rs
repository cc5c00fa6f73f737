//! The simulated bus: core NATS with one connection per instance. The messages of one connection
//! arrive at the server in order; from there, each takes its own time. Messages in transit may be
//! lost when a connection breaks or its process ends.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use peerd::bus::{Answer, Incoming, Kind, Outgoing};
use peerd::wire::probe;
use peerd_protocol::encoding::CONTENT_TYPE;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::server::{Arrival, Inbox, Item, OnItsWay, Reply};
use crate::world::{Core, World};

mod instance;

pub(crate) use self::instance::SimBus;

impl World {
    /// The writer task: hands queued messages to the connection in order, as long as the instance
    /// runs.
    pub(crate) async fn writer_task(self: Arc<Self>, who: usize) {
        loop {
            self.wait_while_frozen(who).await;
            let given = {
                let mut core = self.lock();
                let seat = &mut core.seats[who];
                let is_held = match seat.outgoing.front() {
                    None => true,
                    Some(Item::Message(message)) => message.permit.is_some() && !seat.bus.is_up,
                    Some(Item::Mark(_)) => false,
                };
                if is_held {
                    let wait =
                        if seat.outgoing.is_empty() { &seat.given } else { &seat.bus.changed };
                    Some(wait.clone())
                } else {
                    let item = seat.outgoing.pop_front();
                    seat.left.notify_waiters();
                    match item {
                        Some(Item::Message(message)) => self.leave(&mut core, who, message),
                        Some(Item::Mark(notify)) => _ = notify.send(()),
                        None => {}
                    }
                    None
                }
            };
            if let Some(given) = given {
                given.notified().await;
            }
        }
    }

    /// Sends an instance's answer past its outgoing queue. A message with a permit is lost if there
    /// is no connection.
    pub(crate) fn pass_by(self: &Arc<Self>, who: usize, message: Outgoing) {
        let mut core = self.lock();
        if message.permit.is_none() || core.seats[who].bus.is_up {
            self.leave(&mut core, who, Box::new(message));
        }
    }

    /// Hands a message to the connection, if its permit is still valid.
    fn leave(self: &Arc<Self>, core: &mut Core, who: usize, message: Box<Outgoing>) {
        if message.permit.as_ref().is_none_or(|permit| permit.holds()) {
            core.leaves(who, &message);
            self.send(core, who, OnItsWay::Message(message));
        }
    }

    /// Puts an item in transit to the server.
    fn send(self: &Arc<Self>, core: &mut Core, who: usize, what: OnItsWay) {
        let arrives_ms = self.now_ms() + core.latency_ms();
        let seat = &mut core.seats[who];
        seat.up_ms = seat.up_ms.max(arrives_ms);
        seat.up.push_back(what);
        let (world, span) = (self.clone(), self.until(seat.up_ms));
        let (was_up, generation) = (seat.bus.is_up, seat.bus.generation);
        tokio::spawn(async move {
            sleep(span).await;
            // A message that was sent while the connection was down stays in its buffer until it is
            // up.
            loop {
                let changed = {
                    let mut core = world.lock();
                    let seat = &mut core.seats[who];
                    if seat.is_alive && !was_up && seat.bus.generation == generation {
                        seat.bus.changed.clone()
                    } else {
                        // Takes the first item: one such task exists for each item.
                        let Some(first) = seat.up.pop_front() else { return };
                        world.arrive(&mut core, who, first);
                        return;
                    }
                };
                changed.notified().await;
            }
        });
    }

    fn until(&self, at_ms: u64) -> Duration {
        Duration::from_millis(at_ms.saturating_sub(self.now_ms()))
    }

    /// Handles an item of an instance that arrives at the server.
    fn arrive(self: &Arc<Self>, core: &mut Core, who: usize, what: OnItsWay) {
        match what {
            OnItsWay::RoundTrip(notify) => {
                let span = Duration::from_millis(core.latency_ms());
                tokio::spawn(async move {
                    sleep(span).await;
                    let _ = notify.send(());
                });
            }
            OnItsWay::Ask { request, inbox } => self.requested(core, *request, inbox),
            OnItsWay::Message(outgoing) => self.publish(core, who, *outgoing),
        }
    }

    /// Handles a request of an instance that arrives at the server.
    fn requested(self: &Arc<Self>, core: &mut Core, request: Outgoing, inbox: String) {
        let Outgoing { subject, kind, body, .. } = request;
        let Some(to) = core.subscriber(&subject) else {
            // With an observer of all subjects, the server has a subscriber and reports no error.
            if !core.setup.is_observed {
                self.answer(core, &inbox, None);
            }
            return;
        };
        let is_probe = subject.contains(".part.=.");
        if is_probe {
            let (world, span) = (self.clone(), Duration::from_millis(core.latency_ms()));
            let body = Bytes::from(probe::answer(&core.seats[to].name, &inbox));
            tokio::spawn(async move {
                sleep(span).await;
                world.wait_while_frozen(to).await;
                let mut core = world.lock();
                world.answer(&mut core, &inbox, Some(Answer { headers: Vec::new(), body }));
            });
            return;
        }
        let Kind::Routed { content_type, hops, .. } = kind else { return };
        let reply_to = Some(inbox.into());
        let (malformed, status, content_type) = (None, None, content_type.map(Cow::from));
        let incoming = Incoming { subject, reply_to, content_type, malformed, status, body, hops };
        self.deliver(core, to, incoming);
    }

    fn publish(self: &Arc<Self>, core: &mut Core, who: usize, outgoing: Outgoing) {
        let Outgoing { subject, kind, body, encoding, .. } = outgoing;
        let now_ms = self.now_ms();
        if subject.starts_with("_INBOX.") {
            let name = core.seats[who].name.clone();
            core.trace.line(now_ms, format_args!("{name} answers {subject} {kind:?}"));
            let weather = core.weather;
            if Core::take_one(&mut core.lose_messages) || core.chance(weather.lost_message) {
                core.trace.line(now_ms, format_args!("lost {subject}"));
                return;
            }
            match core.inboxes.get(&*subject) {
                Some(Inbox::Instance { .. }) => {
                    let written = encoding.content_type().to_owned();
                    let headers = vec![(CONTENT_TYPE.to_owned(), written)];
                    self.answer(core, &subject, Some(Answer { headers, body }));
                }
                Some(Inbox::Client(_)) => Self::reply(core, &subject, kind, body),
                None => {}
            }
        } else if subject.starts_with("peer.event.") {
            core.published(who, &subject, &body, now_ms);
        } else if let Kind::Routed { reply_to, content_type, hops } = kind {
            let weather = core.weather;
            if Core::take_one(&mut core.lose_messages) || core.chance(weather.lost_message) {
                core.trace.line(now_ms, format_args!("lost {subject}"));
                return;
            }
            if let Some(to) = core.subscriber(&subject) {
                let (malformed, status, content_type) = (None, None, content_type.map(Cow::from));
                let incoming =
                    Incoming { subject, reply_to, content_type, malformed, status, body, hops };
                self.deliver(core, to, incoming);
            }
        }
    }

    /// Puts a message in transit from the server to an instance.
    pub(crate) fn deliver(self: &Arc<Self>, core: &mut Core, to: usize, incoming: Incoming) {
        let now_ms = self.now_ms();
        let arrives_ms = now_ms + core.latency_ms();
        let seat = &mut core.seats[to];
        seat.down_ms = seat.down_ms.max(arrives_ms);
        seat.down.push_back((seat.bus.generation, incoming));
        let (world, span) = (self.clone(), self.until(seat.down_ms));
        tokio::spawn(async move {
            sleep(span).await;
            let mut core = world.lock();
            let now_ms = world.now_ms();
            let seat = &mut core.seats[to];
            let Some((generation, incoming)) = seat.down.pop_front() else { return };
            if !seat.is_alive || !seat.bus.is_up || seat.bus.generation != generation {
                return;
            }
            let name = seat.name.clone();
            let line = format!("{name} gets {} hops {}", incoming.subject, incoming.hops);
            if seat.arrivals.try_send(Arrival::Message(incoming)).is_err() {
                core.broken(crate::rule::Rule::Bounded, format!("the intake of {name} is full"));
            }
            core.trace.line(now_ms, format_args!("{line}"));
        });
    }

    /// Answers a request of an instance; `None` means that there are no responders.
    fn answer(self: &Arc<Self>, core: &mut Core, inbox: &str, answer: Option<Answer>) {
        let is_one = |waiting: &Inbox| match waiting {
            Inbox::Instance { is_answer, .. } => answer.as_ref().is_none_or(is_answer),
            Inbox::Client(_) => false,
        };
        if core.inboxes.get(inbox).is_some_and(is_one)
            && let Some(Inbox::Instance { who, notify, .. }) = core.inboxes.remove(inbox)
        {
            let span = Duration::from_millis(core.latency_ms());
            let world = self.clone();
            tokio::spawn(async move {
                sleep(span).await;
                world.wait_while_frozen(who).await;
                let _ = notify.send(answer);
            });
        }
    }

    fn reply(core: &mut Core, inbox: &str, kind: Kind, body: Bytes) {
        core.replied(inbox, &kind, &body);
        if let Some(Inbox::Client(notify)) = core.inboxes.remove(inbox) {
            let span = Duration::from_millis(core.latency_ms());
            tokio::spawn(async move {
                sleep(span).await;
                let _ = notify.send(Reply { kind, body });
            });
        }
    }

    /// Makes a client's call and waits for the reply; `None` if none arrives in time.
    pub(crate) async fn call(
        self: &Arc<Self>,
        subject: String,
        body: String,
        patience: Duration,
    ) -> Option<Reply> {
        let (notify, notified) = oneshot::channel();
        let inbox = {
            let mut core = self.lock();
            let inbox = core.inbox();
            core.inboxes.insert(inbox.clone(), Inbox::Client(notify));
            let way_ms = core.latency_ms();
            let now_ms = self.now_ms();
            core.trace.line(now_ms, format_args!("call {inbox} {subject} {body}"));
            let (world, inbox) = (self.clone(), inbox.clone());
            let sent = inbox.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(way_ms)).await;
                let mut core = world.lock();
                let weather = core.weather;
                if Core::take_one(&mut core.lose_messages) || core.chance(weather.lost_message) {
                    return;
                }
                let content_type = Some("application/json".into());
                let (subject, reply_to) = (subject.into(), Some(inbox.into()));
                let body = Bytes::from(body);
                let (malformed, status, hops) = (None, None, 0);
                let incoming =
                    Incoming { subject, reply_to, content_type, malformed, status, body, hops };
                match core.queue_member() {
                    Some(to) => world.deliver(&mut core, to, incoming),
                    // No responders.
                    None => _ = core.inboxes.remove(incoming.reply_to.as_deref().unwrap_or("")),
                }
            });
            sent
        };
        let reply = timeout_at(Instant::now() + patience, notified).await;
        self.lock().inboxes.remove(&inbox);
        let reply = reply.ok().and_then(Result::ok);
        if let Some(reply) = &reply {
            self.note(format_args!("reply {inbox} {}", String::from_utf8_lossy(&reply.body)));
        } else {
            self.note(format_args!("no reply {inbox}"));
        }
        reply
    }

    /// Waits until the server has received everything that was handed to the connection before.
    async fn round_trip(self: &Arc<Self>, who: usize, deadline: Instant) -> bool {
        self.wait_while_frozen(who).await;
        let (notify, notified) = oneshot::channel();
        let is_up = {
            let mut core = self.lock();
            let is_up = core.seats[who].bus.is_up;
            if is_up {
                self.send(&mut core, who, OnItsWay::RoundTrip(notify));
            }
            is_up
        };
        if !is_up {
            // Waits like a request that needs the connection.
            sleep_until(deadline).await;
            return false;
        }
        let is_done = matches!(timeout_at(deadline, notified).await, Ok(Ok(())));
        self.wait_while_frozen(who).await;
        is_done
    }
}

impl Core {
    pub(crate) fn inbox(&mut self) -> String {
        self.next_inbox += 1;
        format!("_INBOX.{}", self.next_inbox)
    }

    /// The member of the queue group that receives a call.
    fn queue_member(&mut self) -> Option<usize> {
        let is_one = |who: &usize| {
            let seat = &self.seats[*who];
            seat.is_alive && seat.takes_calls && seat.bus.is_up
        };
        let members: Vec<usize> = (0..self.seats.len()).filter(is_one).collect();
        self.one_of(&members)
    }

    /// The subscriber that receives a routed message.
    fn subscriber(&mut self, subject: &str) -> Option<usize> {
        let number = subject.split('.').nth(2)?;
        let is_there = |seat: &crate::world::Seat| seat.is_alive && seat.bus.is_up;
        let subscribers: Vec<usize> = if number == "=" {
            let name = subject.rsplit('.').next()?;
            let probed = |who: &usize| self.seats[*who].name == name && is_there(&self.seats[*who]);
            (0..self.seats.len()).filter(probed).collect()
        } else {
            let number = number.parse().ok()?;
            let listens = |who: &usize| {
                let seat = &self.seats[*who];
                is_there(seat) && seat.listens.contains(&number)
            };
            (0..self.seats.len()).filter(listens).collect()
        };
        self.one_of(&subscribers)
    }

    fn one_of(&mut self, of: &[usize]) -> Option<usize> {
        if of.len() < 2 {
            return of.first().copied();
        }
        let index = self.noise.below(of.len() as u64);
        of.get(usize::try_from(index).unwrap_or_default()).copied()
    }

    /// Loses everything in transit on an instance's connection, or nothing.
    pub(crate) fn lose_on_its_way(&mut self, who: usize) {
        if self.noise.percent(50) {
            return;
        }
        let is_cut = self.seats[who].is_alive;
        for lost in std::mem::take(&mut self.seats[who].up) {
            if let (OnItsWay::Message(lost), true) = (lost, is_cut) {
                self.watch.lost_by_the_wire(&lost.subject, &lost.body);
            }
        }
    }
}

/// The next incoming message.
pub(crate) async fn next(arrivals: &mut mpsc::Receiver<Arrival>) -> Option<Incoming> {
    loop {
        match arrivals.recv().await? {
            Arrival::Message(incoming) => return Some(incoming),
            Arrival::Mark(notify) => _ = notify.send(()),
        }
    }
}
