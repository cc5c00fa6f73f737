//! A nats-server and a peerd to play with, until Ctrl-C.
//!
//! `make run` starts both on free ports with a temporary store, and prints what to type in a second
//! terminal.

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use peerd_testkit::{Nats, Peerd, faults::failure::Failure, program::until_stopped};

const LOG_INTERVAL: Duration = Duration::from_millis(300);

#[tokio::main]
async fn main() -> ExitCode {
    until_stopped(Box::pin(run())).await.unwrap_or_else(|| {
        say("\nBoth have ended, and the store is gone.");
        ExitCode::SUCCESS
    })
}

/// Runs both until peerd ends.
async fn run() -> Result<bool, Failure> {
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
    Err("peerd has ended by itself".into())
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
