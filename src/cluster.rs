//! Who is there, who owns what, and how that changes.
//!
//! What is decided is decided by plain functions ([`assignment`], [`view`], [`plan`]); [`steward`]
//! carries it out against the bucket of owners and a [`host`] that serves partitions.

pub mod assignment;
pub mod host;
pub mod lease;
pub mod plan;
pub mod process;
pub mod steward;
pub mod table;
pub mod view;

mod claims;
mod heartbeat;
mod job;
