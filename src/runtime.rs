//! The daemon at work: users and their state, calls and their flow, start and stop.

pub mod connect;
pub mod daemon;
pub mod node;
pub mod payload;

mod again;
mod audit;
mod blocklist;
mod call;
mod catch_up;
mod cell;
mod consign;
mod conversations;
mod deletions;
mod history;
mod hosting;
mod load;
mod pace;
mod pending;
mod replay;
mod route;
mod send;
mod session;
mod settings;
mod tenure;
#[cfg(test)]
mod twin;
mod written;
