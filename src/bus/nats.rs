//! The bus on core NATS.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::{Client, HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::stream::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::queue::{Giver, Taker, queue};
use super::{Bus, Full, Incoming, Kind, Outgoing};
use crate::wire::discovery::QUEUE_GROUP;
use crate::wire::encoding::{
    CONTENT_TYPE, Encoding, PEER_DUPLICATE, SERVICE_ERROR, SERVICE_ERROR_CODE,
};
use crate::wire::subject::Subjects;

/// Messages that are taken from the queue at once.
const BATCH: usize = 256;

/// The bus on core NATS.
#[derive(Debug)]
pub struct Nats {
    queue: Giver,
    client: Client,
}

impl Nats {
    /// A bus over a connection, with room for `capacity` messages on their way out. The task ends
    /// when the bus is dropped and everything has been handed to the connection.
    #[must_use]
    pub fn new(client: Client, capacity: usize) -> (Self, JoinHandle<()>) {
        let (queue, outgoing) = queue(capacity);
        let pump = tokio::spawn(pump(client.clone(), outgoing));
        (Self { queue, client }, pump)
    }
}

impl Bus for Nats {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.queue.give(outgoing)
    }

    async fn room_for(&self, count: usize) {
        self.queue.room_for(count).await;
    }

    fn max_message_bytes(&self) -> usize {
        self.client.max_payload()
    }
}

/// Hands messages to the connection in order.
async fn pump(client: Client, mut outgoing: Taker) {
    let plain = Encoded::new();
    let mut batch = Vec::with_capacity(BATCH);
    while outgoing.take(&mut batch, BATCH).await > 0 {
        for message in batch.drain(..) {
            let headers = plain.headers(&message);
            let sent = client.publish_with_headers(message.subject, headers, message.body).await;
            if let Err(error) = sent {
                // Over the server's max_payload, or the connection was closed for good.
                tracing::warn!(%error, "a message could not go out");
            }
        }
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
        let mut headers = match message.encoding {
            Encoding::Json => self.json.clone(),
            Encoding::MessagePack => self.message_pack.clone(),
        };
        match &message.kind {
            Kind::Plain => {}
            Kind::Duplicate => headers.insert(PEER_DUPLICATE, "true"),
            Kind::Error { code, text } => {
                headers.insert(SERVICE_ERROR, text.as_str());
                headers.insert(SERVICE_ERROR_CODE, code.to_string());
            }
        }
        headers
    }
}

/// How many more messages a subscription takes after it is told to end: more than can be on their
/// way from the server at that moment.
const LAST_CALLS: u64 = 1024;
/// How long a subscription has to end.
const ENDING: Duration = Duration::from_millis(500);

/// A subscription to calls that can end without losing one.
///
/// `Subscriber::drain` of async-nats 0.51 forgets the subscription before the server has, and drops
/// what the server sends in between. `Subscriber::unsubscribe_after` has both sides count to the
/// same message: so the subscription is told to end a number of messages from now, and messages of
/// our own fill the number up.
struct CallSubscription {
    subscriber: Subscriber,
    /// Messages that came out of the subscriber so far.
    taken: u64,
    /// A subject that the subscription matches and that no call can have.
    filler: String,
}

impl CallSubscription {
    async fn new(
        client: &Client,
        subject: String,
        filler: String,
    ) -> Result<Self, async_nats::SubscribeError> {
        let subscriber = client.queue_subscribe(subject, QUEUE_GROUP.to_owned()).await?;
        Ok(Self { subscriber, taken: 0, filler })
    }

    /// The next message. May be dropped while it waits.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let message = self.subscriber.next().await?;
            self.taken += 1;
            if message.subject.as_str() != self.filler {
                return Some(message);
            }
        }
    }

    async fn end(&mut self, client: &Client) {
        // Neither can fail while the connection is there, and without it nothing comes.
        let _ = self.subscriber.unsubscribe_after(self.taken + LAST_CALLS).await;
        for _ in 0..LAST_CALLS {
            let _ = client.publish(self.filler.clone(), Bytes::new()).await;
        }
    }
}

/// The calls that come in, by users and routed by partition.
pub struct Calls {
    client: Client,
    direct: CallSubscription,
    routed: CallSubscription,
    /// What was there when the subscriptions were told to end.
    left: VecDeque<Message>,
    /// By when they must have ended.
    ends: Option<Instant>,
}

impl Calls {
    /// Subscribes to the calls.
    pub async fn subscribe(
        client: &Client,
        subjects: &Subjects,
    ) -> Result<Self, async_nats::SubscribeError> {
        let [direct, routed] = subjects.fillers();
        Ok(Self {
            client: client.clone(),
            direct: CallSubscription::new(client, subjects.all_calls(), direct).await?,
            routed: CallSubscription::new(client, subjects.all_routed_calls(), routed).await?,
            left: VecDeque::new(),
            ends: None,
        })
    }

    /// Takes no more calls; [`Calls::next`] still gives those that the server has sent.
    pub async fn drain(&mut self) {
        // What is here already is not on its way any more.
        while let Some(Some(message)) = self.receive().now_or_never() {
            self.left.push_back(message);
        }
        self.direct.end(&self.client).await;
        self.routed.end(&self.client).await;
        self.ends = Some(Instant::now() + ENDING);
    }

    /// The next call; `None` after a drain or when the connection is closed. May be dropped while
    /// it waits.
    pub async fn next(&mut self) -> Option<Incoming> {
        if let Some(message) = self.left.pop_front() {
            return Some(incoming(message));
        }
        let message = match self.ends {
            None => self.receive().await?,
            // Where others of the group took our fillers, or the connection was made anew and the
            // counts with it, the subscriptions do not end by themselves.
            Some(ends) => timeout_at(ends, self.receive()).await.ok().flatten()?,
        };
        Some(incoming(message))
    }

    async fn receive(&mut self) -> Option<Message> {
        tokio::select! {
            Some(message) = self.direct.next() => Some(message),
            Some(message) = self.routed.next() => Some(message),
            else => None,
        }
    }
}

fn incoming(message: Message) -> Incoming {
    let content_type = message.headers.as_ref().and_then(|headers| headers.get(CONTENT_TYPE));
    Incoming {
        content_type: content_type.map(|value| value.as_str().to_owned()),
        subject: message.subject.to_string(),
        reply_to: message.reply.map(|reply| reply.to_string()),
        body: message.payload,
    }
}
