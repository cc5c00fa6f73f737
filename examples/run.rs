//! A nats-server and a peerd to play with, until Ctrl-C.
//!
//! `make run` starts both on free ports with a temporary store, and prints what to type in a second
//! terminal.

#[path = "demo/failure.rs"]
mod failure;
#[path = "demo/stop.rs"]
mod stop;

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use peerd_testkit as support;

use crate::{
    failure::{panic_in_plain_words, report_failure},
    stop::asked_to_stop,
    support::{Nats, Peerd},
};

const LOG_INTERVAL: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> ExitCode {
    panic_in_plain_words();
    let mut running = tokio::spawn(run());
    tokio::select! {
        // It ends by itself only after a failure; a panic has printed the reason.
        ended = &mut running => {
            if let Ok(why) = ended {
                report_failure(&why);
            }
            ExitCode::FAILURE
        }
        asked = asked_to_stop() => {
            // Ending the task drops the servers, which kills them.
            running.abort();
            let _ = running.await;
            match asked {
                Ok(()) => {
                    say("\nBoth have ended, and the store is gone.");
                    ExitCode::SUCCESS
                }
                Err(error) => {
                    report_failure(&format!("cannot listen for signals: {error}"));
                    ExitCode::FAILURE
                }
            }
        }
    }
}

/// Runs both until peerd ends; returns the reason.
async fn run() -> String {
    say("starting a nats-server and a peerd …");
    let nats = Nats::start().await;
    let mut peerd = Peerd::start_with(&nats.url(), &[]).await;
    say(&invitation(&nats.url()));
    let mut log = peerd.log();
    say(log.trim_end());
    while peerd.is_running() {
        tokio::time::sleep(LOG_INTERVAL).await;
        let now = peerd.log();
        if let Some(news) = now.strip_prefix(log.as_str())
            && !news.is_empty()
        {
            say(news.trim_end());
        }
        log = now;
    }
    "peerd has ended by itself".to_owned()
}

fn invitation(url: &str) -> String {
    let peerd =
        binary().map_or_else(|| "target/debug/peerd".to_owned(), |path| path.display().to_string());
    format!(
        r#"A nats-server and a peerd are running, with a temporary store.

In a second terminal, watch the events of alice and bob:

    export PEERD__NATS__SERVERS={url}
    {peerd} watch alice bob

In a third, log them in, send, look, and mark as read:

    export PEERD__NATS__SERVERS={url}
    {peerd} call alice login
    {peerd} call bob login
    {peerd} call alice send_peer_message \
        '{{"toUserID":"bob","message":{{"type":1,"message":"Hello, Bob!"}}}}'
    {peerd} call bob query_conversation_list '{{"config":{{"count":10}}}}'
    {peerd} call bob query_history_message \
        '{{"conversationID":"alice","config":{{"count":20,"reverse":true}}}}'
    {peerd} call bob clear_conversation_unread_message_count '{{"conversationID":"alice"}}'

Ctrl-C ends both. peerd's log follows.
"#
    )
}

/// The daemon's binary, one directory above this example's; relative where that is shorter.
fn binary() -> Option<PathBuf> {
    let this = std::env::current_exe().ok()?;
    let path = this.parent()?.parent()?.join("peerd");
    let here = std::env::current_dir().ok()?;
    let relative = path.strip_prefix(&here).map(PathBuf::from);
    Some(relative.unwrap_or(path))
}

fn say(text: &str) {
    // A closed standard output is not an error.
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
