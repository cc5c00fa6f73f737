//! The wire: core NATS, and a twin of it for tests.

pub mod discovery;
pub mod memory;
pub mod nats;

mod exit;
mod intake;
mod queue;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
pub use peerd_dataplane::Malformed;
use tokio::time::Instant;

use crate::domain::event::Revision;
use crate::domain::id::Partition;
use crate::wire::encoding::Encoding;

/// A call as it came in.
#[derive(Clone, Debug)]
pub struct Incoming {
    /// Its subject.
    pub subject: String,
    /// Where the answer goes; `None` when nobody waits for one.
    pub reply_to: Option<String>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// What is wrong with its header block, if anything is.
    pub malformed: Option<Malformed>,
    /// The status that its header block begins with: so the server speaks, and no caller.
    pub status: Option<u16>,
    /// The body.
    pub body: Bytes,
    /// How often it was passed on between instances.
    pub hops: u8,
}

/// What kind of message goes out, apart from its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A reply to a call that succeeded.
    Plain,
    /// An event.
    Event {
        /// Where its user's conversations stand: told even where the event itself cannot go out.
        revision: Revision,
    },
    /// An answer to another instance.
    Answer,
    /// A reply to a repeat.
    Duplicate,
    /// A reply to a call that failed.
    Error {
        /// The code.
        code: u32,
        /// The text for the caller.
        text: String,
    },
    /// A call, or a request between instances, that is passed on to whom it concerns.
    Routed {
        /// Where the answer goes.
        reply_to: Option<String>,
        /// The `Content-Type` header that it came with.
        content_type: Option<String>,
        /// How often it was passed on, this time included.
        hops: u8,
    },
    /// The reply of another instance to a call that was relayed to it, as it came.
    Relayed {
        /// Its headers.
        headers: Vec<(String, String)>,
    },
}

/// The right to tell users. A message that waited past its end is not sent: somebody else tells
/// them now.
pub trait Permit: Send + Sync + fmt::Debug {
    /// Whether it still holds.
    fn holds(&self) -> bool;
}

/// A message on its way out.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Its subject.
    pub subject: String,
    /// How the body is written.
    pub encoding: Encoding,
    /// What headers it has besides.
    pub kind: Kind,
    /// The body.
    pub body: Bytes,
    /// What it needs to be sent; `None`: nothing.
    pub permit: Option<Arc<dyn Permit>>,
}

/// Why a request between instances has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Nobody takes such requests at the moment: nothing was done.
    #[error("nobody is there")]
    Nobody,
    /// It may or may not have been done.
    #[error("no answer came")]
    Unknown,
}

/// The answer to a request of this instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Its headers.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Bytes,
}

/// Whether what came on a request's reply subject is its answer. Everybody who may subscribe to the
/// request's subject can reply to it.
pub type IsAnswer = Box<dyn Fn(&Answer) -> bool + Send + Sync>;

/// What takes what comes in, at once. What it answers goes out as soon as the connection takes it,
/// past all that is on its way: a refusal, or something that is passed on.
pub type Take = Arc<dyn Fn(Incoming) -> Option<Outgoing> + Send + Sync>;

/// The bus takes nothing more: too much is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is on its way out")]
pub struct Full;

/// What goes out to users.
pub trait Bus: Send + Sync + 'static {
    /// Sends a message. Messages go out in the order in which they are given. Never waits, so that
    /// a message can be given while the state it tells of is locked.
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full>;

    /// How many more messages can be given.
    fn room(&self) -> usize;

    /// Waits until `count` more messages can be given.
    fn room_for(&self, count: usize) -> impl Future<Output = ()> + Send;

    /// Messages that were given and have not gone out yet.
    fn waiting(&self) -> usize;

    /// A reply subject of this instance's, for one request, which it also names.
    fn inbox(&self) -> String;

    /// Sends a request to another instance ([`Kind::Routed`], with a reply subject of
    /// [`Bus::inbox`]), and waits for its answer; ends by the deadline. That nobody is there may be
    /// known at once, and need not: somebody who only listens looks like somebody who is slow.
    fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> impl Future<Output = Result<Answer, AskError>> + Send;

    /// Takes in what is routed to a partition, from now on; false where that fails. Done again, it
    /// changes nothing.
    fn listen(&self, partition: Partition, take: Take) -> impl Future<Output = bool> + Send;

    /// Takes in nothing more that is routed to a partition. What has arrived is taken before this
    /// ends.
    fn unlisten(&self, partition: Partition) -> impl Future<Output = ()> + Send;

    /// Whether the server answers.
    fn is_reached(&self, deadline: Instant) -> impl Future<Output = bool> + Send;

    /// Waits until the server has everything that was given so far; false where it is not reached.
    fn reach(&self, deadline: Instant) -> impl Future<Output = bool> + Send;

    /// The largest message, headers and body, that the servers take, in bytes: of those that were
    /// connected to, the smallest.
    fn max_message_bytes(&self) -> usize;
}
