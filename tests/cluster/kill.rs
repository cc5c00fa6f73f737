//! Instances are killed, one or two at a time.

use std::time::Duration;

use super::{
    machine,
    settings::{kills, setup, ttl},
};
use crate::{
    faults::{caller::Manner, failure::Failure, trial::Trial},
    support::{Nats, Observer},
};

/// How long a take-over may last after the instance counts as dead, where instances, NATS and clients
/// share two cores: half a second as a rule, and 1.2 s were seen.
const MARGIN: Duration = Duration::from_secs(2);
/// The percentage of kills that hit two of the three.
const TWO_AT_ONCE_PERCENT: u64 = 20;
const KILLS_BETWEEN_MARKS: u64 = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_instances_lose_nothing_and_their_users_are_soon_answered_by_others()
-> Result<(), Failure> {
    let _machine = machine::alone().await;
    let nats = Nats::start().await;
    let mut setup = setup("killed", &nats.url(), Manner::Impatient);
    setup.bound = ttl() + MARGIN;
    let mut trial = Trial::start(setup).await?;
    kill_many(&mut trial, kills()).await?;
    trial.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clears_mutes_and_deletes_between_kills_of_instances_equal_the_recount()
-> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let mut setup = setup("killed, marks", &nats.url(), Manner::Patient);
    setup.plan.marks = true;
    let mut trial = Trial::start(setup).await?;
    kill_many(&mut trial, KILLS_BETWEEN_MARKS).await?;
    trial.finish().await?;
    Ok(())
}

/// An observer of everything, so that the server never reports no responders, which also replies in
/// place of instances: a death is noticed by unanswered probes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_are_killed_while_an_observer_subscribes_to_everything() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let mut observer = Observer::connect(&nats.url()).await;
    observer.listen(&[">", "peer.part.>"]).await;
    observer.reply_to("peer.part.*.*").await;
    let setup = setup("killed, observed", &nats.url(), Manner::Impatient);
    let mut trial = Trial::start(setup).await?;
    kill_many(&mut trial, KILLS_BETWEEN_MARKS).await?;
    trial.finish().await?;
    Ok(())
}

async fn kill_many(trial: &mut Trial, kills: u64) -> Result<(), Failure> {
    for _ in 0..kills {
        trial.work_a_while().await?;
        let first = trial.any();
        let second = (first + 1) % trial.peerds.len();
        if trial.random.percent(TWO_AT_ONCE_PERCENT) {
            trial.kill(&[first, second]).await?;
        } else {
            trial.kill(&[first]).await?;
        }
    }
    trial.work_a_while().await
}
