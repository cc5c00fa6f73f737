//! The bus on core NATS.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::client::{Request, RequestErrorKind};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures::StreamExt as _;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::intake::{Arrival, Subscription, SubscriptionSubjects};
use super::queue::{Giver, Item, Taker, queue};
use super::{AskError, Bus, Full, Incoming, Kind, Outgoing};
use crate::domain::id::Partition;
use crate::link::Link;
use crate::wire::encoding::{
    CONTENT_TYPE, Encoding, PEER_DUPLICATE, PEER_HOPS, SERVICE_ERROR, SERVICE_ERROR_CODE,
};
use crate::wire::subject::Subjects;

/// Messages that are taken from the queue at once.
const BATCH: usize = 256;
/// How long a subscription may take.
const SUBSCRIBED: Duration = Duration::from_secs(2);
/// Messages that have come in and wait for room; more wait in the connection.
const ARRIVALS: usize = 1024;

/// The bus on core NATS.
#[derive(Debug)]
pub struct Nats {
    queue: Giver,
    client: Client,
    link: Link,
    subjects: Subjects,
    arrivals: mpsc::Sender<Arrival>,
    /// What is subscribed to: the calls by users, and what is routed to partitions.
    calls: Mutex<Option<Subscription>>,
    routed: Mutex<HashMap<Partition, Subscription>>,
}

/// What comes in, in one queue.
#[derive(Debug)]
pub struct Calls {
    arrivals: mpsc::Receiver<Arrival>,
}

impl Nats {
    /// A bus over a connection, with room for `capacity` messages on their way out. The task ends
    /// when the bus is dropped and everything has been handed to the connection.
    pub(crate) fn new(
        client: Client,
        link: Link,
        subjects: Subjects,
        capacity: usize,
    ) -> (Self, Calls, JoinHandle<()>) {
        let (queue, outgoing) = queue(capacity);
        let (arrivals, calls) = mpsc::channel(ARRIVALS);
        let pump = tokio::spawn(pump(client.clone(), link.clone(), outgoing));
        let (calls_by_users, routed) = (Mutex::default(), Mutex::default());
        let nats = Self { queue, client, link, subjects, arrivals, calls: calls_by_users, routed };
        (nats, Calls { arrivals: calls }, pump)
    }

    /// Answers, as long as the connection stands, whether the instance is there.
    pub async fn answer_probes(&self, instance: &str) -> Result<(), async_nats::SubscribeError> {
        let mut probes = self.client.subscribe(self.subjects.probe(instance)).await?;
        let client = self.client.clone();
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
    pub async fn take_calls(&self) -> Result<(), async_nats::SubscribeError> {
        let subjects = SubscriptionSubjects {
            all: self.subjects.all_calls(),
            filler: self.subjects.calls_filler(),
            nobody: self.subjects.nobody(),
        };
        let arrivals = self.arrivals.clone();
        let subscription = Subscription::new(&self.client, &self.link, subjects, arrivals).await?;
        *self.calls.lock().await = Some(subscription);
        Ok(())
    }

    /// Takes no more calls by users in. What has arrived is taken before this ends.
    pub async fn end_calls(&self) {
        if let Some(subscription) = self.calls.lock().await.take() {
            subscription.end().await;
        }
        self.all_taken().await;
    }

    /// Waits until everything that has come in was taken.
    async fn all_taken(&self) {
        let (told, tells) = oneshot::channel();
        if self.arrivals.send(Arrival::Mark(told)).await.is_ok() {
            let _ = tells.await;
        }
    }
}

impl Calls {
    /// The next message that came in. May be dropped while it waits.
    pub async fn next(&mut self) -> Option<Incoming> {
        loop {
            match self.arrivals.recv().await? {
                Arrival::Message(incoming) => return Some(incoming),
                // Whoever waits may have given up.
                Arrival::Mark(told) => _ = told.send(()),
            }
        }
    }
}

impl Bus for Nats {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.queue.give(outgoing)
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
        if !self.link.is_up() {
            return Err(AskError::Nobody);
        }
        // No timeout of async-nats's own: the link's guard ends the wait.
        let request = Request::new().payload(body).timeout(None);
        let answer = Box::pin(self.client.send_request(subject, request));
        match self.link.guard(deadline, answer).await {
            Ok(Ok(answer)) => Ok(answer.payload),
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => {
                Err(AskError::Nobody)
            }
            Ok(Err(_)) | Err(_) => Err(AskError::Unknown),
        }
    }

    async fn listen(&self, partition: Partition) -> bool {
        let mut routed = self.routed.lock().await;
        if routed.contains_key(&partition) {
            return true;
        }
        let subjects = SubscriptionSubjects {
            all: self.subjects.all_routed(partition),
            filler: self.subjects.routed_filler(partition),
            nobody: self.subjects.nobody(),
        };
        let arrivals = self.arrivals.clone();
        match Subscription::new(&self.client, &self.link, subjects, arrivals).await {
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
            self.all_taken().await;
        }
    }

    async fn is_reached(&self, deadline: Instant) -> bool {
        // A flush only empties buffers on this side; the server's answer comes after all that was sent
        // before the request.
        let request = Request::new().timeout(None);
        let answer = self.client.send_request(self.subjects.nobody(), request);
        match self.link.guard(deadline, answer).await {
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
        self.client.max_payload()
    }
}

/// Hands messages to the connection in order.
async fn pump(client: Client, link: Link, mut outgoing: Taker) {
    let plain = Encoded::new();
    let mut batch = Vec::with_capacity(BATCH);
    while outgoing.take(&mut batch, BATCH).await > 0 {
        for item in batch.drain(..) {
            match item {
                Item::Message(message) => send(&client, &link, &plain, message).await,
                // Whoever waits may have given up.
                Item::Mark(told) => _ = told.send(()),
            }
        }
    }
}

async fn send(client: &Client, link: &Link, plain: &Encoded, message: Outgoing) {
    // What the connection takes while it is down goes out when it is up again, however late.
    if message.permit.is_some() && !link.is_up() {
        link.up().await;
    }
    if message.permit.as_ref().is_some_and(|permit| !permit.holds()) {
        tracing::debug!("an event waited for too long and is left to the partition's next owner");
        return;
    }
    let headers = plain.headers(&message);
    let Outgoing { subject, kind, body, .. } = message;
    let sent = match kind {
        Kind::Routed { reply_to: Some(reply_to), .. } => {
            client.publish_with_reply_and_headers(subject, reply_to, headers, body).await
        }
        Kind::Plain | Kind::Duplicate | Kind::Error { .. } | Kind::Routed { .. } => {
            client.publish_with_headers(subject, headers, body).await
        }
    };
    if let Err(error) = sent {
        // Over the server's max_payload, or the connection was closed for good.
        tracing::warn!(%error, "a message could not go out");
    }
}

/// The headers that most messages have, made once.
struct Encoded {
    json: HeaderMap,
    message_pack: HeaderMap,
}

impl Encoded {
    fn new() -> Self {
        let of = |encoding: Encoding| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, encoding.content_type());
            headers
        };
        Self { json: of(Encoding::Json), message_pack: of(Encoding::MessagePack) }
    }

    fn headers(&self, message: &Outgoing) -> HeaderMap {
        if let Kind::Routed { content_type, hops, .. } = &message.kind {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type.as_str());
            }
            headers.insert(PEER_HOPS, hops.to_string());
            return headers;
        }
        let mut headers = match message.encoding {
            Encoding::Json => self.json.clone(),
            Encoding::MessagePack => self.message_pack.clone(),
        };
        match &message.kind {
            Kind::Plain | Kind::Routed { .. } => {}
            Kind::Duplicate => headers.insert(PEER_DUPLICATE, "true"),
            Kind::Error { code, text } => {
                headers.insert(SERVICE_ERROR, text.as_str());
                headers.insert(SERVICE_ERROR_CODE, code.to_string());
            }
        }
        headers
    }
}
