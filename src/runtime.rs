//! The daemon at work: users and their state, calls and their flow, start and stop.

pub mod clock;
pub mod connect;
pub mod daemon;
pub mod node;

mod blocklist;
mod call;
mod catch_up;
mod cell;
mod conversations;
mod deletions;
mod history;
mod load;
mod replay;
mod send;
mod session;
mod settings;
