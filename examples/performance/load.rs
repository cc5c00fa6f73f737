//! The rows that are loads: `peerd bench`, compared with the baseline and the limit, or in two
//! alternating settings.

use serde_json::Value;

use crate::{
    bulk,
    effort::Effort,
    figures::{Figure, Goal, Measured, median},
    stage::{Kind, Stage},
};

/// Pairs of a load: at 30,000 messages a second each sender is at its default rate limit.
pub(crate) const PAIRS: &str = "3000";
/// Enough pairs that their state exceeds the caches of a processor.
const ALL_PAIRS: &str = "20000";
/// Messages in flight.
pub(crate) const IN_FLIGHT: &str = "256";
/// Pairs of loads that are compared with each other.
const FEW_PAIRS: &str = "256";
/// Messages a second of the open loop.
const RATE: &str = "9000";
/// Senders of the hot receiver.
const SENDERS: &str = "1000";
/// Enough pairs for twice the top rate without one pair waiting for itself.
const MANY_PAIRS: &str = "4096";
/// The goal for the time until an excess call is refused, in milliseconds.
const OVERLOADED_MS: f64 = 50.0;
/// A window for repeats that is much shorter than a round.
const SHORT_REPEAT_WINDOW: (&str, &str) = ("PEERD__LIMITS__REPEAT_WINDOW_MS", "1000");
/// The ratio of memory to that of the first round up to which memory counts as flat.
const FLAT: f64 = 1.1;
/// The goal for peerd's CPU time for a message, in microseconds.
const CPU_US: f64 = 15.0;

/// Runs a load with these arguments and those of the effort.
pub(crate) async fn run(
    stage: &Stage,
    effort: &Effort,
    arguments: &[&str],
) -> Result<Value, String> {
    let times = effort.times();
    let times: Vec<&str> = times.iter().map(String::as_str).collect();
    stage.bench(&[arguments, &times].concat()).await
}

/// Runs a load, compared with the baseline and the limit.
async fn beside(stage: &Stage, effort: &Effort, arguments: &[&str]) -> Result<Value, String> {
    let rounds = effort.rounds();
    let rounds: Vec<&str> = rounds.iter().map(String::as_str).collect();
    run(stage, effort, &[&["--baseline"], rounds.as_slice(), arguments].concat()).await
}

/// Offers twice the top rate.
async fn twice(stage: &Stage, effort: &Effort, top: f64) -> Result<Value, String> {
    let rate = format!("{:.0}", 2.0 * top);
    run(stage, effort, &["--pairs", MANY_PAIRS, "--rate", &rate]).await
}

/// A figure of each round of one side, of the first load.
pub(crate) fn each(report: &Value, of: &str, pointer: &str) -> Vec<f64> {
    each_of(&report["loads"][0], of, pointer)
}

/// A figure of each round of one side.
pub(crate) fn each_of(load: &Value, of: &str, pointer: &str) -> Vec<f64> {
    let rounds = load["rounds"].as_array().into_iter().flatten();
    rounds
        .filter(|round| round["of"] == of)
        .filter_map(|round| round.pointer(pointer)?.as_f64())
        .collect()
}

/// A figure of peerd's rounds over the baseline's, with the medians of all three sides.
fn ratio(report: &Value, pointer: &str, digits: usize, unit: &str) -> (Measured, String) {
    let [peerd, baseline, limit] =
        ["peerd", "baseline", "limit"].map(|of| each(report, of, pointer));
    let [ours, base, least] = [&peerd, &baseline, &limit].map(|rounds| median(rounds));
    let numbers = format!(
        "peerd {ours:.digits$}, baseline {base:.digits$}, limit {least:.digits$} {unit}; peerd \
         over limit {:.3}",
        ours / least
    );
    (Measured::ratio(&peerd, &baseline), numbers)
}

pub(crate) const PER_SECOND: &str = "/acceptedPerSecond";
pub(crate) const MEMORY: &str = "/service/memoryBytesMost";
pub(crate) const CPU: &str = "/service/cpuUsPerMessage";
pub(crate) const NATS_CPU: &str = "/natsServer/cpuUsPerMessage";

/// Throughput and CPU time on one server, with few and with many senders.
pub(crate) async fn throughput(effort: &Effort) -> Result<Vec<Figure>, String> {
    let figure = |what: &str, goal: Option<Goal>, measured, numbers: String| {
        Figure::new("throughput", what, goal, measured, numbers)
    };
    let mut figures = Vec::new();
    for pairs in [PAIRS, ALL_PAIRS] {
        // A store of its own, so that one load does not affect the next.
        let stage = Stage::start(Kind::One, &[]).await?;
        let load = ["--pairs", pairs, "--in-flight", IN_FLIGHT];
        let report = beside(&stage, effort, &load).await?;
        let (measured, numbers) = ratio(&report, PER_SECOND, 0, "messages/s");
        let what = format!(
            "throughput against the baseline, one server, {pairs} senders, {IN_FLIGHT} in flight, \
             events consumed"
        );
        figures.push(figure(&what, Some(Goal::AtLeast(1.0)), measured, numbers));
        let (measured, numbers) = ratio(&report, CPU, 1, "µs");
        let what = format!("CPU time of peerd a message against the baseline's, {pairs} senders");
        figures.push(figure(&what, Some(Goal::AtMost(1.3)), measured, numbers));
        let cpu = Measured::of(&each(&report, "peerd", CPU));
        let what = format!("CPU time of peerd a message, {pairs} senders, µs");
        figures.push(figure(&what, Some(Goal::AtMost(CPU_US)), cpu, String::new()));
        let (measured, numbers) = ratio(&report, NATS_CPU, 1, "µs");
        let what =
            format!("CPU time of nats-server a message against the baseline's, {pairs} senders");
        figures.push(figure(&what, None, measured, numbers));
    }
    Ok(figures)
}

/// Throughput against the baseline with another setup of nats-server, and the latencies.
async fn throughput_of(
    effort: &Effort,
    kind: Kind,
    (row, setting): (&str, &str),
    goal: Option<Goal>,
) -> Result<Figure, String> {
    let stage = Stage::start(kind, &[]).await?;
    let load = ["--pairs", PAIRS, "--in-flight", IN_FLIGHT];
    let report = beside(&stage, effort, &load).await?;
    let (measured, numbers) = ratio(&report, PER_SECOND, 0, "messages/s");
    let p99_ms = |of| median(&each(&report, of, "/reply/p99Us")) / 1000.0;
    let [peerd, baseline, limit] = ["peerd", "baseline", "limit"].map(p99_ms);
    let numbers = format!("{numbers}; p99 {peerd:.1}, baseline {baseline:.1}, limit {limit:.1} ms");
    let what = format!("throughput against the baseline, {setting}, {PAIRS} senders");
    Ok(Figure::new(row, &what, goal, measured, numbers))
}

/// Three servers, three copies.
pub(crate) async fn replicated(effort: &Effort) -> Result<Vec<Figure>, String> {
    let what = ("throughput-r3", "three servers with three copies");
    Ok(vec![throughput_of(effort, Kind::Three, what, Some(Goal::AtLeast(0.95))).await?])
}

/// Servers that sync their disk before they acknowledge. Neither side groups its appends: each
/// stream syncs on its own, and both have as many streams.
pub(crate) async fn synced(effort: &Effort) -> Result<Vec<Figure>, String> {
    let one = ("fsync", "one server, one fsync a message (`sync_interval: always`)");
    let three = ("fsync", "three servers with three copies that sync before they acknowledge");
    Ok(vec![
        throughput_of(effort, Kind::OneSynced, one, Some(Goal::AtLeast(1.0))).await?,
        throughput_of(effort, Kind::ThreeSynced, three, None).await?,
    ])
}

/// Latencies at an offered rate.
pub(crate) async fn latency(effort: &Effort) -> Result<Vec<Figure>, String> {
    let stage = Stage::start(Kind::One, &[]).await?;
    let report = beside(&stage, effort, &["--pairs", PAIRS, "--rate", RATE]).await?;
    let figure = |name: &str, pointer: &str, goal| {
        let (measured, numbers) = ratio(&report, pointer, 0, "µs");
        let what = format!("{name} of send to reply at {RATE} messages a second, open loop");
        Figure::new("latency", &what, Goal::AtMost(goal), measured, numbers)
    };
    Ok(vec![
        figure("p50", "/reply/p50Us", 1.05),
        figure("p99", "/reply/p99Us", 1.2),
        figure("p99.9", "/reply/p999Us", 2.0),
    ])
}

/// A thousand senders to one receiver, against a thousand senders to a thousand receivers.
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
        let load = ["--pairs", FEW_PAIRS, "--in-flight", IN_FLIGHT];
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

/// Twice the rate that peerd accepts.
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
    // The memory for recognizing repeats depends on accepted messages, not on the offered rate.
    // With this window it is complete by the end of the first round.
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
