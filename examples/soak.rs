//! Runs three nats-servers and three peerds under a mixed load with faults, for an hour by default,
//! and records the resources of each peerd: memory, files, threads, subscriptions and tasks. No
//! message may be lost, doubled or miscounted, and no resource may rise.
//!
//! `make soak MINUTES=60` runs it. It writes its records to a folder, and exits with 1 after any
//! fault. One of the peerds is never restarted, so that its records cover the whole run.

#[path = "soak/flat.rs"]
mod flat;
#[path = "soak/plot.rs"]
mod plot;
#[path = "soak/report.rs"]
mod report;
#[path = "soak/sample.rs"]
mod sample;
#[path = "soak/stage.rs"]
mod stage;
#[path = "soak/watcher.rs"]
mod watcher;

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use peerd_testkit::{
    self as support, faults,
    program::{interrupted, until_stopped},
};

use crate::{faults::failure::Failure, report::Report, stage::Stage};

/// Records the resources of three peerds under a mixed load with faults.
#[derive(Debug, Parser)]
struct Arguments {
    /// Minutes of load.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    minutes: u64,
    /// Leave the nats-servers alone.
    #[arg(long)]
    spare_nats: bool,
    /// The folder for the series, the report, the picture, and the logs of a run that failed.
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    until_stopped(Box::pin(run(&arguments))).await.unwrap_or_else(interrupted)
}

/// Returns whether there was no fault.
async fn run(arguments: &Arguments) -> Result<bool, Failure> {
    std::fs::create_dir_all(&arguments.out)?;
    let span = Duration::from_secs(arguments.minutes * 60);
    let mut stage = Stage::set(span).await?;
    let verdict = match stage.play(span, arguments.spare_nats).await {
        Ok(()) => stage.judge().await,
        Err(failure) => Err(failure),
    };
    let verdict = match verdict {
        Ok(verdict) => verdict,
        Err(failure) => {
            stage.keep_logs(&arguments.out)?;
            return Err(failure);
        }
    };
    let report = Report::of(span, stage.watched(), verdict);
    report.write(&arguments.out)?;
    say(&report.to_string());
    let is_good = report.is_good();
    if !is_good {
        stage.keep_logs(&arguments.out)?;
    }
    say(&format!("what was seen is in {}", arguments.out.display()));
    say(if is_good { "All is as promised." } else { "NOT AS PROMISED." });
    Ok(is_good)
}

/// Writes a line. A closed output does not end the run.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
