//! The bus on core NATS.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::{Instant, timeout_at};

use super::exit::Exit;
use super::intake::{Subscription, SubscriptionSubjects};
use super::queue::{Giver, Item, Taker, queue};
use super::{AskError, Bus, Full, Outgoing, Take};
use crate::domain::id::Partition;
use crate::link::Connection;
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
    /// What is subscribed to: the calls by users, and what is routed to partitions.
    calls: Mutex<Option<Subscription>>,
    routed: Mutex<HashMap<Partition, Subscription>>,
}

impl Nats {
    /// A bus over a connection, with room for `capacity` messages on their way out. The task ends
    /// when the bus is dropped and everything has been handed to the connection.
    pub(crate) fn new(
        connection: Connection,
        subjects: Subjects,
        capacity: usize,
    ) -> (Self, JoinHandle<()>) {
        let (queue, outgoing) = queue(capacity);
        // Outside the scheduler's budget, by which a task that does little for each message gets on
        // no faster than one that does much.
        let pump = tokio::spawn(unconstrained(pump(Exit::new(connection.clone()), outgoing)));
        let (calls, routed) = (Mutex::default(), Mutex::default());
        (Self { queue, connection, subjects, calls, routed }, pump)
    }

    /// Answers, as long as the connection stands, whether the instance is there.
    pub async fn answer_probes(&self, instance: &str) -> Result<(), async_nats::SubscribeError> {
        let client = self.connection.client.clone();
        let mut probes = client.subscribe(self.subjects.probe(instance)).await?;
        tokio::spawn(async move {
            while let Some(probe) = probes.next().await {
                if let Some(reply) = probe.reply {
                    // An answer that is lost is asked for again.
                    let _ = client.publish(reply, Bytes::new()).await;
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
            nobody: self.subjects.nobody(),
        };
        let subscription = Subscription::new(self.connection.clone(), subjects, take).await?;
        *self.calls.lock().await = Some(subscription);
        Ok(())
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

    async fn ask(
        &self,
        subject: String,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, AskError> {
        let Connection { client, link } = &self.connection;
        if !link.is_up() {
            return Err(AskError::Nobody);
        }
        // No timeout of async-nats's own: the link's guard ends the wait.
        let request = Request::new().payload(body).timeout(None);
        let answer = Box::pin(client.send_request(subject, request));
        match link.guard(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer.payload),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(AskError::Nobody)
            }
            Ok(Err(_)) | Err(_) => Err(AskError::Unknown),
        }
    }

    async fn listen(&self, partition: Partition, take: Take) -> bool {
        let mut routed = self.routed.lock().await;
        if routed.contains_key(&partition) {
            return true;
        }
        let subjects = SubscriptionSubjects {
            all: self.subjects.all_routed(partition),
            filler: self.subjects.routed_filler(partition),
            nobody: self.subjects.nobody(),
        };
        match Subscription::new(self.connection.clone(), subjects, take).await {
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
        // A flush only empties buffers on this side; the server's answer comes after all that was sent
        // before the request.
        let request = Request::new().timeout(None);
        let Connection { client, link } = &self.connection;
        let answer = client.send_request(self.subjects.nobody(), request);
        match link.guard(deadline, answer).await {
            Ok(Err(error)) => error.kind() == RequestErrorKind::NoResponders,
            Ok(Ok(_)) | Err(_) => false,
        }
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
