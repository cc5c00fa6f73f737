//! `peerd new-seed`

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::process::ExitCode;

use clap::ValueEnum;
use peerd_callout::callout::{new_account, new_xkey};

use super::{EXIT_FAILURE, complain, print};

/// The use of a seed.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Use {
    /// `auth_callout.issuer` of nats-server, and `callout.issuer_seed_file`.
    Issuer,
    /// `auth_callout.xkey` of nats-server, and `callout.xkey_seed_file`.
    Xkey,
}

pub(super) fn run(of: Use, file: &Path) -> ExitCode {
    let (seed, public) = match of {
        Use::Issuer => new_account(),
        Use::Xkey => new_xkey(),
    };
    match write(file, &seed) {
        Ok(()) => {
            print(&public);
            ExitCode::SUCCESS
        }
        Err(error) => complain(EXIT_FAILURE, &format!("{}: {error}", file.display())),
    }
}

/// Writes a new file that only this user can read.
fn write(file: &Path, seed: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    writeln!(file, "{seed}")
}
