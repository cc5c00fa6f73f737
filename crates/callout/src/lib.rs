//! Login by token. A client connects to nats-server with a signed token, the server asks peerd with
//! an *authorization request* ([ADR-26]), and peerd answers with the permissions of the token's user
//! or with a refusal.
//!
//! This crate decides and encodes; it has no runtime, no NATS client and no clock. [`token`]
//! verifies a token against [`key::Keys`], the [`token::Rules`] and the list of
//! [`revocation::Revocations`]; [`grant`] has the permissions of a user; [`callout::Callout`] reads
//! requests and writes responses.
//!
//! [ADR-26]: https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-26.md

pub mod callout;
pub mod grant;
mod jws;
pub mod key;
pub mod refusal;
pub mod request;
mod response;
pub mod revocation;
pub mod token;
