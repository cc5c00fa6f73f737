//! The daemon at work: users and their state, calls and their flow, start and stop.

pub mod commands;
pub mod connect;
pub mod daemon;
pub mod node;
pub mod payload;
pub mod permissions;

mod admission;
mod ageing;
mod agreement;
#[cfg(test)]
mod amended;
mod audit;
mod call;
mod commit;
mod conversations;
mod crossing;
mod env;
#[cfg(test)]
mod fake;
mod history;
mod hosting;
mod injected;
mod intake;
mod keeper;
mod owner_request;
mod parts;
mod patience;
mod pending;
mod permits;
mod publisher;
mod pushes;
mod received;
mod redelivery;
mod replay;
mod replies;
mod requests;
mod retry;
mod rights;
mod router;
mod send;
mod session;
mod users;
