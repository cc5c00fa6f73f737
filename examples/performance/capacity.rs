//! The capacity of the machine, which readers of the document need first: throughput and latencies.

use std::path::Path;

use serde_json::Value;

use crate::{
    effort::Effort,
    figures::{Figure, Goal, Measured},
    load::{CPU, IN_FLIGHT, MEMORY, NATS_CPU, PAIRS, PER_SECOND, each_of, run},
    stage::{Kind, Stage},
};

const ROW: &str = "capacity";
const US_IN_MS: f64 = 1000.0;
const BYTES_IN_MIB: f64 = 1024.0 * 1024.0;

/// Measures the top rate, then latencies at ten shares of it, which it draws into `chart`.
pub(crate) async fn measure(effort: &Effort, chart: &Path) -> Result<Vec<Figure>, String> {
    let stage = Stage::start(Kind::One, &[]).await?;
    let rounds = effort.rounds.to_string();
    let chart = chart.to_str().ok_or("the chart has a path that is no text")?;
    let load = ["--pairs", PAIRS, "--in-flight", IN_FLIGHT, "--rounds", &rounds, "--plot", chart];
    let report = run(&stage, effort, &load).await?;
    let top = &report["loads"][0];
    let rate = Measured::of(&each_of(top, "peerd", PER_SECOND));
    let half = at_rate(&report, rate.middle / 2.0)?;
    let offered = half["offeredPerSecond"].as_f64().unwrap_or(f64::NAN);
    let offered = format!("at {offered:.0} messages a second, half of that");
    let scaled = |load: &Value, pointer: &str, unit: f64| {
        let rounds: Vec<f64> =
            each_of(load, "peerd", pointer).iter().map(|figure| figure / unit).collect();
        Measured::of(&rounds)
    };
    let figure = |what: &str, measured, numbers: &str| {
        Figure::new(ROW, what, None::<Goal>, measured, numbers)
    };
    let latency =
        |what: &str, pointer: &str| figure(what, scaled(half, pointer, US_IN_MS), &offered);
    let setting = format!("{PAIRS} senders, {IN_FLIGHT} in flight, events consumed");
    Ok(vec![
        figure("messages accepted a second", rate, &setting),
        latency("send to reply, p50, ms", "/reply/p50Us"),
        latency("send to reply, p99, ms", "/reply/p99Us"),
        latency("send to reply, p99.9, ms", "/reply/p999Us"),
        latency("send to event, p50, ms", "/received/p50Us"),
        latency("send to event, p99, ms", "/received/p99Us"),
        figure("CPU time of peerd a message, µs", scaled(top, CPU, 1.0), "at the top rate"),
        figure("CPU time of nats-server a message, µs", scaled(top, NATS_CPU, 1.0), "the same"),
        figure("memory of peerd, MiB", scaled(top, MEMORY, BYTES_IN_MIB), "the same"),
    ])
}

/// The load whose offered rate is closest to a given one.
fn at_rate(report: &Value, rate: f64) -> Result<&Value, String> {
    let distance = |load: &Value| load["offeredPerSecond"].as_f64().map(|is| (is - rate).abs());
    let offered = report["loads"].as_array().into_iter().flatten();
    offered
        .filter_map(|load| Some((distance(load)?, load)))
        .min_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, load)| load)
        .ok_or_else(|| "nothing was measured at an offered rate".to_owned())
}
