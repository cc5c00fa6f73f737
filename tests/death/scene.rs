//! A nats-server, a peerd and a load, and kills of the first two.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;

use crate::{
    faults::{
        caller::{CALL_DEADLINE, Counts},
        failure::Failure,
        load::Plan,
        notes::Disturbed,
        trial::{Fault, Setup, Trial},
    },
    support::{Nats, settings, wait::say},
};

/// The longest outage of a nats-server.
const LONGEST_DEATH_MS: u64 = 800;
/// The percentage of kills of peerd that are followed by another during the recovery.
const SECOND_KILL_PERCENT: u64 = 34;

/// One run.
pub(crate) struct Scene {
    trial: Trial,
    nats: Nats,
}

/// The usual setup, on a server.
pub(crate) fn setup(name: &'static str, plan: Plan, nats: &Nats) -> Setup {
    let urls = vec![nats.url()];
    let mut setup = Setup::new((name, "DEATH_SEED"), urls.clone(), urls, plan);
    setup.settings = settings([
        ("PEERD__LIMITS__MESSAGES_PER_SECOND", 100_000),
        ("PEERD__LIMITS__CALL_DEADLINE_MS", CALL_DEADLINE.as_millis()),
    ]);
    setup
}

impl Scene {
    /// Starts everything, the load included.
    pub(crate) async fn start(name: &'static str, plan: Plan) -> Result<Self, Failure> {
        let nats = Nats::start().await;
        Self::start_with(setup(name, plan, &nats), nats).await
    }

    /// As [`Scene::start`], with a given setup on a nats-server.
    pub(crate) async fn start_with(setup: Setup, nats: Nats) -> Result<Self, Failure> {
        say(&format!("{}: {}={}", setup.name, setup.variable, setup.seed));
        Ok(Self { trial: Trial::start(setup).await?, nats })
    }

    /// Lets the load work until a random moment.
    pub(crate) async fn work_a_while(&mut self) -> Result<(), Failure> {
        self.trial.work_a_while().await
    }

    /// Kills peerd, sometimes again during its recovery, and waits until all users are answered
    /// again.
    pub(crate) async fn kill_peerd(&mut self) -> Result<(), Failure> {
        let mut fault = self.trial.fault(Disturbed::Peerd)?;
        self.trial.peerds[0].kill9();
        if self.trial.random.percent(SECOND_KILL_PERCENT) {
            self.trial.peerds[0].spawn_again();
            self.trial.ready(0).await?;
            self.trial.pause().await;
            fault = self.trial.fault(Disturbed::Peerd)?;
            self.trial.peerds[0].kill9();
        }
        self.start_peerd(fault).await
    }

    /// Kills nats-server and restarts it after a while; peerd must reconnect by itself.
    pub(crate) async fn kill_nats(&mut self) -> Result<(), Failure> {
        let fault = self.trial.fault(Disturbed::Nats)?;
        self.nats.kill9();
        sleep(self.trial.random.pause(LONGEST_DEATH_MS)).await;
        self.nats.restart().await;
        self.trial.answered(fault).await?;
        Ok(())
    }

    /// Stops peerd, which must succeed, and starts it again; returns the duration of the stop.
    pub(crate) async fn terminate_peerd(&mut self) -> Result<Duration, Failure> {
        let took = self.trial.terminate(0).await?;
        let fault = self.trial.fault(Disturbed::Peerd)?;
        self.start_peerd(fault).await?;
        Ok(took)
    }

    /// Starts peerd again, and waits until all users are answered again.
    async fn start_peerd(&mut self, fault: Fault) -> Result<(), Failure> {
        self.trial.peerds[0].spawn_again();
        self.trial.ready(0).await?;
        self.trial.answered(fault).await?;
        Ok(())
    }

    /// Ends the load, and compares the views of all users with the answers.
    pub(crate) async fn finish(self) -> Result<Arc<Counts>, Failure> {
        self.trial.finish().await
    }
}
