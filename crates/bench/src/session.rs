//! A run from its users' login to their logout.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::load::{self, Measured, Progress};
use super::marker::Run;
use super::numbers::{count, float};
use super::process::{self, Processes};
use super::report::{LeftBehind, Load, Round, Setting, Who};
use super::responder::Responder;
use super::shared::{Offer, Target};
use super::tally::RATE_LIMITED;
use super::users::{self, Pair};
use super::{
    Arguments, Cause, Connections, Deployment, Problem, Responders, Setup, build_warnings, sizes,
    too_few,
};
use peerd_protocol::discovery::THIS_BUILD;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::subject::{Subjects, Token};

/// The exit code after a second signal.
const EXIT_INTERRUPTED: i32 = 1;

/// A run.
pub(super) struct Session {
    pub(super) arguments: Arguments,
    deployment: Deployment,
    connections: Connections,
    subjects: Subjects,
    pairs: Vec<Pair>,
    peerd: Arc<Target>,
    /// The responders that are measured alternately with peerd.
    responders: Vec<(Responder, Arc<Target>)>,
    messages: u64,
    /// Warnings about the figures.
    pub(super) warnings: Vec<String>,
    bar: ProgressBar,
    interrupted: CancellationToken,
    _interrupt: AbortOnDrop<()>,
}

impl Session {
    /// Logs the users in and sends the first message of each pair.
    pub(super) async fn begin(setup: Setup, arguments: Arguments) -> Result<Self, Problem> {
        let Setup { deployment, connections, responders, forbidden } = setup;
        let subjects = Subjects::new(&deployment.subject_prefix, deployment.partitions());
        let wrong = |error: &dyn std::fmt::Display| Problem::new(Cause::Configuration, error);
        let only = arguments.partition;
        if only.is_some_and(|number| number >= subjects.partitions()) {
            let last = subjects.partitions() - 1;
            return Err(wrong(&format_args!("--partition is 0 to {last}, as there are no others")));
        }
        let is_allowed =
            |token: &Token| only.is_none_or(|number| subjects.partition(token).0 == number);
        let (pairs, receivers) = (arguments.pairs, arguments.receivers());
        let pairs = users::pairs(&arguments.users, pairs, receivers, is_allowed);
        let pairs = pairs.map_err(|error| wrong(&error))?;
        let (run, encoding) = (Run::new(), Encoding::from(arguments.encoding));
        let text = users::text(arguments.payload);
        let calls = users::calls(&subjects, &pairs, &run, encoding, &text);
        let nats = if arguments.nats_pid.is_empty() {
            process::nats_servers(&connections.control, &deployment.nats_servers)
        } else {
            Processes::of(arguments.nats_pid.iter().copied())
        };
        let peerd = Arc::new(Target {
            calls: calls.map_err(|error| Problem::new(Cause::Failed, error))?,
            headers: users::headers(encoding),
            all_events: format!("{}.event.*.*", subjects.prefix()),
            nobody: format!("{}.api.=", subjects.prefix()),
            user_prefix: Token::of(&pairs[0].sender).as_str().trim_end_matches("s0").to_owned(),
            run,
            numbers: AtomicU64::new(0),
            responder: Processes::of(deployment.processes.iter().copied()),
            nats,
        });
        let interrupted = CancellationToken::new();
        let interrupt = note_interrupt(interrupted.clone())?;
        let build_warnings = build_warnings(THIS_BUILD, &deployment.builds);
        let mut session = Self {
            arguments,
            deployment,
            connections,
            subjects,
            pairs,
            peerd,
            responders: Vec::new(),
            messages: 0,
            warnings: Vec::new(),
            bar: ProgressBar::new(0),
            _interrupt: AbortOnDrop::new(interrupt),
            interrupted: interrupted.clone(),
        };
        for warning in build_warnings {
            session.warn(warning);
        }
        let prepared = tokio::select! {
            biased;
            problem = forbidden => Err(problem),
            prepared = session.prepare(responders) => prepared,
            () = interrupted.cancelled() => Err(interruption()),
        };
        match prepared {
            Ok(()) => Ok(session),
            Err(problem) => {
                // Logs out those who are logged in; the first problem is the more useful one.
                session.end().await;
                Err(problem)
            }
        }
    }

    /// Prints a warning at once, and keeps it for the report.
    #[expect(clippy::print_stderr, reason = "a command line talks to its user")]
    fn warn(&mut self, warning: String) {
        self.bar.suspend(|| eprintln!("warning: {warning}"));
        self.warnings.push(warning);
    }

    async fn prepare(&mut self, responders: Responders) -> Result<(), Problem> {
        let failed = |text: String| Problem::new(Cause::Failed, text);
        let steps = count(self.pairs.len() + self.arguments.receivers() + self.pairs.len());
        self.bar.set_length(steps);
        self.bar
            .set_style(style("users log in and write their first message {bar:30} {pos}/{len}"));
        let done = || {
            self.bar.inc(1);
        };
        let (client, peerd) = (&self.connections.control, &*self.peerd);
        let logged_in = users::all_log_in(client, &self.subjects, &self.pairs, done).await;
        logged_in.map_err(failed)?;
        let first = users::all_send(client, peerd, done).await;
        self.messages += count(self.pairs.len());
        if let Err(problem) = first {
            // The load reports the reason, with figures; only the other responders need an accepted
            // message.
            self.warn(format!("not every pair has written its first message: {problem}"));
        }
        if self.arguments.baseline {
            self.start_responders(responders).await.map_err(failed)?;
        }
        Ok(())
    }

    /// Starts the other responders.
    async fn start_responders(&mut self, responders: Responders) -> Result<(), String> {
        let Responders { arguments, limit_left_out } = responders;
        let learned = sizes::learn(
            &self.connections.control,
            &self.subjects,
            &self.pairs[0],
            &self.peerd,
            &self.deployment.log_streams,
        )
        .await;
        self.messages += 1;
        let sizes = learned?;
        let who = match limit_left_out {
            Some(why) => {
                self.warn(format!("the limit is left out: {why}"));
                &[Who::Baseline][..]
            }
            None => &[Who::Baseline, Who::Limit],
        };
        for who in who {
            let responder = Responder::start(*who, &arguments, &self.subjects, &sizes).await?;
            let target = Arc::new(self.target_of(&responder)?);
            self.responders.push((responder, target));
        }
        Ok(())
    }

    /// The target with the same messages for another responder.
    fn target_of(&self, responder: &Responder) -> Result<Target, String> {
        let (run, encoding) = (Run::new(), Encoding::from(self.arguments.encoding));
        let text = users::text(self.arguments.payload);
        let calls = users::calls(&self.subjects, &self.pairs, &run, encoding, &text);
        let mut calls = calls.map_err(|error| error.to_string())?;
        for (call, pair) in calls.iter_mut().zip(&self.pairs) {
            let (sender, receiver) = (Token::of(&pair.sender), Token::of(&pair.receiver));
            call.subject = responder.subjects.call(&sender, receiver.as_str()).into();
        }
        Ok(Target {
            calls,
            headers: self.peerd.headers.clone(),
            all_events: format!("{}.event.*.*", responder.subjects.prefix()),
            nobody: format!("{}.api.=", responder.subjects.prefix()),
            user_prefix: self.peerd.user_prefix.clone(),
            run,
            numbers: AtomicU64::new(0),
            responder: Processes::of(responder.id()),
            nats: self.peerd.nats.clone(),
        })
    }

    /// The setting that all loads share.
    pub(super) fn setting(&self) -> Setting {
        self.arguments.setting(&self.deployment)
    }

    /// Measures one load, in alternating rounds of peerd and of the others. After a failure,
    /// returns the rounds so far with the problem.
    pub(super) async fn load(&mut self, offer: Offer) -> (Load, Option<Problem>) {
        let (mut rounds, mut problem) = (Vec::new(), None);
        'rounds: for number in 1..=self.arguments.rounds() {
            let others = self.responders.iter();
            let others = others.map(|(responder, target)| (responder.who, target.clone()));
            let peerd = std::iter::once((Who::Peerd, self.peerd.clone()));
            for (who, target) in peerd.chain(others).collect::<Vec<_>>() {
                let measured = match self.round(offer, who, &target, number).await {
                    Ok(measured) => measured,
                    Err(met) => {
                        problem = Some(met);
                        break 'rounds;
                    }
                };
                let round = Round::new(who, &measured);
                if who == Who::Peerd {
                    self.messages += round.accepted_ever;
                }
                if !measured.window.is_empty() {
                    rounds.push(round);
                }
                if self.interrupted.is_cancelled() {
                    problem = Some(interruption());
                    break 'rounds;
                }
            }
        }
        let load = Load::new(offer, rounds);
        if problem.is_some() {
            let rounds = load.rounds.len();
            self.warn(format!("the measurement ended early, in round {rounds} of this load"));
        }
        let limited = load.refused_with(RATE_LIMITED);
        if limited > 0 {
            let limit = self.deployment.messages_per_second;
            self.warn(too_few(offer, limited, self.pairs.len(), limit));
        }
        (load, problem)
    }

    async fn round(
        &self,
        offer: Offer,
        who: Who,
        target: &Arc<Target>,
        number: usize,
    ) -> Result<Measured, Problem> {
        /// Steps of the progress bar.
        const STEPS: u64 = 1000;
        let of = who.name();
        let rounds = self.arguments.rounds();
        self.bar.set_length(STEPS);
        self.bar.set_style(style(&format!("{of} {number}/{rounds} {{bar:30}} {{msg}}")));
        let seen = Cell::new((Instant::now(), 0));
        let looks = |progress: Progress| {
            let (before, accepted) = seen.replace((Instant::now(), progress.accepted));
            let rate = float(progress.accepted - accepted) / before.elapsed().as_secs_f64();
            self.bar.set_position(super::numbers::whole(progress.part * float(STEPS)));
            self.bar.set_message(format!("{rate:.0}/s"));
            !self.interrupted.is_cancelled()
        };
        let plan = self.arguments.plan(offer, &self.deployment);
        let measured = load::run(target, &self.connections, plan, looks).await;
        measured.map_err(|error| Problem::new(Cause::Unavailable, error))
    }

    /// Ends the other responders and logs the users out. Failures do not affect the figures.
    pub(super) async fn end(&mut self) -> LeftBehind {
        for (responder, _) in std::mem::take(&mut self.responders) {
            if let Err(problem) = responder.end().await {
                self.warn(problem);
            }
        }
        let users = count(self.pairs.len() + self.arguments.receivers());
        self.bar.set_length(users);
        self.bar.set_position(0);
        self.bar.set_style(style("users log out {bar:30} {pos}/{len}"));
        let done = || self.bar.inc(1);
        let out =
            users::all_log_out(&self.connections.control, &self.subjects, &self.pairs, done).await;
        self.bar.finish_and_clear();
        if let Err(problem) = out {
            self.warn(format!("not every user was logged out: {problem}"));
        }
        LeftBehind { messages: self.messages, users }
    }
}

fn interruption() -> Problem {
    Problem::new(Cause::Failed, "interrupted; the users are logged out")
}

/// Notes the first signal; a second one exits at once.
fn note_interrupt(interrupted: CancellationToken) -> Result<JoinHandle<()>, Problem> {
    let failed = |error| Problem::new(Cause::Failed, error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok(tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        next().await;
        interrupted.cancel();
        next().await;
        std::process::exit(EXIT_INTERRUPTED);
    }))
}

/// The style of a progress bar, which shows on a terminal only.
fn style(template: &str) -> ProgressStyle {
    // A wrong template would show in the first run of a developer.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
