//! The servers, the load and the faults.

use std::{path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until, timeout},
};

use crate::{
    faults::{
        caller::{CALL_DEADLINE, Caller, Manner, count},
        failure::Failure,
        judged::{Judged, judge},
        load::{Load, Plan},
        notes::Disturbed,
        random::Random,
    },
    report::Verdict,
    say,
    support::{
        self, NatsCluster, Peerd, Settings, peerd_command, process, run_cli_env, start_instances,
        wait::until,
    },
    watcher::{Watched, watch},
};

/// nats-servers, and peerds.
const NODES: usize = 3;
const PARTITIONS: u32 = 8;
/// Moderate: the run looks for leaks, not for speed.
const PLAN: Plan =
    Plan { marks: true, racing_pairs: 8, reads: true, visits: 4, ..Plan::sends(96, 3000) };
/// Fewer than the users of a run, so that some are evicted all the time.
const CACHED_USERS: u32 = 30 * PARTITIONS;
/// More than the default, so that the audit completes rounds during the run.
const AUDIT_READS_PER_SECOND: u32 = 30;
const MEMBER_TTL: Duration = Duration::from_secs(5);
/// How long an instance is paused: longer than the others wait for a heartbeat.
const PAUSE: Duration = Duration::from_secs(8);
const DEAD: Duration = Duration::from_secs(7);
/// The faults of a run that is long enough.
const FAULTS: u32 = 30;
const LEAST_BETWEEN_FAULTS: Duration = Duration::from_secs(40);
/// The default of peerd; shorter in a run whose first quarter is shorter than this.
const REPEAT_WINDOW: Duration = Duration::from_secs(600);
/// The time limit of a recovery.
const WHOLE_DEADLINE: Duration = Duration::from_secs(90);
/// The time limit of the audit.
const AUDIT_DEADLINE: Duration = Duration::from_secs(600);
/// The time without faults at the end.
const CALM: Duration = Duration::from_secs(10);

/// The faults, repeated in this order. The first peerd is never restarted.
const SCRIPT: [Fault; 8] = [
    Fault::Restart(1),
    Fault::Kill(2),
    Fault::Pause(0),
    Fault::KillNats,
    Fault::Restart(2),
    Fault::Kill(1),
    Fault::Pause(1),
    Fault::KillNats,
];

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// A peerd is stopped by a signal, and started again.
    Restart(usize),
    /// A peerd is killed, and started again once the others have taken its users over.
    Kill(usize),
    /// A peerd is paused for so long that the others consider it dead.
    Pause(usize),
    /// The next nats-server in turn is killed, and started again.
    KillNats,
}

pub(crate) struct Stage {
    load: Option<Load>,
    callers: Vec<Caller>,
    began: Instant,
    watched: Arc<Watched>,
    watchers: JoinSet<Result<(), Failure>>,
    next_node: usize,
    seed: u64,
    _listeners: JoinSet<()>,
    peerds: Vec<Peerd>,
    // Last, so that they outlive what uses them.
    nats: NatsCluster,
}

impl Stage {
    /// Starts everything, the load included.
    pub(crate) async fn set(span: Duration) -> Result<Self, Failure> {
        let nats = NatsCluster::start("http: \"127.0.0.1:-1\"").await;
        let servers = nats.urls();
        let settings = settings(span);
        let watched = Arc::<Watched>::default();
        let peerds = start_instances(&vec![servers.join(","); NODES], &settings).await?;
        for (place, peerd) in peerds.iter().enumerate() {
            watched.begins(place, peerd.pid(), peerd.instance_id());
        }
        for node in 0..NODES {
            watched.serves(node, nats.monitoring_port(node));
        }
        let seed = Random::seed("SOAK_SEED");
        say(&format!("SOAK_SEED={seed}; three nats-servers, three peerds, {} s", span.as_secs()));
        let callers = Caller::connect_each(&servers, Manner::Impatient).await?;
        let mut listeners = JoinSet::new();
        callers[0].notes().listen(&servers, &mut listeners).await?;
        let load = Load::start(&callers, PLAN, &mut Random::new(seed)).await?;
        let began = Instant::now();
        let mut watchers = JoinSet::new();
        watchers.spawn(watch(Arc::clone(&watched), servers, began));
        Ok(Self {
            load: Some(load),
            callers,
            began,
            watched,
            watchers,
            next_node: 0,
            seed,
            _listeners: listeners,
            peerds,
            nats,
        })
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    /// Runs the load with the faults of the script for a time.
    pub(crate) async fn play(&mut self, span: Duration, spares_nats: bool) -> Result<(), Failure> {
        let between = (span / (FAULTS + 1)).max(LEAST_BETWEEN_FAULTS);
        let last = self.began + span.saturating_sub(between);
        let mut next = self.began + between;
        let is_done = |fault: &&Fault| !(spares_nats && matches!(fault, Fault::KillNats));
        for fault in SCRIPT.iter().filter(is_done).cycle() {
            if next > last {
                break;
            }
            sleep_until(next).await;
            self.act(*fault).await?;
            next = (next + between).max(Instant::now());
        }
        sleep_until(self.began + span).await;
        Ok(())
    }

    async fn act(&mut self, fault: Fault) -> Result<(), Failure> {
        let what = match fault {
            Fault::Restart(place) => format!("peerd {} is restarted", place + 1),
            Fault::Kill(place) => format!("peerd {} is killed", place + 1),
            Fault::Pause(place) => format!("peerd {} stands still", place + 1),
            Fault::KillNats => format!("nats-server {} is killed", self.next_node + 1),
        };
        self.watched.fault(self.began.elapsed(), &what);
        let since = Instant::now();
        let epoch = self.load.as_ref().ok_or("no load")?.new_epoch();
        let notes = self.callers[0].notes();
        match fault {
            // No client may notice.
            Fault::Restart(_) => {}
            Fault::Kill(_) | Fault::Pause(_) => notes.disturbed(Disturbed::Peerd)?,
            Fault::KillNats => notes.disturbed(Disturbed::Nats)?,
        }
        match fault {
            Fault::Restart(place) => self.restart(place).await?,
            Fault::Kill(place) => {
                self.peerds[place].kill9();
                sleep(DEAD).await;
                self.peerds[place].start_again().await?;
                self.began_again(place);
            }
            Fault::Pause(place) => {
                self.peerds[place].signal("STOP");
                sleep(PAUSE).await;
                self.peerds[place].signal("CONT");
            }
            Fault::KillNats => self.kill_nats().await?,
        }
        let load = self.load.as_ref().ok_or("no load")?;
        load.answered(epoch, since).await?;
        self.whole().await?;
        notes.calm()?;
        let counts = self.callers[0].counts();
        say(&format!(
            "{:>5} s  {what:<24} well after {:>4.1} s; {}; {counts}",
            self.began.elapsed().as_secs(),
            since.elapsed().as_secs_f64(),
            self.memory(),
        ));
        Ok(())
    }

    fn memory(&self) -> String {
        let mib = |peerd: &Peerd| format!("{:.1}", peerd_mib(peerd));
        let all: Vec<String> = self.peerds.iter().map(mib).collect();
        format!("{} MiB", all.join(" "))
    }

    async fn restart(&mut self, place: usize) -> Result<(), Failure> {
        self.peerds[place].restart_in_order().await?;
        self.began_again(place);
        Ok(())
    }

    fn began_again(&self, place: usize) {
        let peerd = &self.peerds[place];
        self.watched.begins(place, peerd.pid(), peerd.instance_id());
    }

    async fn kill_nats(&mut self) -> Result<(), Failure> {
        let node = self.next_node;
        self.next_node = (node + 1) % NODES;
        self.watched.serves(node, None);
        self.nats.kill9(node);
        sleep(DEAD).await;
        self.nats.restart(node).await;
        self.watched.serves(node, self.nats.monitoring_port(node));
        self.nats.until_healthy().await?;
        Ok(())
    }

    /// Waits until `peerd status` reports no problem and all members.
    async fn whole(&self) -> Result<(), Failure> {
        let servers = self.nats.urls().join(",");
        until(WHOLE_DEADLINE, async || {
            let run =
                run_cli_env(&["status", "--json"], &[("PEERD__NATS__SERVERS", &servers)]).await;
            let report: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
            let members = report["members"].as_array().map_or(0, Vec::len);
            let is_whole = run.code == Some(0) && members == NODES;
            if is_whole { Ok(()) } else { Err(report["problems"].to_string()) }
        })
        .await
    }

    /// Ends the load, and compares the views of all users with the answers.
    pub(crate) async fn judge(&mut self) -> Result<Verdict, Failure> {
        let Some(load) = self.load.take() else { return Err("no load".into()) };
        let pairs = load.finish().await?;
        sleep(CALM).await;
        // The reads from now on belong to the verdict, not to the load.
        self.watchers.shutdown().await;
        let judged = judge(&self.callers[0], &pairs, &self.nats.urls()).await?;
        let Judged { read, verdict, mut faults } = judged;
        for (place, peerd) in self.peerds.iter_mut().enumerate() {
            if !peerd.is_running() {
                faults.push(format!("peerd {} has ended by itself", place + 1));
            }
        }
        let audited = self.audit(&mut faults).await?;
        let counts = self.callers[0].counts();
        Ok(Verdict {
            seed: self.seed,
            calls: count(&counts.done),
            attempts: counts.to_string(),
            verified: verdict,
            users: pairs.len(),
            read,
            audited,
            faults,
        })
    }

    /// Makes the owners recount all users; returns their number.
    async fn audit(&self, faults: &mut Vec<String>) -> Result<u64, Failure> {
        let servers = self.nats.urls().join(",");
        let folder = tempfile::tempdir()?;
        let mut command = tokio::process::Command::from(peerd_command(folder.path()));
        command.args(["audit", "--json"]).env("PEERD__NATS__SERVERS", servers).kill_on_drop(true);
        let output = timeout(AUDIT_DEADLINE, command.output()).await??;
        let report: Value = serde_json::from_slice(&output.stdout).map_err(|error| {
            format!("peerd audit: {error}: {}", String::from_utf8_lossy(&output.stderr))
        })?;
        for field in ["differences", "notAudited"] {
            let found = report[field].as_array().into_iter().flatten();
            faults.extend(found.map(|found| format!("audit: {found}")));
        }
        for sample in self.watched.samples() {
            let differences = sample.gauges.and_then(|gauges| gauges["auditDifferences"].as_u64());
            if let Some(differences @ 1..) = differences {
                faults.push(format!("audit by peerd {}: {differences}", sample.instance + 1));
            }
        }
        Ok(report["users"].as_u64().unwrap_or_default())
    }

    /// Copies the logs to a folder that outlives this program.
    pub(crate) fn keep_logs(&self, folder: &Path) -> std::io::Result<()> {
        self.callers[0].notes().keep(folder)?;
        support::keep_logs(folder, &self.nats, &self.peerds)
    }
}

fn peerd_mib(peerd: &Peerd) -> f64 {
    let held = process::look(peerd.pid()).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = held.rss_bytes as f64;
    bytes / 1_048_576.0
}

fn settings(span: Duration) -> Settings {
    let repeat_window = REPEAT_WINDOW.min(span / 6);
    support::settings([
        ("PEERD__STREAM__REPLICAS", "3".to_owned()),
        ("PEERD__PARTITIONS", PARTITIONS.to_string()),
        ("PEERD__CLUSTER__MEMBER_TTL_MS", MEMBER_TTL.as_millis().to_string()),
        ("PEERD__EVENTS__ENCODING", "json".to_owned()),
        ("PEERD__LIMITS__CALL_DEADLINE_MS", CALL_DEADLINE.as_millis().to_string()),
        ("PEERD__AUDIT__READS_PER_SECOND", AUDIT_READS_PER_SECOND.to_string()),
        ("PEERD__LIMITS__CACHED_USERS", CACHED_USERS.to_string()),
        ("PEERD__LIMITS__REPEAT_WINDOW_MS", repeat_window.as_millis().to_string()),
    ])
}
