//! The peerd binary: parses the arguments, runs the command, and exits with its code.

use std::process::ExitCode;

use clap::Parser as _;

/// A call makes mostly small, short-lived allocations, which one thread makes and another one
/// frees. This allocator is designed for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    peerd::cli::Arguments::parse().run()
}
