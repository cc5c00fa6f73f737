//! What metrics are made of: numbers that the path of a call can count without a lock and without
//! an allocation, and their text for Prometheus.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// The upper bounds of the buckets of every duration, in microseconds: from a reply out of memory
/// to a call that waits for its deadline.
const BOUNDS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// Counts durations by their length.
///
/// prometheus-client has a histogram, too, which locks a mutex for each observation.
#[derive(Debug, Default)]
pub struct Durations {
    /// One for each bound, and one for what is longer.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_ns: AtomicU64,
}

impl Durations {
    /// Counts a duration.
    pub fn record(&self, took: Duration) {
        let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let is_within = |bound_us: &u64| took_ns <= bound_us * 1000;
        let bucket = BOUNDS_US.iter().position(is_within).unwrap_or(BOUNDS_US.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(took_ns, Ordering::Relaxed);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all durations, in nanoseconds.
    #[must_use]
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }

    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seconds = |us: u64| Duration::from_micros(us).as_secs_f64();
        let bounds = BOUNDS_US.into_iter().map(seconds).chain([f64::INFINITY]);
        let counts = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        // Of the same numbers as the buckets, so that they agree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.sum_ns()).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }
}

/// Writes families of metrics, each with its help.
#[derive(Debug)]
pub struct Families<'e>(DescriptorEncoder<'e>);

impl<'e> Families<'e> {
    /// Families for one scrape.
    #[must_use]
    pub const fn new(encoder: DescriptorEncoder<'e>) -> Self {
        Self(encoder)
    }

    /// A gauge.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.gauges::<NoLabelSet>(name, help, [(None, value)])
    }

    /// A gauge for each set of labels.
    pub fn gauges<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Option<L>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            match labels {
                Some(labels) => family.encode_family(&labels)?.encode_gauge(&value)?,
                None => family.encode_gauge(&value)?,
            }
        }
        Ok(())
    }

    /// A counter. Its name in the text ends with `_total`.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counters::<NoLabelSet>(name, help, [(None, value)])
    }

    /// A counter for each set of labels.
    pub fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Option<L>, u64)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            match labels {
                Some(labels) => {
                    family
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, _, u64>(&value, None)?;
                }
                None => family.encode_counter::<NoLabelSet, _, u64>(&value, None)?,
            }
        }
        Ok(())
    }

    /// A histogram for each value of a label.
    pub fn durations<'d>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'static str, &'d Durations)>,
    ) -> fmt::Result {
        let mut family = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (value, durations) in values {
            durations.encode(family.encode_family(&[(label, value)])?)?;
        }
        Ok(())
    }
}

/// A set of one label.
#[must_use]
pub const fn of(
    label: &'static str,
    value: &'static str,
) -> Option<[(&'static str, &'static str); 1]> {
    Some([(label, value)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_the_first_bucket_that_reaches_it() {
        let durations = Durations::default();
        for took_us in [0, 500, 501, 10_000_000, 10_000_001] {
            durations.record(Duration::from_micros(took_us));
        }
        let counts: Vec<u64> =
            durations.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        assert_eq!(counts, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!((durations.count(), durations.sum_ns()), (5, 20_001_002_000));
    }

    #[test]
    fn bounds_rise() {
        assert!(BOUNDS_US.is_sorted());
    }
}
