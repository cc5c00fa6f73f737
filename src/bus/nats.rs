//! The bus on core NATS.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use peerd_dataplane::{Client, Headers, Message, Publish, RequestError};
use tokio::sync::Mutex;
use tokio::task::{JoinHandle, unconstrained};
use tokio::time::{Instant, timeout_at};

use super::exit::Exit;
use super::intake::Subscription;
use super::queue::{Giver, Item, Taker, queue};
use super::{Answer, AskError, Bus, Full, IsAnswer, Kind, Outgoing, Take};
use crate::domain::id::Partition;
use crate::link::Link;
use crate::wire::probe;
use crate::wire::subject::Subjects;

/// Messages that are taken from the queue at once.
const BATCH: usize = 256;
/// How long a subscription may take.
const SUBSCRIBED: Duration = Duration::from_secs(2);

/// The bus's connection and its state. It is peerd's own, and not async-nats's: nothing that a
/// client may send ends it
/// ([0022](../../docs/decisions/0022-the-bus-has-a-connection-of-peerds-own.md)).
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    pub(crate) client: Client,
    pub(crate) link: Link,
}

impl Connection {
    /// As [`crate::link::Connection::max_payload`].
    pub(crate) fn max_payload(&self) -> usize {
        self.link.note_max_payload(self.client.max_payload())
    }
}

/// The bus on core NATS.
///
/// On one connection: who may publish only where it was asked to answer (`allow_responses`) may do
/// so on the connection alone that the request came on.
#[derive(Debug)]
pub struct Nats {
    queue: Giver,
    connection: Connection,
    subjects: Subjects,
    exit: Arc<Exit>,
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
        let exit = Arc::new(Exit::new(connection.clone()));
        let pump = tokio::spawn(unconstrained(pump(exit.clone(), outgoing)));
        let (calls, routed) = (Mutex::default(), Mutex::default());
        (Self { queue, connection, subjects, exit, calls, routed }, pump)
    }

    /// Answers, as long as the connection stands, whether the instance is there.
    pub fn answer_probes(&self, instance: &str) {
        let client = self.connection.client.clone();
        let subjects = self.subjects.clone();
        let mut probes = client.subscribe(&subjects.probe(instance), None);
        let instance = instance.to_owned();
        tokio::spawn(async move {
            while let Some(probe) = probes.next().await {
                let reply = probe.reply.as_deref().map(std::str::from_utf8);
                if let Some(Ok(reply)) = reply
                    && !subjects.is_reserved(reply)
                {
                    let (subject, answer) = (reply.as_bytes(), probe::answer(&instance, reply));
                    let payload = answer.as_bytes();
                    // An answer that is lost is asked for again.
                    let _ = client.try_publish(&Publish { subject, payload, ..Publish::default() });
                }
            }
        });
    }

    /// Takes calls by users in, from now on.
    pub async fn take_calls(&self, take: Take) {
        let subscription = Subscription::new(&self.connection, &self.subjects.all_calls(), take);
        *self.calls.lock().await = Some(subscription);
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
        self.connection.client.new_reply_subject()
    }

    async fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> Result<Answer, AskError> {
        let Connection { client, link } = &self.connection;
        let headers = self.exit.headers(&request);
        let Outgoing { subject, kind: Kind::Routed { reply_to: Some(reply), .. }, body, .. } =
            &request
        else {
            tracing::error!("a request without a reply subject of its own");
            return Err(AskError::Nobody);
        };
        let request = Publish {
            subject: subject.as_bytes(),
            reply: Some(reply.as_bytes()),
            headers: &headers,
            payload: body,
        };
        let is_answer = move |message: &Message| is_answer(&answer(message));
        let answered = Box::pin(client.request(&request, is_answer));
        match link.guard(deadline, answered).await {
            Ok(Ok(message)) => Ok(answer(&message)),
            Ok(Err(RequestError::NoResponders | RequestError::NotSent(_))) => Err(AskError::Nobody),
            Ok(Err(RequestError::Disconnected)) | Err(_) => Err(AskError::Unknown),
        }
    }

    async fn listen(&self, partition: Partition, take: Take) -> bool {
        let mut routed = self.routed.lock().await;
        if routed.contains_key(&partition) {
            return true;
        }
        let subject = self.subjects.all_routed(partition);
        routed.insert(partition, Subscription::new(&self.connection, &subject, take));
        drop(routed);
        // Whoever has the partition now goes on until the server knows of this.
        self.is_reached(Instant::now() + SUBSCRIBED).await
    }

    async fn unlisten(&self, partition: Partition) {
        let subscription = self.routed.lock().await.remove(&partition);
        if let Some(subscription) = subscription {
            subscription.end().await;
        }
    }

    async fn is_reached(&self, deadline: Instant) -> bool {
        // The server's answer comes after all that it sent before, and shows that it has all that
        // was given to the connection before: it needs nobody else, and nobody else can keep it
        // away.
        matches!(timeout_at(deadline, self.connection.client.round_trip()).await, Ok(Ok(())))
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

fn answer(message: &Message) -> Answer {
    let headers = message.headers.iter().flat_map(Headers::all);
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { headers, body: message.payload.clone() }
}

/// Hands messages to the connection in order.
async fn pump(exit: Arc<Exit>, mut outgoing: Taker) {
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
