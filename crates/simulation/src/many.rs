//! Runs many seeds on all cores, and reports the failures.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::plan::Plan;
use crate::rule::Rule;
use crate::run::{Figures, Run, run};
use crate::shrink::shrink;

/// The interval between progress messages.
const PROGRESS: Duration = Duration::from_secs(10);
/// The number of failing plans after which the run stops.
const FAILURES_MAX: usize = 10;
/// The most trace lines to print. The file has them all.
const LINES_MAX: usize = 120;

/// The results of many seeds.
#[derive(Default)]
struct Many {
    done: usize,
    figures: Figures,
    failed: Vec<(Plan, Run)>,
}

/// Runs the seeds until all are done, or enough have failed. Returns a report on the failures: for each
/// rule, the shortest plan found and its trace, which is also written into the folder.
#[must_use]
pub fn run_all(seeds: &[u64], traces: &Path) -> Option<String> {
    let (next, many) = (AtomicUsize::new(0), Mutex::new(Many::default()));
    let (began, reported) = (Instant::now(), Mutex::new(Instant::now()));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let work = || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed)) {
            let plan = Plan::of(*seed);
            let ran = run(&plan);
            let mut many = many.lock().unwrap_or_else(PoisonError::into_inner);
            many.done += 1;
            many.figures.add(&ran.figures);
            if ran.broken.is_some() {
                println!("seed {seed}: {:?}", ran.broken);
                many.failed.push((plan, ran));
            }
            if many.failed.len() >= FAILURES_MAX {
                next.store(seeds.len(), Ordering::Relaxed);
            }
            let mut reported = reported.lock().unwrap_or_else(PoisonError::into_inner);
            if reported.elapsed() >= PROGRESS {
                *reported = Instant::now();
                println!("{} of {} seeds, {} failed", many.done, seeds.len(), many.failed.len());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(work);
        }
    });
    let many = many.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Figures { calls, unanswered, messages, events, claims, deaths, virtual_ms } = many.figures;
    println!(
        "{} seeds in {:.1} s: {calls} calls ({unanswered} without a reply), {messages} messages, \
         {events} events, {claims} ownership changes, {deaths} instances ended, {} h simulated; \
         {} failed",
        many.done,
        began.elapsed().as_secs_f64(),
        virtual_ms / 3_600_000,
        many.failed.len(),
    );
    many.report(traces)
}

impl Many {
    /// A report on the failures: for each rule, the shortest plan found and its trace.
    fn report(self, traces: &Path) -> Option<String> {
        let mut by_rule: BTreeMap<Rule, Vec<(Plan, Run)>> = BTreeMap::new();
        for (plan, ran) in self.failed {
            let rule = ran.broken.as_ref().map(|broken| broken.rule);
            by_rule.entry(rule?).or_default().push((plan, ran));
        }
        let failures: Vec<String> = by_rule
            .into_iter()
            .filter_map(|(rule, failed)| {
                let seeds: Vec<u64> = failed.iter().map(|(plan, _)| plan.seed).collect();
                let shortest = failed.into_iter().min_by_key(|(plan, _)| plan.steps.len());
                shortest.map(|(plan, ran)| complain(rule, &seeds, plan, ran, traces))
            })
            .collect();
        (!failures.is_empty()).then(|| failures.join("\n"))
    }
}

fn complain(rule: Rule, seeds: &[u64], plan: Plan, ran: Run, traces: &Path) -> String {
    let seed = plan.seed;
    let shortest = shrink(plan, ran, rule);
    let why = shortest.ran.broken.map(|broken| broken.why).unwrap_or_default();
    let steps: Vec<String> = shortest.plan.steps.iter().map(|step| format!("  {step:?}")).collect();
    let trace = shortest.ran.trace;
    let path = traces.join(format!("sim-{seed}.trace"));
    let written = fs::write(&path, &trace);
    let lines: Vec<&str> = trace.lines().collect();
    let shown = lines[lines.len().saturating_sub(LINES_MAX)..].join("\n");
    format!(
        "{rule:?} is broken by seeds {seeds:?}. The shortest plan found for seed {seed}:\n\
         {:?}\n{}\n{shown}\n{why}\nall {} lines of its trace: {} {written:?}",
        shortest.plan.setup,
        steps.join("\n"),
        lines.len(),
        path.display(),
    )
}
