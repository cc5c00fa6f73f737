//! A nats-server, a peerd and a load, kills of the first two, and the final recount.

use std::{fmt::Write as _, sync::Arc, time::Duration};

use tokio::{task::JoinSet, time::Instant};

use crate::{
    faults::{
        caller::{CALL_DEADLINE, Caller, Counts},
        failure::Failure,
        judged::{Judged, judge},
        load::{Load, Plan, Recovery},
        notes::Disturbed,
        random::Random,
    },
    support::{Nats, Peerd, wait::say, with_log},
};

/// The longest time of undisturbed work before the next death.
const LONGEST_WORK_MS: u64 = 1_200;
/// The longest outage of a nats-server.
const LONGEST_DEATH_MS: u64 = 800;
/// The percentage of kills of peerd that are followed by another during the recovery.
const SECOND_KILL_PERCENT: u64 = 34;

/// One run.
pub(crate) struct Scene {
    name: &'static str,
    seed: u64,
    random: Random,
    caller: Caller,
    load: Load,
    peerd: Peerd,
    nats: Nats,
    deaths: u32,
    recoveries: Vec<Recovery>,
    _listeners: JoinSet<()>,
}

impl Scene {
    /// Starts everything, the load included.
    pub(crate) async fn start(name: &'static str, plan: Plan) -> Result<Self, Failure> {
        Self::start_with(name, plan, Nats::start().await, &[]).await
    }

    /// As [`Scene::start`], with a given nats-server and additional settings.
    pub(crate) async fn start_with(
        name: &'static str,
        plan: Plan,
        nats: Nats,
        settings: &[(&str, &str)],
    ) -> Result<Self, Failure> {
        let seed = Random::seed("DEATH_SEED");
        say(&format!("{name}: DEATH_SEED={seed}"));
        let mut random = Random::new(seed);
        let call_deadline = CALL_DEADLINE.as_millis().to_string();
        let usual = [
            ("PEERD__LIMITS__MESSAGES_PER_SECOND", "100000"),
            ("PEERD__LIMITS__CALL_DEADLINE_MS", call_deadline.as_str()),
        ];
        let settings = [&usual, settings].concat();
        let peerd = Peerd::start_with(&nats.url(), &settings).await;
        let caller = Caller::connect(&nats.url()).await?;
        let mut listeners = JoinSet::new();
        caller.notes().listen(&[nats.url()], &mut listeners).await?;
        let load = Load::start(std::slice::from_ref(&caller), plan, &mut random).await?;
        // Every pair has written before the first death.
        load.answered(1, Instant::now()).await?;
        Ok(Self {
            name,
            seed,
            random,
            caller,
            load,
            peerd,
            nats,
            deaths: 0,
            recoveries: Vec::new(),
            _listeners: listeners,
        })
    }

    /// Lets the load work until a random moment.
    pub(crate) async fn work_a_while(&mut self) {
        tokio::time::sleep(self.random.pause(LONGEST_WORK_MS)).await;
    }

    /// Kills peerd, sometimes again during its recovery, and waits until all users are answered
    /// again.
    pub(crate) async fn kill_peerd(&mut self) -> Result<(), Failure> {
        self.caller.notes().disturbed(Disturbed::Peerd)?;
        let mut killed = Instant::now();
        self.deaths += 1;
        self.peerd.kill9();
        if self.random.percent(SECOND_KILL_PERCENT) {
            self.peerd.restart().await;
            self.work_a_while().await;
            killed = Instant::now();
            self.deaths += 1;
            self.peerd.kill9();
        }
        let epoch = self.load.new_epoch();
        self.peerd.restart().await;
        self.recovered(epoch, killed).await
    }

    /// Kills nats-server and restarts it after a while; peerd must reconnect by itself.
    pub(crate) async fn kill_nats(&mut self) -> Result<(), Failure> {
        self.caller.notes().disturbed(Disturbed::Nats)?;
        let killed = Instant::now();
        self.deaths += 1;
        self.nats.kill9();
        let epoch = self.load.new_epoch();
        tokio::time::sleep(self.random.pause(LONGEST_DEATH_MS)).await;
        self.nats.restart().await;
        self.recovered(epoch, killed).await?;
        if self.peerd.is_running() {
            Ok(())
        } else {
            Err(self.failure("peerd ended with its nats-server"))
        }
    }

    /// Stops peerd, which must succeed, and starts it again; returns the duration of the stop.
    pub(crate) async fn terminate_peerd(&mut self) -> Result<Duration, Failure> {
        self.caller.notes().disturbed(Disturbed::Peerd)?;
        let signalled = Instant::now();
        self.deaths += 1;
        let status = self.peerd.terminate().await;
        let took = signalled.elapsed();
        say(&format!("{}: ended in {took:.2?}, {status}", self.name));
        if !status.success() {
            return Err(self.failure(&format!("peerd, after a signal to end, ended with {status}")));
        }
        let epoch = self.load.new_epoch();
        self.peerd.restart().await;
        self.recovered(epoch, signalled).await?;
        Ok(took)
    }

    /// Ends the load, and compares the views of all users with the answers.
    pub(crate) async fn finish(mut self) -> Result<Arc<Counts>, Failure> {
        let pairs = match self.load.finish().await {
            Ok(pairs) => pairs,
            Err(error) => return Err(failure(self.seed, &error.to_string(), &self.peerd)),
        };
        let counts = self.caller.counts();
        let judged = judge(&self.caller, &pairs, &[self.nats.url()]).await?;
        say(&figures(self.name, &judged, &counts, self.deaths, &self.recoveries));
        let (read, faults) = (judged.read, judged.faults.len());
        say(&format!("{}: {read} messages read back, {faults} faults", self.name));
        if let Some(what) = judged.problem() {
            return Err(failure(self.seed, &what, &self.peerd));
        }
        if !self.peerd.is_running() {
            return Err(failure(self.seed, "peerd ended", &self.peerd));
        }
        Ok(counts)
    }

    async fn recovered(&mut self, epoch: u64, since: Instant) -> Result<(), Failure> {
        match self.load.answered(epoch, since).await {
            Ok(recovery) => {
                self.recoveries.push(recovery);
                Ok(())
            }
            Err(error) => Err(self.failure(&error.to_string())),
        }
    }

    fn failure(&self, what: &str) -> Failure {
        failure(self.seed, what, &self.peerd)
    }
}

fn failure(seed: u64, what: &str, peerd: &Peerd) -> Failure {
    with_log(&format!("DEATH_SEED={seed}: {what}"), [peerd]).into()
}

fn figures(
    name: &str,
    judged: &Judged,
    counts: &Counts,
    deaths: u32,
    recoveries: &[Recovery],
) -> String {
    let mut text = format!(
        "{name}: {} acked; {} clears, mutes and deletes; {} messages signalled; {deaths} deaths\n\
         {name}: attempts: {counts}\n{name}: answered again after (first, all):",
        judged.figure("acknowledged"),
        judged.figure("changes"),
        judged.figure("delivered"),
    );
    for Recovery { first, all } in recoveries {
        // Writing to a string cannot fail.
        let _ = write!(text, " ({:.2} s, {:.2} s)", first.as_secs_f64(), all.as_secs_f64());
    }
    text
}
