//! An instance is paused for so long that others take its partitions over, and then resumes.

use tokio::time::sleep_until;

use super::{
    machine,
    settings::{setup, stops, ttl},
};
use crate::{
    faults::{caller::Manner, failure::Failure, notes::Disturbed, trial::Trial},
    support::Nats,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stood_still_does_no_harm_when_it_wakes_up() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let setup = setup("stopped", &nats.url(), Manner::Impatient);
    let mut trial = Trial::start(setup).await?;
    for _ in 0..stops() {
        trial.work_a_while().await?;
        let victim = trial.any();
        trial.peerds[victim].signal("STOP");
        let fault = trial.fault(Disturbed::Peerd)?;
        let answered = trial.answered(fault).await;
        sleep_until(fault.since + 2 * ttl()).await;
        trial.peerds[victim].signal("CONT");
        answered?;
        // It has rejoined before the next one is paused.
        trial.until_member(victim).await?;
    }
    trial.work_a_while().await?;
    trial.finish().await?;
    Ok(())
}
