//! Login by token: answers the auth callouts of nats-servers (`docs/login.md`). The decisions are
//! in `peerd-callout`; here are the subscription, the keys and the lists, which are fetched and read
//! again, and the bounds.
//!
//! Whatever fails, nobody gets in who should not: without an answer, nats-server refuses the client.

pub mod counters;
mod fetch;
mod keys;
pub mod options;
mod revoked;
pub mod service;
mod tuning;

/// The subject of authorization requests.
pub const SUBJECT: &str = "$SYS.REQ.USER.AUTH";
/// The queue group of all instances: one of them answers each request.
const QUEUE_GROUP: &str = "peerd";
