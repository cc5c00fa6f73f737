//! The handle of a subscription.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::parser::Message;
use crate::shared::Shared;
use crate::subscriptions::{Queue, unsubscribe};

/// How long nats-server (2.15) may stall a publisher that delivers to a slow client
/// (`stallTotalAllowed`). By then the server has checked that the subscription still exists, and it
/// does not check again.
const STALL: Duration = Duration::from_millis(20);

/// A subscription. Its messages must be taken: when its queue is full, further ones are dropped.
/// Dropping the subscription unsubscribes at once.
#[derive(Debug)]
pub struct Subscription {
    handle: HandledSubscription,
    queue: Queue,
}

impl Subscription {
    pub(crate) const fn new(shared: Arc<Shared>, sid: u64, queue: Queue) -> Self {
        Self { handle: HandledSubscription::new(shared, sid), queue }
    }

    /// The next message; `None` when the subscription has ended or the client was closed.
    pub async fn next(&mut self) -> Option<Message> {
        let message = self.queue.messages.recv().await?;
        self.taken(&message);
        Some(message)
    }

    /// The next message, if one has arrived.
    pub fn try_next(&mut self) -> Option<Message> {
        let message = self.queue.messages.try_recv().ok()?;
        self.taken(&message);
        Some(message)
    }

    fn taken(&self, message: &Message) {
        self.queue.bytes.fetch_sub(message.len(), Ordering::Relaxed);
    }

    /// Ends the subscription after its `last`th message, counted from its beginning.
    pub fn end_after(&self, last: u64) {
        let HandledSubscription { shared, sid } = &self.handle;
        let mut subscriptions = shared.subscriptions();
        if let Some(frame) = subscriptions.end_after(*sid, last) {
            shared.outbox.control(frame.as_bytes());
        }
    }

    /// Ends the subscription without losing a message. Everything that the server sent before it
    /// handled the `UNSUB` still arrives, then [`Subscription::next`] returns `None`. Messages that
    /// reach the server later go to another member of the queue group, or to no subscriber. Await
    /// this while messages are being taken. It does not wait when the connection is lost, since
    /// nothing can arrive then.
    ///
    /// nats-server handles `UNSUB` and `PING` in order. It closes the subscription under the lock
    /// under which it writes to the connection, and checks under that lock whether the subscription
    /// is closed before it writes a message. So no message follows the `PONG`, except those of
    /// publishers that were stalled meanwhile: hence the wait and a second round trip.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + use<> {
        self.handle.drain()
    }
}

/// A subscription whose messages a function handles. Dropping it unsubscribes at once.
#[derive(Debug)]
pub struct HandledSubscription {
    shared: Arc<Shared>,
    sid: u64,
}

impl HandledSubscription {
    pub(crate) const fn new(shared: Arc<Shared>, sid: u64) -> Self {
        Self { shared, sid }
    }

    /// Like [`Subscription::drain`]: when it returns, everything that the server sent was handled.
    pub fn drain(&self) -> impl Future<Output = ()> + Send + use<> {
        drain(self.shared.clone(), self.sid)
    }
}

fn drain(shared: Arc<Shared>, sid: u64) -> impl Future<Output = ()> + Send + use<> {
    let frame = shared.subscriptions().begin_end(sid);
    let first = frame.map(|frame| shared.outbox.ping(frame.as_bytes()));
    async move {
        if let Some(Ok(answered)) = first
            && answered.await.is_ok()
        {
            tokio::time::sleep(STALL).await;
            if let Ok(answered) = shared.outbox.ping(b"") {
                let _ = answered.await;
            }
        }
        shared.subscriptions().remove(sid);
    }
}

impl Drop for HandledSubscription {
    fn drop(&mut self) {
        let mut subscriptions = self.shared.subscriptions();
        if subscriptions.remove(self.sid) {
            self.shared.outbox.control(unsubscribe(self.sid).as_bytes());
        }
    }
}
