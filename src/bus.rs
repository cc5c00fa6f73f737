//! The bus: core NATS, and an in-memory fake of it for tests.

pub mod discovery;
pub mod memory;
pub mod nats;

mod intake;
mod sender;
mod tuning;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
pub use peerd_dataplane::Malformed;
use tokio::time::Instant;

use peerd_core::event::Revision;
use peerd_core::id::Partition;
use peerd_protocol::encoding::Encoding;

/// An incoming call.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// The subject.
    pub subject: ByteString,
    /// The reply subject; `None` when no reply is expected.
    pub reply_to: Option<ByteString>,
    /// The `Content-Type` header.
    pub content_type: Option<Cow<'static, str>>,
    /// The problem of the header block, if it is malformed.
    pub malformed: Option<Malformed>,
    /// The status code in the header block's first line. A message with a status comes from the
    /// server, not from a caller.
    pub status: Option<u16>,
    /// The body.
    pub body: Bytes,
    /// How often instances have forwarded the call.
    pub hops: u8,
}

/// The kind of an outgoing message, which determines its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A reply to a call that succeeded.
    Plain,
    /// An event.
    Event {
        /// The revision of the user's conversations. It is published even if the event itself
        /// cannot be.
        revision: Revision,
    },
    /// An answer to another instance.
    Answer,
    /// A reply to a repeated send.
    Duplicate,
    /// A reply to a call that failed.
    Error {
        /// The error code.
        code: u32,
        /// The text for the caller.
        text: String,
    },
    /// A call or an owner request that is forwarded to the owner.
    Routed {
        /// The reply subject.
        reply_to: Option<ByteString>,
        /// The `Content-Type` header of the original message.
        content_type: Option<String>,
        /// How often instances have forwarded the message, including this time.
        hops: u8,
    },
    /// The reply of another instance to a relayed call, unchanged.
    Relayed {
        /// The headers.
        headers: Vec<(String, String)>,
    },
}

/// The right to publish events for a user. A message whose permit has expired before it is sent is
/// dropped: the next owner publishes instead.
pub trait Permit: Send + Sync + fmt::Debug {
    /// Whether the permit is still valid.
    fn holds(&self) -> bool;
}

/// An outgoing message.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// The subject.
    pub subject: ByteString,
    /// The encoding of the body.
    pub encoding: Encoding,
    /// The kind of message, which determines its other headers.
    pub kind: Kind,
    /// The body.
    pub body: Bytes,
    /// The permit without which the message is not sent; `None` if none is needed.
    pub permit: Option<Arc<dyn Permit>>,
}

/// Why an owner request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// There are no responders at the moment: nothing was done.
    #[error("no responders")]
    Nobody,
    /// The request may or may not have been processed.
    #[error("no answer to the request")]
    Unknown,
}

/// The answer to an owner request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// Whether a message on a request's reply subject is its answer. Anyone with permission to
/// subscribe to the request's subject can reply to it, so other messages are possible.
pub type IsAnswer = Box<dyn Fn(&Answer) -> bool + Send + Sync>;

/// Handles an incoming message synchronously, in the order of arrival. The message that it returns
/// (a refusal, or a forwarded message) is sent at once.
pub type Take = Arc<dyn Fn(Incoming) -> Option<Outgoing> + Send + Sync>;

/// The outgoing queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the outgoing queue is full")]
pub struct Full;

/// Publishes to users, and exchanges messages with other instances.
pub trait Bus: Send + Sync + 'static {
    /// Sends a message, or queues it while that is not possible. Messages leave in the order in
    /// which they are emitted. Never waits, so that events can be emitted while the state that they
    /// describe is locked.
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full>;

    /// How many more messages can be queued.
    fn room(&self) -> usize;

    /// Waits until `count` more messages can be queued.
    fn room_for(&self, count: usize) -> impl Future<Output = ()> + Send;

    /// How many queued messages have not been sent.
    fn waiting(&self) -> usize;

    /// A new reply subject of this instance. It is used for one request and identifies it.
    fn inbox(&self) -> String;

    /// Sends a request to another instance ([`Kind::Routed`], with a reply subject from
    /// [`Bus::inbox`]) and waits for its answer until the deadline at most. A missing responder may
    /// be reported at once, but need not be: a subscriber that only listens is indistinguishable
    /// from a slow one.
    fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> impl Future<Output = Result<Answer, AskError>> + Send;

    /// Subscribes to the messages routed to a partition; returns false on failure. Idempotent.
    fn listen(&self, partition: Partition, take: Take) -> impl Future<Output = bool> + Send;

    /// Unsubscribes from the messages routed to a partition. Everything that has arrived is handled
    /// before this returns.
    fn unlisten(&self, partition: Partition) -> impl Future<Output = ()> + Send;

    /// Whether the server answers before the deadline.
    fn is_reached(&self, deadline: Instant) -> impl Future<Output = bool> + Send;

    /// Waits until the server has received everything that was queued so far; returns false if the
    /// server is not reached in time.
    fn reach(&self, deadline: Instant) -> impl Future<Output = bool> + Send;

    /// The smallest `max_payload`, headers and body in bytes, of the servers connected to so far.
    fn max_message_bytes(&self) -> usize;
}
