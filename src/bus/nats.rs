//! The bus on core NATS.

use async_nats::{Client, HeaderMap, Message, Subscriber};
use futures::stream::StreamExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

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
    queue: mpsc::Sender<Outgoing>,
    client: Client,
}

impl Nats {
    /// A bus over a connection, with room for `capacity` messages on their way out. The task ends
    /// when the bus is dropped and everything has been handed to the connection.
    #[must_use]
    pub fn new(client: Client, capacity: usize) -> (Self, JoinHandle<()>) {
        let (queue, outgoing) = mpsc::channel(capacity);
        let pump = tokio::spawn(pump(client.clone(), outgoing));
        (Self { queue, client }, pump)
    }
}

impl Bus for Nats {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.queue.try_send(outgoing).map_err(|_| Full)
    }

    async fn room_for(&self, count: usize) {
        if self.queue.capacity() < count {
            // The permits are given back at once: it is the wait that is wanted.
            drop(self.queue.reserve_many(count).await);
        }
    }

    fn max_message_bytes(&self) -> usize {
        self.client.max_payload()
    }
}

/// Hands messages to the connection in order.
async fn pump(client: Client, mut outgoing: mpsc::Receiver<Outgoing>) {
    let plain = Encoded::new();
    let mut batch = Vec::with_capacity(BATCH);
    while outgoing.recv_many(&mut batch, BATCH).await > 0 {
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

/// The calls that come in, by users and routed by partition.
pub struct Calls {
    direct: Subscriber,
    routed: Subscriber,
}

impl Calls {
    /// Subscribes to the calls.
    pub async fn subscribe(
        client: &Client,
        subjects: &Subjects,
    ) -> Result<Self, async_nats::SubscribeError> {
        let group = || QUEUE_GROUP.to_owned();
        Ok(Self {
            direct: client.queue_subscribe(subjects.all_calls(), group()).await?,
            routed: client.queue_subscribe(subjects.all_routed_calls(), group()).await?,
        })
    }

    /// Takes no more calls; [`Calls::next`] still gives those that are here already.
    pub async fn drain(&mut self) {
        for subscriber in [&mut self.direct, &mut self.routed] {
            // It can only fail when the connection is closed, and then nothing comes anyway.
            let _ = subscriber.drain().await;
        }
    }

    /// The next call; `None` after a drain or when the connection is closed.
    pub async fn next(&mut self) -> Option<Incoming> {
        let message = tokio::select! {
            Some(message) = self.direct.next() => message,
            Some(message) = self.routed.next() => message,
            else => return None,
        };
        Some(incoming(message))
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
