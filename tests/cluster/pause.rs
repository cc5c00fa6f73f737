//! An instance is paused for so long that others take its partitions over, and then resumes.

use tokio::time::{Instant, sleep_until};

use super::{
    machine,
    scene::{Scene, Setup},
    settings::{stops, ttl},
};
use crate::{
    faults::{caller::Manner, failure::Failure},
    support::Nats,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_stood_still_does_no_harm_when_it_wakes_up() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let setup = Setup::new("stopped", &nats.url(), Manner::Impatient);
    let mut scene = Scene::start(setup).await?;
    for _ in 0..stops() {
        scene.work_a_while().await;
        let victim = scene.any();
        let stopped = Instant::now();
        scene.peerds[victim].signal("STOP");
        let epoch = scene.fault();
        let answered = scene.answered(epoch, stopped).await;
        sleep_until(stopped + 2 * ttl()).await;
        scene.peerds[victim].signal("CONT");
        answered?;
        // It has rejoined before the next one is paused.
        scene.until_member(victim).await?;
    }
    scene.work_a_while().await;
    scene.finish().await?;
    Ok(())
}
