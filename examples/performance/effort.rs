//! The extent of a measurement.

/// Rounds, times and sizes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// Rounds of each side; they alternate.
    pub(crate) rounds: usize,
    /// Seconds of a round of load, and before it.
    pub(crate) seconds: u64,
    pub(crate) warm_up_seconds: u64,
    /// Calls of a round of reading.
    pub(crate) calls: usize,
    /// Messages of the long conversation, a multiple of what the thousandth page needs.
    pub(crate) long: u64,
    /// Conversations of the full store, ten messages each.
    pub(crate) conversations: u64,
    /// Users with 200 conversations each, for each round.
    pub(crate) wide_users: usize,
    /// Users who are active, and users who are known, for memory.
    pub(crate) active_users: usize,
    pub(crate) known_users: usize,
}

impl Effort {
    /// The extent for the document.
    pub(crate) const FULL: Self = Self {
        rounds: 5,
        seconds: 10,
        warm_up_seconds: 3,
        calls: 300,
        long: 100_000,
        conversations: 1_000_000,
        wide_users: 50,
        active_users: 100_000,
        known_users: 1_000_000,
    };
    /// A short run, for a rough look and to see that everything works.
    pub(crate) const QUICK: Self = Self {
        rounds: 2,
        seconds: 2,
        warm_up_seconds: 1,
        calls: 50,
        long: 40_000,
        conversations: 10_000,
        wide_users: 10,
        active_users: 2_000,
        known_users: 10_000,
    };

    /// The arguments of `peerd bench` for one round.
    pub(crate) fn times(&self) -> [String; 4] {
        let seconds = |seconds: u64| format!("{seconds}s");
        [
            "--duration".into(),
            seconds(self.seconds),
            "--warm-up".into(),
            seconds(self.warm_up_seconds),
        ]
    }

    /// As many rounds as asked for.
    pub(crate) fn rounds(&self) -> [String; 2] {
        ["--rounds".into(), self.rounds.to_string()]
    }
}
