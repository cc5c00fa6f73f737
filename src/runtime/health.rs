//! Whether the instance is live, and whether it is ready: decided from what is known of it, and
//! nothing else.

use std::time::Duration;

use crate::store::trouble::Trouble;

/// The phase of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// It does not take calls yet.
    #[default]
    Starting,
    /// It takes calls.
    Serving,
    /// It was asked to stop, and finishes its work.
    Draining,
}

/// The state of a connection to NATS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ConnectionState {
    pub(super) name: &'static str,
    /// Why there is no connection; `None`: there is one.
    pub(super) problem: Option<String>,
    pub(super) reconnects: u64,
}

/// What is known of an instance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'k> {
    pub(super) phase: Phase,
    /// What a starting instance waits for.
    pub(super) waits_for: &'k str,
    pub(super) connections: &'k [ConnectionState],
    /// Whether it serves the partitions that are assigned to it.
    pub(super) is_settled: bool,
    /// The lasting problems of the store.
    pub(super) troubles: &'k [Trouble],
    /// Whether one of them prevents all instances from owning partitions.
    pub(super) is_owning_impossible: bool,
    /// Why no client can log in with a token, where that is configured.
    pub(super) login_problem: Option<&'k str>,
    /// How long its tasks have made no progress.
    pub(super) idle: Duration,
    /// How long that may be.
    pub(super) stuck_after: Duration,
}

/// Why an instance is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It does not take calls yet.
    Starting,
    /// It was asked to stop.
    Draining,
    /// It has no connection to NATS.
    Nats,
    /// It is no member, or does not serve the partitions that are assigned to it.
    Partitions,
    /// No instance can own partitions.
    Store,
    /// No client can log in with a token.
    Login,
    /// Its tasks make no progress.
    Stuck,
}

impl Reason {
    /// All reasons.
    pub(super) const ALL: [Self; 7] = [
        Self::Starting,
        Self::Draining,
        Self::Nats,
        Self::Partitions,
        Self::Store,
        Self::Login,
        Self::Stuck,
    ];

    /// The label.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Draining => "draining",
            Self::Nats => "nats",
            Self::Partitions => "partitions",
            Self::Store => "store",
            Self::Login => "login",
            Self::Stuck => "stuck",
        }
    }
}

/// The health of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Health {
    /// Whether its tasks make progress. A restart helps against nothing else.
    pub(super) is_live: bool,
    /// Why it is not ready, each with a sentence for people; empty: it is ready.
    pub(super) unready: Vec<(Reason, String)>,
    /// Problems with which it is ready nevertheless.
    pub(super) warnings: Vec<String>,
}

impl Health {
    /// Decides.
    pub(super) fn of(known: &Known<'_>) -> Self {
        let mut unready = Vec::new();
        let is_live = known.idle < known.stuck_after;
        if !is_live {
            let seconds = known.idle.as_secs();
            unready.push((Reason::Stuck, format!("no task has made progress for {seconds} s")));
        }
        match known.phase {
            Phase::Starting => {
                unready.push((Reason::Starting, format!("waits for {}", known.waits_for)));
            }
            Phase::Draining => {
                let text = "hands its partitions over and finishes its calls";
                unready.push((Reason::Draining, text.to_owned()));
            }
            Phase::Serving => {}
        }
        for ConnectionState { name, problem, .. } in known.connections {
            if let Some(problem) = problem {
                unready.push((Reason::Nats, format!("no connection ({name}): {problem}")));
            }
        }
        let sentence = |Trouble { problem, remedy, .. }: &Trouble| format!("{problem}; {remedy}");
        let troubles = known.troubles.iter().map(sentence);
        let mut warnings = Vec::new();
        if known.is_owning_impossible {
            unready.extend(troubles.map(|text| (Reason::Store, text)));
        } else {
            warnings.extend(troubles);
        }
        if known.phase == Phase::Serving && !known.is_settled {
            let text = "is no member of the cluster, or has not taken its partitions over yet";
            unready.push((Reason::Partitions, text.to_owned()));
        }
        if let Some(problem) = known.login_problem {
            unready.push((Reason::Login, format!("no client can log in with a token: {problem}")));
        }
        Self { is_live, unready, warnings }
    }

    /// Whether calls are served.
    pub(super) const fn is_ready(&self) -> bool {
        self.unready.is_empty()
    }

    /// Whether this is one of the reasons why it is not ready.
    pub(super) fn has(&self, reason: Reason) -> bool {
        self.unready.iter().any(|(its, _)| *its == reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::tuning::STUCK_AFTER;

    const WELL: Known<'static> = Known {
        phase: Phase::Serving,
        waits_for: "",
        connections: &[],
        is_settled: true,
        troubles: &[],
        is_owning_impossible: false,
        login_problem: None,
        idle: Duration::ZERO,
        stuck_after: STUCK_AFTER,
    };

    fn reasons(known: &Known<'_>) -> Vec<Reason> {
        Health::of(known).unready.into_iter().map(|(reason, _)| reason).collect()
    }

    #[test]
    fn an_instance_is_ready_if_nothing_is_wrong() {
        let health = Health::of(&WELL);
        assert!(health.is_live && health.is_ready() && health.warnings.is_empty());
    }

    #[test]
    fn each_reason_alone_makes_it_unready() {
        let lost = ConnectionState {
            name: "bus",
            problem: Some("refused".to_owned()),
            ..ConnectionState::default()
        };
        let up = ConnectionState { name: "store", ..ConnectionState::default() };
        let connections = [up, lost];
        let starting = Known { phase: Phase::Starting, is_settled: false, ..WELL };
        assert_eq!(reasons(&starting), [Reason::Starting]);
        let draining = Known { phase: Phase::Draining, is_settled: false, ..WELL };
        assert_eq!(reasons(&draining), [Reason::Draining]);
        assert_eq!(reasons(&Known { connections: &connections, ..WELL }), [Reason::Nats]);
        assert_eq!(reasons(&Known { is_settled: false, ..WELL }), [Reason::Partitions]);
        let no_keys = Known { login_problem: Some("no keys"), ..WELL };
        assert_eq!(reasons(&no_keys), [Reason::Login]);
        let stuck = Known { idle: STUCK_AFTER, ..WELL };
        assert_eq!(reasons(&stuck), [Reason::Stuck]);
        assert!(!Health::of(&stuck).is_live);
    }

    #[test]
    fn only_a_stuck_instance_is_not_live() {
        let worst = Known {
            phase: Phase::Draining,
            is_settled: false,
            is_owning_impossible: true,
            idle: STUCK_AFTER / 2,
            ..WELL
        };
        assert!(Health::of(&worst).is_live);
    }

    #[test]
    fn a_trouble_of_the_store_is_a_warning_unless_no_instance_can_own() {
        let trouble = Trouble {
            resource: "PEER_LOG_3".to_owned(),
            problem: "it is full".to_owned(),
            remedy: "make room".to_owned(),
            lasts: Duration::ZERO,
            kind: "full",
        };
        let troubles = [trouble];
        let health = Health::of(&Known { troubles: &troubles, ..WELL });
        assert!(health.is_ready());
        assert_eq!(health.warnings, ["it is full; make room"]);
        let health = Health::of(&Known { troubles: &troubles, is_owning_impossible: true, ..WELL });
        assert_eq!(health.unready, [(Reason::Store, "it is full; make room".to_owned())]);
        assert!(health.has(Reason::Store) && !health.has(Reason::Nats));
    }
}
