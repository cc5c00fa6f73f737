//! The result of a run.

use std::{fmt, fs, io, path::Path, time::Duration};

use serde_json::{Value, json};

use crate::{
    faults::judged::Judged as JudgedLoad,
    flat::{self, Judged},
    plot,
    sample::{self, Kind, Sample},
    watcher::{INTERVAL, Watched},
};

const FAULTS_SHOWN: usize = 10;
/// The instance that is never restarted: its lines are judged.
const JUDGED: usize = 0;

/// The verdict of the checkers, with the amount checked.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) seed: u64,
    /// Calls that were answered with success.
    pub(crate) calls: u64,
    pub(crate) attempts: String,
    pub(crate) users: usize,
    pub(crate) judged: JudgedLoad,
}

pub(crate) struct Report {
    span: Duration,
    samples: Vec<Sample>,
    done: Vec<(Duration, String)>,
    verdict: Verdict,
    lines: Vec<(Kind, Option<Judged>)>,
}

impl Report {
    pub(crate) fn of(span: Duration, watched: &Watched, verdict: Verdict) -> Self {
        let samples = watched.samples();
        let judged = Kind::ALL.into_iter().filter_map(|kind| Some((kind, kind.slack()?)));
        let lines = judged.map(|(kind, slack)| {
            let of_one = samples.iter().filter(|sample| sample.instance == JUDGED);
            let line: Vec<(f64, f64)> = of_one
                .filter_map(|sample| Some((sample.at.as_secs_f64(), kind.of(sample)?)))
                .collect();
            (kind, flat::judge(&line, span.as_secs_f64(), slack))
        });
        let lines = lines.collect();
        Self { span, samples, done: watched.faults(), verdict, lines }
    }

    pub(crate) fn is_good(&self) -> bool {
        let is_flat =
            |(_, judged): &(Kind, Option<Judged>)| judged.is_some_and(|judged| judged.is_flat());
        self.verdict.judged.faults.is_empty() && self.lines.iter().all(is_flat)
    }

    /// Writes the series, the picture and the report.
    pub(crate) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::write(folder.join("samples.csv"), sample::csv(&self.samples))?;
        fs::write(folder.join("soak.svg"), plot::svg(&self.samples, &self.done, self.span)?)?;
        let report = serde_json::to_string_pretty(&self.json()).map_err(io::Error::other)?;
        fs::write(folder.join("report.json"), report + "\n")
    }

    fn json(&self) -> Value {
        let Verdict { seed, calls, users, attempts, judged } = &self.verdict;
        let JudgedLoad { read, audited, verdict, faults } = judged;
        let lines = self.lines.iter().map(|(kind, judged)| {
            let title = kind.title();
            judged.map_or_else(
                || json!({ "line": title, "isFlat": false, "why": "too few values" }),
                |judged| {
                    json!({
                        "line": title, "isFlat": judged.is_flat(),
                        "medianOfSecondQuarter": judged.second,
                        "medianOfLastQuarter": judged.last,
                        "riseOfLeastSquaresLine": judged.rise,
                        "allowed": judged.allowed,
                    })
                },
            )
        });
        let done = self.done.iter().map(|(at, what)| json!({ "s": at.as_secs(), "what": what }));
        json!({
            "seconds": self.span.as_secs(), "seed": seed, "isGood": self.is_good(),
            "callsAnswered": calls, "attempts": attempts,
            "messagesAcknowledged": verdict["acknowledged"],
            "clearsMutesAndDeletes": verdict["changes"], "events": verdict["events"],
            "messagesDelivered": verdict["delivered"], "users": users, "messagesReadBack": read,
            "usersAudited": audited,
            "wrong": faults, "lines": lines.collect::<Vec<_>>(),
            "faults": done.collect::<Vec<_>>(),
            "sampleIntervalSeconds": INTERVAL.as_secs(), "samples": self.samples.len(),
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { users, attempts, judged, .. } = &self.verdict;
        let JudgedLoad { read, audited, faults, .. } = judged;
        let (acked, marks) = (judged.figure("acknowledged"), judged.figure("changes"));
        writeln!(f, "\n  {attempts}")?;
        writeln!(
            f,
            "  {} faults; {users} users, {acked} messages acknowledged, {marks} clears, mutes and \
             deletes; {read} lines of history read back, {audited} users audited; {} wrong",
            self.done.len(),
            faults.len()
        )?;
        for fault in faults.iter().take(FAULTS_SHOWN) {
            writeln!(f, "  ! {fault}")?;
        }
        writeln!(
            f,
            "\n  {:<24}{:>12}{:>12}{:>10}{:>10}",
            "peerd 1", "2nd quarter", "last", "rise", "allowed"
        )?;
        for (kind, judged) in &self.lines {
            let title = kind.title();
            match judged {
                Some(Judged { second, last, rise, allowed }) => writeln!(
                    f,
                    "  {title:<24}{second:>12.1}{last:>12.1}{rise:>10.2}{allowed:>10.2}  {}",
                    if judged.is_some_and(|judged| judged.is_flat()) { "flat" } else { "RISES" }
                )?,
                None => writeln!(f, "  {title:<24}{:>12}  too few values to judge", "-")?,
            }
        }
        Ok(())
    }
}
