//! The report of `peerd bench` for people.

use std::fmt::Write as _;

use super::numbers::{Summary, float};
use super::process::Used;
use super::report::{Against, Load, Ratio, Ratios, Report, Round};

/// Lays out a table from the titles of its columns, which may have several lines, and its rows. The
/// first column is aligned to the left, the others to the right. The command line passes it in, so
/// that all its tables look alike.
pub type Layout = fn(head: &[&str], rows: Vec<Vec<String>>) -> String;

/// Shown for an unknown figure.
const UNKNOWN: &str = "n/a";

/// The whole report.
pub(super) fn text(report: &Report, layout: Layout) -> String {
    let setting = &report.setting;
    let events = if setting.events { "events consumed" } else { "events not consumed" };
    let mut text = format!(
        "{} pairs, {} receivers, {} bytes of text, {}, {events}\n",
        setting.pairs, setting.receivers, setting.payload_bytes, setting.encoding,
    );
    for load in &report.loads {
        describe(&mut text, load, layout);
    }
    let left = &report.left_behind;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "\nleft behind: {} messages of {} users whose names begin with {:?}",
        left.messages, left.users, setting.users,
    );
    for warning in &report.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

/// Writes the offered load, a table of its rounds, and the notes on each.
fn describe(text: &mut String, load: &Load, layout: Layout) {
    let offered = match (load.in_flight, load.offered_per_second) {
        (Some(count), _) => format!("{count} in flight"),
        (None, rate) => format!("{:.0}/s offered", rate.unwrap_or_default()),
    };
    let _ = writeln!(text, "\n{offered}\n{}", layout(&HEAD, load.rounds.iter().map(row).collect()));
    for round in &load.rounds {
        describe_round(text, round);
    }
    if let Some(against) = &load.ratios {
        describe_ratios(text, against, layout);
    }
}

const HEAD: [&str; 10] = [
    "",
    "accepted\na second",
    "send to reply\np50, ms",
    "\np90",
    "\np99",
    "\np99.9",
    "send to event\np50, ms",
    "\np90",
    "\np99",
    "\np99.9",
];

fn row(round: &Round) -> Vec<String> {
    let accepted = format!("{:.0}", round.accepted_per_second);
    let latencies = [round.reply, round.received].into_iter().flat_map(latencies);
    [round.of.name().to_owned(), accepted].into_iter().chain(latencies).collect()
}

/// p50, p90, p99 and p99.9.
fn latencies(summary: Option<Summary>) -> [String; 4] {
    let shown = |us: fn(&Summary) -> u64| {
        summary
            .as_ref()
            .map_or_else(|| UNKNOWN.to_owned(), |summary| format!("{:.2}", ms(us(summary))))
    };
    [
        shown(|summary| summary.p50_us),
        shown(|summary| summary.p90_us),
        shown(|summary| summary.p99_us),
        shown(|summary| summary.p999_us),
    ]
}

fn describe_round(text: &mut String, round: &Round) {
    let of = round.of.name();
    let max = |summary: Option<Summary>| {
        summary
            .map_or_else(|| UNKNOWN.to_owned(), |summary| format!("{:.1} ms", ms(summary.max_us)))
    };
    let _ = writeln!(
        text,
        "{of}: max {} to reply, {} to event; {of} {}; nats-server {}; this load {}",
        max(round.reply),
        max(round.received),
        used(round.service),
        used(round.nats_server),
        used(round.load),
    );
    for refused in &round.refused {
        let took = refused.latency.map_or(String::new(), |latency| {
            format!(
                ", answered in {:.1} ms at p50, {:.1} ms at p99",
                ms(latency.p50_us),
                ms(latency.p99_us)
            )
        });
        let (code, reason, count) = (refused.code, &refused.reason, refused.count);
        let _ = writeln!(text, "{of}: not accepted: {count} {reason} ({code}){took}");
    }
}

fn ms(us: u64) -> f64 {
    float(us) / 1000.0
}

fn used(used: Option<Used>) -> String {
    const MIB: u64 = 1024 * 1024;
    let Some(used) = used else { return UNKNOWN.to_owned() };
    let cpu = used
        .cpu_us_per_message
        .map_or_else(|| UNKNOWN.to_owned(), |us| format!("{us:.1} us/message"));
    format!("{cpu} {:.2} cores {} MiB", used.cores, used.memory_bytes_most / MIB)
}

/// Writes the ratios of peerd's figures to those of each responder.
fn describe_ratios(text: &mut String, against: &Against, layout: Layout) {
    const NAMES: [&str; 9] = [
        "accepted a second",
        "CPU of the responder per message",
        "CPU of nats-server per message",
        "send to reply, p50",
        "send to reply, p99",
        "send to reply, p99.9",
        "send to event, p50",
        "send to event, p99",
        "send to event, p99.9",
    ];
    let (mut head, mut rows) = (vec!["peerd over"], NAMES.map(|name| vec![name.to_owned()]));
    let sides = [("baseline", &against.baseline), ("limit", &against.limit)];
    for (name, ratios) in sides {
        let Some(ratios) = ratios else { continue };
        head.extend([name, "lowest", "highest"]);
        for (row, ratio) in rows.iter_mut().zip(all(ratios)) {
            row.extend(cells(ratio));
        }
    }
    let _ = writeln!(text, "{}", layout(&head, rows.to_vec()));
    let _ = writeln!(text, "(of medians; lowest and highest are those of neighbouring rounds)");
}

/// In the order of the rows.
const fn all(ratios: &Ratios) -> [Option<Ratio>; 9] {
    [
        ratios.throughput,
        ratios.service_cpu_per_message,
        ratios.nats_server_cpu_per_message,
        ratios.reply_p50,
        ratios.reply_p99,
        ratios.reply_p999,
        ratios.received_p50,
        ratios.received_p99,
        ratios.received_p999,
    ]
}

fn cells(ratio: Option<Ratio>) -> [String; 3] {
    ratio.map_or_else(
        || [UNKNOWN.to_owned(), String::new(), String::new()],
        |Ratio { of_medians, lowest, highest }| {
            [of_medians, lowest, highest].map(|figure| format!("{figure:.3}"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::Who;
    use super::super::report::tests::{report, round};
    use super::super::shared::Offer;
    use super::*;

    /// Cells separated by bars, and heads in one line.
    fn plain(head: &[&str], rows: Vec<Vec<String>>) -> String {
        let head = head.iter().map(|title| title.replace('\n', " ")).collect();
        let lines: Vec<String> =
            std::iter::once(head).chain(rows).map(|cells: Vec<String>| cells.join("|")).collect();
        lines.join("\n")
    }

    #[test]
    fn figures_and_ratios_are_shown_and_what_is_not_known_is_not_made_up() {
        let rounds = vec![
            round(Who::Peerd, 900.0, 1500),
            round(Who::Baseline, 1000.0, 1000),
            round(Who::Limit, 2000.0, 500),
        ];
        let mut report = report(vec![Load::new(Offer::InFlight(8), rounds)]);
        report.warnings.push("peerd is a debug build".to_owned());
        let text = text(&report, plain);
        for line in [
            "4 pairs, 2 receivers, 60 bytes of text, application/json, events consumed",
            "8 in flight",
            "|accepted a second|send to reply p50, ms| p90| p99| p99.9|send to event p50, ms|",
            "peerd|900|1.50|3.00|4.50|6.00|n/a|n/a|n/a|n/a",
            "peerd: max ",
            "peerd over|baseline|lowest|highest|limit|lowest|highest\n",
            "accepted a second|0.900|0.900|0.900|0.450|0.450|0.450",
            "send to event, p50|n/a|||n/a||",
            "left behind: 7 messages of 6 users whose names begin with \"bench\"",
            "warning: peerd is a debug build",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn a_limit_that_was_left_out_has_no_columns() {
        let rounds = vec![round(Who::Peerd, 900.0, 1500), round(Who::Baseline, 1000.0, 1000)];
        let text = text(&report(vec![Load::new(Offer::InFlight(8), rounds)]), plain);
        assert!(text.contains("peerd over|baseline|lowest|highest\n"), "{text}");
        assert!(!text.contains("limit"), "{text}");
    }
}
