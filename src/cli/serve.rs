//! `peerd serve`

mod notify;

use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};

use self::notify::Manager;
use super::{EXIT_CONFIGURATION, EXIT_FAILURE, complain, exit_code};
use crate::runtime::daemon::{Settings, serve};
use crate::telemetry::Telemetry;

pub(super) async fn run(
    settings: Settings,
    telemetry: Telemetry,
    warnings: Vec<String>,
) -> ExitCode {
    let installed = match telemetry.install() {
        Ok(installed) => installed,
        Err(problem) => return complain(EXIT_CONFIGURATION, &problem),
    };
    for warning in warnings {
        tracing::warn!(warning, "the configuration has a doubtful setting");
    }
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => return complain(EXIT_FAILURE, &error),
        };
    let manager = Arc::new(Manager::of_environment());
    let stopping = manager.clone();
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; a second signal exits at once");
        stopping.stopping();
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            tracing::warn!("exiting at once");
            std::process::exit(i32::from(EXIT_FAILURE));
        });
    };
    let version = env!("CARGO_PKG_VERSION");
    let prefix = settings.subject_prefix.clone();
    let alive = manager.clone();
    tokio::spawn(async move { alive.give_signs_of_life().await });
    let ready = |id: &str| {
        tracing::info!(id, version, prefix, "ready");
        manager.ready();
    };
    let exit_code = match serve(settings, shutdown, ready).await {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let exit_code = error.cause().map_or(EXIT_FAILURE, exit_code);
            tracing::error!(%error, exit_code, "peerd cannot continue");
            ExitCode::from(exit_code)
        }
    };
    installed.end().await;
    exit_code
}
