//! Instances are added and removed one by one: partitions are balanced, and move at most once.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;

use super::{machine, settings::setup};
use crate::{
    faults::{caller::Manner, failure::Failure, trial::Trial},
    support::{Nats, Ownership, Peerd},
    wait::{say, until},
};

const PARTITIONS: u32 = 64;
const MOST_INSTANCES: usize = 10;
const SETTLED_DEADLINE: Duration = Duration::from_secs(30);
/// The time without a change of owners after which the cluster counts as settled: longer than
/// members need to see each other.
const QUIET: Duration = Duration::from_millis(1_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_even_out_and_move_at_most_once_as_instances_come_and_go() -> Result<(), Failure>
{
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let mut setup = setup("growth", &nats.url(), Manner::Strict);
    setup.partitions = PARTITIONS;
    setup.plan.users = 8;
    setup.plan.interval_ms = 150;
    let settings = setup.settings();
    let mut trial = Trial::start(setup).await?;
    let mut before = settled(&mut trial).await?;
    while trial.peerds.len() < MOST_INSTANCES {
        trial.peerds.push(Peerd::spawn(&nats.url(), &settings));
        let newest = trial.peerds.len() - 1;
        trial.ready(newest).await?;
        before = compare(&mut trial, &before, "one more").await?;
    }
    while trial.peerds.len() > 3 {
        let leaving = trial.any();
        trial.terminate(leaving).await?;
        trial.peerds.remove(leaving);
        before = compare(&mut trial, &before, "one less").await?;
    }
    trial.finish().await?;
    Ok(())
}

/// Waits until the change is complete; returns the owners after it.
async fn compare(
    trial: &mut Trial,
    before: &Ownership,
    change: &str,
) -> Result<Ownership, Failure> {
    let began = Instant::now();
    let fault = trial.fault(None)?;
    trial.answered(fault).await?;
    let after = settled(trial).await?;
    let claims: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let epoch = |ownership: &Ownership| {
                ownership.owners.get(&partition).map_or(0, |owner| owner.epoch)
            };
            epoch(&after).saturating_sub(epoch(before))
        })
        .collect();
    let held: Vec<_> = trial.peerds.iter().map(|peerd| after.held_by(peerd.pid())).collect();
    let moves: u64 = claims.iter().sum();
    say(&format!(
        "growth: {change}, {} now: {moves} moves; each owns {held:?}, the share is {:.1}; settled \
         after {:.2?}",
        held.len(),
        f64::from(PARTITIONS) / f64::from(u32::try_from(held.len())?),
        began.elapsed().saturating_sub(QUIET),
    ));
    if let Some(often) = claims.iter().position(|claims| *claims > 1) {
        let what = format!(
            "partition {often} was claimed {} times: {:?}, then {:?}",
            claims[often],
            before.owners.get(&u32::try_from(often)?),
            after.owners.get(&u32::try_from(often)?),
        );
        return Err(trial.failure(what));
    }
    Ok(after)
}

/// Waits until every partition has a live owner, no instance has more than twice its share, and no
/// partition moves any more.
async fn settled(trial: &mut Trial) -> Result<Ownership, Failure> {
    let live: BTreeSet<u32> = trial.peerds.iter().map(Peerd::pid).collect();
    let mut last = (Ownership::default(), Instant::now());
    let settled = until(SETTLED_DEADLINE, async || {
        let now = trial.ownership().await.map_err(|error| error.to_string())?;
        if now.owners != last.0.owners {
            last = (now, Instant::now());
            return Err("owners change".to_owned());
        }
        let strays: Vec<_> = (0..PARTITIONS)
            .filter(|partition| !now.pid_of(*partition).is_some_and(|pid| live.contains(&pid)))
            .collect();
        if !strays.is_empty() {
            return Err(format!("without an owner that lives: {strays:?}"));
        }
        let most = live.iter().map(|pid| now.held_by(*pid)).max().unwrap_or_default();
        if most * live.len() > 2 * PARTITIONS as usize {
            return Err(format!("one of {} instances owns {most} partitions", live.len()));
        }
        if last.1.elapsed() < QUIET {
            return Err("owners changed lately".to_owned());
        }
        Ok(now)
    })
    .await;
    settled.map_err(|missing| trial.failure(missing))
}
