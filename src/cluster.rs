//! Cluster membership and partition ownership.
//!
//! Pure functions make the decisions ([`assignment`], [`view`], [`reconcile`]). The
//! membership manager ([`membership`]) carries them out against the owners bucket and a [`host`]
//! that serves partitions.

pub mod assignment;
pub mod host;
pub mod lease;
pub mod membership;
pub mod process;
pub mod reconcile;
pub mod table;
pub mod view;

mod claims;
mod heartbeat;
mod job;
mod tuning;
