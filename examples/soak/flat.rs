//! Whether a line is flat.
//!
//! The first quarter of a run, in which caches fill up, is not judged. A line is flat if two
//! figures are within a limit, the larger of [`SHARE`] of its height and the slack of its kind: the
//! rise of its least-squares line from the first moment to the last, and the difference of the
//! medians of the last quarter and the second. The first finds a slow leak, the second is not
//! misled by a spike.

/// The allowed rise, as a share of the median of the second quarter.
pub(crate) const SHARE: f64 = 0.05;
/// The fewest values in a quarter for a judgement.
const LEAST_VALUES: usize = 5;

/// The figures of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Judged {
    /// The median of the second quarter.
    pub(crate) second: f64,
    /// The median of the last quarter.
    pub(crate) last: f64,
    /// The rise of the least-squares line over the judged part.
    pub(crate) rise: f64,
    pub(crate) allowed: f64,
}

impl Judged {
    pub(crate) fn is_flat(&self) -> bool {
        self.rise <= self.allowed && self.last - self.second <= self.allowed
    }
}

/// Judges a line of (seconds, value) of a run of `span_s` seconds; `None` if there are too few
/// values.
pub(crate) fn judge(line: &[(f64, f64)], span_s: f64, slack: f64) -> Option<Judged> {
    let quarter = span_s / 4.0;
    let between = |from: f64, to: f64| -> Vec<(f64, f64)> {
        line.iter().copied().filter(|(at, _)| (from..to).contains(at)).collect()
    };
    let second = median(&between(quarter, 2.0 * quarter))?;
    let last = median(&between(3.0 * quarter, f64::INFINITY))?;
    let rise = slope(&between(quarter, f64::INFINITY)) * 3.0 * quarter;
    Some(Judged { second, last, rise, allowed: (SHARE * second).max(slack) })
}

fn median(line: &[(f64, f64)]) -> Option<f64> {
    let mut values: Vec<f64> = line.iter().map(|(_, value)| *value).collect();
    values.sort_by(f64::total_cmp);
    (values.len() >= LEAST_VALUES).then(|| values[values.len() / 2])
}

/// The slope of the least-squares line, in values a second.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn slope(line: &[(f64, f64)]) -> f64 {
    let count = line.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| line.iter().map(of).sum::<f64>() / count;
    let (at, value) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = line.iter().map(|point| (point.0 - at).powi(2)).sum();
    let together: f64 = line.iter().map(|point| (point.0 - at) * (point.1 - value)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPAN_S: f64 = 3600.0;

    fn line(value: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        (0..720).map(|number| f64::from(number) * 5.0).map(|at| (at, value(at))).collect()
    }

    fn is_flat(value: impl Fn(f64) -> f64) -> bool {
        judge(&line(value), SPAN_S, 0.0).expect("long enough").is_flat()
    }

    #[test]
    fn a_level_line_with_noise_is_flat() {
        assert!(is_flat(|at| 50.0 + (at * 0.7).sin()));
    }

    #[test]
    fn a_series_that_rises_while_caches_fill_and_then_stays_is_flat() {
        assert!(is_flat(|at| if at < 850.0 { 10.0 + at / 20.0 } else { 52.5 }));
    }

    #[test]
    fn a_slow_leak_is_found() {
        let an_eighth_an_hour = |at: f64| 50.0 + 50.0 / 8.0 * at / 3600.0;
        assert!(!is_flat(an_eighth_an_hour));
    }

    #[test]
    fn a_step_that_stays_is_found() {
        assert!(!is_flat(|at| if at < 2500.0 { 50.0 } else { 56.0 }));
    }

    #[test]
    fn a_spike_that_goes_away_is_none() {
        assert!(is_flat(|at| if (2000.0..2050.0).contains(&at) { 200.0 } else { 50.0 }));
    }

    #[test]
    fn a_few_more_of_few_are_within_the_slack() {
        let one_more = line(|at| if at < 2500.0 { 12.0 } else { 13.0 });
        assert!(!judge(&one_more, SPAN_S, 0.0).expect("long enough").is_flat());
        assert!(judge(&one_more, SPAN_S, 2.0).expect("long enough").is_flat());
    }

    #[test]
    fn of_a_line_that_ends_early_nothing_is_said() {
        let short: Vec<_> = line(|_| 1.0).into_iter().filter(|(at, _)| *at < 2000.0).collect();
        assert_eq!(judge(&short, SPAN_S, 0.0), None);
    }
}
