//! The frame of a demo's `main`: signals that stop it, and failures in plain words.

use std::{
    io::{self, Write as _},
    panic::{AssertUnwindSafe, PanicHookInfo},
    process::ExitCode,
};

use futures::FutureExt as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::faults::failure::Failure;

/// Runs a program that returns whether all its checks passed. On Ctrl-C and SIGTERM it is dropped,
/// and with it the servers that it holds, which kills them; there is no exit code then.
pub async fn until_stopped(
    program: impl Future<Output = Result<bool, Failure>>,
) -> Option<ExitCode> {
    panic_in_plain_words();
    let failed = |failure: Failure| {
        report_failure(&failure.to_string());
        Some(ExitCode::FAILURE)
    };
    tokio::select! {
        ended = AssertUnwindSafe(program).catch_unwind() => match ended {
            Ok(Ok(true)) => Some(ExitCode::SUCCESS),
            Ok(Err(failure)) => failed(failure),
            // The program has said why, or the hook.
            Ok(Ok(false)) | Err(_) => Some(ExitCode::FAILURE),
        },
        asked = asked_to_stop() => match asked {
            Ok(()) => None,
            Err(error) => failed(format!("cannot listen for signals: {error}").into()),
        },
    }
}

/// The exit code of a program that Ctrl-C ended, as shells have it.
pub fn interrupted() -> ExitCode {
    ExitCode::from(130)
}

/// Writes one error message: a sentence on standard error, without a backtrace.
pub fn report_failure(text: &str) {
    // If standard error is closed, the exit code still reports the failure.
    let _ = writeln!(io::stderr().lock(), "\nfailed: {text}");
}

/// Makes a panic print its message, and no more.
pub fn panic_in_plain_words() {
    std::panic::set_hook(Box::new(|info| report_failure(words(info))));
}

fn words<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// Returns on Ctrl-C and on SIGTERM.
async fn asked_to_stop() -> io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
