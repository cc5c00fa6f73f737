//! The connection of peerd's data plane: the subset of the NATS client protocol that it needs.
//!
//! [`Client`] subscribes, publishes, sends requests, and makes round trips to the server
//! ([`Client::round_trip`]). It reconnects whenever the connection is lost, and subscribes again.
//! No message of a publisher ends the connection: subjects are bytes, and [`Headers`] keeps a
//! malformed header block unchanged. The README lists what the crate does and what it does not.

mod address;
mod auth;
mod client;
mod connection;
mod dial;
mod error;
mod event;
pub mod headers;
mod info;
mod options;
mod outbox;
mod parser;
mod reader;
mod request;
mod servers;
mod shared;
mod subscription;
mod subscriptions;
mod tls;

pub use client::Client;
pub use error::{ConnectError, ConnectErrorKind, Disconnected, PublishError, RequestError};
pub use event::{Event, Operation};
pub use headers::{Headers, Malformed};
pub use info::ServerInfo;
pub use options::{Credentials, OnEvent, Options, Tls};
pub use outbox::Publish;
pub use parser::{Frame, Message, Parser, ProtocolError};
pub use subscription::{HandledSubscription, Subscription};
pub use subscriptions::Handler;
