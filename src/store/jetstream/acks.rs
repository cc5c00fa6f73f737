//! What is being published over one connection, and the acknowledgements.
//!
//! async-nats has requests for that, each of which the connection's task is woken for and writes by
//! itself. Here, what several calls publish at the same time is handed to the connection together,
//! so that it goes out in one write; and one task sees for all of them that the connection is lost.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_nats::client::PublishErrorKind;
use async_nats::client::traits::Publisher as _;
use async_nats::message::OutboundMessage;
use async_nats::{Client, HeaderMap, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures::StreamExt as _;
use hashbrown::HashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{unconstrained, yield_now};
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use crate::link::{Connection, Link, gather};
use crate::store::names::Resource;

/// Publishes that wait to be handed to the connection; who comes then waits.
const QUEUED_MAX: usize = 4096;
/// Publishes that are handed to the connection, and acknowledgements that are passed on, before others
/// have a turn.
const IN_A_ROW: usize = 256;

/// A message to be stored.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
    pub(super) payload: Bytes,
}

/// Why there is no acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unacked {
    /// There is no connection: it was not sent.
    NotSent,
    /// It is larger than the server takes: it was not sent.
    TooLarge,
    /// Nobody stores such messages at the moment.
    NoResponders,
    /// The stream was found to be gone, and with it what was sent to it.
    Gone,
    /// It may have been stored.
    Unknown,
}

/// Publishes over one connection.
#[derive(Debug)]
pub(super) struct Acks {
    queue: mpsc::Sender<Queued>,
    waiting: Arc<Waiting>,
    link: Link,
    _tasks: [AbortOnDrop<()>; 2],
}

#[derive(Debug)]
struct Queued {
    number: u64,
    publish: Publish,
}

/// Who waits for an acknowledgement, by number.
#[derive(Debug, Default)]
struct Waiting {
    slots: Mutex<Slots>,
}

#[derive(Debug, Default)]
struct Slots {
    last: u64,
    by_number: HashMap<u64, Slot>,
}

#[derive(Debug)]
struct Slot {
    /// The connection on which it is sent.
    generation: u64,
    /// The stream that is to store it.
    resource: Resource,
    answer: oneshot::Sender<Result<Message, Unacked>>,
}

/// A slot, which is given up when this is dropped.
struct Place<'w> {
    waiting: &'w Waiting,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.waiting.leave(self.number);
    }
}

impl Waiting {
    fn enter(
        &self,
        generation: u64,
        resource: Resource,
        answer: oneshot::Sender<Result<Message, Unacked>>,
    ) -> Place<'_> {
        let mut slots = self.slots();
        slots.last += 1;
        let number = slots.last;
        slots.by_number.insert(number, Slot { generation, resource, answer });
        Place { waiting: self, number }
    }

    fn leave(&self, number: u64) -> Option<Slot> {
        self.slots().by_number.remove(&number)
    }

    fn has(&self, number: u64) -> bool {
        self.slots().by_number.contains_key(&number)
    }

    fn answer(&self, number: u64, answer: Result<Message, Unacked>) {
        if let Some(slot) = self.leave(number) {
            // Who asked may have given up.
            let _ = slot.answer.send(answer);
        }
    }

    /// Tells all who wait for what was sent on that connection, or on one before, that it is lost.
    fn lose(&self, generation: u64) {
        let of_it = |_: &u64, slot: &mut Slot| slot.generation <= generation;
        let lost: Vec<Slot> =
            self.slots().by_number.extract_if(of_it).map(|(_, slot)| slot).collect();
        for slot in lost {
            let _ = slot.answer.send(Err(Unacked::Unknown));
        }
    }

    /// Tells all who wait for a stream that it is gone.
    fn lose_stream(&self, resource: Resource) {
        let of_it = |_: &u64, slot: &mut Slot| slot.resource == resource;
        let lost: Vec<Slot> =
            self.slots().by_number.extract_if(of_it).map(|(_, slot)| slot).collect();
        for slot in lost {
            let _ = slot.answer.send(Err(Unacked::Gone));
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Acks {
    /// Publishes over that connection, as long as this lives.
    pub(super) fn start(connection: &Connection) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let (waiting, link) = (Arc::<Waiting>::default(), connection.link.clone());
        // Outside the scheduler's budget: it does little for each, and all others wait for it.
        let pump = unconstrained(pump(connection.client.clone(), queued, waiting.clone()));
        let watch = watch(link.clone(), waiting.clone());
        let tasks = [tokio::spawn(pump), tokio::spawn(watch)].map(AbortOnDrop::new);
        Self { queue, waiting, link, _tasks: tasks }
    }

    /// Tells all who wait for a stream that it is gone.
    pub(super) fn lose_stream(&self, resource: Resource) {
        self.waiting.lose_stream(resource);
    }

    /// Publishes into a stream, and waits for the answer.
    pub(super) async fn publish(
        &self,
        resource: Resource,
        publish: Publish,
        deadline: Instant,
    ) -> Result<Message, Unacked> {
        let (answer, answered) = oneshot::channel();
        let generation = self.link.generation();
        let place = self.waiting.enter(generation, resource, answer);
        // Looked at after it is noted who waits: from here on a loss is told.
        if !self.link.is_up_since(generation) {
            return Err(Unacked::NotSent);
        }
        let answered = async {
            let queued = Queued { number: place.number, publish };
            // Where the task is gone, the connection is closed for good.
            self.queue.send(queued).await.map_err(|_| Unacked::NotSent)?;
            answered.await.unwrap_or(Err(Unacked::Unknown))
        };
        timeout_at(deadline, answered).await.unwrap_or(Err(Unacked::Unknown))
    }
}

/// Hands what is published to the connection.
async fn pump(client: Client, mut queued: mpsc::Receiver<Queued>, waiting: Arc<Waiting>) {
    let inbox = client.new_inbox();
    let acks = match client.subscribe(format!("{inbox}.*")).await {
        Ok(acks) => acks,
        Err(error) => {
            tracing::error!(%error, "acknowledgements could not be subscribed to");
            return;
        }
    };
    let _reads = AbortOnDrop::new(tokio::spawn(unconstrained(read(acks, waiting.clone()))));
    let mut batch = Vec::with_capacity(IN_A_ROW);
    loop {
        gather(&mut queued, &mut batch, IN_A_ROW).await;
        if batch.is_empty() {
            return;
        }
        for Queued { number, publish } in batch.drain(..) {
            // What was given up, or was to go out on a connection that is lost, is not sent.
            if !waiting.has(number) {
                continue;
            }
            let Publish { subject, headers, payload } = publish;
            let reply = Some(Subject::from(format!("{inbox}.{number}")));
            let headers = Some(headers);
            let sent = client.publish_message(OutboundMessage { subject, reply, payload, headers });
            if let Err(error) = sent.await {
                let is_too_large = error.kind() == PublishErrorKind::MaxPayloadExceeded;
                let why = if is_too_large { Unacked::TooLarge } else { Unacked::NotSent };
                waiting.answer(number, Err(why));
            }
        }
    }
}

/// Passes acknowledgements on to those who wait for them.
async fn read(mut acks: Subscriber, waiting: Arc<Waiting>) {
    let mut in_a_row = 0;
    while let Some(ack) = acks.next().await {
        let number = ack.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        if let Some(number) = number.filter(|_| is_of_the_server(&ack)) {
            let is_taken = ack.status != Some(StatusCode::NO_RESPONDERS);
            waiting.answer(number, if is_taken { Ok(ack) } else { Err(Unacked::NoResponders) });
        }
        in_a_row += 1;
        if in_a_row % IN_A_ROW == 0 {
            yield_now().await;
        }
    }
}

/// Whether that is an acknowledgement or a refusal, and not what somebody else replied who sees what
/// is published.
fn is_of_the_server(ack: &Message) -> bool {
    let says = |field: &str| {
        let bytes = field.as_bytes();
        ack.payload.windows(bytes.len()).any(|part| part == bytes)
    };
    ack.status.is_some() || says("\"seq\":") || says("\"error\":")
}

/// Tells those who wait when the connection is lost: what they wait for does not come any more.
async fn watch(link: Link, waiting: Arc<Waiting>) {
    let mut generation = link.generation();
    loop {
        link.lost(generation).await;
        waiting.lose(generation);
        generation = link.newer_than(generation).await;
        // More than one may have been lost meanwhile.
        waiting.lose(generation.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A slot for a publish on the connection of that generation.
    fn enter(
        waiting: &Waiting,
        generation: u64,
    ) -> (Place<'_>, oneshot::Receiver<Result<Message, Unacked>>) {
        let (answer, answered) = oneshot::channel();
        (waiting.enter(generation, Resource::Push, answer), answered)
    }

    #[test]
    fn who_waits_on_a_lost_connection_is_told_and_no_other() {
        let waiting = Waiting::default();
        let (_first, mut on_the_first) = enter(&waiting, 1);
        let (_second, mut on_the_second) = enter(&waiting, 2);
        let (third, mut on_the_third) = enter(&waiting, 3);
        waiting.lose(2);
        for lost in [&mut on_the_first, &mut on_the_second] {
            assert_eq!(lost.try_recv().expect("an answer").err(), Some(Unacked::Unknown));
        }
        assert!(on_the_third.try_recv().is_err(), "its connection stands");
        assert!(waiting.has(third.number));
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind_and_is_not_sent() {
        let waiting = Waiting::default();
        let (place, answered) = enter(&waiting, 1);
        let number = place.number;
        assert!(waiting.has(number));
        drop((place, answered));
        assert!(!waiting.has(number));
        waiting.answer(number, Err(Unacked::NoResponders));
        assert!(waiting.slots().by_number.is_empty());
    }

    #[test]
    fn each_answer_goes_to_who_asked() {
        let waiting = Waiting::default();
        let (first, mut of_the_first) = enter(&waiting, 1);
        let (second, mut of_the_second) = enter(&waiting, 1);
        waiting.answer(second.number, Err(Unacked::NoResponders));
        waiting.answer(first.number, Err(Unacked::TooLarge));
        assert_eq!(of_the_first.try_recv().expect("an answer").err(), Some(Unacked::TooLarge));
        assert_eq!(of_the_second.try_recv().expect("an answer").err(), Some(Unacked::NoResponders));
    }
}
