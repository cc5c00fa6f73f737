//! A small random generator with a seed, so that a run can be repeated.

use std::time::Duration;

/// `SplitMix64`.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator for a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed of a run: from the environment variable, or a new one each time.
    pub fn seed(variable: &str) -> u64 {
        let given = std::env::var_os(variable);
        given.and_then(|text| text.to_str()?.parse().ok()).unwrap_or_else(|| {
            use std::hash::{BuildHasher as _, Hasher as _};
            std::hash::RandomState::new().build_hasher().finish() >> 32
        })
    }

    /// A separate generator for one part of a run.
    #[must_use]
    pub fn split(&mut self) -> Self {
        Self(self.next())
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True with this probability in percent.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// A time from zero up to `longest_ms`.
    pub fn pause(&mut self, longest_ms: u64) -> Duration {
        Duration::from_millis(self.below(longest_ms + 1))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
