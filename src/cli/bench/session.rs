//! A run from its users' login to their logout.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_nats::Client;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::floor::Floor;
use super::load::{self, Connections, Measured, Offer, Progress, Target};
use super::marker::Run;
use super::numbers::{count, float};
use super::process::{self, Processes};
use super::report::{LeftBehind, Load, Round, Setting, Who};
use super::users::{self, Pair};
use super::{Arguments, Problem, sizes, too_few};
use crate::cli::{EXIT_CONFIGURATION, EXIT_FAILURE, EXIT_UNAVAILABLE};
use crate::runtime::connect::connect_once;
use crate::runtime::daemon::Settings;
use crate::store::jetstream::StreamNames;
use crate::store::survey;
use crate::wire::encoding::Encoding;
use crate::wire::subject::{Subjects, Token};

/// How long the store has to say who is there.
const STORE_ANSWERS: Duration = Duration::from_secs(5);

/// A run.
pub(super) struct Session {
    pub(super) arguments: Arguments,
    settings: Settings,
    client: Client,
    connections: Connections,
    subjects: Subjects,
    pairs: Vec<Pair>,
    peerd: Arc<Target>,
    floor: Option<(Floor, Arc<Target>)>,
    messages: u64,
    bar: ProgressBar,
    interrupted: Arc<AtomicBool>,
    _interrupt: JoinHandle<()>,
}

impl Session {
    /// Connects, logs the users in and has each pair send its first message.
    pub(super) async fn begin(
        settings: Settings,
        config: Option<PathBuf>,
        arguments: Arguments,
    ) -> Result<Self, Problem> {
        let connect = async |name: &str| {
            let connected = connect_once(&settings.nats, name).await;
            connected.map_err(|error| Problem::new(EXIT_UNAVAILABLE, error))
        };
        let client = connect("peerd bench").await?;
        let mut calls = Vec::new();
        for _ in 0..arguments.connections {
            calls.push(connect("peerd bench calls").await?);
        }
        let connections = Connections { calls, events: connect("peerd bench events").await? };
        let (partitions, peerds) = deployment(&client, &settings).await?;
        let subjects = Subjects::new(&settings.subject_prefix, partitions);
        let wrong = |error: &dyn std::fmt::Display| Problem::new(EXIT_CONFIGURATION, error);
        let pairs = users::pairs(&arguments.users, arguments.pairs, arguments.receivers());
        let pairs = pairs.map_err(|error| wrong(&error))?;
        let (run, encoding) = (Run::new(), Encoding::from(arguments.encoding));
        let text = users::text(arguments.payload);
        let calls = users::calls(&subjects, &pairs, &run, encoding, &text);
        let nats = if arguments.nats_pid.is_empty() {
            process::nats_servers(&client, &settings.nats.servers)
        } else {
            Processes::of(arguments.nats_pid.iter().copied())
        };
        let peerd = Arc::new(Target {
            calls: calls.map_err(|error| Problem::new(EXIT_FAILURE, error))?,
            headers: users::headers(encoding),
            all_events: format!("{}.event.*.*", subjects.prefix()),
            nobody: format!("{}.api.=", subjects.prefix()),
            user_prefix: Token::of(&pairs[0].sender).as_str().trim_end_matches("s0").to_owned(),
            run,
            numbers: AtomicU64::new(0),
            responder: peerds,
            nats,
        });
        let interrupted = Arc::new(AtomicBool::new(false));
        let mut session = Self {
            arguments,
            settings,
            client,
            connections,
            subjects,
            pairs,
            peerd,
            floor: None,
            messages: 0,
            bar: ProgressBar::new(0),
            _interrupt: tokio::spawn(note_interrupt(interrupted.clone())),
            interrupted,
        };
        match session.prepare(config).await {
            Ok(()) => Ok(session),
            Err(problem) => {
                // What there is to log out is logged out; the problem before says more.
                let _ = session.end().await;
                Err(problem)
            }
        }
    }

    async fn prepare(&mut self, config: Option<PathBuf>) -> Result<(), Problem> {
        let failed = |text: String| Problem::new(EXIT_FAILURE, text);
        let steps = count(self.pairs.len() + self.arguments.receivers() + self.pairs.len());
        self.bar.set_length(steps);
        self.bar
            .set_style(style("users log in and write their first message {bar:30} {pos}/{len}"));
        let done = || {
            self.bar.inc(1);
        };
        let (client, peerd) = (&self.client, &*self.peerd);
        let logged_in = users::all_call(client, &self.subjects, &self.pairs, "login", done).await;
        logged_in.map_err(failed)?;
        users::all_send(client, peerd, done).await.map_err(failed)?;
        self.messages += count(self.pairs.len());
        if !self.arguments.floor {
            return Ok(());
        }
        let learned = sizes::learn(client, &self.subjects, &self.pairs[0], peerd).await;
        self.messages += 1;
        let learned = learned.map_err(failed)?;
        let started = Floor::start(config.as_deref(), &self.subjects, &learned).await;
        let floor = started.map_err(failed)?;
        let target = Arc::new(self.floor_target(&floor)?);
        self.floor = Some((floor, target));
        Ok(())
    }

    /// The same messages as for peerd, to the floor.
    fn floor_target(&self, floor: &Floor) -> Result<Target, Problem> {
        let (run, encoding) = (Run::new(), Encoding::from(self.arguments.encoding));
        let text = users::text(self.arguments.payload);
        let calls = users::calls(&self.subjects, &self.pairs, &run, encoding, &text);
        let mut calls = calls.map_err(|error| Problem::new(EXIT_FAILURE, error))?;
        for (call, pair) in calls.iter_mut().zip(&self.pairs) {
            let (sender, receiver) = (Token::of(&pair.sender), Token::of(&pair.receiver));
            call.subject = floor.subjects.call(&sender, receiver.as_str()).into();
        }
        Ok(Target {
            calls,
            headers: self.peerd.headers.clone(),
            all_events: format!("{}.event.*.*", floor.subjects.prefix()),
            nobody: format!("{}.api.=", floor.subjects.prefix()),
            user_prefix: self.peerd.user_prefix.clone(),
            run,
            numbers: AtomicU64::new(0),
            responder: Processes::of(floor.id()),
            nats: self.peerd.nats.clone(),
        })
    }

    /// What all loads have in common.
    pub(super) fn setting(&self) -> Setting {
        self.arguments.setting(self.subjects.prefix(), self.subjects.partitions())
    }

    /// Measures one way of offering messages, in rounds of peerd and of the floor by turns.
    pub(super) async fn load(&mut self, offer: Offer) -> Result<Load, Problem> {
        let mut rounds = Vec::new();
        for number in 1..=self.arguments.rounds() {
            let floor = self.floor.as_ref().map(|(_, target)| (Who::Floor, target.clone()));
            let peerd = Some((Who::Peerd, self.peerd.clone()));
            for (who, target) in [peerd, floor].into_iter().flatten() {
                let measured = self.round(offer, who, &target, number).await?;
                let round = Round::new(who, &measured);
                if who == Who::Peerd {
                    self.messages += round.accepted_ever;
                }
                rounds.push(round);
            }
        }
        Ok(Load::new(offer, rounds))
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
        let of = match who {
            Who::Peerd => "peerd",
            Who::Floor => "floor",
        };
        let rounds = self.arguments.rounds();
        self.bar.set_length(STEPS);
        self.bar.set_style(style(&format!("{of} {number}/{rounds} {{bar:30}} {{msg}}")));
        let (limited, seen) = (Cell::new(false), Cell::new((Instant::now(), 0)));
        let looks = |progress: Progress| {
            let (before, accepted) = seen.replace((Instant::now(), progress.accepted));
            let rate = float(progress.accepted - accepted) / before.elapsed().as_secs_f64();
            self.bar.set_position(super::numbers::whole(progress.part * float(STEPS)));
            self.bar.set_message(format!("{rate:.0}/s"));
            // At an offered rate it was checked before that there are enough senders.
            let is_bounded = progress.limited > 0 && matches!(offer, Offer::InFlight(_));
            limited.set(limited.get() || is_bounded);
            !is_bounded && !self.interrupted.load(Ordering::Relaxed)
        };
        let plan = self.arguments.plan(offer, &self.settings);
        let measured = load::run(target, &self.connections, plan, looks).await;
        let measured = measured.map_err(|error| Problem::new(EXIT_UNAVAILABLE, error))?;
        if limited.get() {
            let limit = self.settings.node.limits.messages_per_second;
            let text = too_few(self.pairs.len(), limit, None);
            return Err(Problem::new(EXIT_FAILURE, text));
        }
        if self.interrupted.load(Ordering::Relaxed) {
            return Err(Problem::new(EXIT_FAILURE, "interrupted; the users were logged out"));
        }
        Ok(measured)
    }

    /// Ends the floor and logs the users out.
    pub(super) async fn end(&mut self) -> Result<LeftBehind, Problem> {
        let failed = |text: String| Problem::new(EXIT_FAILURE, text);
        let ended = match self.floor.take() {
            Some((floor, _)) => floor.end().await,
            None => Ok(()),
        };
        let users = count(self.pairs.len() + self.arguments.receivers());
        self.bar.set_length(users);
        self.bar.set_position(0);
        self.bar.set_style(style("users log out {bar:30} {pos}/{len}"));
        let done = || self.bar.inc(1);
        let out = users::all_call(&self.client, &self.subjects, &self.pairs, "logout", done).await;
        self.bar.finish_and_clear();
        ended.and(out).map_err(failed)?;
        Ok(LeftBehind { messages: self.messages, users })
    }
}

/// How many partitions the deployment has, and its processes where they can be seen.
async fn deployment(client: &Client, settings: &Settings) -> Result<(u16, Processes), Problem> {
    let names = StreamNames::new(&settings.subject_prefix);
    let soon = Instant::now() + STORE_ANSWERS;
    let unavailable = |text: String| Problem::new(EXIT_UNAVAILABLE, text);
    let bucket = survey::stream(client, &names.owners(), soon).await;
    let bucket = bucket.map_err(|unseen| {
        let (bucket, prefix) = (names.owners_bucket(), &settings.subject_prefix);
        unavailable(format!("bucket {bucket} of subject_prefix {prefix:?} {unseen}"))
    })?;
    let entries = survey::entries(client, &names, soon).await;
    let entries = entries.map_err(|error| unavailable(error.to_string()))?;
    let partitions = bucket.partitions.unwrap_or(settings.partitions);
    Ok((partitions, process::peerds(&entries)))
}

async fn note_interrupt(interrupted: Arc<AtomicBool>) {
    while tokio::signal::ctrl_c().await.is_ok() {
        interrupted.store(true, Ordering::Relaxed);
    }
}

/// The look of a progress bar; it shows on a terminal only.
fn style(template: &str) -> ProgressStyle {
    // A template that is wrong would show in the first run of a developer.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
