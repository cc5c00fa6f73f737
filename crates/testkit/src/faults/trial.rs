//! Instances under a load whose calls are noted, the faults that disturb them, and the verdict.
//! The nats-servers belong to the test, which may put a proxy before them.

use std::{fmt, io, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use super::{
    caller::{Caller, Counts, Manner, Watch},
    explained::explained,
    failure::Failure,
    judged::{Judged, judge},
    load::{Load, Pairs, Plan, RECOVERY_DEADLINE, Recovery},
    notes::{Disturbed, Notes},
    random::Random,
};
use crate::{
    Cli, NatsCluster, Owners, Ownership, Peerd, Settings, run_cli_env, settings, start_instances,
    wait::{say, until},
};

/// The longest time of undisturbed work before the next fault.
const LONGEST_WORK_MS: u64 = 1_000;
/// How long an orderly end may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long an instance may take to own partitions again after a fault is over.
const REJOIN_DEADLINE: Duration = Duration::from_secs(30);
/// How long it may take until `peerd status` has no problem after one.
const WHOLE_DEADLINE: Duration = Duration::from_secs(90);

/// The beginning of a trial.
#[derive(Clone)]
pub struct Setup {
    /// The name under which its figures are printed.
    pub name: &'static str,
    /// The variable of the environment that sets the seed.
    pub variable: &'static str,
    /// The seed of all random choices.
    pub seed: u64,
    /// The address of each instance's server, or several separated by commas.
    pub instances: Vec<String>,
    /// The addresses of the clients' servers.
    pub clients: Vec<String>,
    /// The addresses of the servers of each listener to the users' events.
    pub listeners: Vec<Vec<String>>,
    /// The number of partitions.
    pub partitions: u32,
    /// All other settings of the instances.
    pub settings: Settings,
    /// The load.
    pub plan: Plan,
    /// How clients react to failures.
    pub manner: Manner,
    /// Receives the calls that succeed.
    pub watch: Option<Watch>,
    /// How soon after a fault all users must be answered again.
    pub bound: Duration,
}

impl Setup {
    /// Patient clients of these servers, and instances with these addresses.
    pub fn new(
        (name, variable): (&'static str, &'static str),
        instances: Vec<String>,
        clients: Vec<String>,
        plan: Plan,
    ) -> Self {
        Self {
            name,
            variable,
            seed: Random::seed(variable),
            instances,
            listeners: vec![clients.clone()],
            clients,
            partitions: 8,
            settings: Settings::new(),
            plan,
            manner: Manner::Patient,
            watch: None,
            bound: RECOVERY_DEADLINE,
        }
    }

    /// The settings of every instance.
    pub fn settings(&self) -> Settings {
        [settings([("PEERD__PARTITIONS", self.partitions)]), self.settings.clone()].concat()
    }
}

/// Instances under a load.
pub struct Trial {
    /// Random choices.
    pub random: Random,
    /// The instances.
    pub peerds: Vec<Peerd>,
    setup: Setup,
    owners: Owners,
    callers: Vec<Caller>,
    /// `None` once it has ended.
    load: Option<Load>,
    faults: u32,
    recoveries: Vec<Recovery>,
    _listeners: JoinSet<()>,
}

/// A fault that began.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    epoch: u64,
    /// When it began.
    pub since: Instant,
}

impl Trial {
    /// Starts the instances and the load; every pair has written when it returns.
    pub async fn start(setup: Setup) -> Result<Self, Failure> {
        let mut random = Random::new(setup.seed);
        let peerds = start_instances(&setup.instances, &setup.settings()).await?;
        let owners = Owners::connect(&setup.clients, setup.partitions).await?;
        let mut callers = Caller::connect_each(&setup.clients, setup.manner).await?;
        if let Some(watch) = &setup.watch {
            callers = callers.into_iter().map(|caller| caller.watched(watch.clone())).collect();
        }
        let mut listeners = JoinSet::new();
        for servers in &setup.listeners {
            callers[0].notes().listen(servers, &mut listeners).await?;
        }
        let load = Some(Load::start(&callers, setup.plan, &mut random).await?);
        let mut trial = Self {
            random,
            peerds,
            setup,
            owners,
            callers,
            load,
            faults: 0,
            recoveries: Vec::new(),
            _listeners: listeners,
        };
        trial.answered(Fault { epoch: 1, since: Instant::now() }).await?;
        trial.recoveries.clear();
        Ok(trial)
    }

    /// The seed of all random choices.
    pub fn seed(&self) -> u64 {
        self.setup.seed
    }

    /// A client of the load's manner.
    pub fn caller(&self) -> Caller {
        self.callers[0].clone()
    }

    /// The attempts of all clients so far.
    pub fn counts(&self) -> Arc<Counts> {
        self.callers[0].counts()
    }

    /// The notes of all clients.
    pub fn notes(&self) -> Arc<Notes> {
        self.callers[0].notes()
    }

    /// A random instance.
    pub fn any(&mut self) -> usize {
        let count = u64::try_from(self.peerds.len()).unwrap_or(1);
        usize::try_from(self.random.below(count)).unwrap_or_default()
    }

    /// Lets the load work until a random moment, now that the previous fault is over.
    pub async fn work_a_while(&mut self) -> Result<(), Failure> {
        self.notes().calm()?;
        self.pause().await;
        Ok(())
    }

    /// Waits until a random moment.
    pub async fn pause(&mut self) {
        sleep(self.random.pause(LONGEST_WORK_MS)).await;
    }

    /// Begins a fault of a server; `None`: no client must notice it.
    pub fn fault(&mut self, disturbed: impl Into<Option<Disturbed>>) -> Result<Fault, Failure> {
        self.faults += 1;
        if let Some(disturbed) = disturbed.into() {
            self.notes().disturbed(disturbed)?;
        }
        Ok(Fault { epoch: self.load()?.new_epoch(), since: Instant::now() })
    }

    /// Waits until all users had an answer to a call that began after the fault.
    pub async fn answered(&mut self, fault: Fault) -> Result<Recovery, Failure> {
        let recovery = self.load()?.answered(fault.epoch, fault.since).await;
        let recovery = recovery.map_err(|error| self.failure(error))?;
        self.recoveries.push(recovery);
        let (took, bound) = (recovery.all, self.setup.bound);
        if took > bound {
            return Err(self.failure(format!("some were answered after {took:?}, not {bound:?}")));
        }
        Ok(recovery)
    }

    /// Kills instances at the same time, waits until all users are answered again, and only then
    /// restarts them: a restarted instance may know that its predecessor is dead.
    pub async fn kill(&mut self, victims: &[usize]) -> Result<(), Failure> {
        for victim in victims {
            self.peerds[*victim].kill9();
        }
        let fault = self.fault(Disturbed::Peerd)?;
        self.answered(fault).await?;
        self.start_again(victims).await
    }

    /// Starts instances again, and waits until they are members.
    pub async fn start_again(&mut self, ended: &[usize]) -> Result<(), Failure> {
        for instance in ended {
            self.peerds[*instance].spawn_again();
        }
        for instance in ended {
            self.ready(*instance).await?;
        }
        for instance in ended {
            self.until_member(*instance).await?;
        }
        Ok(())
    }

    /// Stops an instance, which must succeed in time; returns the duration.
    pub async fn terminate(&mut self, instance: usize) -> Result<Duration, Failure> {
        let signalled = Instant::now();
        let status = self.peerds[instance].terminate().await;
        let took = signalled.elapsed();
        if status.success() && took <= GRACE {
            return Ok(took);
        }
        Err(self.failure(format!("instance {instance} ended after {took:?} with {status}")))
    }

    /// Waits until a started instance has logged that it is ready.
    pub async fn ready(&mut self, instance: usize) -> Result<(), Failure> {
        let ready = self.peerds[instance].until_ready().await;
        ready.map_err(|trouble| self.failure(trouble))
    }

    /// Waits until an instance is a member, and every partition has an owner that is one.
    pub async fn until_member(&self, instance: usize) -> Result<(), Failure> {
        let partitions = self.setup.partitions;
        self.until(instance, |ownership, pid| {
            let is_member = ownership.pids.values().any(|member| *member == pid);
            is_member && (0..partitions).all(|partition| ownership.pid_of(partition).is_some())
        })
        .await
    }

    /// Waits until an instance owns a partition. With few partitions it may have none.
    pub async fn until_owner(&self, instance: usize) -> Result<(), Failure> {
        self.until(instance, |ownership, pid| ownership.held_by(pid) > 0).await
    }

    async fn until(
        &self,
        instance: usize,
        is_so: impl Fn(&Ownership, u32) -> bool,
    ) -> Result<(), Failure> {
        let pid = self.peerds[instance].pid();
        let waiting = until(REJOIN_DEADLINE, async || {
            let ownership = self.ownership().await.map_err(|error| error.to_string())?;
            if is_so(&ownership, pid) { Ok(()) } else { Err(format!("{ownership:?}")) }
        });
        waiting.await.map_err(|missing| {
            self.failure(format!("instance {instance} ({pid}) is not an owner: {missing}"))
        })
    }

    /// The present owners.
    pub async fn ownership(&self) -> Result<Ownership, Failure> {
        self.owners.read().await
    }

    /// Waits until `peerd status` reports all members and no problem.
    pub async fn until_whole(&self) -> Result<(), Failure> {
        let waiting = until(WHOLE_DEADLINE, async || {
            let status = self.status(&["--json"]).await;
            let report: Value = serde_json::from_str(&status.stdout).unwrap_or_default();
            let members = report["members"].as_array().map_or(0, Vec::len);
            let is_whole = status.code == Some(0) && members == self.peerds.len();
            if is_whole { Ok(()) } else { Err(format!("{members}: {}", report["problems"])) }
        });
        waiting.await.map_err(|missing| self.failure(missing))
    }

    /// The output of `peerd status`.
    pub async fn status(&self, flags: &[&str]) -> Cli {
        let servers = self.setup.clients.join(",");
        run_cli_env(&[&["status"][..], flags].concat(), &[("PEERD__NATS__SERVERS", &servers)]).await
    }

    /// Ends the load; returns the users who wrote to each other.
    pub async fn end_load(&mut self) -> Result<Pairs, Failure> {
        let load = self.load.take().ok_or("the load has ended")?;
        load.finish().await.map_err(|error| self.failure(error))
    }

    /// Compares the views of all users with the answers, and makes the owners recount all users.
    pub async fn judge(&mut self, pairs: &Pairs) -> Result<Judged, Failure> {
        let mut judged = judge(&self.callers[0], pairs, &self.setup.clients).await?;
        for (place, peerd) in self.peerds.iter_mut().enumerate() {
            if !peerd.is_running() {
                judged.faults.push(format!("peerd {} has ended by itself", place + 1));
            }
            // The newest sent message may lag while the instance that stored it is paused or cut
            // off, which the audit during the load cannot know; in the end it must not.
            let differs =
                |line: &&str| line.contains("differs from the log") && !line.contains("newestSent");
            judged.faults.extend(peerd.log().lines().filter(differs).map(str::to_owned));
        }
        Ok(judged)
    }

    /// Ends the load, judges, and prints the figures; returns the attempts of the clients.
    pub async fn finish(mut self) -> Result<Arc<Counts>, Failure> {
        let pairs = self.end_load().await?;
        let judged = self.judge(&pairs).await?;
        let (name, counts) = (self.setup.name, self.counts());
        let figure = |name| judged.figure(name);
        say(&format!(
            "{name}: {} acked; {} clears, mutes and deletes; {} faults survived\n\
             {name}: attempts: {counts}\n{name}: answered again after (first, all): {}\n\
             {name}: {} messages read back, {} users audited, {} events heard, {} messages \
             signalled, {} of them more than once; {} wrong",
            figure("acknowledged"),
            figure("changes"),
            self.faults,
            times(&self.recoveries),
            judged.read,
            judged.audited,
            figure("events"),
            figure("delivered"),
            figure("redelivered"),
            judged.faults.len(),
        ));
        judged.problem().map_or(Ok(counts), |what| Err(self.failure(what)))
    }

    /// Copies the logs to a folder that outlives the processes.
    pub fn keep_logs(&self, folder: &Path, nats: &NatsCluster) -> io::Result<()> {
        for node in 0..nats.node_count() {
            std::fs::write(folder.join(format!("nats-server-{}.log", node + 1)), nats.log(node))?;
        }
        for (place, peerd) in self.peerds.iter().enumerate() {
            std::fs::write(folder.join(format!("peerd-{}.log", place + 1)), peerd.log())?;
        }
        Ok(())
    }

    /// A failure of the trial.
    pub fn failure(&self, what: impl fmt::Display) -> Failure {
        let Setup { variable, seed, .. } = &self.setup;
        explained(format!("{variable}={seed}: {what}"), &self.counts(), &self.peerds)
    }

    fn load(&self) -> Result<&Load, Failure> {
        self.load.as_ref().ok_or_else(|| "the load has ended".into())
    }
}

/// The median, the worst and all times from a fault until all users were answered again.
fn times(recoveries: &[Recovery]) -> String {
    let mut all: Vec<_> = recoveries.iter().map(|recovery| recovery.all).collect();
    all.sort_unstable();
    let Some(worst) = all.last() else { return "-".to_owned() };
    let each: Vec<String> =
        recoveries.iter().map(|it| format!("({:.2?}, {:.2?})", it.first, it.all)).collect();
    format!("median {:.2?}, worst {worst:.2?}: {}", all[all.len() / 2], each.join(" "))
}
