//! The report of `peerd status` for people: at most 100 columns, without colour.

use super::report::{MemberLine, PartitionLine, Report, StreamLine};
use crate::cli::table::{
    Align::{Left, Right},
    Column, columns,
};
use crate::storage::owners::MemberId;

/// The most lines of a list; of a longer list, only lines with problems are shown.
const ROWS_MAX: usize = 64;
/// The most problems shown.
const PROBLEMS_MAX: usize = 20;
/// The letters of a member's ID that are shown; more if two would look the same.
const ID_LETTERS: usize = 8;
/// The columns of a line.
const WIDTH: usize = 100;
/// The longest shown name of a machine, a node or a stream, in letters.
const HOST_LETTERS: usize = 18;
const NAME_LETTERS: usize = 26;
/// Shown for an unknown value.
const UNKNOWN: &str = "-";

/// The report as text.
pub(super) fn text(report: &Report, now_ms: u64) -> String {
    let ids = Ids::of(report);
    let mut parts = vec![summary(report)];
    if !report.members.is_empty() {
        let rows = report.members.iter().map(|line| member(line, &ids, now_ms));
        parts.push(columns(&MEMBER_HEAD, rows));
    }
    let rows = |line: &PartitionLine| partition(line, &ids, now_ms);
    parts.push(list(
        &PARTITION_HEAD,
        "partitions",
        &report.partitions,
        |line| line.is_owner_alive,
        rows,
    ));
    let is_healthy = |line: &StreamLine| line.is_healthy;
    parts.push(list(&STREAM_HEAD, "streams", &report.streams, is_healthy, stream));
    for (title, sentences) in [("problems:", &report.problems), ("warnings:", &report.warnings)] {
        if sentences.is_empty() {
            continue;
        }
        let mut lines = vec![title.to_owned()];
        lines.extend(sentences.iter().take(PROBLEMS_MAX).flat_map(|text| wrapped(text)));
        if let Some(more @ 1..) = sentences.len().checked_sub(PROBLEMS_MAX) {
            lines.push(format!("  and {more} more"));
        }
        parts.push(lines.join("\n"));
    }
    parts.join("\n\n")
}

/// A summary in one line.
fn summary(report: &Report) -> String {
    let members = counted(report.members.len(), "member");
    let partitions = counted(report.partitions.len(), "partition");
    let ownerless = report.partitions.iter().filter(|line| !line.is_owner_alive).count();
    let owned = match ownerless {
        0 => "all owned".to_owned(),
        some => format!("({some} without a live owner)"),
    };
    let streams = counted(report.streams.len(), "stream");
    let unhealthy = report.streams.iter().filter(|line| !line.is_healthy).count();
    let healthy = match unhealthy {
        0 => "healthy".to_owned(),
        some => format!("({some} not healthy)"),
    };
    format!("{members}, {partitions} {owned}, {streams} {healthy}")
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

const MEMBER_HEAD: [Column; 10] = [
    ("member", Left),
    ("host", Left),
    ("pid", Right),
    ("up", Right),
    ("seen", Right),
    ("owns", Right),
    ("calls", Right),
    ("deliveries", Right),
    ("routed", Right),
    ("users", Right),
];

fn member(line: &MemberLine, ids: &Ids, now_ms: u64) -> Vec<String> {
    let gauge = |value: Option<u64>| value.map_or_else(|| UNKNOWN.to_owned(), number);
    let up = if line.leaving {
        "leaving".to_owned()
    } else {
        lasting(now_ms.saturating_sub(line.started_ms))
    };
    vec![
        ids.short(&line.id),
        shortened(&line.host, HOST_LETTERS),
        line.pid.to_string(),
        up,
        lasting(line.renewed_ms_ago),
        gauge(line.gauges.partitions),
        gauge(line.gauges.calls_under_way),
        gauge(line.gauges.deliveries_under_way),
        gauge(line.gauges.routed),
        gauge(line.gauges.users_in_memory),
    ]
}

const PARTITION_HEAD: [Column; 5] =
    [("partition", Right), ("owner", Left), ("epoch", Right), ("for", Right), ("", Left)];

fn partition(line: &PartitionLine, ids: &Ids, now_ms: u64) -> Vec<String> {
    let note = match (&line.owner, &line.next) {
        (Some(_), _) if line.is_owner_alive => String::new(),
        (Some(_), _) => "its owner is gone".to_owned(),
        (None, Some(next)) => format!("released for {}", ids.short(next)),
        (None, None) if line.since_ms.is_some() => "released".to_owned(),
        (None, None) => "never owned".to_owned(),
    };
    let since = line.since_ms.map(|since| lasting(now_ms.saturating_sub(since)));
    vec![
        line.partition.to_string(),
        line.owner.as_ref().map_or_else(|| UNKNOWN.to_owned(), |owner| ids.short(owner)),
        line.epoch.to_string(),
        since.unwrap_or_else(|| UNKNOWN.to_owned()),
        note,
    ]
}

const STREAM_HEAD: [Column; 6] = [
    ("stream", Left),
    ("leader", Left),
    ("messages", Right),
    ("size", Right),
    ("replicas", Right),
    ("lag", Right),
];

fn stream(line: &StreamLine) -> Vec<String> {
    let unknown = || UNKNOWN.to_owned();
    let well = line.replicas.iter().filter(|replica| replica.is_well).count();
    let there = well + 1;
    let copies = match line.copies {
        0 => unknown(),
        _ if line.leader.is_none() => unknown(),
        copies if copies == there => copies.to_string(),
        copies => format!("{there} of {copies}"),
    };
    let lag = line.replicas.iter().map(|replica| replica.lag).max();
    vec![
        shortened(&line.name, NAME_LETTERS),
        line.leader.as_deref().map_or_else(unknown, |name| shortened(name, NAME_LETTERS)),
        line.messages.map_or_else(unknown, number),
        line.bytes.map_or_else(unknown, size),
        copies,
        lag.map_or_else(unknown, number),
    ]
}

/// A table of the lines, or of those with problems if there are too many.
fn list<T>(
    head: &[Column],
    what: &str,
    lines: &[T],
    is_well: impl Fn(&T) -> bool,
    row: impl Fn(&T) -> Vec<String>,
) -> String {
    if lines.len() <= ROWS_MAX {
        return columns(head, lines.iter().map(row));
    }
    let wrong = lines.iter().filter(|line| !is_well(line)).count();
    if wrong == 0 {
        return format!("all {} {what} are well; --json lists them", lines.len());
    }
    let shown = lines.iter().filter(|line| !is_well(line)).take(ROWS_MAX).map(row);
    let rest = lines.len() - wrong.min(ROWS_MAX);
    format!("{}\nand {rest} more; --json lists them", columns(head, shown))
}

/// The length at which members' IDs are shown: as short as distinguishes them.
struct Ids(usize);

impl Ids {
    fn of(report: &Report) -> Self {
        let members = report.members.iter().map(|line| &line.id);
        let named = report.partitions.iter().flat_map(|line| line.owner.iter().chain(&line.next));
        let ids: std::collections::BTreeSet<&str> =
            members.chain(named).map(MemberId::as_str).collect();
        let differ = |letters: usize| {
            let cut = ids.iter().map(|id| cut(id, letters));
            cut.collect::<std::collections::BTreeSet<_>>().len() == ids.len()
        };
        let longest = ids.iter().map(|id| id.len()).max().unwrap_or_default();
        Self((ID_LETTERS..longest).find(|letters| differ(*letters)).unwrap_or(longest))
    }

    fn short(&self, id: &MemberId) -> String {
        cut(id.as_str(), self.0).to_owned()
    }
}

/// The first letters of an ID, which is ASCII.
fn cut(id: &str, letters: usize) -> &str {
    id.get(..letters).unwrap_or(id)
}

/// A long name without its middle, since names tend to differ at their ends.
fn shortened(name: &str, most: usize) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= most {
        return name.to_owned();
    }
    let half = (most - 1) / 2;
    let begin = letters[..half].iter();
    let end = letters[letters.len() - half..].iter();
    begin.chain(std::iter::once(&'…')).chain(end).collect()
}

/// A sentence in lines, indented by two, those after the first by four.
fn wrapped(sentence: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            Some(_) => lines.push(format!("    {word}")),
            None => lines.push(format!("  {word}")),
        }
    }
    lines
}

/// A number in groups of three.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes, in the unit that fits.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut tenths = bytes / 100;
    let mut unit = 0;
    while tenths >= 10_000 && unit + 1 < UNITS.len() {
        tenths /= 1000;
        unit += 1;
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

/// A duration, in its two largest units.
fn lasting(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..10 => format!("{}.{} s", seconds, ms % 1000 / 100),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}
