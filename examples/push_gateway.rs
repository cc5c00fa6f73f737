//! A push gateway to start from: takes offline pushes from peerd's work queue, prints each where
//! yours would call a push vendor, and acknowledges it.
//!
//! `cargo run --example push_gateway -- create` makes the consumer, once, as the operator; `… --
//! run` runs the gateway. `$NATS_URL`, `$NATS_USER` and `$NATS_PASSWORD` name the server and the
//! user. The permissions that both need are in `deploy/nats`.

#[path = "push_gateway/queue.rs"]
mod queue;

use std::{io::Write as _, process::ExitCode};

use async_nats::{Client, ConnectOptions, Error};
use clap::{Parser, Subcommand};
use serde_json::Value;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the consumer that all gateways share; once, as the operator.
    Create,
    /// Take pushes until interrupted.
    Run,
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "an example talks to its user")]
async fn main() -> ExitCode {
    match act(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn act(command: Command) -> Result<(), Error> {
    let client = connect().await?;
    match command {
        Command::Create => queue::create(client).await,
        Command::Run => tokio::select! {
            ended = queue::run(client, print) => ended,
            // Pushes without an acknowledgement are delivered again.
            interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        },
    }
}

async fn connect() -> Result<Client, Error> {
    let url = variable("NATS_URL").unwrap_or_else(|| "nats://127.0.0.1:4222".to_owned());
    let mut options = ConnectOptions::new().name("push gateway");
    if let (Some(user), Some(password)) = (variable("NATS_USER"), variable("NATS_PASSWORD")) {
        // The operator's permissions have the common inbox prefix, the gateway's one of its own.
        if user == queue::CONSUMER {
            options = options.custom_inbox_prefix(format!("_INBOX_{user}"));
        }
        options = options.user_and_password(user, password);
    }
    Ok(options.connect(url).await?)
}

#[expect(clippy::disallowed_methods, reason = "an example has no configuration")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Yours would call a vendor here. A push that is delivered again has the same `messageID`.
async fn print(push: &Value) -> Result<(), String> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{push}").and_then(|()| out.flush()).map_err(|error| error.to_string())
}
