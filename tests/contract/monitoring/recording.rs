//! Records the metrics of a fault as a test of promtool.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::AbortHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::support::Peerd;
use crate::support::http::{get, samples};

/// The time between two scrapes.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the end of a recording is expected to last in the test, in seconds.
const LASTS_SECONDS: usize = 600;
/// How long a fault is recorded after it shows.
const AFTER: Duration = Duration::from_secs(3);

/// The values of each series; `None` where it was not there.
type Series = BTreeMap<String, Vec<Option<String>>>;

/// A recording in progress, or nothing if none was asked for.
pub(super) struct Recording(Option<Running>);

struct Running {
    name: &'static str,
    /// The alert that fires in the end, if one does.
    alert: Option<&'static str>,
    path: PathBuf,
    series: Arc<Mutex<Series>>,
    scraper: AbortHandle,
}

impl Recording {
    /// Begins to record the metrics of an instance, which are to make this alert fire.
    pub(super) async fn begin(
        name: &'static str,
        peerd: &Peerd,
        alert: impl Into<Option<&'static str>>,
    ) -> Self {
        let Some(folder) = std::env::var_os("RECORD_METRICS") else { return Self(None) };
        let (path, alert) = (PathBuf::from(folder).join(format!("{name}.yaml")), alert.into());
        let alerts = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/prometheus/alerts.yaml");
        let alerts = std::fs::read_to_string(alerts).unwrap();
        let address = peerd.http_address().unwrap();
        let series: Arc<Mutex<Series>> = Arc::default();
        let recorded = series.clone();
        let scraper = tokio::spawn(async move {
            let mut ticks = interval(INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            for scrape in 0.. {
                ticks.tick().await;
                let page = get(&address, "/metrics").await.unwrap();
                let mut series = recorded.lock().unwrap();
                // What no alert uses is left out.
                let is_used = |series: &str| {
                    let name = series.split('{').next().unwrap();
                    alerts.split(|it: char| !it.is_alphanumeric() && it != '_').any(|it| it == name)
                };
                for (name, value) in samples(&page.body).filter(|(series, _)| is_used(series)) {
                    let values = series.entry(name.to_owned()).or_default();
                    values.resize(scrape, None);
                    values.push(Some(value.to_owned()));
                }
            }
        });
        // The state before the fault.
        sleep(AFTER).await;
        Self(Some(Running { name, alert, path, series, scraper: scraper.abort_handle() }))
    }

    /// Ends it, and writes it.
    pub(super) async fn end(self) {
        let Some(running) = self.0 else { return };
        sleep(AFTER).await;
        running.scraper.abort();
        std::fs::write(&running.path, running.test()).unwrap();
    }
}

impl Running {
    fn test(&self) -> String {
        let series = self.series.lock().unwrap();
        let scrapes = series.values().map(Vec::len).max().unwrap_or_default();
        let mut test = format!(
            "# Recorded by deploy/prometheus/record: {}. The last values last on.\n\
             rule_files: [../alerts.yaml]\nevaluation_interval: 1s\ntests:\n  - interval: 1s\n    \
             input_series:\n",
            self.name
        );
        // Buckets that stay empty would be most of the recording.
        let is_empty = |(name, values): &(&String, &Vec<Option<String>>)| {
            name.contains("_bucket") && values.iter().flatten().all(|count| *count == "0")
        };
        for (name, values) in series.iter().filter(|its| !is_empty(its)) {
            let name = labelled(name).replace('\'', "''");
            let values = notation(values, scrapes);
            writeln!(test, "      - {{ series: '{name}', values: '{values}' }}").unwrap();
        }
        let fires = |alert| format!("{{ labels: '{{alertname=\"{alert}\"}}', value: 1 }}");
        let samples = self.alert.map(fires).unwrap_or_default();
        // Other alerts may follow from the same fault.
        let of = self.alert.map(|alert| format!(",alertname=\"{alert}\"")).unwrap_or_default();
        test.push_str("    promql_expr_test:\n");
        for (at, samples) in [(1, String::new()), (scrapes + LASTS_SECONDS / 2, samples)] {
            let firing = format!("ALERTS{{alertstate=\"firing\"{of}}}");
            writeln!(test, "      - expr: count by (alertname) ({firing}) > bool 0").unwrap();
            writeln!(test, "        eval_time: {at}s\n        exp_samples: [{samples}]").unwrap();
        }
        test
    }
}

/// A series with the labels that Prometheus adds.
fn labelled(series: &str) -> String {
    let added = "instance=\"a\",job=\"peerd\"";
    match series.split_once('{') {
        Some((name, labels)) => format!("{name}{{{added},{labels}"),
        None => format!("{series}{{{added}}}"),
    }
}

/// The values in the notation of promtool: runs of the same value are `<value>x<repeats>`.
fn notation(values: &[Option<String>], scrapes: usize) -> String {
    let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "_".to_owned());
    let mut all: Vec<String> = values.iter().map(text).collect();
    all.resize(scrapes, "_".to_owned());
    let last = all.last().cloned().unwrap_or_default();
    all.extend(std::iter::repeat_n(last, LASTS_SECONDS));
    let mut runs: Vec<(String, usize)> = Vec::new();
    for value in all {
        match runs.last_mut() {
            Some((of, count)) if *of == value => *count += 1,
            _ => runs.push((value, 1)),
        }
    }
    let run = |(value, count): (String, usize)| match (&*value, count) {
        (_, 1) => value,
        ("_", count) => format!("_x{count}"),
        (_, count) => format!("{value}x{}", count - 1),
    };
    runs.into_iter().map(run).collect::<Vec<_>>().join(" ")
}
