//! The daemon at work: users and their state, calls and their flow, start and stop.

pub mod commands;
pub mod connect;
pub mod daemon;
pub mod node;
pub mod payload;
pub mod permissions;

mod ageing;
mod agreement;
#[cfg(test)]
mod amended;
mod audit;
mod call;
mod cell;
mod commit;
mod conversations;
mod crossing;
mod deletions;
mod gap_tracker;
mod history;
mod hosting;
mod injected;
mod keeper;
mod load;
mod lost;
mod owner_request;
mod ownership;
mod pace;
mod patience;
mod pending;
mod pushes;
mod received;
mod redelivery;
mod relay;
mod replay;
mod rights;
mod route;
mod send;
mod session;
#[cfg(test)]
mod twin;
