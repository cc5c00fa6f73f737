//! The wire: core NATS, and a twin of it for tests.

pub mod discovery;
pub mod memory;
pub mod nats;

mod queue;

use std::future::Future;

use bytes::Bytes;

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
    /// The body.
    pub body: Bytes,
}

/// What kind of message goes out, apart from its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An event, or a reply to a call that succeeded.
    Plain,
    /// A reply to a repeat.
    Duplicate,
    /// A reply to a call that failed.
    Error {
        /// The code.
        code: u32,
        /// The text for the caller.
        text: String,
    },
}

/// A message on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its subject.
    pub subject: String,
    /// How the body is written.
    pub encoding: Encoding,
    /// What headers it has besides.
    pub kind: Kind,
    /// The body.
    pub body: Bytes,
}

/// The bus takes nothing more: too much is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too much is on its way out")]
pub struct Full;

/// What goes out to users.
pub trait Bus: Send + Sync + 'static {
    /// Sends a message. Messages go out in the order in which they are given. Never waits, so that
    /// a message can be given while the state it tells of is locked.
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full>;

    /// Waits until `count` more messages can be given.
    fn room_for(&self, count: usize) -> impl Future<Output = ()> + Send;

    /// The largest message, headers and body, in bytes.
    fn max_message_bytes(&self) -> usize;
}
