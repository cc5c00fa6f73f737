//! What the black-box tests and the examples share: a real nats-server, the real peerd binary and
//! a client that knows the contract and nothing of the daemon's code.
#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary and each example uses its own part of this module"
)]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test support: failing loudly, with what was seen, is its job"
)]

mod client;
mod codec;
mod events;
mod nats;
mod nats_cluster;
mod observer;
mod peerd;
mod proxy;
mod store;

pub(crate) use client::{Client, Encoding, Reply, login, send_text, token};
pub(crate) use codec::{bin, decode, encode};
pub(crate) use events::{Event, Events};
pub(crate) use nats::{Nats, free_port, reserved_port, server_binary};
pub(crate) use nats_cluster::NatsCluster;
pub(crate) use observer::Observer;
pub(crate) use peerd::{Cli, Peerd, clean_command as peerd_command, run_cli, run_cli_env};
pub(crate) use proxy::{Flow, Proxy};
pub(crate) use store::{Store, Writes, fnv1a32, partition};
