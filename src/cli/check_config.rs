//! `peerd check-config`

use std::process::ExitCode;

use super::{EXIT_FAILURE, complain, print, warn};
use crate::config::Loaded;

pub(super) fn run(loaded: &Loaded) -> ExitCode {
    loaded.warnings.iter().for_each(|warning| warn(warning));
    match toml::to_string(&loaded.config.without_secrets()) {
        Ok(text) => {
            print(text.trim_end());
            ExitCode::SUCCESS
        }
        Err(error) => complain(EXIT_FAILURE, &error),
    }
}
