//! Tests of peerd without NATS.
//!
//! - The simulation ([`run()`], [`run_all`]): several instances of the real code in one process,
//!   over simulated implementations of store, bucket and bus, on virtual time. One seed determines
//!   all calls and all injected faults ([`Plan`]).
//! - A single instance with random calls ([`single`]), each compared with what the contract
//!   expects.
//! - The model of the contract, with which both compare replies. It shares no code with the
//!   daemon's decisions.

#![expect(clippy::print_stdout, reason = "a run reports its results")]
#![expect(clippy::expect_used, clippy::panic, reason = "a test that cannot continue must fail")]
#![expect(clippy::missing_panics_doc, reason = "all of it is called by tests alone")]

mod append;
mod audit;
mod bus;
#[cfg(debug_assertions)]
mod caught;
mod client;
pub mod cost;
mod falsified;
mod instance;
mod journal;
mod known;
mod log;
mod many;
mod model;
mod names;
mod plan;
mod registry;
mod rule;
mod rules;
mod run;
mod server;
mod shrink;
pub mod single;
mod store;
mod trace;
mod traffic;
mod world;

use peerd_testkit::faults::random;

#[cfg(debug_assertions)]
pub use self::caught::find_all as find_injected_faults;
pub use self::many::run_all;
pub use self::model::Flaw;
pub use self::model::request::unknown_methods;
pub use self::plan::Plan;
pub use self::rule::{Broken, Rule};
pub use self::run::{Figures, Run, run};
