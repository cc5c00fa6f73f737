//! Measured figures and their goals.

use serde::{Deserialize, Serialize};

/// The goal of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub(crate) fn is_reached(self, measured: f64) -> bool {
        match self {
            Self::AtLeast(bound) => measured >= bound,
            Self::AtMost(bound) => measured <= bound,
        }
    }

    pub(crate) fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound}"),
            Self::AtMost(bound) => format!("≤ {bound}"),
        }
    }
}

/// A ratio, or another number with a goal, over several rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Measured {
    /// The ratio of the medians, or the median.
    pub(crate) middle: f64,
    pub(crate) lowest: f64,
    pub(crate) highest: f64,
    pub(crate) rounds: usize,
}

impl Measured {
    /// The ratio of the medians of two sides; the spread is that of the alternating rounds.
    pub(crate) fn ratio(ours: &[f64], theirs: &[f64]) -> Self {
        let each: Vec<f64> = ours.iter().zip(theirs).map(|(one, other)| one / other).collect();
        let middle = median(ours) / median(theirs);
        Self::spread(middle, &each)
    }

    /// The median of rounds.
    pub(crate) fn of(rounds: &[f64]) -> Self {
        Self::spread(median(rounds), rounds)
    }

    /// The median, then the spread; with three decimals for ratios.
    fn text(&self) -> String {
        const LARGE: f64 = 100.0;
        let Self { middle, lowest, highest, rounds } = *self;
        let digits = if middle.abs() < LARGE { 3 } else { 0 };
        format!("{middle:.digits$} ({lowest:.digits$} to {highest:.digits$}, {rounds} rounds)")
    }

    fn spread(middle: f64, each: &[f64]) -> Self {
        Self {
            middle,
            lowest: each.iter().copied().fold(middle, f64::min),
            highest: each.iter().copied().fold(middle, f64::max),
            rounds: each.len(),
        }
    }
}

/// The median, or the mean of the two middle values; NaN without values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(upper), 1) => *upper,
        (Some(upper), _) => f64::midpoint(values[middle - 1], *upper),
        (None, _) => f64::NAN,
    }
}

/// The mean; NaN without values.
#[expect(clippy::cast_precision_loss, reason = "there are far fewer than 2^53")]
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A line of a table.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Figure {
    /// The row that measured it, as `ROWS` names it.
    pub(crate) row: String,
    pub(crate) what: String,
    /// `None` for a figure that is shown without a goal.
    pub(crate) goal: Option<Goal>,
    pub(crate) measured: Measured,
    /// The absolute numbers behind it.
    pub(crate) numbers: String,
}

impl Figure {
    pub(crate) fn new(
        row: &str,
        what: &str,
        goal: impl Into<Option<Goal>>,
        measured: Measured,
        numbers: impl Into<String>,
    ) -> Self {
        let (row, what) = (row.to_owned(), what.to_owned());
        Self { row, what, goal: goal.into(), measured, numbers: numbers.into() }
    }

    /// The line of the table of goals.
    pub(crate) fn line(&self) -> String {
        let reached = match self.goal {
            Some(goal) if goal.is_reached(self.measured.middle) => "yes",
            Some(_) => "**no**",
            None => "",
        };
        format!(
            "| {} | {} | {} | {reached} | {} |",
            self.what,
            self.goal.map(Goal::text).unwrap_or_default(),
            self.measured.text(),
            self.numbers,
        )
    }

    /// The line of a table without goals.
    pub(crate) fn plain_line(&self) -> String {
        format!("| {} | {} | {} |", self.what, self.measured.text(), self.numbers)
    }
}
