//! Round numbers along the axes of a picture.

/// Digits with which a round number begins.
const ROUND: [f64; 3] = [1.0, 2.0, 5.0];
/// Parts of a linear axis, at most.
const PARTS: f64 = 8.0;
/// Lines of a logarithmic axis with all round numbers; where there are more, only powers of ten.
const LOG_LINES: usize = 10;

/// A linear axis from 0 to a round number that is not below `most`, as its ticks.
pub(super) fn linear(most: f64) -> Vec<f64> {
    let step = at_or_above(most / PARTS);
    let mut ticks = vec![0.0];
    let mut number = 1.0;
    // One step at least, also of nothing.
    while ticks.last().is_none_or(|last| *last < most) || ticks.len() < 2 {
        ticks.push(step * number);
        number += 1.0;
    }
    ticks
}

/// A logarithmic axis that holds both numbers, which are above 0, as its ticks.
pub(super) fn logarithmic(least: f64, most: f64) -> Vec<f64> {
    let mut tick = at_or_below(least);
    let mut ticks = vec![tick];
    while tick < most || ticks.len() < 2 {
        tick = at_or_above(tick * 1.5);
        ticks.push(tick);
    }
    if ticks.len() <= LOG_LINES {
        return ticks;
    }
    let (low, high) = (power_at_or_below(least), power_at_or_below(most));
    let mut tens = vec![low];
    while tens.last().is_some_and(|last| *last < high || *last < most) {
        tens.push(power(tens[tens.len() - 1].log10().round() + 1.0));
    }
    tens
}

/// A tick as text: without a fraction where the step has none, and with all of its digits where it
/// has.
pub(super) fn label(tick: f64) -> String {
    // What was multiplied from a fraction has more digits than it should.
    let rounded = format!("{tick:.9}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn at_or_above(number: f64) -> f64 {
    let unit = power_at_or_below(number);
    // The next power of ten begins the next row.
    let candidates = ROUND.into_iter().chain([10.0]).map(|digit| tidy(digit * unit));
    candidates.into_iter().find(|candidate| *candidate >= number * (1.0 - SLACK)).unwrap_or(unit)
}

fn at_or_below(number: f64) -> f64 {
    let unit = power_at_or_below(number);
    let candidates = ROUND.map(|digit| tidy(digit * unit));
    candidates.into_iter().rfind(|candidate| *candidate <= number * (1.0 + SLACK)).unwrap_or(unit)
}

/// What a division and a logarithm may be off.
const SLACK: f64 = 1e-9;
/// What an axis begins with where there is nothing.
const LEAST: f64 = 1e-3;

fn power_at_or_below(number: f64) -> f64 {
    power((number.max(LEAST) * (1.0 + SLACK)).log10().floor())
}

fn power(exponent: f64) -> f64 {
    tidy(10_f64.powf(exponent))
}

/// Without the error of a power or a product: numbers here have few digits.
fn tidy(number: f64) -> f64 {
    label(number).parse().unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[f64]) -> Vec<String> {
        ticks.iter().copied().map(label).collect()
    }

    #[test]
    fn linear_ticks_are_round_and_reach_beyond_the_most() {
        assert_eq!(
            labels(&linear(4000.0)),
            ["0", "500", "1000", "1500", "2000", "2500", "3000", "3500", "4000"]
        );
        assert_eq!(labels(&linear(1737.2)), ["0", "500", "1000", "1500", "2000"]);
        assert_eq!(labels(&linear(9.3)), ["0", "2", "4", "6", "8", "10"]);
        assert_eq!(labels(&linear(0.5)), ["0", "0.1", "0.2", "0.3", "0.4", "0.5"]);
        assert_eq!(
            labels(&linear(123_456.0)),
            ["0", "20000", "40000", "60000", "80000", "100000", "120000", "140000"]
        );
        assert!(linear(0.0).len() >= 2, "of nothing there is an axis too");
    }

    #[test]
    fn every_rate_has_few_round_ticks() {
        let mut most = 0.01;
        while most < 1e7 {
            let ticks = linear(most);
            assert!((4..=10).contains(&ticks.len()), "{most}: {ticks:?}");
            assert!(ticks.last().is_some_and(|last| *last >= most), "{most}: {ticks:?}");
            for tick in labels(&ticks[1..2]) {
                let digits = tick.trim_matches(['0', '.']);
                assert!(["1", "2", "5"].contains(&digits), "{most}: {tick}");
            }
            most *= 1.137;
        }
    }

    #[test]
    fn logarithmic_ticks_hold_what_is_shown() {
        assert_eq!(labels(&logarithmic(0.3, 2.1)), ["0.2", "0.5", "1", "2", "5"]);
        assert_eq!(labels(&logarithmic(0.15, 280.0)), ["0.1", "1", "10", "100", "1000"]);
        assert_eq!(labels(&logarithmic(1.0, 1.0)), ["1", "2"]);
        assert_eq!(
            labels(&logarithmic(0.2, 100.0)),
            ["0.2", "0.5", "1", "2", "5", "10", "20", "50", "100"]
        );
    }
}
