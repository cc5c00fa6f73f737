//! The document with the figures and the machines.

use std::{path::Path, process::Command, sync::OnceLock};

use serde::{Deserialize, Serialize};

use crate::figures::Figure;

/// All measured figures, so that single rows can be measured again.
const FIGURES: &str = "docs/performance.json";
const DOCUMENT: &str = "docs/performance.md";
/// The chart of latencies over the offered load, drawn by the row `capacity`.
pub(crate) const CHART: &str = "docs/performance.svg";
/// The row whose figures come first in the document, without goals.
pub(crate) const CAPACITY: &str = "capacity";
/// The text between two such lines is generated; the rest of the document is written by people.
const CAPACITY_ENDS: [&str; 2] = ["<!-- capacity: begin -->", "<!-- capacity: end -->"];
const GOALS_ENDS: [&str; 2] = ["<!-- measured: begin -->", "<!-- measured: end -->"];
const CAPACITY_HEAD: &str =
    "| figure | measured: medians (lowest to highest) | |\n| --- | --- | --- |";
const GOALS_HEAD: &str = "| figure | goal | measured: medians (lowest to highest) | reached | numbers |\n\
     | --- | --- | --- | --- | --- |";

/// A row, with the versions and the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub(crate) name: String,
    /// peerd's version, with the commit.
    pub(crate) release: String,
    pub(crate) nats_server: String,
    pub(crate) machine: String,
    pub(crate) figures: Vec<Figure>,
}

impl Row {
    pub(crate) fn new(name: &str, figures: Vec<Figure>) -> Self {
        Self {
            name: name.to_owned(),
            release: release().to_owned(),
            nats_server: nats_server(),
            machine: machine(),
            figures,
        }
    }
}

/// Puts a row into the document, in the order of `names`; the others stay.
pub(crate) fn write(row: Row, names: &[&str]) -> Result<(), String> {
    let failed = |file: &'static str| move |error: std::io::Error| format!("{file}: {error}");
    let mut all: Vec<Row> = match std::fs::read_to_string(FIGURES) {
        Ok(text) => serde_json::from_str(&text).map_err(|error| format!("{FIGURES}: {error}"))?,
        Err(_) => Vec::new(),
    };
    all.retain(|known| row.name != known.name);
    all.push(row);
    all.sort_by_key(|row| names.iter().position(|name| *name == row.name));
    let json = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())?;
    std::fs::write(FIGURES, json + "\n").map_err(failed(FIGURES))?;
    let document = std::fs::read_to_string(DOCUMENT).map_err(failed(DOCUMENT))?;
    let (capacity, goals): (Vec<Row>, Vec<Row>) =
        all.into_iter().partition(|row| row.name == CAPACITY);
    let document = replaced(&document, GOALS_ENDS, &table(&goals, GOALS_HEAD, Figure::line))?;
    let capacity = table(&capacity, CAPACITY_HEAD, Figure::plain_line) + &chart();
    let document = replaced(&document, CAPACITY_ENDS, &capacity)?;
    std::fs::write(DOCUMENT, document).map_err(failed(DOCUMENT))
}

/// The chart, if it was drawn.
fn chart() -> String {
    let name = Path::new(CHART).file_name().and_then(|name| name.to_str());
    match name {
        Some(name) if Path::new(CHART).exists() => {
            format!("\n![Latencies over the offered load]({name})\n")
        }
        _ => String::new(),
    }
}

/// Replaces the text between two lines of the document.
fn replaced(document: &str, [begin, end]: [&str; 2], text: &str) -> Result<String, String> {
    let parts = document.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let (before, after) = parts.ok_or_else(|| format!("{DOCUMENT} has no line {begin}"))?;
    let text = if text.is_empty() { "Not measured yet.\n" } else { text };
    Ok(format!("{before}{begin}\n\n{text}\n{end}{after}"))
}

/// A section for each combination of peerd, server and machine.
fn table(rows: &[Row], head: &str, line: impl Fn(&Figure) -> String) -> String {
    let mut alike: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        let is_like = |other: &&Row| {
            other.release == row.release
                && other.nats_server == row.nats_server
                && other.machine == row.machine
        };
        match alike.iter_mut().find(|rows| rows.first().is_some_and(is_like)) {
            Some(rows) => rows.push(row),
            None => alike.push(vec![row]),
        }
    }
    let sections = alike.iter().map(|rows| section(rows, head, &line));
    sections.collect::<Vec<_>>().join("\n")
}

/// The rows of one combination.
fn section(rows: &[&Row], head: &str, line: impl Fn(&Figure) -> String) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let lines: Vec<String> = rows.iter().flat_map(|row| &row.figures).map(line).collect();
    format!(
        "peerd {}, nats-server {}, {}.\n\n{head}\n{}\n",
        first.release,
        first.nats_server,
        first.machine,
        lines.join("\n"),
    )
}

/// The first line that a program prints.
fn line(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    String::from_utf8(output.stdout).ok()?.lines().next().map(|line| line.trim().to_owned())
}

/// peerd's version and commit, from the tree before anything was written into it.
fn release() -> &'static str {
    static RELEASE: OnceLock<String> = OnceLock::new();
    RELEASE.get_or_init(described)
}

fn described() -> String {
    let git = |arguments: &[&str]| line(Path::new("git"), arguments);
    let commit = git(&["describe", "--always"]).unwrap_or_else(|| "no commit".to_owned());
    // The output of an earlier run is not part of the measured code.
    let changes = git(&["status", "--porcelain", "--", ".", ":!docs/performance.*"]);
    let dirty = if changes.is_some_and(|changes| !changes.is_empty()) { "-dirty" } else { "" };
    format!("{} ({commit}{dirty})", env!("CARGO_PKG_VERSION"))
}

fn nats_server() -> String {
    let version = line(crate::support::server_binary(), &["--version"]).unwrap_or_default();
    version.trim_start_matches("nats-server:").trim().trim_start_matches('v').to_owned()
}

/// Processor, cores, memory, kernel, and the file system of the stores.
fn machine() -> String {
    let unknown = || "unknown".to_owned();
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let memory = proc::memory_bytes().map(|bytes| format!("{} GiB", bytes >> 30));
    format!(
        "{}, {cores} cores, {} of memory, Linux {}, stores on {}",
        proc::processor().unwrap_or_else(unknown),
        memory.unwrap_or_else(unknown),
        proc::kernel().unwrap_or_else(unknown),
        proc::file_system(&std::env::temp_dir()).unwrap_or_else(unknown),
    )
}

/// On Linux.
#[cfg(target_os = "linux")]
mod proc {
    use std::path::Path;

    use procfs::{Current as _, process::Process};

    pub(super) fn processor() -> Option<String> {
        Some(procfs::CpuInfo::current().ok()?.model_name(0)?.to_owned())
    }

    pub(super) fn memory_bytes() -> Option<u64> {
        Some(procfs::Meminfo::current().ok()?.mem_total)
    }

    pub(super) fn kernel() -> Option<String> {
        let version = procfs::sys::kernel::Version::current().ok()?;
        Some(format!("{}.{}.{}", version.major, version.minor, version.patch))
    }

    /// The kind of the file system that a directory is on.
    pub(super) fn file_system(directory: &Path) -> Option<String> {
        let mounts = Process::myself().ok()?.mountinfo().ok()?;
        let holding = mounts.0.into_iter().filter(|it| directory.starts_with(&it.mount_point));
        // Of several mounts at the same place, the last one hides the others.
        Some(holding.max_by_key(|it| it.mount_point.as_os_str().len())?.fs_type)
    }
}

/// On other systems.
#[cfg(not(target_os = "linux"))]
mod proc {
    use std::path::Path;

    pub(super) fn processor() -> Option<String> {
        None
    }

    pub(super) fn memory_bytes() -> Option<u64> {
        None
    }

    pub(super) fn kernel() -> Option<String> {
        None
    }

    pub(super) fn file_system(_directory: &Path) -> Option<String> {
        None
    }
}
