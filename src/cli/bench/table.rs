//! What `peerd bench` tells, as people read it.

use std::fmt::Write as _;

use super::numbers::{Summary, float};
use super::process::Used;
use super::report::{Load, Ratio, Ratios, Report, Round, Who};

/// The whole report.
pub(super) fn text(report: &Report) -> String {
    let setting = &report.setting;
    let events = if setting.events { "events consumed" } else { "events not consumed" };
    let mut text = format!(
        "{} pairs, {} receivers, {} bytes of text, {}, {events}\n",
        setting.pairs, setting.receivers, setting.payload_bytes, setting.encoding,
    );
    for load in &report.loads {
        describe(&mut text, load);
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

fn describe(text: &mut String, load: &Load) {
    let offered = match (load.in_flight, load.offered_per_second) {
        (Some(count), _) => format!("{count} in flight"),
        (None, rate) => format!("{:.0}/s offered", rate.unwrap_or_default()),
    };
    let _ = writeln!(
        text,
        "\n{offered}\n{:<8}{:>9} {:>31}   {:>31}",
        "", "accepted", "send to reply, ms", "send to event, ms"
    );
    let columns = format!("{:>7}{:>8}{:>8}{:>8}", "p50", "p90", "p99", "p99.9");
    let _ = writeln!(text, "{:<8}{:>9} {columns}   {columns}", "", "a second");
    for round in &load.rounds {
        describe_round(text, round);
    }
    if let Some(ratios) = &load.ratios {
        describe_ratios(text, ratios);
    }
}

fn describe_round(text: &mut String, round: &Round) {
    let of = match round.of {
        Who::Peerd => "peerd",
        Who::Floor => "floor",
    };
    let _ = writeln!(
        text,
        "{of:<8}{:>9.0} {}   {}",
        round.accepted_per_second,
        latencies(round.reply),
        latencies(round.received),
    );
    let max = |summary: Option<Summary>| {
        summary.map_or("n/a".to_owned(), |summary| format!("{:.1} ms", ms(summary.max_us)))
    };
    let _ = writeln!(
        text,
        "{:<8}max {} to reply, {} to event; {of} {}; nats-server {}; this load {}",
        "",
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
        let _ = writeln!(text, "{:<8}not accepted: {count} {reason} ({code}){took}", "");
    }
}

fn latencies(summary: Option<Summary>) -> String {
    let Some(summary) = summary else { return format!("{:>31}", "n/a") };
    let Summary { p50_us, p90_us, p99_us, p999_us, .. } = summary;
    let [p50, p90, p99, p999] = [p50_us, p90_us, p99_us, p999_us].map(ms);
    format!("{p50:>7.2}{p90:>8.2}{p99:>8.2}{p999:>8.2}")
}

fn ms(us: u64) -> f64 {
    float(us) / 1000.0
}

fn used(used: Option<Used>) -> String {
    const MIB: u64 = 1024 * 1024;
    let Some(used) = used else { return "n/a".to_owned() };
    let cpu = used.cpu_us_per_message.map_or("n/a".to_owned(), |us| format!("{us:.1} us/message"));
    format!("{cpu} {:.2} cores {} MiB", used.cores, used.memory_bytes_most / MIB)
}

fn describe_ratios(text: &mut String, ratios: &Ratios) {
    let _ = writeln!(text, "peerd / floor, medians (lowest to highest of neighbours)");
    for (name, ratio) in [
        ("accepted a second", ratios.throughput),
        ("send to reply, p50", ratios.reply_p50),
        ("send to reply, p99", ratios.reply_p99),
        ("send to event, p50", ratios.received_p50),
        ("send to event, p99", ratios.received_p99),
        ("CPU of the service per message", ratios.service_cpu_per_message),
        ("CPU of nats-server per message", ratios.nats_server_cpu_per_message),
    ] {
        let shown = ratio.map_or("n/a".to_owned(), |Ratio { of_medians, lowest, highest }| {
            format!("{of_medians:.3} ({lowest:.3} to {highest:.3})")
        });
        let _ = writeln!(text, "  {name:<32}{shown}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::Offer;
    use super::super::report::tests::{report, round};
    use super::*;

    #[test]
    fn figures_and_ratios_are_shown_and_what_is_not_known_is_not_made_up() {
        let rounds = vec![round(Who::Peerd, 900.0, 1500), round(Who::Floor, 1000.0, 1000)];
        let mut report = report(vec![Load::new(Offer::InFlight(8), rounds)]);
        report.warnings.push("peerd is a debug build".to_owned());
        let text = text(&report);
        for line in [
            "4 pairs, 2 receivers, 60 bytes of text, application/json, events consumed",
            "8 in flight",
            "peerd         900    1.50    3.00    4.50    6.00",
            "  accepted a second               0.900 (0.900 to 0.900)",
            "  send to event, p50              n/a",
            "left behind: 7 messages of 6 users whose names begin with \"bench\"",
            "warning: peerd is a debug build",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
