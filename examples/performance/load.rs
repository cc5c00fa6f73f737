//! The rows that are loads: `peerd bench`, against the floor or in two settings by turns.

use serde_json::Value;

use crate::{
    bulk,
    effort::Effort,
    figures::{Figure, Goal, Measured, median},
    stage::{Kind, Stage},
};

/// Pairs, each with one message in flight.
const PAIRS: &str = "256";
/// Senders of the hot receiver.
const SENDERS: &str = "1000";
/// Pairs that take twice the top rate without sending one after another.
const MANY_PAIRS: &str = "4096";
/// By when a call that is too many must have been told so, in milliseconds.
const OVERLOADED_MS: f64 = 50.0;
/// Repeats are known for so long that a round is much longer.
const SHORT_REPEAT_WINDOW: (&str, &str) = ("PEERD__LIMITS__REPEAT_WINDOW_MS", "1000");
/// A round may end with so much of the memory with which the first one began, and count as flat.
const FLAT: f64 = 1.1;

/// Runs a load with these arguments and those of the effort.
async fn run(stage: &Stage, effort: &Effort, arguments: &[&str]) -> Result<Value, String> {
    let times = effort.times();
    let times: Vec<&str> = times.iter().map(String::as_str).collect();
    stage.bench(&[arguments, &times].concat()).await
}

/// Runs a load beside the floor.
async fn beside_floor(stage: &Stage, effort: &Effort, arguments: &[&str]) -> Result<Value, String> {
    let rounds = effort.rounds();
    let rounds: Vec<&str> = rounds.iter().map(String::as_str).collect();
    let arguments = [&["--floor", "--pairs", PAIRS], rounds.as_slice(), arguments].concat();
    run(stage, effort, &arguments).await
}

/// Offers twice the top rate.
async fn twice(stage: &Stage, effort: &Effort, top: f64) -> Result<Value, String> {
    let rate = format!("{:.0}", 2.0 * top);
    run(stage, effort, &["--pairs", MANY_PAIRS, "--rate", &rate]).await
}

/// A figure of each round of one side.
fn each(report: &Value, of: &str, pointer: &str) -> Vec<f64> {
    let rounds = report["loads"][0]["rounds"].as_array().into_iter().flatten();
    rounds
        .filter(|round| round["of"] == of)
        .filter_map(|round| round.pointer(pointer)?.as_f64())
        .collect()
}

/// A figure of peerd's rounds over the floor's, with the medians it comes from.
fn ratio(report: &Value, pointer: &str, unit: &str) -> (Measured, String) {
    let (peerd, floor) = (each(report, "peerd", pointer), each(report, "floor", pointer));
    let numbers = format!("peerd {:.0}, floor {:.0} {unit}", median(&peerd), median(&floor));
    (Measured::ratio(&peerd, &floor), numbers)
}

const PER_SECOND: &str = "/acceptedPerSecond";
const MEMORY: &str = "/service/memoryBytesMost";

/// Throughput against the floor; on one server with peerd's CPU time beside it.
pub(crate) async fn throughput(effort: &Effort, kind: Kind) -> Result<Vec<Figure>, String> {
    let stage = Stage::start(kind, &[]).await?;
    let report = beside_floor(&stage, effort, &["--in-flight", PAIRS]).await?;
    let (measured, numbers) = ratio(&report, PER_SECOND, "messages/s");
    let (row, figure, goal) = match kind {
        Kind::One => (
            "throughput",
            "throughput against the floor, one server, 256 pairs in flight, events consumed",
            Goal::AtLeast(0.95),
        ),
        Kind::Three => {
            ("throughput-r3", "the same on three servers with three copies", Goal::AtLeast(0.95))
        }
    };
    let mut figures = vec![Figure::new(row, figure, goal, measured, numbers)];
    if kind == Kind::One {
        let (measured, numbers) = ratio(&report, "/service/cpuUsPerMessage", "µs");
        let figure = "CPU time of peerd per message against the floor's";
        figures.push(Figure::new(row, figure, Goal::AtMost(1.3), measured, numbers));
    }
    Ok(figures)
}

/// Latencies at half of what the floor takes, at an offered rate.
pub(crate) async fn latency(effort: &Effort) -> Result<Vec<Figure>, String> {
    let stage = Stage::start(Kind::One, &[]).await?;
    let top = beside_floor(&stage, effort, &["--in-flight", PAIRS]).await?;
    let half = median(&each(&top, "floor", PER_SECOND)) / 2.0;
    let report = beside_floor(&stage, effort, &["--rate", &format!("{half:.0}")]).await?;
    let figure = |name: &str, pointer: &str, goal| {
        let (measured, numbers) = ratio(&report, pointer, "µs");
        let text = format!("{name} of send to reply at half of the floor's top rate, open loop");
        Figure::new("latency", &text, goal, measured, format!("at {half:.0} messages/s: {numbers}"))
    };
    Ok(vec![
        figure("p50", "/reply/p50Us", Goal::AtMost(1.15)),
        figure("p99", "/reply/p99Us", Goal::AtMost(1.3)),
    ])
}

/// A thousand who write to one, against a thousand who write to a thousand.
pub(crate) async fn hot(effort: &Effort) -> Result<Vec<Figure>, String> {
    let stage = Stage::start(Kind::One, &[]).await?;
    let (mut hot, mut spread) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let one = ["--users", "hot", "--pairs", SENDERS, "--receivers", "1"];
        hot.extend(each(&run(&stage, effort, &one).await?, "peerd", PER_SECOND));
        let many = ["--users", "spread", "--pairs", SENDERS];
        spread.extend(each(&run(&stage, effort, &many).await?, "peerd", PER_SECOND));
    }
    let numbers = format!("hot {:.0}, spread {:.0} messages/s", median(&hot), median(&spread));
    let measured = Measured::ratio(&hot, &spread);
    let figure = "one receiver and 1,000 senders against 1,000 pairs";
    Ok(vec![Figure::new("hot", figure, Goal::AtLeast(0.8), measured, numbers)])
}

/// Throughput of a full store against an empty one.
pub(crate) async fn full(effort: &Effort) -> Result<Vec<Figure>, String> {
    let mut full_stage = Stage::start(Kind::One, &[]).await?;
    full_stage.end_peerd().await;
    let stored = bulk::fill(&full_stage.url(), effort.conversations).await?;
    full_stage.start_peerd().await?;
    let empty_stage = Stage::start(Kind::One, &[]).await?;
    let (mut full, mut empty) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let load = ["--pairs", PAIRS, "--in-flight", PAIRS];
        full.extend(each(&run(&full_stage, effort, &load).await?, "peerd", PER_SECOND));
        empty.extend(each(&run(&empty_stage, effort, &load).await?, "peerd", PER_SECOND));
    }
    let numbers = format!("full {:.0}, empty {:.0} messages/s", median(&full), median(&empty));
    let measured = Measured::ratio(&full, &empty);
    let figure = format!(
        "throughput with {} conversations and {stored} stored messages against an empty store",
        effort.conversations
    );
    Ok(vec![Figure::new("full", &figure, Goal::AtLeast(0.9), measured, numbers)])
}

/// A send in a long conversation against one in a short one.
pub(crate) async fn long(effort: &Effort) -> Result<Vec<Figure>, String> {
    const SHORT: u64 = 10;
    let mut stage = Stage::start(Kind::One, &[]).await?;
    stage.end_peerd().await;
    for (users, messages) in [("long", effort.long), ("short", SHORT)] {
        bulk::conversation(&stage.url(), users, messages, 0..0).await?;
    }
    stage.start_peerd().await?;
    let (mut long, mut short) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        for (users, latencies) in [("long", &mut long), ("short", &mut short)] {
            let one = ["--users", users, "--pairs", "1", "--in-flight", "1"];
            let report = run(&stage, effort, &one).await?;
            latencies.extend(each(&report, "peerd", "/reply/p50Us"));
        }
    }
    let numbers = format!("long {:.0}, short {:.0} µs at p50", median(&long), median(&short));
    let measured = Measured::ratio(&long, &short);
    let figure =
        format!("a send in a conversation of {} messages against one of {SHORT}", effort.long);
    Ok(vec![Figure::new("long", &figure, Goal::AtMost(1.05), measured, numbers)])
}

/// Twice of what peerd takes.
pub(crate) async fn overload(effort: &Effort) -> Result<Vec<Figure>, String> {
    let stage = Stage::start(Kind::One, &[]).await?;
    let (mut goodput, mut refused_ms, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    let (mut tops, mut silent) = (Vec::new(), 0);
    for _ in 0..effort.rounds {
        let top = run(&stage, effort, &["--pairs", MANY_PAIRS]).await?;
        let top = median(&each(&top, "peerd", PER_SECOND));
        let report = twice(&stage, effort, top).await?;
        goodput.push(median(&each(&report, "peerd", PER_SECOND)) / top);
        memory.extend(each(&report, "peerd", MEMORY));
        tops.push(top);
        let round = &report["loads"][0]["rounds"][0];
        for refused in round["refused"].as_array().into_iter().flatten() {
            if refused["reason"] == "overloaded" {
                refused_ms.extend(refused["latency"]["p99Us"].as_f64().map(|us| us / 1000.0));
            } else {
                silent += refused["count"].as_u64().unwrap_or_default();
            }
        }
    }
    // What is remembered of what was accepted, so that a repeat is known, is the same at any rate
    // offered. Here it is all there is to remember by the end of the first round.
    drop(stage);
    let stage = Stage::start(Kind::One, &[SHORT_REPEAT_WINDOW]).await?;
    let mut memory_beside = Vec::new();
    for _ in 0..effort.rounds {
        let report = twice(&stage, effort, median(&tops)).await?;
        memory_beside.extend(each(&report, "peerd", MEMORY));
    }
    let memory_figure = |name: &str, memory: &[f64]| {
        let first = memory.first().copied().unwrap_or(f64::NAN);
        let growth: Vec<f64> = memory.iter().map(|bytes| bytes / first).collect();
        let numbers = format!("{:.0} MiB in the first", first / 1024.0 / 1024.0);
        Figure::new("overload", name, Goal::AtMost(FLAT), Measured::of(&growth), numbers)
    };
    let figure = |name: &str, goal, measured, numbers: String| {
        Figure::new("overload", name, goal, measured, numbers)
    };
    let mut figures = vec![
        figure(
            "offered load at twice the top rate: what is accepted, against the top rate",
            Goal::AtLeast(0.9),
            Measured::of(&goodput),
            format!(
                "top {:.0} messages/s; {silent} not answered at all or otherwise",
                median(&tops)
            ),
        ),
        memory_figure("the same: memory of peerd, each round against the first", &memory),
        memory_figure(
            "the same with `repeat_window_ms = 1000`: what is remembered for repeats does not grow",
            &memory_beside,
        ),
    ];
    if !refused_ms.is_empty() {
        figures.push(figure(
            "the same: milliseconds until the rest is answered `overloaded`, p99",
            Goal::AtMost(OVERLOADED_MS),
            Measured::of(&refused_ms),
            String::new(),
        ));
    }
    Ok(figures)
}
