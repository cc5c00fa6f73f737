//! The problems of a configuration, collected while its values are checked.

use std::fmt;

/// All problems of a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<String>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// Collects problems while values are checked.
#[derive(Default)]
pub(super) struct Check {
    pub(super) problems: Vec<String>,
}

impl Check {
    pub(super) fn that(&mut self, holds: bool, key: &str, problem: &str) {
        if !holds {
            self.problems.push(format!("{key}: {problem}"));
        }
    }

    /// Checks that a number is within bounds, and converts it to the type in use.
    pub(super) fn number<T: TryFrom<u64> + Default>(
        &mut self,
        key: &str,
        value: u64,
        min: u64,
        max: u64,
    ) -> T {
        self.that((min..=max).contains(&value), key, &format!("must be {min} to {max}"));
        T::try_from(value).unwrap_or_default()
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        key: &str,
        value: &str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let found = choices.iter().find(|(name, _)| *name == value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.that(false, key, &format!("must be one of {}", names.join(", ")));
        }
        found.map(|(_, choice)| *choice)
    }
}
