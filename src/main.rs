//! The peerd binary: reads the arguments and leaves with an exit code.

use std::process::ExitCode;

use clap::Parser as _;

/// Most of what a call costs this process is small, short-lived memory, made on one thread and given
/// back on another: this allocator is made for that.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    peerd::cli::Arguments::parse().run()
}
