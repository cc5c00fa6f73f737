//! The peerd binary: reads the arguments and leaves with an exit code.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    peerd::cli::Arguments::parse().run()
}
