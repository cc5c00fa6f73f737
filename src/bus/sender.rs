//! Sends outgoing messages: straight into the connection's write buffer, or, while that has no room
//! or there is no connection, through a bounded queue.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerd_dataplane::headers::{add, block, end, extended};
use peerd_dataplane::{Publish, PublishError};
use tokio::sync::{Notify, oneshot};

use super::{Full, Kind, Outgoing};
use crate::link::DataConnection;
use crate::trace::Trace;
use crate::wire::owner_request;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::{
    CONTENT_TYPE, Encode as _, Encoding, PEER_DUPLICATE, PEER_HOPS, SERVICE_ERROR,
    SERVICE_ERROR_CODE,
};
use peerd_protocol::event::Omitted;
use peerd_protocol::failure::{CallError, Failure, FailureBody};
use peerd_protocol::trace::{TRACEPARENT, TraceParent};

/// Gives outgoing messages to a connection, in the order in which they are emitted.
#[derive(Debug)]
pub(super) struct Sender {
    connection: DataConnection,
    /// The messages that wait. While there is one, every later message waits behind it.
    queue: Mutex<VecDeque<Item>>,
    capacity: usize,
    /// The length of the queue.
    waiting: AtomicUsize,
    /// Notified when the queue is not empty any more, or the sender is to end.
    more: Notify,
    /// Notified each time messages leave the queue.
    left: Notify,
    /// Whether the writer task ends once the queue is empty.
    is_ending: AtomicBool,
    /// Messages that were dropped, by reason.
    dropped: [AtomicU64; Dropped::ALL.len()],
    /// The header blocks that most messages share, built once.
    json: Vec<u8>,
    message_pack: Vec<u8>,
}

/// An entry of the queue.
#[derive(Debug)]
enum Item {
    /// A message, with its position in a trace.
    Message(Outgoing, Option<TraceParent>),
    /// Notified once everything queued before it has left the queue.
    Mark(oneshot::Sender<()>),
}

/// The connection takes no message at the moment.
struct NoRoom;

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// The queue is full.
    QueueFull,
    /// The instance lost the partition of its user: the next owner publishes it.
    NotOwner,
    /// It is larger than the server accepts, and no caller waits for it.
    TooLarge,
    /// Its subject is not one to which can be published.
    Subject,
    /// The connection is closed, because the process ends.
    Closed,
}

impl Dropped {
    /// All reasons, in the order of their numbers.
    const ALL: [Self; 5] =
        [Self::QueueFull, Self::NotOwner, Self::TooLarge, Self::Subject, Self::Closed];

    /// The label.
    const fn name(self) -> &'static str {
        match self {
            Self::QueueFull => "queue_full",
            Self::NotOwner => "not_owner",
            Self::TooLarge => "too_large",
            Self::Subject => "subject",
            Self::Closed => "closed",
        }
    }
}

impl Sender {
    /// A sender over a connection, with a queue of `capacity` messages.
    pub(super) fn new(connection: DataConnection, capacity: usize) -> Self {
        let of = |encoding| whole(encoding, |_| {});
        Self {
            connection,
            queue: Mutex::default(),
            capacity,
            waiting: AtomicUsize::new(0),
            more: Notify::new(),
            left: Notify::new(),
            is_ending: AtomicBool::new(false),
            dropped: Default::default(),
            json: of(Encoding::Json),
            message_pack: of(Encoding::MessagePack),
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Item>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a message, or queues it if there is room in the queue. Never waits.
    pub(super) fn emit(&self, mut outgoing: Outgoing) -> Result<(), Full> {
        let trace = Trace::header();
        let mut queue = self.queue();
        // Still locked while it is given to the connection: messages leave in this order.
        if queue.is_empty() && self.try_send(&mut outgoing, trace).is_ok() {
            return Ok(());
        }
        if queue.len() >= self.capacity {
            self.note_dropped(Dropped::QueueFull);
            return Err(Full);
        }
        self.push(&mut queue, Item::Message(outgoing, trace));
        Ok(())
    }

    /// As [`Sender::emit`], but the message is lost where there is no connection, as everything in
    /// flight on the lost connection is.
    pub(super) fn send_now(&self, outgoing: Outgoing) {
        if self.connection.client.is_connected() && self.emit(outgoing).is_err() {
            tracing::error!("dropped a reply: the outgoing queue is full");
        }
    }

    fn note_dropped(&self, why: Dropped) {
        self.dropped[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many messages were dropped for each reason.
    pub(super) fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counts = self.dropped.iter().map(|count| count.load(Ordering::Relaxed));
        Dropped::ALL.map(Dropped::name).into_iter().zip(counts)
    }

    /// The most messages in the queue.
    pub(super) const fn capacity(&self) -> usize {
        self.capacity
    }

    fn push(&self, queue: &mut VecDeque<Item>, item: Item) {
        queue.push_back(item);
        self.waiting.store(queue.len(), Ordering::Relaxed);
        self.more.notify_one();
    }

    /// Messages in the queue.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many more messages can be queued.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.waiting())
    }

    /// Waits until there is room for `count` messages. It does not reserve room: a waiting
    /// reservation would take every slot that becomes free and leave none for the calls in
    /// progress.
    pub(super) async fn room_for(&self, count: usize) {
        loop {
            let mut left = std::pin::pin!(self.left.notified());
            left.as_mut().enable();
            if self.room() >= count {
                return;
            }
            left.await;
        }
    }

    /// Completes once everything emitted before was given to the connection.
    pub(super) fn mark(&self) -> oneshot::Receiver<()> {
        let (passed, has_passed) = oneshot::channel();
        let mut queue = self.queue();
        if queue.is_empty() {
            // This cannot fail: the receiver is here.
            let _ = passed.send(());
        } else {
            self.push(&mut queue, Item::Mark(passed));
        }
        has_passed
    }

    /// The writer task: gives queued messages to the connection as soon as there is one with room.
    /// Ends after [`Sender::end`], when the queue is empty.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            let more = self.more.notified();
            if self.waiting() > 0 {
                // It fails only when the connection is closed for good.
                let _ = self.connection.client.when_possible(|| self.send_queued()).await;
            } else if self.is_ending.load(Ordering::Acquire) {
                return;
            } else {
                more.await;
            }
        }
    }

    /// Makes the writer task end once the queue is empty.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        self.more.notify_one();
    }

    fn send_queued(&self) -> Result<(), PublishError> {
        let mut queue = self.queue();
        let sent = loop {
            let Some(mut item) = queue.pop_front() else { break Ok(()) };
            if let Item::Message(message, trace) = &mut item
                && self.try_send(message, *trace).is_err()
            {
                queue.push_front(item);
                break Err(PublishError::Full);
            }
            if let Item::Mark(passed) = item {
                // The waiting task may have given up.
                let _ = passed.send(());
            }
        };
        self.waiting.store(queue.len(), Ordering::Relaxed);
        drop(queue);
        self.left.notify_waiters();
        sent
    }

    /// Gives a message to the connection, if its permit is still valid. A message that can never be
    /// sent is logged, and counts as sent.
    fn try_send(&self, message: &mut Outgoing, trace: Option<TraceParent>) -> Result<(), NoRoom> {
        if !holds(message) {
            self.note_dropped(Dropped::NotOwner);
            return Ok(());
        }
        let Err(error) = self.publish(message, trace) else { return Ok(()) };
        match error {
            PublishError::Full | PublishError::NotConnected => return Err(NoRoom),
            PublishError::Closed => {
                // The process is about to exit.
                self.note_dropped(Dropped::Closed);
                tracing::debug!(subject = &*message.subject, "the connection is closed");
            }
            // The message was built to fit the smallest server seen so far, and this one may accept
            // less.
            PublishError::TooLarge => {
                let subject = message.subject.clone();
                tracing::warn!(
                    subject = &*subject,
                    "message is larger than the server accepts: sending it without its content"
                );
                let Some(small) = without_content(message) else {
                    self.note_dropped(Dropped::TooLarge);
                    return Ok(());
                };
                *message = small;
                match self.publish(message, trace) {
                    Ok(()) => {}
                    Err(PublishError::Full | PublishError::NotConnected) => return Err(NoRoom),
                    Err(error) => {
                        self.note_dropped(Dropped::TooLarge);
                        tracing::error!(%error, subject = &*subject, "cannot send a message");
                    }
                }
            }
            PublishError::Subject | PublishError::SubjectTooLong => {
                self.note_dropped(Dropped::Subject);
                tracing::warn!(%error, subject = &*message.subject, "cannot send a message");
            }
        }
        Ok(())
    }

    fn publish(&self, message: &Outgoing, trace: Option<TraceParent>) -> Result<(), PublishError> {
        let headers = self.headers(message, trace);
        let reply = match &message.kind {
            Kind::Routed { reply_to, .. } => reply_to.as_deref().map(str::as_bytes),
            Kind::Plain
            | Kind::Event { .. }
            | Kind::Answer
            | Kind::Duplicate
            | Kind::Error { .. }
            | Kind::Relayed { .. } => None,
        };
        self.connection.client.try_publish(&Publish {
            subject: message.subject.as_bytes(),
            reply,
            headers: &headers,
            payload: &message.body,
        })
    }

    /// The header block of a message; empty where it has none.
    pub(super) fn headers(&self, message: &Outgoing, trace: Option<TraceParent>) -> Cow<'_, [u8]> {
        let headers = self.headers_of(message);
        match trace {
            None => headers,
            Some(trace) => Cow::Owned(extended(&headers, TRACEPARENT, &trace.to_string())),
        }
    }

    fn headers_of(&self, message: &Outgoing) -> Cow<'_, [u8]> {
        match &message.kind {
            Kind::Plain | Kind::Event { .. } | Kind::Answer => {
                Cow::Borrowed(match message.encoding {
                    Encoding::Json => &self.json,
                    Encoding::MessagePack => &self.message_pack,
                })
            }
            Kind::Duplicate => {
                Cow::Owned(whole(message.encoding, |block| add(block, PEER_DUPLICATE, "true")))
            }
            Kind::Error { code, text } => Cow::Owned(whole(message.encoding, |block| {
                add(block, SERVICE_ERROR, text);
                add(block, SERVICE_ERROR_CODE, &code.to_string());
            })),
            Kind::Relayed { headers } => Cow::Owned(relayed(headers)),
            Kind::Routed { content_type: None, hops: 0, .. } => Cow::Borrowed(&[]),
            Kind::Routed { content_type, hops, .. } => {
                let mut routed = block();
                if let Some(content_type) = content_type {
                    add(&mut routed, CONTENT_TYPE, content_type);
                }
                add(&mut routed, PEER_HOPS, &hops.to_string());
                end(&mut routed);
                Cow::Owned(routed)
            }
        }
    }
}

/// Whether a message may still be sent.
fn holds(message: &Outgoing) -> bool {
    let holds = message.permit.as_ref().is_none_or(|permit| permit.holds());
    if !holds {
        tracing::debug!(subject = &*message.subject, "dropped a message: its permit is gone");
    }
    holds
}

/// A header block with the encoding's `Content-Type` and the headers that `more` adds.
fn whole(encoding: Encoding, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut whole = block();
    add(&mut whole, CONTENT_TYPE, encoding.content_type());
    more(&mut whole);
    end(&mut whole);
    whole
}

/// A header block with the headers of another instance's reply. A header with an invalid name is
/// left out: peerd did not write it.
fn relayed(received: &[(String, String)]) -> Vec<u8> {
    let is_one = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let mut headers = received.iter().filter(|(name, _)| is_one(name)).peekable();
    if headers.peek().is_none() {
        return Vec::new();
    }
    let mut relayed = block();
    for (name, value) in headers {
        add(&mut relayed, name, value);
    }
    end(&mut relayed);
    relayed
}

/// A replacement for a message that is larger than the server accepts; `None` where no caller waits
/// for it.
fn without_content(message: &Outgoing) -> Option<Outgoing> {
    let Outgoing { subject, encoding, kind, permit, body } = message.clone();
    let error = |subject, encoding: Encoding, error: CallError| {
        let kind = Kind::Error { code: error.code(), text: error.to_string() };
        let body = encoding.encode(&FailureBody { error: &error, method: "" }).ok()?;
        Some(Outgoing { subject, encoding, kind, body, permit: None })
    };
    match kind {
        Kind::Event { revision } => {
            let body = encoding.encode(&Omitted { revision }).ok()?;
            Some(Outgoing { subject, encoding, kind, body, permit })
        }
        // The answer may have been about a message that is stored.
        Kind::Answer => {
            let body = owner_request::encode_refusal(&Failure::OutcomeUnknown.into()).ok()?;
            Some(Outgoing { subject, encoding, kind, body, permit })
        }
        Kind::Plain | Kind::Duplicate | Kind::Error { .. } | Kind::Relayed { .. } => {
            error(subject, encoding, Failure::TooLarge.into())
        }
        Kind::Routed { reply_to, content_type, .. } => {
            let encoding = Encoding::of_request(content_type.as_deref(), &body);
            let problem = "is larger than the nats-server accepts on the way to its owner";
            let rejection = Rejection::invalid("body", problem);
            error(reply_to?, encoding.unwrap_or_default(), rejection.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::FutureExt as _;
    use peerd_dataplane::{Client, Options};

    use super::*;
    use crate::bus::Permit;
    use crate::link::Link;
    use crate::wire::owner_request::Audit;
    use peerd_core::event::Revision;
    use peerd_core::id::Partition;

    fn instead(kind: Kind) -> Option<Outgoing> {
        let (subject, body) = ("a.subject".into(), Bytes::from(vec![b'x'; 9]));
        let encoding = Encoding::Json;
        without_content(&Outgoing { subject, encoding, kind, body, permit: None })
    }

    /// Whether the messages of a permit may be sent, as a test says.
    #[derive(Debug, Default)]
    struct Switch(AtomicBool);

    impl Permit for Switch {
        fn holds(&self) -> bool {
            self.0.load(Ordering::SeqCst)
        }
    }

    fn numbered(number: usize, permit: Option<Arc<dyn Permit>>) -> Outgoing {
        let (subject, body) = ("events".into(), number.to_string().into());
        Outgoing { subject, encoding: Encoding::Json, kind: Kind::Plain, body, permit }
    }

    #[tokio::test]
    async fn messages_wait_in_order_and_bounded_while_there_is_no_connection() {
        let mut server = peerd_testkit::Nats::start().await;
        let url = server.url();
        let options = || Options { servers: vec![url.clone()], ..Options::default() };
        let client = Client::connect(options()).await.expect("connected");
        let sender = Arc::new(Sender::new(DataConnection { client, link: Link::new() }, 10));
        let writer = tokio::spawn(sender.clone().run());
        server.kill9();
        while sender.connection.client.is_connected() {
            tokio::task::yield_now().await;
        }
        let expired: Arc<dyn Permit> = Arc::new(Switch::default());
        sender.emit(numbered(99, Some(expired))).expect("dropped at once");
        assert_eq!(sender.waiting(), 0, "without its permit it does not wait");
        let valid = Arc::new(Switch(AtomicBool::new(true)));
        for number in 0..9 {
            sender.emit(numbered(number, None)).expect("room for ten");
        }
        sender.emit(numbered(9, Some(valid.clone()))).expect("room for ten");
        assert_eq!(sender.emit(numbered(10, None)), Err(Full));
        let mut has_room = std::pin::pin!(sender.room_for(10));
        assert_eq!(has_room.as_mut().now_or_never(), None);
        valid.0.store(false, Ordering::SeqCst);
        let mark = sender.mark();
        server.restart().await;
        let listener = Client::connect(options()).await.expect("connected");
        let mut received = listener.subscribe("events", None);
        listener.round_trip().await.expect("subscribed");
        mark.await.expect("all were given to the connection");
        has_room.await;
        sender.emit(numbered(11, None)).expect("room");
        sender.end();
        writer.await.expect("no panic");
        // Messages that were given before the listener subscribed are not received; the last one
        // always is.
        let mut numbers = Vec::new();
        while numbers.last() != Some(&11) {
            let message = received.next().await.expect("connected");
            let text = String::from_utf8(message.payload.to_vec()).expect("text");
            numbers.push(text.parse::<usize>().expect("a number"));
        }
        assert!(numbers.is_sorted() && !numbers.contains(&9) && !numbers.contains(&99));
    }

    #[test]
    fn an_event_that_is_too_large_still_carries_its_revision() {
        let kind = Kind::Event { revision: Revision { current: 7, previous: 6 } };
        let event = instead(kind.clone()).expect("an event");
        assert_eq!((&*event.subject, event.kind), ("a.subject", kind));
        let expected = r#"{"isContentOmitted":true,"revision":7,"previousRevision":6}"#;
        assert_eq!(event.body, expected);
    }

    #[test]
    fn a_call_whose_reply_or_request_is_too_large_gets_an_error_reply() {
        for kind in [Kind::Plain, Kind::Duplicate] {
            let reply = instead(kind).expect("an answer");
            assert!(matches!(reply.kind, Kind::Error { code: 6_000_007, .. }), "{:?}", reply.kind);
            assert_eq!(reply.subject, "a.subject");
        }
        let routed = |reply_to: Option<&str>| Kind::Routed {
            reply_to: reply_to.map(Into::into),
            content_type: Some("application/json".to_owned()),
            hops: 1,
        };
        let reply = instead(routed(Some("its.caller"))).expect("an answer");
        assert!(matches!(reply.kind, Kind::Error { code: 6_000_001, .. }), "{:?}", reply.kind);
        assert_eq!((&*reply.subject, reply.encoding), ("its.caller", Encoding::Json));
        assert!(instead(routed(None)).is_none(), "no caller waits for it");
    }

    #[test]
    fn an_answer_that_is_too_large_becomes_outcome_unknown() {
        let answer = instead(Kind::Answer).expect("an answer");
        let read = owner_request::decode_answer(&Audit, &answer.body, Partition(0));
        assert_eq!(read, Ok(Err(Failure::OutcomeUnknown.into())));
    }
}
