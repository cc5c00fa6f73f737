//! The code that peerd's black-box tests, demos and measurements share: real nats-servers, the real
//! peerd binary, clients that know the contract and none of the daemon's code, a proxy that injects
//! network failures, and a load whose clients note their calls and answers.
//!
//! It does not depend on peerd: it starts the binary next to the test or the example.
//!
//! `let nats = Nats::start().await;` and `let peerd = Peerd::start(&nats).await;` start both on
//! free ports, in temporary folders; each ends when it is dropped. The packages in `clients` have
//! the same for the tests of applications.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "failing loudly, with what was seen, is its job"
)]
#![expect(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    reason = "every part may panic, and a test that leaves a value unused shows that by itself"
)]

pub mod faults;
pub mod http;
pub mod process;
pub mod program;
pub mod typed;
pub mod wait;

mod client;
mod codec;
mod deployment;
mod events;
mod nats;
mod nats_cluster;
mod observer;
mod owners;
mod peerd;
mod proxy;
mod signer;
mod store;

pub use client::{Client, Reply, login, send_text, token};
pub use codec::{Encoding, bin, decode, encode};
pub use deployment::{Settings, settings, start_instances};
pub use events::{Event, Events};
pub use nats::{Nats, free_port, reserved_port, server_binary};
pub use nats_cluster::NatsCluster;
pub use observer::Observer;
pub use owners::{Owner, Owners, Ownership};
pub use peerd::{Cli, Peerd, clean_command as peerd_command, run_cli, run_cli_env, run_cli_within};
pub use proxy::{Flow, Proxy};
pub use signer::{Signer, key_set};
pub use store::{Store, Writes, fnv1a32, partition};
