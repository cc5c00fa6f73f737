//! Measures the figures of docs/performance.md.
//!
//! `make bench` starts servers of its own, measures each row, and writes the figures into the
//! document. `make bench ROWS=throughput,history` measures some rows. `make bench QUICK=1` is a
//! short run that writes nothing, for a rough look and to see that everything works.

#[path = "performance/bulk.rs"]
mod bulk;
#[path = "performance/capacity.rs"]
mod capacity;
#[path = "performance/contention.rs"]
mod contention;
#[path = "performance/document.rs"]
mod document;
#[path = "performance/effort.rs"]
mod effort;
#[path = "performance/figures.rs"]
mod figures;
#[path = "performance/load.rs"]
mod load;
#[path = "performance/memory.rs"]
mod memory;
#[path = "performance/reading.rs"]
mod reading;
#[path = "performance/stage.rs"]
mod stage;

use std::process::ExitCode;

use clap::Parser as _;
use peerd_testkit::{
    self as support,
    program::{panic_in_plain_words, report_failure},
};

use crate::{document::Row, effort::Effort, figures::Figure};

/// The rows, in the order of the document.
const ROWS: [&str; 13] = [
    document::CAPACITY,
    "throughput",
    "throughput-r3",
    "fsync",
    "latency",
    "reads",
    "full",
    "long",
    "history",
    "first-call",
    "hot",
    "memory",
    "overload",
];

#[derive(Debug, clap::Parser)]
struct Arguments {
    /// The rows to measure; all if left out.
    #[arg(long, value_delimiter = ',', value_parser = ROWS)]
    rows: Vec<String>,
    /// A short run that writes nothing.
    #[arg(long)]
    quick: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    panic_in_plain_words();
    let Arguments { rows, quick } = Arguments::parse();
    let effort = if quick { Effort::QUICK } else { Effort::FULL };
    let mut has_failed = false;
    for row in ROWS {
        if !rows.is_empty() && rows.iter().all(|asked| asked != row) {
            continue;
        }
        say(&format!("{row} …"));
        match measure(row, &effort, quick).await {
            Ok(figures) => {
                for figure in &figures {
                    say(&figure.line());
                }
                // Each row is written as soon as it is measured, since the rest may take most of an
                // hour.
                let measured = Row::new(row, figures);
                if !quick && let Err(why) = document::write(measured, &ROWS) {
                    has_failed = true;
                    report_failure(&why);
                }
            }
            Err(why) => {
                has_failed = true;
                report_failure(&format!("{row}: {why}"));
            }
        }
    }
    if has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn measure(row: &str, effort: &Effort, quick: bool) -> Result<Vec<Figure>, String> {
    match row {
        document::CAPACITY if quick => {
            let dir = tempfile::TempDir::new().map_err(|error| error.to_string())?;
            capacity::measure(effort, &dir.path().join("latency.svg")).await
        }
        document::CAPACITY => capacity::measure(effort, document::CHART.as_ref()).await,
        "throughput" => load::throughput(effort).await,
        "throughput-r3" => load::replicated(effort).await,
        "fsync" => load::synced(effort).await,
        "reads" => contention::reads_beside_sends(effort).await,
        "latency" => load::latency(effort).await,
        "full" => load::full(effort).await,
        "long" => load::long(effort).await,
        "history" => reading::history_pages(effort).await,
        "first-call" => reading::first_call(effort).await,
        "hot" => load::hot(effort).await,
        "memory" => memory::measure(effort).await,
        "overload" => load::overload(effort).await,
        other => Err(format!("there is no row {other}")),
    }
}

#[expect(clippy::print_stdout, reason = "it is run to be read")]
fn say(line: &str) {
    println!("{line}");
}
