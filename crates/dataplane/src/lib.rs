//! The connection of peerd's bus: the NATS client protocol, for exactly what the bus needs.
//!
//! [`Client`] subscribes, publishes, sends requests, and asks the server for an answer
//! ([`Client::round_trip`]). It makes its connection again whenever it is lost, and its
//! subscriptions with it. What a publisher may have put into a message belongs to that message and
//! never ends the connection: subjects are bytes, and [`Headers`] keeps a malformed header block as
//! it came. The README says what it does and what it does not.

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
pub use subscription::Subscription;
