//! What comes in: subscriptions that can end without losing a message.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_nats::{Client, HeaderName, HeaderValue, Message, Subject, Subscriber};
use bytes::Bytes;
use futures::FutureExt as _;
use futures::stream::StreamExt as _;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, unconstrained, yield_now};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::exit::Exit;
use super::requests::Requests;
use super::{Incoming, Take};
use crate::link::Connection;
use crate::wire::discovery::QUEUE_GROUP;
use crate::wire::encoding::{CONTENT_TYPE, PEER_HOPS, hops};
use crate::wire::subject::is_sentinel;

/// How many more messages a subscription takes after it is told to end: more than can be on their
/// way from the server at that moment.
const LAST_MESSAGES: u64 = 1024;
/// How long a subscription has to end.
const ENDING: Duration = Duration::from_secs(3);
/// Most fillers of one round.
const FILLERS_MAX: u64 = 16 * LAST_MESSAGES;
/// Messages that are taken before others have a turn.
const IN_A_ROW: usize = 2048;

/// A subscription in the queue group, each of whose messages is taken at once: whatever waits does
/// so where it is counted and refused, and not here.
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
    /// Subscribes.
    pub(super) async fn new(
        connection: Connection,
        requests: Arc<Requests>,
        subjects: SubscriptionSubjects,
        take: Take,
    ) -> Result<Self, async_nats::SubscribeError> {
        let generation = connection.link.generation();
        let subscriber = subscribe(&connection.client, &subjects).await?;
        let (end, ends) = oneshot::channel();
        let exit = Exit::new(connection.clone());
        let (taken, in_a_row) = (0, 0);
        let pump = Pump {
            subscriber,
            generation,
            taken,
            in_a_row,
            connection,
            requests,
            subjects,
            take,
            exit,
        };
        // Outside the scheduler's budget, by which it would get on no faster than a call does: more
        // would come in than it can refuse.
        Ok(Self { end, task: tokio::spawn(unconstrained(pump.run(ends))) })
    }

    /// Ends the subscription, after everything that the server has sent was taken.
    pub(super) async fn end(self) {
        let _ = self.end.send(());
        let task = AbortOnDrop::new(self.task);
        // Without a connection it cannot answer what it refuses.
        if timeout(2 * ENDING, task).await.is_err() {
            tracing::warn!("a subscription was given up: there is no connection");
        }
    }
}

/// What a subscription is made with.
#[derive(Debug)]
pub(super) struct SubscriptionSubjects {
    /// What is subscribed to.
    pub(super) all: String,
    /// A subject that the subscription matches and nothing else uses.
    pub(super) filler: String,
}

async fn subscribe(
    client: &Client,
    subjects: &SubscriptionSubjects,
) -> Result<Subscriber, async_nats::SubscribeError> {
    client.queue_subscribe(subjects.all.clone(), QUEUE_GROUP.to_owned()).await
}

struct Pump {
    subscriber: Subscriber,
    /// The connection that it was made on.
    generation: u64,
    /// Messages that came so far.
    taken: u64,
    /// Messages since others had a turn.
    in_a_row: usize,
    connection: Connection,
    requests: Arc<Requests>,
    subjects: SubscriptionSubjects,
    take: Take,
    exit: Exit,
}

impl Pump {
    async fn run(mut self, mut ends: oneshot::Receiver<()>) {
        let link = self.connection.link.clone();
        let mut newer = pin!(link.newer_than(self.generation));
        loop {
            tokio::select! {
                message = self.subscriber.next() => match message {
                    Some(message) => self.pass_all(message).await,
                    None => return,
                },
                generation = &mut newer => {
                    self.renew(generation).await;
                    newer.set(link.newer_than(self.generation));
                }
                // Also when nobody holds the subscription any more.
                _ = &mut ends => break,
            }
        }
        self.end().await;
    }

    /// Subscribes anew, since the connection was made anew: the server has begun to count from zero,
    /// and async-nats goes on, so that they would not end at the same message.
    async fn renew(&mut self, generation: u64) {
        self.generation = generation;
        let Ok(fresh) = subscribe(&self.connection.client, &self.subjects).await else { return };
        self.round_trip().await;
        while let Poll::Ready(Some(message)) = self.here() {
            self.pass(message).await;
        }
        let mut old = std::mem::replace(&mut self.subscriber, fresh);
        self.taken = 0;
        // What is on its way to the old one is lost, as is what was when the connection broke.
        let _ = old.unsubscribe().await;
    }

    /// Waits until everything is here that the server has sent so far.
    async fn round_trip(&self) {
        // Without a connection nothing comes.
        let _ = self.requests.echo(Instant::now() + ENDING).await;
    }

    /// Passes a message on, and of those that are here already as many as there may be in a row.
    async fn pass_all(&mut self, first: Message) {
        self.pass(first).await;
        for _ in 1..IN_A_ROW {
            let Poll::Ready(Some(message)) = self.here() else { return };
            self.pass(message).await;
        }
    }

    /// Passes a message on; answers whether it was a filler.
    async fn pass(&mut self, message: Message) -> bool {
        self.taken += 1;
        // A server that maps subjects has fillers come back under other names.
        let is_filler = is_sentinel(&message.subject);
        if !is_filler && let Some(answer) = (self.take)(incoming(message)) {
            self.exit.send_now(answer).await;
        }
        self.in_a_row += 1;
        if self.in_a_row == IN_A_ROW {
            self.in_a_row = 0;
            yield_now().await;
        }
        is_filler
    }

    /// The next message, if it is here already.
    fn here(&mut self) -> Poll<Option<Message>> {
        // Otherwise tokio has a task wait now and then, although there is something.
        unconstrained(self.subscriber.next()).now_or_never().map_or(Poll::Pending, Poll::Ready)
    }

    async fn end(&mut self) {
        // What is here already is not on its way any more.
        while let Poll::Ready(Some(message)) = self.here() {
            self.pass(message).await;
        }
        let ends = Instant::now() + ENDING;
        let ended = timeout_at(ends, self.fill_up()).await;
        if ended.is_err() {
            tracing::warn!(filler = self.subjects.filler, "a subscription did not end in time");
        }
    }

    /// Has the subscription end at a message that both sides know.
    async fn fill_up(&mut self) {
        // Neither can fail while the connection is there, and without it nothing comes.
        let _ = self.subscriber.unsubscribe_after(self.taken + LAST_MESSAGES).await;
        let mut fillers = LAST_MESSAGES;
        loop {
            for _ in 0..fillers {
                let _ = self
                    .connection
                    .client
                    .publish(self.subjects.filler.clone(), Bytes::new())
                    .await;
            }
            // The echo comes after all that the server sent before it, fillers and others.
            self.round_trip().await;
            let mut returned = 0;
            while let Poll::Ready(message) = self.here() {
                match message {
                    Some(message) => returned += u64::from(self.pass(message).await),
                    None => return,
                }
            }
            if returned == 0 {
                // Nothing comes here any more: the connection was made anew and the counts with it,
                // or the server sends what fits this subscription elsewhere.
                return;
            }
            // The others of the group have had their share.
            fillers = (fillers * LAST_MESSAGES / returned).min(FILLERS_MAX);
        }
    }
}

fn incoming(message: Message) -> Incoming {
    let Message { subject, reply, payload, headers, .. } = message;
    let header = |name| {
        let value = headers.as_ref().and_then(|headers| headers.get::<HeaderName>(name));
        value.map(HeaderValue::as_str)
    };
    Incoming {
        content_type: header(const { HeaderName::from_static(CONTENT_TYPE) }).map(str::to_owned),
        hops: hops(header(const { HeaderName::from_static(PEER_HOPS) })),
        subject: subject.into_string(),
        reply_to: reply.map(Subject::into_string),
        body: payload,
    }
}
