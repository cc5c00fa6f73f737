//! The setup of the log.

use std::io::IsTerminal as _;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Pretty,
    /// For programs: one JSON object a line.
    Json,
}

/// The level and the format of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// The least severe level that is shown.
    pub level: LevelFilter,
    /// The format of a line.
    pub format: Format,
}

impl Telemetry {
    /// Makes the process log to standard error from now on.
    pub fn install(self) {
        // async-nats logs every event and every attempt of a connection. peerd logs them itself,
        // each once.
        let filter =
            Targets::new().with_default(self.level).with_target("async_nats", LevelFilter::OFF);
        let layer = match self.format {
            Format::Pretty => fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
            Format::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
        };
        tracing_subscriber::registry().with(layer.with_filter(filter)).init();
    }
}
