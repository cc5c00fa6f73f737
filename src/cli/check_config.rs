//! `peerd check-config`

use std::process::ExitCode;

use super::{EXIT_FAILURE, complain, print};
use crate::config::Config;

pub(super) fn run(config: &Config) -> ExitCode {
    match toml::to_string(&config.without_secrets()) {
        Ok(text) => {
            print(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => complain(EXIT_FAILURE, &error),
    }
}
