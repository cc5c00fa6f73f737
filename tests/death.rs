//! Kills peerd and nats-server under load, and compares the store with the answers.
//!
//! Each run prints its seed; `DEATH_SEED=<seed>` repeats its choices. The load is in
//! `peerd_testkit::faults::load`, the checks are in `crates/verify`, which reads the notes of the
//! clients.

#[path = "death/lost.rs"]
mod lost;
#[path = "death/scene.rs"]
mod scene;

use std::{process::Command, time::Duration};

use peerd_testkit::{self as support, faults};
use tokio::time::Instant;

use crate::{
    faults::{caller::count, failure::Failure, load::Plan},
    scene::Scene,
    support::{Nats, Peerd, settings, wait::say},
};

/// How long an orderly stop may take after a second signal.
const AT_ONCE: Duration = Duration::from_secs(2);
const REPEATED_SIGNAL_INTERVAL: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peerd_killed_under_load_loses_nothing_and_stores_nothing_twice() -> Result<(), Failure> {
    let plan = Plan { racing_pairs: 4, ..Plan::sends(16, 15) };
    let mut scene = Scene::start("peerd killed", plan).await?;
    for _ in 0..3 {
        scene.work_a_while().await?;
        scene.kill_peerd().await?;
    }
    scene.work_a_while().await?;
    scene.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_killed_under_load_loses_nothing_and_service_resumes_by_itself() -> Result<(), Failure>
{
    let plan = Plan { racing_pairs: 4, ..Plan::sends(16, 15) };
    let mut scene = Scene::start("nats-server killed", plan).await?;
    for _ in 0..4 {
        scene.work_a_while().await?;
        scene.kill_nats().await?;
    }
    scene.work_a_while().await?;
    scene.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clears_mutes_and_deletes_between_kills_still_equal_the_recount() -> Result<(), Failure> {
    let plan = Plan { racing_pairs: 4, marks: true, ..Plan::sends(12, 15) };
    let mut scene = Scene::start("marks, both killed", plan).await?;
    kill_each(&mut scene).await?;
    scene.work_a_while().await?;
    scene.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_are_cut_off_by_kills_lose_nothing_and_store_nothing_twice()
-> Result<(), Failure> {
    let plan = Plan { racing_pairs: 4, ..Plan::sends(32, 15) };
    let nats = Nats::start_synced().await;
    let mut setup = scene::setup("groups, both killed", plan, &nats);
    setup.partitions = 1;
    setup.settings.extend(settings([("PEERD__STREAM__GROUP_COMMIT", true)]));
    let mut scene = Scene::start_with(setup, nats).await?;
    kill_each(&mut scene).await?;
    scene.work_a_while().await?;
    scene.finish().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peerd_stopped_under_load_answers_every_call_it_accepted() -> Result<(), Failure> {
    let plan = Plan { racing_pairs: 4, marks: true, ..Plan::sends(12, 15) };
    let mut scene = Scene::start("peerd terminated", plan).await?;
    for _ in 0..2 {
        scene.work_a_while().await?;
        let took = scene.terminate_peerd().await?;
        say(&format!("peerd terminated: ended in {took:.2?}"));
    }
    scene.work_a_while().await?;
    let counts = scene.finish().await?;
    // An accepted call is answered; one that was not accepted is refused at once by NATS.
    assert_eq!(count(&counts.silence), 0, "calls that peerd took and did not answer");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peerd_ends_at_once_at_a_second_signal() -> Result<(), Failure> {
    let nats = Nats::start().await;
    let mut peerd = Peerd::start_with(&nats.url(), &[]).await;
    // With a paused server, an orderly stop cannot finish anything.
    signal("STOP", nats.pid())?;
    let pid = peerd.pid();
    let signalled = Instant::now();
    let redeliver = async {
        let first = signalled + REPEATED_SIGNAL_INTERVAL;
        let mut again = tokio::time::interval_at(first, REPEATED_SIGNAL_INTERVAL);
        loop {
            again.tick().await;
            // It may have ended already, and then the signal reaches no process.
            let _ = signal("TERM", pid);
        }
    };
    let status = tokio::select! {
        status = peerd.terminate() => status,
        () = redeliver => return Err("a loop without an end ended".into()),
    };
    let took = signalled.elapsed();
    assert!(took <= AT_ONCE, "peerd took {took:?} to end ({status}), signalled again and again");
    Ok(())
}

/// Kills nats-server and peerd under load, twice each.
async fn kill_each(scene: &mut Scene) -> Result<(), Failure> {
    for round in 0..4 {
        scene.work_a_while().await?;
        if round % 2 == 0 {
            scene.kill_nats().await?;
        } else {
            scene.kill_peerd().await?;
        }
    }
    Ok(())
}

fn signal(name: &str, pid: u32) -> Result<(), Failure> {
    let status = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(std::process::Stdio::null())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("kill -{name} {pid}: {status}").into()) }
}
