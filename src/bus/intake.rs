//! What comes in: subscriptions that can end without losing a message, into one bounded queue.

use std::time::Duration;

use async_nats::{Client, Message, Subscriber};
use bytes::Bytes;
use futures::stream::StreamExt as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::Incoming;
use crate::wire::discovery::QUEUE_GROUP;
use crate::wire::encoding::{CONTENT_TYPE, PEER_HOPS};

/// How many more messages a subscription takes after it is told to end: more than can be on their
/// way from the server at that moment.
const LAST_MESSAGES: u64 = 1024;
/// How long a subscription has to end.
const ENDING: Duration = Duration::from_secs(1);
/// How long what fills a subscription up has to come back before there is more of it.
const FILLING: Duration = Duration::from_millis(20);

/// What comes in.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A call, or a request between instances.
    Message(Incoming),
    /// To be told once everything before it was taken.
    Mark(oneshot::Sender<()>),
}

/// A subscription in the queue group, whose messages go into a queue.
///
/// `Subscriber::drain` of async-nats 0.51 forgets the subscription before the server has, and drops
/// what the server sends in between. `Subscriber::unsubscribe_after` has both sides count to the
/// same message: so the subscription is told to end a number of messages from now, and messages of
/// our own fill the number up. Others of the group get a share of these and ignore them.
#[derive(Debug)]
pub(super) struct Subscription {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Subscription {
    /// Subscribes. `filler` is a subject that the subscription matches and nothing else uses.
    pub(super) async fn new(
        client: &Client,
        subject: String,
        filler: String,
        arrivals: mpsc::Sender<Arrival>,
    ) -> Result<Self, async_nats::SubscribeError> {
        let subscriber = client.queue_subscribe(subject, QUEUE_GROUP.to_owned()).await?;
        let (end, ends) = oneshot::channel();
        let pump = Pump { subscriber, client: client.clone(), taken: 0, filler, arrivals };
        Ok(Self { end, task: tokio::spawn(pump.run(ends)) })
    }

    /// Ends the subscription, after everything that the server has sent is in the queue.
    pub(super) async fn end(self) {
        let _ = self.end.send(());
        let _ = self.task.await;
    }
}

struct Pump {
    subscriber: Subscriber,
    client: Client,
    /// Messages that came so far.
    taken: u64,
    filler: String,
    arrivals: mpsc::Sender<Arrival>,
}

impl Pump {
    async fn run(mut self, mut ends: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                message = self.subscriber.next() => match message {
                    Some(message) => self.pass(message).await,
                    None => return,
                },
                // Also when nobody holds the subscription any more.
                _ = &mut ends => break,
            }
        }
        self.end().await;
    }

    async fn pass(&mut self, message: Message) {
        self.taken += 1;
        if message.subject.as_str() != self.filler {
            // Nobody takes it only when the process ends.
            let _ = self.arrivals.send(Arrival::Message(incoming(message))).await;
        }
    }

    async fn end(&mut self) {
        // Neither can fail while the connection is there, and without it nothing comes.
        let _ = self.subscriber.unsubscribe_after(self.taken + LAST_MESSAGES).await;
        // Where the connection was made anew, the counts begin anew, and it does not end by itself.
        let ends = Instant::now() + ENDING;
        while Instant::now() < ends {
            for _ in 0..LAST_MESSAGES {
                let _ = self.client.publish(self.filler.clone(), Bytes::new()).await;
            }
            while let Ok(message) = timeout(FILLING, self.subscriber.next()).await {
                match message {
                    Some(message) => self.pass(message).await,
                    None => return,
                }
            }
        }
        while let Ok(Some(message)) = timeout_at(Instant::now(), self.subscriber.next()).await {
            self.pass(message).await;
        }
    }
}

fn incoming(message: Message) -> Incoming {
    let header = |name| {
        let value = message.headers.as_ref().and_then(|headers| headers.get(name));
        value.map(|value| value.as_str().to_owned())
    };
    Incoming {
        content_type: header(CONTENT_TYPE),
        hops: header(PEER_HOPS).and_then(|hops| hops.parse().ok()).unwrap_or_default(),
        subject: message.subject.to_string(),
        reply_to: message.reply.map(|reply| reply.to_string()),
        body: message.payload,
    }
}
