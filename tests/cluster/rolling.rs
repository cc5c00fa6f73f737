//! All instances are restarted one after another: no call may fail.

use std::time::Duration;

use serde_json::json;
use tokio::{sync::watch, time::sleep};

use super::{
    machine,
    settings::{rounds, setup},
};
use crate::{
    faults::{
        caller::{Caller, Manner, count},
        failure::Failure,
        trial::Trial,
    },
    support::{Nats, Observer},
    wait::say,
};

const MAPPED: &str = "jetstream {}\nmappings { \"peer.api.*.*\": \
    \"peer.part.{{partition(8,1)}}.{{wildcard(1)}}.{{wildcard(2)}}\" }\n";

/// The interval between new users.
const NEWCOMERS_INTERVAL: Duration = Duration::from_millis(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_instances_are_restarted_in_order() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    restart_all("rolling restart", &nats).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_either_where_the_server_maps_calls_to_owners() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("mapped.conf");
    std::fs::write(&path, MAPPED)?;
    let nats = Nats::start_with_config(&path, &[]).await;
    restart_all("rolling restart, mapped", &nats).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_an_observer_subscribes_to_everything() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let mut observer = Observer::connect(&nats.url()).await;
    observer.listen(&[">", "peer.part.>"]).await;
    restart_all("rolling restart, observed", &nats).await
}

async fn restart_all(name: &'static str, nats: &Nats) -> Result<(), Failure> {
    let mut setup = setup(name, &nats.url(), Manner::Strict);
    setup.plan.marks = true;
    setup.plan.interval_ms = 40;
    let mut trial = Trial::start(setup).await?;
    let (stop, stopping) = watch::channel(false);
    let newcomers = tokio::spawn(newcomers(trial.caller(), stopping));
    let mut ends = Vec::<Duration>::new();
    for _ in 0..rounds() {
        for instance in 0..trial.peerds.len() {
            trial.work_a_while().await?;
            ends.push(trial.terminate(instance).await?);
            let fault = trial.fault(None)?;
            trial.answered(fault).await?;
            trial.start_again(&[instance]).await?;
        }
    }
    trial.work_a_while().await?;
    stop.send_replace(true);
    let contacts = newcomers.await??;
    say(&format!("{name}: ends took {ends:.2?}; {contacts} first contacts"));
    let counts = trial.finish().await?;
    let others = [
        &counts.duplicates,
        &counts.refused,
        &counts.outcome_unknown,
        &counts.no_responders,
        &counts.silence,
    ];
    let failed: u64 = others.into_iter().map(count).sum();
    assert_eq!(failed, 0, "calls that did not succeed at once: {counts}");
    Ok(())
}

/// New users log in and write to each other for the first time, until signalled to stop. Returns
/// their number; each call must succeed at once.
async fn newcomers(caller: Caller, stopping: watch::Receiver<bool>) -> Result<u32, Failure> {
    let name = |number: u32| format!("newcomer.{number}");
    let mut number = 0;
    caller.until_done(&name(0), "login", &json!({})).await?;
    while !*stopping.borrow() {
        number += 1;
        caller.until_done(&name(number), "login", &json!({})).await?;
        let body = json!({
            "message": { "type": 1, "message": "Hello!" },
            "toUserID": name(number - 1),
        });
        caller.until_done(&name(number), "send_peer_message", &body).await?;
        sleep(NEWCOMERS_INTERVAL).await;
    }
    Ok(number)
}
