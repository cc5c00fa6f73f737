//! The servers, and the faults.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use crate::{
    dashboard::{Dashboard, say},
    faults::{
        caller::{CALL_DEADLINE, Counts, Manner},
        failure::Failure,
        load::Plan,
        notes::Disturbed,
        trial::{Fault, Setup, Trial},
    },
    impact::{self, Impact},
    poller::poll_status,
    support::{NatsCluster, settings},
    verdict,
};

/// nats-servers, and peerds.
pub(crate) const NODES: usize = 3;
const PLAN: Plan = Plan::sends(240, 1500);
const MEMBER_TTL_MS: &str = "5000";
/// The time before the first fault.
const STEADY: Duration = Duration::from_secs(5);
/// How long a nats-server stays dead.
const NATS_DEAD: Duration = Duration::from_secs(3);
/// How long a peerd stays dead: longer than the others wait for a heartbeat.
const PEERD_DEAD: Duration = Duration::from_secs(7);
/// The time after each recovery.
const CALM: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    dashboard: Arc<Dashboard>,
    trial: Trial,
    /// The status poller and the drawing of the dashboard.
    _watchers: JoinSet<()>,
    // Last, so that they outlive what uses them.
    nats: NatsCluster,
}

impl Stage {
    /// Starts everything, the load included.
    pub(crate) async fn set(dashboard: &Arc<Dashboard>) -> Result<Self, Failure> {
        dashboard.event("starting three nats-servers …");
        let nats = NatsCluster::start("").await;
        let servers = nats.urls();
        dashboard.event(&format!("starting three peerds, logging {} users in …\n", PLAN.users));
        let trial = Trial::start(setup(&servers, dashboard)).await?;
        let mut watchers = JoinSet::new();
        watchers.spawn(poll_status(Arc::clone(dashboard), servers.join(",")));
        dashboard.open();
        watchers.spawn(Arc::clone(dashboard).live());
        trial.until_whole().await?;
        Ok(Self { dashboard: Arc::clone(dashboard), trial, _watchers: watchers, nats })
    }

    /// No fault, for comparison.
    pub(crate) async fn steady(&self) -> Impact {
        self.dashboard.event("all is well");
        self.dashboard.meter.begin();
        sleep(STEADY).await;
        Impact { what: "no fault".to_owned(), phase: self.dashboard.meter.phase() }
    }

    /// Kills a nats-server and starts it again.
    pub(crate) async fn kill_nats(&mut self, node: usize) -> Result<Impact, Failure> {
        let name = format!("nats-server {}", node + 1);
        let fault = self.fault(&format!("kill -9 {name}"), Some(Disturbed::Nats))?;
        self.nats.kill9(node);
        sleep(NATS_DEAD).await;
        self.nats.restart(node).await;
        self.dashboard.event(&format!("{name} is back, its replicas catch up"));
        self.nats.until_healthy().await?;
        self.over(fault, &format!("{name} killed")).await
    }

    /// Kills a peerd, and starts it again once the others have taken its users over.
    pub(crate) async fn kill_peerd(&mut self, node: usize) -> Result<Impact, Failure> {
        let name = format!("peerd {}", node + 1);
        let fault = self.fault(&format!("kill -9 {name}"), Some(Disturbed::Peerd))?;
        self.trial.peerds[node].kill9();
        sleep(PEERD_DEAD).await;
        self.trial.start_again(&[node]).await?;
        self.dashboard.event(&format!("{name} is back"));
        self.over(fault, &format!("{name} killed")).await
    }

    /// Restarts the peerds one by one, in order, as an update does.
    pub(crate) async fn restart_all_peerds(&mut self) -> Result<Impact, Failure> {
        let fault = self.fault("now a rolling restart", None)?;
        for node in 0..NODES {
            let name = format!("peerd {}", node + 1);
            self.dashboard.event(&format!("{name} is stopped"));
            self.trial.terminate(node).await?;
            self.trial.start_again(&[node]).await?;
            self.dashboard.event(&format!("{name} is back"));
            self.trial.until_whole().await?;
        }
        self.over(fault, "peerds restarted in turn").await
    }

    /// Ends the load, and compares the view of every user with the answers.
    pub(crate) async fn judge(&mut self, impacts: &[Impact]) -> Result<bool, Failure> {
        self.dashboard.event("the users stop, and everything is read back");
        let pairs = self.trial.end_load().await?;
        let judged = self.trial.judge(&pairs).await?;
        self.dashboard.close();
        let mut is_good = verdict::pronounce(&judged);
        say(&format!("\n{}\n", impact::table(impacts)));
        let status = self.trial.status(&[]).await;
        say(&format!("peerd status: {}", status.stdout.lines().next().unwrap_or(&status.stderr)));
        if status.code != Some(0) {
            say(&status.stdout);
            is_good = false;
        }
        let verdict =
            if is_good { "All promises were kept" } else { "SOME PROMISES WERE NOT KEPT" };
        say(&format!("{verdict}, after {} s.", self.dashboard.elapsed().as_secs()));
        Ok(is_good)
    }

    /// Copies the logs to a folder that outlives this program.
    pub(crate) fn keep_logs(&self) -> std::io::Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix("peerd-demo-cluster-").tempdir()?.keep();
        self.trial.keep_logs(&folder, &self.nats)?;
        Ok(folder)
    }

    /// A fault begins: the impact on users counts for it from now on.
    fn fault(&mut self, what: &str, disturbed: Option<Disturbed>) -> Result<Fault, Failure> {
        self.dashboard.event(what);
        self.dashboard.meter.begin();
        self.trial.fault(disturbed)
    }

    /// Waits until a fault is over: every user is answered again, and everything has an owner.
    async fn over(&mut self, fault: Fault, what: &str) -> Result<Impact, Failure> {
        self.trial.answered(fault).await?;
        self.trial.until_whole().await?;
        self.trial.notes().calm()?;
        sleep(CALM).await;
        let impact = Impact { what: what.to_owned(), phase: self.dashboard.meter.phase() };
        self.dashboard.event(&impact.to_string());
        Ok(impact)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking()
            && let Ok(folder) = self.keep_logs()
        {
            say(&format!("\nthe logs are in {}", folder.display()));
        }
    }
}

/// Three peerds, whose sends the dashboard's meter counts.
fn setup(servers: &[String], dashboard: &Arc<Dashboard>) -> Setup {
    let (instances, dashboard) = (vec![servers.join(","); NODES], Arc::clone(dashboard));
    let call_deadline_ms = CALL_DEADLINE.as_millis().to_string();
    Setup {
        // Each stays with its server: an event counts as published if any of them received it.
        listeners: servers.iter().map(|server| vec![server.clone()]).collect(),
        settings: settings([
            ("PEERD__STREAM__REPLICAS", "3"),
            ("PEERD__CLUSTER__MEMBER_TTL_MS", MEMBER_TTL_MS),
            ("PEERD__EVENTS__ENCODING", "json"),
            ("PEERD__LIMITS__CALL_DEADLINE_MS", &call_deadline_ms),
            // The users of this demo send faster than people.
            ("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000"),
        ]),
        manner: Manner::Impatient,
        watch: Some(Arc::new(move |method: &str, took, counts: &Counts| {
            if method == "send_peer_message" {
                dashboard.meter.answered(took);
            }
            dashboard.meter.set_repeated(counts.repeated());
        })),
        ..Setup::new(("the demo", "DEMO_SEED"), instances, servers.to_vec(), PLAN)
    }
}
