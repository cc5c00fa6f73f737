//! The handle of a connection.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::connection::Connection;
use crate::error::{ConnectError, Disconnected, PublishError, RequestError};
use crate::info::ServerInfo;
use crate::options::Options;
use crate::outbox::Publish;
use crate::parser::Message;
use crate::shared::Shared;
use crate::subscription::{HandledSubscription, Subscription};
use crate::subscriptions::Handler;

/// A connection to NATS. Clones share the connection, which is closed when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// Closes the connection when the last handle is dropped.
#[derive(Debug)]
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// Connects, trying each server once. Later the client reconnects by itself whenever the
    /// connection is lost. A permanent failure (an invalid address, an unreadable file) is returned
    /// at once; after any other failure the remaining servers are tried first.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let shared = Arc::new(Shared::new(options));
        let connection = Connection::new(shared.clone())?;
        let first = connection.dial_any().await?;
        connection.begin(&first);
        tokio::spawn(connection.run(first));
        Ok(Self { _open: Arc::new(Open(shared.clone())), shared })
    }

    /// Gives a message to the connection, if there is one and it has room. Messages are sent in the
    /// order in which they are given.
    pub fn try_publish(&self, message: &Publish<'_>) -> Result<(), PublishError> {
        self.shared.outbox.publish(message, self.max_payload())
    }

    /// Gives a message to the connection as soon as there is one and it has room.
    pub async fn publish(&self, message: &Publish<'_>) -> Result<(), PublishError> {
        self.shared.outbox.when_possible(|| self.try_publish(message)).await
    }

    /// Repeats `attempt`, which publishes with [`Client::try_publish`], whenever there may be room or
    /// a new connection, until it returns something else than [`PublishError::Full`] or
    /// [`PublishError::NotConnected`].
    pub async fn when_possible(
        &self,
        attempt: impl FnMut() -> Result<(), PublishError>,
    ) -> Result<(), PublishError> {
        self.shared.outbox.when_possible(attempt).await
    }

    /// Subscribes, as a member of the queue group if one is given. The server may not know of the
    /// subscription yet: [`Client::round_trip`] waits until it does. The client subscribes again on
    /// each new connection.
    #[must_use]
    pub fn subscribe(&self, subject: &str, queue_group: Option<&str>) -> Subscription {
        let mut subscriptions = self.shared.subscriptions();
        let (sid, queue, frame) = subscriptions.add(subject, queue_group);
        // Without a connection, the subscription is made on the next one.
        self.shared.outbox.control(frame.as_bytes());
        drop(subscriptions);
        Subscription::new(self.shared.clone(), sid, queue)
    }

    /// Like [`Client::subscribe`], but a function handles each message as soon as it is read, in the
    /// order of arrival. The connection's task calls it, so it must not block. The client reads no
    /// further while its write buffer is more than half full, so that what the function publishes
    /// is bounded.
    #[must_use]
    pub fn subscribe_with(
        &self,
        subject: &str,
        queue_group: Option<&str>,
        handler: Handler,
    ) -> HandledSubscription {
        let mut subscriptions = self.shared.subscriptions();
        let (sid, frame) = subscriptions.add_handled(subject, queue_group, handler);
        self.shared.outbox.control(frame.as_bytes());
        drop(subscriptions);
        HandledSubscription::new(self.shared.clone(), sid)
    }

    /// A new reply subject, for one request of this connection.
    #[must_use]
    pub fn new_reply_subject(&self) -> String {
        self.shared.requests.new_reply_subject()
    }

    /// Sends a request with a reply subject from [`Client::new_reply_subject`], and waits for the
    /// first message on it that is an answer. There is no timeout: the caller has a deadline.
    /// Without a connection nothing is sent. Fails when the connection is lost, since no answer can
    /// arrive then.
    pub async fn request(
        &self,
        request: &Publish<'_>,
        is_answer: impl Fn(&Message) -> bool + Send + Sync + 'static,
    ) -> Result<Message, RequestError> {
        let reply = request.reply.unwrap_or_default();
        let answer = self.shared.requests.begin(reply, Box::new(is_answer));
        let answer = answer.ok_or(PublishError::Subject)?;
        let mut is_connected = true;
        let sent = self.shared.outbox.when_possible(|| {
            let result = self.try_publish(request);
            if result == Err(PublishError::NotConnected) {
                is_connected = false;
                return Ok(());
            }
            result
        });
        sent.await?;
        if !is_connected {
            return Err(PublishError::NotConnected.into());
        }
        answer.wait().await
    }

    /// Waits until the server has handled everything given before, and everything that the server
    /// sent before its answer has arrived: the server answers in order. Fails when the connection
    /// is lost.
    pub async fn round_trip(&self) -> Result<(), Disconnected> {
        self.shared.outbox.ping(b"")?.await.map_err(|_| Disconnected)
    }

    /// Whether there is a connection at the moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.outbox.is_open()
    }

    /// The server's `max_payload`: the largest message, headers and body, in bytes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.shared.max_payload.load(Ordering::Relaxed)
    }

    /// The server's INFO.
    #[must_use]
    pub fn server_info(&self) -> Arc<ServerInfo> {
        self.shared.info()
    }

    /// A new subject for messages to this connection alone.
    #[must_use]
    pub fn new_inbox(&self) -> String {
        format!("{}.{}", self.shared.options.inbox_prefix, nuid::next())
    }

    /// Closes the connection: writes what is buffered, for a second at most, and waits until the
    /// task has ended.
    pub async fn close(&self) {
        self.shared.close();
        // This cannot fail: `self` holds the sender.
        let _ = self.shared.ended.subscribe().wait_for(|ended| *ended).await;
    }
}
