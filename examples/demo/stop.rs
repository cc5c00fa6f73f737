//! Signals that stop a demo.

use tokio::signal::unix::{SignalKind, signal};

/// Returns on Ctrl-C and on SIGTERM.
pub(crate) async fn asked_to_stop() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
