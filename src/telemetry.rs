//! The setup of the log and of the export of traces.

#[cfg(feature = "otel")]
mod export;

use std::io::IsTerminal as _;
use std::path::PathBuf;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

use crate::trace;

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Pretty,
    /// For programs: one JSON object a line.
    Json,
}

/// Where traces are exported to, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Traces {
    /// The base address of the collector.
    pub endpoint: String,
    /// PEM certificates to trust instead of the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// The share of the calls without a trace of their caller for which peerd begins one.
    pub sample_ratio: f64,
}

/// The level and the format of the log, and the export of traces.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// The least severe level that is shown.
    pub level: LevelFilter,
    /// The format of a line.
    pub format: Format,
    /// `None`: traces are not exported.
    pub traces: Option<Traces>,
}

/// What [`Telemetry::install`] has started.
pub struct Installed {
    #[cfg(feature = "otel")]
    export: Option<export::Export>,
}

impl Installed {
    /// Exports the last spans.
    pub async fn end(self) {
        #[cfg(feature = "otel")]
        if let Some(export) = self.export {
            export.end().await;
        }
    }
}

impl Telemetry {
    /// Makes the process log to standard error, and export traces, from now on. Within a runtime.
    pub fn install(self) -> Result<Installed, String> {
        // async-nats logs every event and every attempt of a connection. peerd logs them itself,
        // each once. A line of a traced call names the trace at every level.
        let filter = Targets::new()
            .with_default(self.level)
            .with_target(trace::TARGET, LevelFilter::INFO)
            .with_target("async_nats", LevelFilter::OFF);
        let layer = match self.format {
            Format::Pretty => fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(std::io::stderr().is_terminal())
                .with_target(false)
                .boxed(),
            Format::Json => fmt::layer().json().with_writer(std::io::stderr).boxed(),
        };
        let log = tracing_subscriber::registry().with(layer.with_filter(filter));
        #[cfg(feature = "otel")]
        return {
            let export = self.traces.as_ref().map(export::Export::start).transpose()?;
            let traces = export.as_ref().map(|export| {
                let only = Targets::new().with_target(trace::TARGET, LevelFilter::INFO);
                let spans = tracing_opentelemetry::layer().with_tracer(export.tracer());
                // Where in the source a span begins says nothing about a call.
                let spans = spans.with_location(false).with_threads(false).with_target(false);
                spans.with_tracked_inactivity(false).with_filter(only)
            });
            log.with(traces).init();
            if let Some(traces) = &self.traces {
                trace::sample(traces.sample_ratio);
            }
            Ok(Installed { export })
        };
        #[cfg(not(feature = "otel"))]
        return {
            log.init();
            Ok(Installed {})
        };
    }
}
