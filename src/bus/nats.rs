//! The bus on core NATS.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::{Instant, timeout_at};

use super::exit::Exit;
use super::intake::{Subscription, SubscriptionSubjects};
use super::queue::{Giver, Item, Taker, queue};
use super::requests::Requests;
use super::{Answer, AskError, Bus, Full, IsAnswer, Outgoing, Take};
use crate::domain::id::Partition;
use crate::link::Connection;
use crate::wire::probe;
use crate::wire::subject::Subjects;

/// Messages that are taken from the queue at once.
const BATCH: usize = 256;
/// How long a subscription may take.
const SUBSCRIBED: Duration = Duration::from_secs(2);

/// The bus on core NATS.
///
/// On one connection: who may publish only where it was asked to answer (`allow_responses`) may do so
/// on the connection alone that the request came on.
#[derive(Debug)]
pub struct Nats {
    queue: Giver,
    connection: Connection,
    subjects: Subjects,
    requests: Arc<Requests>,
    /// What is subscribed to: the calls by users, and what is routed to partitions.
    calls: Mutex<Option<Subscription>>,
    routed: Mutex<HashMap<Partition, Subscription>>,
}

impl Nats {
    /// A bus over a connection, with room for `capacity` messages on their way out. The task ends
    /// when the bus is dropped and everything has been handed to the connection.
    pub(crate) async fn new(
        connection: Connection,
        subjects: Subjects,
        capacity: usize,
    ) -> Result<(Self, JoinHandle<()>), async_nats::SubscribeError> {
        let requests = Arc::new(Requests::start(connection.clone(), &subjects).await?);
        let (queue, outgoing) = queue(capacity);
        // Outside the scheduler's budget, by which a task that does little for each message gets on
        // no faster than one that does much.
        let pump = tokio::spawn(unconstrained(pump(Exit::new(connection.clone()), outgoing)));
        let (calls, routed) = (Mutex::default(), Mutex::default());
        Ok((Self { queue, connection, subjects, requests, calls, routed }, pump))
    }

    /// Answers, as long as the connection stands, whether the instance is there.
    pub async fn answer_probes(&self, instance: &str) -> Result<(), async_nats::SubscribeError> {
        let client = self.connection.client.clone();
        let mut probes = client.subscribe(self.subjects.probe(instance)).await?;
        let instance = instance.to_owned();
        tokio::spawn(async move {
            while let Some(probe) = probes.next().await {
                if let Some(reply) = probe.reply {
                    let answer = probe::answer(&instance, &reply);
                    // An answer that is lost is asked for again.
                    let _ = client.publish(reply, answer.into()).await;
                }
            }
        });
        Ok(())
    }

    /// Takes calls by users in, from now on.
    pub async fn take_calls(&self, take: Take) -> Result<(), async_nats::SubscribeError> {
        let subjects = SubscriptionSubjects {
            all: self.subjects.all_calls(),
            filler: self.subjects.calls_filler(),
        };
        let subscription = self.subscribe(subjects, take).await?;
        *self.calls.lock().await = Some(subscription);
        Ok(())
    }

    async fn subscribe(
        &self,
        subjects: SubscriptionSubjects,
        take: Take,
    ) -> Result<Subscription, async_nats::SubscribeError> {
        Subscription::new(self.connection.clone(), self.requests.clone(), subjects, take).await
    }

    /// Takes no more calls by users in. What has arrived is taken before this ends.
    pub async fn end_calls(&self) {
        if let Some(subscription) = self.calls.lock().await.take() {
            subscription.end().await;
        }
    }
}

impl Bus for Nats {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.queue.give(outgoing)
    }

    fn room(&self) -> usize {
        self.queue.room()
    }

    async fn room_for(&self, count: usize) {
        self.queue.room_for(count).await;
    }

    fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    fn inbox(&self) -> String {
        self.requests.inbox()
    }

    async fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> Result<Answer, AskError> {
        self.requests.ask(request, is_answer, deadline).await
    }

    async fn listen(&self, partition: Partition, take: Take) -> bool {
        let mut routed = self.routed.lock().await;
        if routed.contains_key(&partition) {
            return true;
        }
        let subjects = SubscriptionSubjects {
            all: self.subjects.all_routed(partition),
            filler: self.subjects.routed_filler(partition),
        };
        match self.subscribe(subjects, take).await {
            Ok(subscription) => {
                routed.insert(partition, subscription);
                drop(routed);
                // Whoever has the partition now goes on until the server knows of this.
                self.is_reached(Instant::now() + SUBSCRIBED).await
            }
            Err(error) => {
                tracing::warn!(%error, "not subscribed");
                false
            }
        }
    }

    async fn unlisten(&self, partition: Partition) {
        let subscription = self.routed.lock().await.remove(&partition);
        if let Some(subscription) = subscription {
            subscription.end().await;
        }
    }

    async fn is_reached(&self, deadline: Instant) -> bool {
        // A flush only empties buffers on this side; the echo comes after all that was sent before it.
        self.requests.echo(deadline).await
    }

    async fn reach(&self, deadline: Instant) -> bool {
        let handed_on = async { self.queue.mark().await?.await.ok() };
        let is_handed_on = matches!(timeout_at(deadline, handed_on).await, Ok(Some(())));
        is_handed_on && self.is_reached(deadline).await
    }

    fn max_message_bytes(&self) -> usize {
        self.connection.max_payload()
    }
}

/// Hands messages to the connection in order.
async fn pump(exit: Exit, mut outgoing: Taker) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        outgoing.take(&mut batch, BATCH).await;
        if batch.is_empty() {
            return;
        }
        for item in batch.drain(..) {
            match item {
                Item::Message(message) => exit.send(message).await,
                // Whoever waits may have given up.
                Item::Mark(told) => _ = told.send(()),
            }
        }
    }
}
