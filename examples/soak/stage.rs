//! The servers, the load and the faults.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{
    faults::{
        caller::{CALL_DEADLINE, Manner, count},
        failure::Failure,
        load::Plan,
        notes::Disturbed,
        trial::{Setup, Trial},
    },
    report::Verdict,
    say,
    support::{NatsCluster, Peerd, Settings, process, settings},
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
    trial: Trial,
    began: Instant,
    watched: Arc<Watched>,
    watchers: JoinSet<Result<(), Failure>>,
    next_node: usize,
    // Last, so that they outlive what uses them.
    nats: NatsCluster,
}

impl Stage {
    /// Starts everything, the load included.
    pub(crate) async fn set(span: Duration) -> Result<Self, Failure> {
        let nats = NatsCluster::start("http: \"127.0.0.1:-1\"").await;
        let servers = nats.urls();
        let instances = vec![servers.join(","); NODES];
        let setup = Setup {
            partitions: PARTITIONS,
            settings: settings_of(span),
            manner: Manner::Impatient,
            ..Setup::new(("soak", "SOAK_SEED"), instances, servers.clone(), PLAN)
        };
        let seed = setup.seed;
        say(&format!("SOAK_SEED={seed}; three nats-servers, three peerds, {} s", span.as_secs()));
        let trial = Trial::start(setup).await?;
        let (began, watched) = (Instant::now(), Arc::<Watched>::default());
        for (place, peerd) in trial.peerds.iter().enumerate() {
            watched.begins(place, peerd.pid(), peerd.instance_id());
        }
        for node in 0..NODES {
            watched.serves(node, nats.monitoring_port(node));
        }
        let mut watchers = JoinSet::new();
        watchers.spawn(watch(Arc::clone(&watched), servers, began));
        Ok(Self { trial, began, watched, watchers, next_node: 0, nats })
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
        let disturbed = match fault {
            // No client may notice.
            Fault::Restart(_) => None,
            Fault::Kill(_) | Fault::Pause(_) => Some(Disturbed::Peerd),
            Fault::KillNats => Some(Disturbed::Nats),
        };
        let began = self.trial.fault(disturbed)?;
        match fault {
            Fault::Restart(place) => {
                self.trial.terminate(place).await?;
                self.start_again(place).await?;
            }
            Fault::Kill(place) => {
                self.trial.peerds[place].kill9();
                sleep(DEAD).await;
                self.start_again(place).await?;
            }
            Fault::Pause(place) => {
                self.trial.peerds[place].signal("STOP");
                sleep(PAUSE).await;
                self.trial.peerds[place].signal("CONT");
            }
            Fault::KillNats => self.kill_nats().await?,
        }
        self.trial.answered(began).await?;
        self.trial.until_whole().await?;
        self.trial.notes().calm()?;
        say(&format!(
            "{:>5} s  {what:<24} well after {:>4.1} s; {}; {}",
            self.began.elapsed().as_secs(),
            began.since.elapsed().as_secs_f64(),
            self.memory(),
            self.trial.counts(),
        ));
        Ok(())
    }

    fn memory(&self) -> String {
        let mib = |peerd: &Peerd| format!("{:.1}", peerd_mib(peerd));
        let all: Vec<String> = self.trial.peerds.iter().map(mib).collect();
        format!("{} MiB", all.join(" "))
    }

    async fn start_again(&mut self, place: usize) -> Result<(), Failure> {
        self.trial.start_again(&[place]).await?;
        let peerd = &self.trial.peerds[place];
        self.watched.begins(place, peerd.pid(), peerd.instance_id());
        Ok(())
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

    /// Ends the load, and compares the views of all users with the answers.
    pub(crate) async fn judge(&mut self) -> Result<Verdict, Failure> {
        let pairs = self.trial.end_load().await?;
        sleep(CALM).await;
        // The reads from now on belong to the verdict, not to the load.
        self.watchers.shutdown().await;
        let judged = self.trial.judge(&pairs).await?;
        let counts = self.trial.counts();
        Ok(Verdict {
            seed: self.trial.seed(),
            calls: count(&counts.done),
            attempts: counts.to_string(),
            users: pairs.len(),
            judged,
        })
    }

    /// Copies the logs to a folder that outlives this program.
    pub(crate) fn keep_logs(&self, folder: &Path) -> std::io::Result<()> {
        self.trial.notes().keep(folder)?;
        self.trial.keep_logs(folder, &self.nats)
    }
}

fn peerd_mib(peerd: &Peerd) -> f64 {
    let held = process::look(peerd.pid()).unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let bytes = held.rss_bytes as f64;
    bytes / 1_048_576.0
}

fn settings_of(span: Duration) -> Settings {
    let repeat_window = REPEAT_WINDOW.min(span / 6);
    settings([
        ("PEERD__STREAM__REPLICAS", "3".to_owned()),
        ("PEERD__CLUSTER__MEMBER_TTL_MS", MEMBER_TTL.as_millis().to_string()),
        ("PEERD__EVENTS__ENCODING", "json".to_owned()),
        ("PEERD__LIMITS__CALL_DEADLINE_MS", CALL_DEADLINE.as_millis().to_string()),
        ("PEERD__AUDIT__READS_PER_SECOND", AUDIT_READS_PER_SECOND.to_string()),
        ("PEERD__LIMITS__CACHED_USERS", CACHED_USERS.to_string()),
        ("PEERD__LIMITS__REPEAT_WINDOW_MS", repeat_window.as_millis().to_string()),
    ])
}
