//! The network of one instance fails without closing a connection, and recovers.

use tokio::time::{Instant, sleep_until};

use super::{
    machine,
    settings::{rounds, setup, ttl},
};
use crate::{
    faults::{caller::Manner, failure::Failure, notes::Disturbed, trial::Trial},
    support::{Flow, Nats, Proxy},
    wait::say,
};

/// The server drops a connection that does not answer for two seconds. Until then it gives the
/// instance its share of the calls, which are not answered. The server's default is six minutes.
const SOON_SILENT: &str = "jetstream {}\nping_interval: \"1s\"\nping_max: 2\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_cut_off_from_nats_answers_nothing_wrong_and_comes_back_by_itself()
-> Result<(), Failure> {
    let _machine = machine::shared().await;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("soon-silent.conf");
    std::fs::write(&path, SOON_SILENT)?;
    let nats = Nats::start_with_config(&path, &[]).await;
    let proxy = Proxy::start(nats.port()).await;
    let mut setup = setup("cut off", &nats.url(), Manner::Impatient);
    setup.instances[0] = proxy.url();
    // Enough that each instance owns some.
    setup.partitions = 32;
    let mut trial = Trial::start(setup).await?;
    trial.until_owner(0).await?;
    let pid = trial.peerds[0].pid();
    for round in 0..2 * rounds() {
        let flow = if round % 2 == 0 { Flow::Swallow } else { Flow::Hold };
        trial.work_a_while().await?;
        proxy.set(flow);
        let fault = trial.fault(Disturbed::Nats)?;
        let answered = trial.answered(fault).await?.all;
        sleep_until(fault.since + 2 * ttl()).await;
        proxy.set(Flow::Pass);
        let back = Instant::now();
        trial.until_owner(0).await?;
        let owner = back.elapsed();
        say(&format!("cut off: {flow:?}: answered {answered:.2?}, owner again {owner:.2?}"));
    }
    for _ in 0..rounds() {
        trial.work_a_while().await?;
        proxy.cut();
        let fault = trial.fault(Disturbed::Nats)?;
        trial.answered(fault).await?;
        trial.until_owner(0).await?;
    }
    let ownership = trial.ownership().await?;
    assert!(ownership.held_by(pid) > 0, "{ownership:?}");
    trial.finish().await?;
    Ok(())
}
