//! Error messages: a sentence on standard error, without a backtrace.

use std::{io::Write as _, panic::PanicHookInfo};

/// Writes one error message.
pub(crate) fn report_failure(text: &str) {
    // If standard error is closed, the exit code still reports the failure.
    let _ = writeln!(std::io::stderr().lock(), "\nfailed: {text}");
}

/// Makes a panic print its message, and no more.
pub(crate) fn panic_in_plain_words() {
    std::panic::set_hook(Box::new(|info| report_failure(words(info))));
}

fn words<'a>(info: &'a PanicHookInfo<'_>) -> &'a str {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}
