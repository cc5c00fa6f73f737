//! peerd: one-to-one messaging for NATS.
//!
//! The layers, each of which may use those above it in this list only (`tests/layering.rs` holds
//! the imports to it): [`domain`], [`wire`], [`clock`] and [`link`], [`store`] and [`bus`],
//! [`storage`], [`cluster`], [`runtime`], [`config`], [`telemetry`] and [`verify`], [`cli`].
//! `ARCHITECTURE.md` is the map.

pub mod bus;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod deliberate;
pub mod domain;
pub mod link;
pub mod runtime;
pub mod storage;
pub mod store;
pub mod telemetry;
pub mod verify;
pub mod wire;
