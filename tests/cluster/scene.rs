//! Instances, a load, faults and restarts of instances, and the final recount.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use super::{
    owners::{Owners, Ownership},
    settings::ttl,
};
use crate::{
    faults::{
        caller::{Caller, Counts, Manner},
        failure::Failure,
        judged::judge,
        load::{Load, Plan, RECOVERY_DEADLINE, Recovery},
        notes::Disturbed,
        random::Random,
    },
    support::{Peerd, Settings, run_cli_env, settings, start_instances, with_log},
    wait::{say, until},
};

/// The daemon's own deadline for a call: below the time-out of a patient client, and above the time
/// for which a call waits for an owner.
const CALL_DEADLINE: Duration = Duration::from_secs(3);
/// The longest time of undisturbed work before the next fault.
const LONGEST_WORK_MS: u64 = 800;
/// How long an orderly end may take.
const GRACE: Duration = Duration::from_secs(10);
/// How long an instance may take to own partitions again after a fault is over.
const REJOIN_DEADLINE: Duration = Duration::from_secs(30);
/// So that the audit comes around while a test lasts.
const AUDIT_READS_PER_SECOND: u32 = 50;

/// The setup of a run.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The name under which its figures are printed.
    pub(super) name: &'static str,
    /// The address of each instance's server, or several separated by commas.
    pub(super) instances: Vec<String>,
    /// The addresses of the clients' servers.
    pub(super) clients: Vec<String>,
    pub(super) partitions: u32,
    pub(super) replicas: u32,
    pub(super) plan: Plan,
    pub(super) manner: Manner,
    /// The target of faults; `None`: no client must notice them.
    pub(super) disturbs: Option<Disturbed>,
    /// How soon after a fault all users must be answered again.
    pub(super) bound: Duration,
}

impl Setup {
    /// Three instances on one nats-server.
    pub(super) fn new(name: &'static str, url: &str, manner: Manner) -> Self {
        Self {
            name,
            instances: vec![url.to_owned(); 3],
            clients: vec![url.to_owned(); 3],
            partitions: 8,
            replicas: 1,
            plan: Plan { racing_pairs: 4, ..Plan::sends(16, 100) },
            manner,
            // A strict client also treats a missing event as a fault.
            disturbs: (manner != Manner::Strict).then_some(Disturbed::Peerd),
            bound: RECOVERY_DEADLINE,
        }
    }

    /// The settings of every instance.
    pub(super) fn settings(&self) -> Settings {
        let mut settings = settings([
            ("PEERD__LIMITS__MESSAGES_PER_SECOND", 100_000),
            ("PEERD__CLUSTER__MEMBER_TTL_MS", ttl().as_millis()),
            ("PEERD__AUDIT__READS_PER_SECOND", u128::from(AUDIT_READS_PER_SECOND)),
            ("PEERD__PARTITIONS", u128::from(self.partitions)),
            ("PEERD__STREAM__REPLICAS", u128::from(self.replicas)),
        ]);
        // A strict client holds peerd to what it promises with its usual deadline.
        if self.manner != Manner::Strict {
            let call_deadline_ms = CALL_DEADLINE.as_millis().to_string();
            settings.push(("PEERD__LIMITS__CALL_DEADLINE_MS".to_owned(), call_deadline_ms));
        }
        settings
    }
}

/// One run.
pub(super) struct Scene {
    pub(super) random: Random,
    pub(super) peerds: Vec<Peerd>,
    pub(super) load: Load,
    setup: Setup,
    seed: u64,
    owners: Owners,
    callers: Vec<Caller>,
    faults: u32,
    recoveries: Vec<Recovery>,
    _listeners: JoinSet<()>,
}

impl Scene {
    /// Starts the instances and the load.
    pub(super) async fn start(setup: Setup) -> Result<Self, Failure> {
        let seed = Random::seed("CLUSTER_SEED");
        say(&format!("{}: CLUSTER_SEED={seed}", setup.name));
        let mut random = Random::new(seed);
        let peerds = start_instances(&setup.instances, &setup.settings()).await?;
        let owners = Owners::connect(&setup.clients, setup.partitions).await?;
        let callers = Caller::connect_each(&setup.clients, setup.manner).await?;
        let mut listeners = JoinSet::new();
        callers[0].notes().listen(&setup.clients, &mut listeners).await?;
        let load = Load::start(&callers, setup.plan, &mut random).await?;
        let mut scene = Self {
            random,
            peerds,
            load,
            setup,
            seed,
            owners,
            callers,
            faults: 0,
            recoveries: Vec::new(),
            _listeners: listeners,
        };
        // Every pair has written before the first fault.
        scene.answered(1, Instant::now()).await?;
        scene.recoveries.clear();
        Ok(scene)
    }

    /// Lets the load work until a random moment.
    pub(super) async fn work_a_while(&mut self) {
        // The previous fault is over.
        if let Err(error) = self.callers[0].notes().calm() {
            say(&format!("no notes: {error}"));
        }
        tokio::time::sleep(self.random.pause(LONGEST_WORK_MS)).await;
    }

    /// A client of the load's manner.
    pub(super) fn caller(&self) -> Caller {
        self.callers[0].clone()
    }

    /// A random instance.
    pub(super) fn any(&mut self) -> usize {
        let count = u64::try_from(self.peerds.len()).unwrap_or(1);
        usize::try_from(self.random.below(count)).unwrap_or_default()
    }

    /// Counts a fault; calls that begin from now on belong to the returned epoch.
    pub(super) fn fault(&mut self) -> u64 {
        self.faults += 1;
        let disturbs = self.setup.disturbs;
        let noted = disturbs.map_or(Ok(()), |what| self.callers[0].notes().disturbed(what));
        if let Err(error) = noted {
            say(&format!("no notes: {error}"));
        }
        self.load.new_epoch()
    }

    /// Kills instances at the same time, waits until all users are answered again, and only then
    /// restarts them: a restarted instance may know that its predecessor is dead.
    pub(super) async fn kill(&mut self, victims: &[usize]) -> Result<(), Failure> {
        let killed = Instant::now();
        for victim in victims {
            self.peerds[*victim].kill9();
        }
        let epoch = self.fault();
        self.answered(epoch, killed).await?;
        for victim in victims {
            self.peerds[*victim].spawn_again();
        }
        for victim in victims {
            self.ready(*victim).await?;
        }
        for victim in victims {
            self.until_member(*victim).await?;
        }
        Ok(())
    }

    /// Stops an instance, which must succeed in time; returns the duration.
    pub(super) async fn terminate(&mut self, instance: usize) -> Result<Duration, Failure> {
        let signalled = Instant::now();
        let status = self.peerds[instance].terminate().await;
        let took = signalled.elapsed();
        if !status.success() {
            return Err(self.failure(&format!("instance {instance} ended with {status}")));
        }
        if took > GRACE {
            return Err(self.failure(&format!("instance {instance} took {took:?} to end")));
        }
        Ok(took)
    }

    /// Waits until a started instance has logged that it is ready.
    pub(super) async fn ready(&mut self, instance: usize) -> Result<(), Failure> {
        let ready = self.peerds[instance].until_ready().await;
        ready.map_err(|trouble| self.failure(&trouble))
    }

    /// Waits until all users had an answer to a call of that epoch.
    pub(super) async fn answered(&mut self, epoch: u64, since: Instant) -> Result<(), Failure> {
        match self.load.answered(epoch, since).await {
            Ok(recovery) => {
                self.recoveries.push(recovery);
                let (took, bound) = (recovery.all, self.setup.bound);
                if took > bound {
                    let late =
                        format!("some were answered only after {took:?}, more than {bound:?}");
                    return Err(self.failure(&late));
                }
                Ok(())
            }
            Err(error) => Err(self.failure(&error.to_string())),
        }
    }

    /// Waits until an instance is a member, and every partition has an owner that is one.
    pub(super) async fn until_member(&self, instance: usize) -> Result<(), Failure> {
        let partitions = self.setup.partitions;
        self.until(instance, |ownership, pid| {
            let is_member = ownership.pids.values().any(|member| *member == pid);
            is_member && (0..partitions).all(|partition| ownership.pid_of(partition).is_some())
        })
        .await
    }

    /// Waits until an instance owns a partition. With few partitions it may have none.
    pub(super) async fn until_owner(&self, instance: usize) -> Result<(), Failure> {
        self.until(instance, |ownership, pid| ownership.held_by(pid) > 0).await
    }

    async fn until(
        &self,
        instance: usize,
        is_so: impl Fn(&Ownership, u32) -> bool,
    ) -> Result<(), Failure> {
        let pid = self.peerds[instance].pid();
        let waiting = until(REJOIN_DEADLINE, async || {
            let ownership = self.owners.read().await.map_err(|error| error.to_string())?;
            if is_so(&ownership, pid) { Ok(()) } else { Err(format!("{ownership:?}")) }
        });
        waiting.await.map_err(|missing| {
            self.failure(&format!("instance {instance} ({pid}) is not an owner: {missing}"))
        })
    }

    /// The present owners.
    pub(super) async fn ownership(&self) -> Result<Ownership, Failure> {
        self.owners.read().await
    }

    /// Ends the load, and compares the views of all users with the answers.
    pub(super) async fn finish(mut self) -> Result<Outcome, Failure> {
        let name = self.setup.name;
        let counts = self.callers[0].counts();
        let pairs = match self.load.finish().await {
            Ok(pairs) => pairs,
            Err(error) => {
                say(&format!("the latest attempts that failed:\n{}", counts.latest()));
                return Err(failure(self.seed, &error.to_string(), &self.peerds));
            }
        };
        let judged = judge(&self.callers[0], &pairs, &self.setup.clients).await?;
        let figure = |name| judged.figure(name);
        say(&format!(
            "{name}: {} acked; {} clears, mutes and deletes; {} faults survived\n\
             {name}: attempts: {counts}\n{name}: answered again after: {}\n\
             {name}: {} messages read back, {} events heard, {} messages signalled, {} of them more \
             than once; {} wrong",
            figure("acknowledged"),
            figure("changes"),
            self.faults,
            times(&self.recoveries),
            judged.read,
            figure("events"),
            figure("delivered"),
            figure("redelivered"),
            judged.faults.len(),
        ));
        if let Some(what) = judged.problem() {
            return Err(failure(self.seed, &what, &self.peerds));
        }
        audit(self.seed, &self.setup, &self.peerds).await?;
        if let Some(ended) = self.peerds.iter_mut().position(|peerd| !peerd.is_running()) {
            let what = format!("instance {ended} ended");
            return Err(failure(self.seed, &what, &self.peerds));
        }
        Ok(Outcome { counts })
    }

    /// A failure of the test, with the logs of the instances.
    pub(super) fn failure(&self, what: &str) -> Failure {
        let counts = self.callers[0].counts();
        say(&format!("the latest attempts that failed, of {counts}:\n{}", counts.latest()));
        failure(self.seed, what, &self.peerds)
    }
}

/// Makes the owners recount all users. Their background audits ran during the load, and would have
/// logged differences.
async fn audit(seed: u64, setup: &Setup, peerds: &[Peerd]) -> Result<(), Failure> {
    let servers = setup.clients.join(",");
    let run = run_cli_env(&["audit"], &[("PEERD__NATS__SERVERS", &servers)]).await;
    say(&format!("{}: {}", setup.name, run.stdout.trim()));
    // The newest sent message may lag while the instance that stored it is paused or cut off, which
    // the audit cannot know; in the end it must not.
    let counts = |line: &str| line.contains("differs from the log") && !line.contains("newestSent");
    let has_found = peerds.iter().any(|peerd| peerd.log().lines().any(counts));
    if run.code == Some(0) && !has_found {
        return Ok(());
    }
    let what = format!("the audit: {run:?}, while it ran by itself: {has_found}");
    Err(failure(seed, &what, peerds))
}

/// The result of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) counts: Arc<Counts>,
}

fn times(recoveries: &[Recovery]) -> String {
    let mut all: Vec<_> = recoveries.iter().map(|recovery| recovery.all).collect();
    all.sort_unstable();
    let Some(worst) = all.last() else { return "-".to_owned() };
    let mut text = format!("median {:.2?}, worst {worst:.2?}, all:", all[all.len() / 2]);
    for time in &all {
        // Writing to a string cannot fail.
        let _ = write!(text, " {:.2}", time.as_secs_f64());
    }
    text
}

/// A failure of a test, with what the instances logged.
pub(super) fn failure(seed: u64, what: &str, peerds: &[Peerd]) -> Failure {
    let what = format!("CLUSTER_SEED={seed}: {what}");
    // The error of a test is printed on one line.
    say(&with_log(&what, peerds));
    what.into()
}
