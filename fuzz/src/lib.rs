//! The properties of every decoder of peerd for any input.
//!
//! There is one file for each target of the fuzzer, with a `check` that takes any bytes and panics
//! if a property does not hold, and with `seeds` to begin from. The targets in `fuzz_targets/` give
//! these checks to libFuzzer; `tests/fuzz_corpus.rs` includes this file and gives them the corpus
//! and every input that ever failed.

#![expect(
    clippy::panic,
    clippy::expect_used,
    reason = "a check that does not hold is to panic: that is how a fuzzer notices"
)]

pub mod bodies;
pub mod corpus;
pub mod frames;
pub mod instances;
pub mod names;
pub mod settings;
pub mod stored;
pub mod tokens;
pub mod trees;

mod messages;
mod node;

/// More kinds than any target has, so that an input keeps its kind when one is added.
const KINDS: u8 = 16;

/// The longest user ID in bodies of calls, as by default.
const USER_ID_BYTES: usize = 64;

/// A target of the fuzzer.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of the binary, of its corpus, of its folder of regressions.
    pub name: &'static str,
    /// Panics if a property does not hold for these bytes.
    pub check: fn(&[u8]),
    /// Inputs to begin from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "names", check: names::check, seeds: names::seeds },
    Target { name: "bodies", check: bodies::check, seeds: bodies::seeds },
    Target { name: "trees", check: trees::check, seeds: trees::seeds },
    Target { name: "stored", check: stored::check, seeds: stored::seeds },
    Target { name: "instances", check: instances::check, seeds: instances::seeds },
    Target { name: "settings", check: settings::check, seeds: settings::seeds },
    Target { name: "frames", check: frames::check, seeds: frames::seeds },
    Target { name: "tokens", check: tokens::check, seeds: tokens::seeds },
];
