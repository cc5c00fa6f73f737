//! peerd: one-to-one messaging for NATS.
//!
//! The layers, each of which uses only those before it: [`wire`], [`clock`], `trace`, [`metrics`],
//! [`http`] and [`link`], [`callout`], [`store`] and [`bus`], [`storage`], [`cluster`],
//! [`runtime`], [`config`] and [`telemetry`], [`cli`].
//! Decisions are in `peerd-core`, the public contract in `peerd-protocol`, the history checker in
//! `peerd-verify`, logins by token in `peerd-callout`.
//!
//! `ARCHITECTURE.md` is the map of the code.

// The futures of an instance's tasks are nested deeper than the default of 128, which matters where
// a task is spawned and its future must be `Send`.
#![recursion_limit = "256"]

pub mod bus;
pub mod callout;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod failpoint;
pub mod http;
pub mod link;
pub mod metrics;
pub mod runtime;
pub mod storage;
pub mod store;
pub mod telemetry;
pub(crate) mod trace;
pub mod wire;
