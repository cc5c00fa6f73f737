//! Conversions of numbers, medians, and summaries of latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is distinguished, in microseconds; longer ones count as this.
const LATENCY_MAX_US: u64 = 600_000_000;
/// The significant digits of a latency.
const DIGITS: u8 = 3;

/// As a floating-point number.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
pub(super) const fn float(number: u64) -> f64 {
    number as f64
}

/// As a whole number; negative numbers become 0.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
pub(super) const fn whole(number: f64) -> u64 {
    number as u64
}

/// A length as a count.
pub(super) fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// Whole microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The median, or the mean of the two middle values; `None` without values.
pub(super) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(values[middle - 1], upper)) }
}

/// Latencies, in microseconds.
#[derive(Clone, Debug)]
pub(super) struct Latencies(Histogram<u64>);

impl Latencies {
    pub(super) fn new() -> Self {
        let mut histogram = Histogram::new_with_bounds(1, 2, DIGITS)
            .unwrap_or_else(|_| unreachable!("bounds and digits are constants that fit"));
        histogram.auto(true);
        Self(histogram)
    }

    pub(super) fn record(&mut self, latency_us: u64) {
        // It cannot fail: the histogram grows as needed.
        let _ = self.0.record(latency_us.clamp(1, LATENCY_MAX_US));
    }

    pub(super) fn add(&mut self, others: &Self) {
        // It cannot fail: the histogram grows as needed.
        let _ = self.0.add(&others.0);
    }

    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    /// Their summary; `None` without latencies.
    pub(super) fn summary(&self) -> Option<Summary> {
        if self.0.is_empty() {
            return None;
        }
        Some(Summary {
            count: self.0.len(),
            p50_us: self.0.value_at_quantile(0.5),
            p90_us: self.0.value_at_quantile(0.9),
            p99_us: self.0.value_at_quantile(0.99),
            p999_us: self.0.value_at_quantile(0.999),
            max_us: self.0.max(),
        })
    }
}

/// A summary of latencies, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Summary {
    pub(super) count: u64,
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    pub(super) p999_us: u64,
    pub(super) max_us: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut latencies = Latencies::new();
        assert_eq!(latencies.summary(), None);
        (1..=1000).for_each(|latency_us| latencies.record(latency_us));
        let mut others = Latencies::new();
        others.record(5_000_000);
        latencies.add(&others);
        let summary = latencies.summary().expect("some");
        assert_eq!((summary.count, latencies.count()), (1001, 1001));
        assert_eq!((summary.p50_us, summary.p90_us, summary.p99_us), (501, 901, 991));
        assert_eq!(summary.p999_us, 1000);
        // Three digits are significant.
        assert!(summary.max_us.abs_diff(5_000_000) < 5_000, "{summary:?}");
    }

    #[test]
    fn latencies_out_of_range_still_count() {
        let mut latencies = Latencies::new();
        latencies.record(0);
        latencies.record(u64::MAX);
        let summary = latencies.summary().expect("some");
        assert_eq!((summary.count, summary.p50_us), (2, 1));
        assert!(summary.max_us >= LATENCY_MAX_US, "{summary:?}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
