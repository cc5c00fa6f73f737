//! The servers, and the faults.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    dashboard::{Dashboard, say},
    faults::{
        caller::{CALL_DEADLINE, Caller, Manner},
        failure::Failure,
        judged::judge,
        load::{Load, Plan},
        notes::Disturbed,
        random::Random,
    },
    impact::{self, Impact},
    poller::poll_status,
    support::{self, NatsCluster, Peerd, Settings, run_cli_env, start_instances, wait::until},
    verdict,
};

/// nats-servers, and peerds.
pub(crate) const NODES: usize = 3;
const PARTITIONS: usize = 8;
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
/// The deadline for all members to be present and own everything after a restart.
const WHOLE_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) struct Stage {
    dashboard: Arc<Dashboard>,
    load: Option<Load>,
    callers: Vec<Caller>,
    /// The listeners to the users' events.
    _listeners: JoinSet<()>,
    /// The status poller and the drawing of the dashboard.
    _watchers: JoinSet<()>,
    peerds: Vec<Peerd>,
    // Last, so that they outlive what uses them.
    nats: NatsCluster,
}

impl Stage {
    /// Starts everything, the load included.
    pub(crate) async fn set(dashboard: &Arc<Dashboard>) -> Result<Self, Failure> {
        dashboard.event("starting three nats-servers …");
        let nats = NatsCluster::start("").await;
        let servers = nats.urls();
        dashboard.event("starting three peerds …");
        let settings = settings();
        let peerds = start_instances(&vec![servers.join(","); NODES], &settings).await?;
        let callers = watched(Caller::connect_each(&servers, Manner::Impatient).await?, dashboard);
        let mut listeners = JoinSet::new();
        for server in &servers {
            // Each stays with its server: an event counts as published if any of them received it.
            callers[0].notes().listen(std::slice::from_ref(server), &mut listeners).await?;
        }
        dashboard.event(&format!("logging {} users in …\n", PLAN.users));
        let mut random = Random::new(Random::seed("DEMO_SEED"));
        let load = Load::start(&callers, PLAN, &mut random).await?;
        let mut watchers = JoinSet::new();
        watchers.spawn(poll_status(Arc::clone(dashboard), servers.join(",")));
        dashboard.open();
        watchers.spawn(Arc::clone(dashboard).live());
        let stage = Self {
            dashboard: Arc::clone(dashboard),
            load: Some(load),
            callers,
            _listeners: listeners,
            _watchers: watchers,
            peerds,
            nats,
        };
        stage.whole().await?;
        Ok(stage)
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
        self.peerds[node].kill9();
        sleep(PEERD_DEAD).await;
        self.peerds[node].start_again().await?;
        self.dashboard.event(&format!("{name} is back"));
        self.over(fault, &format!("{name} killed")).await
    }

    /// Restarts the peerds one by one, in order, as an update does.
    pub(crate) async fn restart_all_peerds(&mut self) -> Result<Impact, Failure> {
        let fault = self.fault("now a rolling restart", None)?;
        for node in 0..NODES {
            let name = format!("peerd {}", node + 1);
            self.dashboard.event(&format!("{name} is stopped"));
            self.peerds[node].restart_in_order().await?;
            self.dashboard.event(&format!("{name} is back"));
            self.whole().await?;
        }
        self.over(fault, "peerds restarted in turn").await
    }

    /// Ends the load, and compares the view of every user with the answers.
    pub(crate) async fn judge(&mut self, impacts: &[Impact]) -> Result<bool, Failure> {
        self.dashboard.event("the users stop, and everything is read back");
        let Some(load) = self.load.take() else { return Err("no load".into()) };
        let pairs = load.finish().await?;
        let judged = judge(&self.callers[0], &pairs, &self.nats.urls()).await?;
        self.dashboard.close();
        let mut is_good = verdict::pronounce(&judged.verdict, judged.read);
        say(&format!("\n{}\n", impact::table(impacts)));
        let servers = self.nats.urls().join(",");
        let status = run_cli_env(&["status"], &[("PEERD__NATS__SERVERS", &servers)]).await;
        say(&format!("peerd status: {}", status.stdout.lines().next().unwrap_or(&status.stderr)));
        if status.code != Some(0) {
            say(&status.stdout);
            is_good = false;
        }
        for (node, peerd) in self.peerds.iter_mut().enumerate() {
            if !peerd.is_running() {
                say(&format!("peerd {} has ended by itself", node + 1));
                is_good = false;
            }
        }
        let verdict =
            if is_good { "All promises were kept" } else { "SOME PROMISES WERE NOT KEPT" };
        say(&format!("{verdict}, after {} s.", self.dashboard.elapsed().as_secs()));
        Ok(is_good)
    }

    /// Copies the logs to a folder that outlives this program.
    pub(crate) fn keep_logs(&self) -> std::io::Result<PathBuf> {
        let folder = tempfile::Builder::new().prefix("peerd-demo-cluster-").tempdir()?.keep();
        support::keep_logs(&folder, &self.nats, &self.peerds)?;
        Ok(folder)
    }

    /// A fault begins: the impact on users counts for it from now on.
    fn fault(&self, what: &str, disturbed: Option<Disturbed>) -> Result<Fault, Failure> {
        if let Some(disturbed) = disturbed {
            self.callers[0].notes().disturbed(disturbed)?;
        }
        let load = self.load.as_ref().ok_or("no load")?;
        self.dashboard.event(what);
        self.dashboard.meter.begin();
        Ok(Fault { epoch: load.new_epoch(), since: Instant::now() })
    }

    /// Waits until a fault is over: every user is answered again, and everything has an owner.
    async fn over(&self, fault: Fault, what: &str) -> Result<Impact, Failure> {
        let load = self.load.as_ref().ok_or("no load")?;
        load.answered(fault.epoch, fault.since).await?;
        self.whole().await?;
        self.callers[0].notes().calm()?;
        sleep(CALM).await;
        let impact = Impact { what: what.to_owned(), phase: self.dashboard.meter.phase() };
        self.dashboard.event(&impact.to_string());
        Ok(impact)
    }

    /// Waits until all members are present and own everything.
    async fn whole(&self) -> Result<(), Failure> {
        let began = Instant::now();
        until(WHOLE_DEADLINE, async || {
            let seen = self.dashboard.sight();
            let is_new = seen.at.is_some_and(|at| at >= began);
            let counts = (seen.members, seen.owned, seen.partitions);
            let is_whole = is_new && counts == (NODES, PARTITIONS, PARTITIONS);
            if is_whole { Ok(()) } else { Err(format!("{seen:?}")) }
        })
        .await
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

/// A fault that began.
struct Fault {
    epoch: u64,
    since: Instant,
}

/// The callers, whose sends the dashboard's meter counts.
fn watched(callers: Vec<Caller>, dashboard: &Arc<Dashboard>) -> Vec<Caller> {
    let watched = |caller: Caller| {
        let (dashboard, counts) = (Arc::clone(dashboard), caller.counts());
        caller.watched(Arc::new(move |method, took| {
            if method == "send_peer_message" {
                dashboard.meter.answered(took);
            }
            dashboard.meter.set_repeated(counts.repeated());
        }))
    };
    callers.into_iter().map(watched).collect()
}

fn settings() -> Settings {
    let call_deadline_ms = CALL_DEADLINE.as_millis().to_string();
    support::settings([
        ("PEERD__STREAM__REPLICAS", "3"),
        ("PEERD__CLUSTER__MEMBER_TTL_MS", MEMBER_TTL_MS),
        ("PEERD__EVENTS__ENCODING", "json"),
        ("PEERD__LIMITS__CALL_DEADLINE_MS", &call_deadline_ms),
        // The users of this demo send faster than people.
        ("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000"),
    ])
}
