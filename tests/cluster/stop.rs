//! One of two instances is stopped, under more load than in a rolling restart.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    machine,
    settings::{rounds, setup},
};
use crate::{
    faults::{
        caller::{Manner, count},
        failure::Failure,
        trial::Trial,
    },
    support::{Nats, start_instances},
    wait::say,
};

/// How long an instance may take to end after a second signal.
const AT_ONCE: Duration = Duration::from_secs(2);
const REPEATED_SIGNAL_INTERVAL: Duration = Duration::from_millis(200);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_instance_answers_the_calls_it_took_and_hands_its_users_over()
-> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let mut setup = setup("terminated", &nats.url(), Manner::Strict);
    setup.instances.truncate(2);
    setup.plan.interval_ms = 15;
    let mut trial = Trial::start(setup).await?;
    for round in 0..2 * rounds() {
        trial.work_a_while().await?;
        let instance = usize::try_from(round % 2)?;
        let took = trial.terminate(instance).await?;
        say(&format!("terminated: instance {instance} ended in {took:.2?}"));
        let fault = trial.fault(None)?;
        trial.answered(fault).await?;
        trial.start_again(&[instance]).await?;
    }
    let counts = trial.finish().await?;
    assert_eq!(count(&counts.silence), 0, "calls that were taken and not answered: {counts}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_ends_at_once_at_a_second_signal() -> Result<(), Failure> {
    let _machine = machine::shared().await;
    let nats = Nats::start().await;
    let setup = setup("second signal", &nats.url(), Manner::Patient);
    let mut peerds = start_instances(&setup.instances[..2], &setup.settings()).await?;
    // With a paused server, an orderly stop cannot finish anything.
    let stopped = Stopped::new(&nats);
    let signalled = Instant::now();
    let peerd = &mut peerds[0];
    let pid = peerd.pid();
    peerd.signal("TERM");
    let redeliver = async {
        let first = signalled + REPEATED_SIGNAL_INTERVAL;
        let mut again = tokio::time::interval_at(first, REPEATED_SIGNAL_INTERVAL);
        loop {
            again.tick().await;
            // It may have ended already, and then the signal reaches no process.
            signal("TERM", pid);
        }
    };
    let status = tokio::select! {
        status = peerd.ended() => status,
        () = redeliver => return Err("a loop without an end ended".into()),
    };
    let took = signalled.elapsed();
    drop(stopped);
    say(&format!("second signal: ended in {took:.2?}, {status}"));
    assert!(took <= AT_ONCE, "it took {took:?} to end ({status}), signalled again and again");
    assert!(peerds[1].is_running(), "the other one ended too");
    Ok(())
}

/// A nats-server that is paused as long as this exists.
struct Stopped(u32);

impl Stopped {
    fn new(nats: &Nats) -> Self {
        signal("STOP", nats.pid());
        Self(nats.pid())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal("CONT", self.0);
    }
}

fn signal(name: &str, pid: u32) {
    let mut kill = std::process::Command::new("kill");
    // The behaviour of the instances shows whether the signal reached a process.
    let _ = kill
        .arg(format!("-{name}"))
        .arg(pid.to_string())
        .stderr(std::process::Stdio::null())
        .status();
}
