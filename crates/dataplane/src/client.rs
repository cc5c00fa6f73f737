//! The handle of a connection.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use crate::connection::Connection;
use crate::error::{ConnectError, Disconnected, PublishError, RequestError};
use crate::event::Event;
use crate::info::ServerInfo;
use crate::options::Options;
use crate::outbox::{Outbox, Publish};
use crate::parser::Message;
use crate::request::Requests;
use crate::subscription::Subscription;
use crate::subscriptions::Subscriptions;

/// A connection to NATS. Clones are the same connection; it is closed with the last of them.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    _open: Arc<Open>,
}

/// What the handles of a connection and its task share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) options: Options,
    pub(crate) outbox: Outbox,
    /// Locked before the outbox where both are.
    subscriptions: Mutex<Subscriptions>,
    pub(crate) requests: Requests,
    pub(crate) max_payload: AtomicUsize,
    info: Mutex<Arc<ServerInfo>>,
    /// Whether the server says that it is about to end.
    pub(crate) is_lame_duck: watch::Sender<bool>,
    /// Told when the client is closed.
    pub(crate) closing: Notify,
    /// Whether the task of the connection has ended.
    pub(crate) ended: watch::Sender<bool>,
}

/// Closes the connection with the last handle.
#[derive(Debug)]
struct Open(Arc<Shared>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Client {
    /// Connects: tries each server once. From then on the connection is made again by itself
    /// whenever it is lost. A try that failed for good (an address, a file) ends this, the others
    /// are tried first.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let shared = Arc::new(Shared::new(options));
        let connection = Connection::new(shared.clone())?;
        let first = connection.dial_any().await?;
        connection.begin(&first);
        tokio::spawn(connection.run(first));
        Ok(Self { _open: Arc::new(Open(shared.clone())), shared })
    }

    /// Gives a message to the connection, if there is one and it has room. In what order messages
    /// are given, they go out.
    pub fn try_publish(&self, message: &Publish<'_>) -> Result<(), PublishError> {
        self.shared.outbox.publish(message, self.max_payload())
    }

    /// Gives a message to the connection as soon as there is one and it has room.
    pub async fn publish(&self, message: &Publish<'_>) -> Result<(), PublishError> {
        self.shared.outbox.when_possible(|| self.try_publish(message)).await
    }

    /// As [`Client::publish`], unless by then it is `still` to be sent no more; answers whether it
    /// was given. It is asked again when the connection is lost, and when there is one.
    pub async fn publish_while(
        &self,
        message: &Publish<'_>,
        still: impl Fn() -> bool,
    ) -> Result<bool, PublishError> {
        let mut is_given = true;
        let attempt = || {
            is_given = still();
            if is_given { self.try_publish(message) } else { Ok(()) }
        };
        self.shared.outbox.when_possible(attempt).await?;
        Ok(is_given)
    }

    /// Subscribes, as a member of the queue group if one is given. The server may not know of it
    /// yet: [`Client::round_trip`] waits until it does. It is made again on each new connection.
    #[must_use]
    pub fn subscribe(&self, subject: &str, queue_group: Option<&str>) -> Subscription {
        let mut subscriptions = self.shared.subscriptions();
        let (sid, queue, frame) = subscriptions.add(subject, queue_group);
        // Without a connection it is made with the next one.
        self.shared.outbox.control(frame.as_bytes());
        drop(subscriptions);
        Subscription::new(self.shared.clone(), sid, queue)
    }

    /// A reply subject for one request of this connection.
    #[must_use]
    pub fn new_reply_subject(&self) -> String {
        self.shared.requests.new_reply_subject()
    }

    /// Sends a request, whose reply subject is one of [`Client::new_reply_subject`], and waits for
    /// the first message on it that is an answer, however long: the caller has a deadline. Without
    /// a connection nothing is sent; ends when the connection is lost, since no answer can come
    /// then.
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

    /// Waits until the server has handled everything that was given before, and everything is here
    /// that it sent before that: it answers in order. Ends when the connection is lost.
    pub async fn round_trip(&self) -> Result<(), Disconnected> {
        self.shared.outbox.ping(b"")?.await.map_err(|_| Disconnected)
    }

    /// Whether there is a connection at this moment.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.shared.outbox.is_open()
    }

    /// The largest message, headers and body, in bytes, that the server takes.
    #[must_use]
    pub fn max_payload(&self) -> usize {
        self.shared.max_payload.load(Ordering::Relaxed)
    }

    /// What the server says of itself.
    #[must_use]
    pub fn server_info(&self) -> Arc<ServerInfo> {
        self.shared.info.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A subject of this connection's own, on which nothing else comes.
    #[must_use]
    pub fn new_inbox(&self) -> String {
        format!("{}.{}", self.shared.options.inbox_prefix, nuid::next())
    }

    /// Closes the connection: writes what waits, for a second at most, and waits for the end.
    pub async fn close(&self) {
        self.shared.close();
        // It cannot fail: this holds the sender.
        let _ = self.shared.ended.subscribe().wait_for(|ended| *ended).await;
    }
}

impl Shared {
    fn new(options: Options) -> Self {
        let subscriptions =
            Subscriptions::new(options.subscription_messages, options.subscription_bytes);
        Self {
            outbox: Outbox::new(options.write_buffer_bytes, options.control_line_bytes),
            requests: Requests::new(&options.inbox_prefix),
            subscriptions: Mutex::new(subscriptions),
            max_payload: AtomicUsize::new(0),
            info: Mutex::default(),
            is_lame_duck: watch::Sender::new(false),
            closing: Notify::new(),
            ended: watch::Sender::new(false),
            options,
        }
    }

    pub(crate) fn subscriptions(&self) -> MutexGuard<'_, Subscriptions> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn event(&self, event: &Event<'_>) {
        (self.options.on_event)(event);
    }

    pub(crate) fn set_info(&self, info: ServerInfo) {
        self.max_payload.store(info.max_payload, Ordering::Relaxed);
        self.is_lame_duck.send_replace(info.is_lame_duck);
        *self.info.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(info);
    }

    /// There is a new connection: what is subscribed to is subscribed to again.
    pub(crate) fn open(&self) {
        let mut subscriptions = self.subscriptions();
        let mut frames = self.requests.subscribe();
        frames += &subscriptions.renew();
        // Still locked: what is subscribed to from now on comes after.
        self.outbox.open(frames.as_bytes());
    }

    /// The connection is lost.
    pub(crate) fn lost(&self) {
        self.outbox.lost();
        self.requests.fail();
    }

    fn close(&self) {
        self.outbox.close();
        self.closing.notify_one();
    }
}
