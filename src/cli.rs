//! The command line. Each command is one file.

mod audit;
mod bench;
mod call;
mod check_config;
pub mod readable;
mod serve;
mod status;
mod verify;
mod watch;

use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Problems};
use crate::runtime::daemon::Settings;
use crate::telemetry::Telemetry;

/// The configuration is wrong (`EX_USAGE`).
const EXIT_CONFIGURATION: u8 = 64;
/// NATS could not be used (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;
/// The call was refused, or something else failed.
const EXIT_FAILURE: u8 = 1;

/// One-to-one messaging for NATS: login, limits, Do Not Disturb, history and unread counts, with
/// JetStream as the only database.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, after_help = AFTER_HELP)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Try it, with a nats-server (2.12 or newer) that was started with -js:

  peerd serve                                     # one terminal: the daemon
  peerd watch alice bob                           # another: what the two are told
  peerd call alice login                          # a third: calls
  peerd call bob login
  peerd call alice send_peer_message \\
      '{\"toUserID\":\"bob\",\"message\":{\"type\":1,\"message\":\"Hello!\"}}'
  peerd call bob query_history_message \\
      '{\"conversationID\":\"alice\",\"config\":{\"count\":30,\"reverse\":true}}'

The configuration comes from config/peerd.toml where it is there, the file given with --config, and
the environment (PEERD__SECTION__KEY, as in PEERD__NATS__SERVERS=nats://host:4222).
Exit codes: 0 done; 1 refused or failed; 64 a wrong configuration; 69 NATS could not be used.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT; a second signal exits at once.
    Serve {
        #[command(flatten)]
        source: Source,
    },
    /// Print the configuration that would be used, without secrets, or everything wrong with it.
    CheckConfig {
        #[command(flatten)]
        source: Source,
    },
    /// Call a method as a user and print the reply as JSON.
    ///
    /// The NATS user needs permission to publish the call and to subscribe to its inbox.
    Call {
        /// The userID; peerd takes the caller's word for it, NATS permissions are the gate.
        user: String,
        /// The method's name, `send_peer_message`.
        method: String,
        /// The body; an empty object if left out.
        #[arg(default_value = "{}")]
        json: String,
        #[command(flatten)]
        source: Source,
    },
    /// Measure how much a running deployment takes, and how fast.
    #[command(after_help = bench::HELP)]
    Bench {
        #[command(flatten)]
        arguments: Box<bench::Arguments>,
        #[command(flatten)]
        source: Source,
    },
    /// What `bench --floor` compares with, in a process of its own.
    #[command(hide = true)]
    BenchFloor {
        #[command(flatten)]
        arguments: bench::floor::Arguments,
        #[command(flatten)]
        source: Source,
    },
    /// Print who is there, who owns what, and how the streams are; exit 0 when all is well.
    #[command(after_help = status::HELP)]
    Status {
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Have users' counts recounted from the log; exit 0 when nothing differs.
    #[command(after_help = audit::HELP)]
    Audit {
        /// One user; all users if left out.
        user: Option<String>,
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Hold what clients wrote down against what is stored; exit 0 when nothing is wrong.
    #[command(after_help = verify::HELP)]
    Verify {
        /// The notes of the clients, a file each.
        #[arg(required = true)]
        notes: Vec<PathBuf>,
        /// By how many milliseconds the clocks of two clients may differ.
        #[arg(long, value_name = "MS", default_value_t = 0)]
        clock_slack_ms: u64,
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        source: Source,
    },
    /// Print what users are told, one JSON object a line, until interrupted.
    Watch {
        /// The userIDs.
        #[arg(required = true)]
        users: Vec<String>,
        #[command(flatten)]
        source: Source,
    },
}

/// Where the configuration comes from.
#[derive(Debug, clap::Args)]
struct Source {
    /// A configuration file (TOML), on top of config/peerd.toml.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    fn load(&self) -> Result<(Config, Settings, Telemetry), Problems> {
        let config = config::load(self.config.as_deref())?;
        let (settings, telemetry) = config.settings()?;
        Ok((config, settings, telemetry))
    }
}

impl Arguments {
    /// Does what the arguments say.
    #[must_use]
    pub fn run(self) -> ExitCode {
        match self.command {
            Command::Serve { source } => with_settings(&source, serve::run),
            Command::CheckConfig { source } => match source.load() {
                Ok((config, ..)) => check_config::run(&config),
                Err(problems) => refuse(&problems),
            },
            Command::Call { user, method, json, source } => {
                with_settings(&source, |settings, _| call::run(settings, user, method, json))
            }
            Command::Bench { arguments, source } => with_settings(&source, |settings, _| {
                bench::run(settings, source.config.clone(), *arguments)
            }),
            Command::BenchFloor { arguments, source } => {
                with_settings(&source, |settings, _| bench::floor::serve(settings, arguments))
            }
            Command::Status { json, source } => {
                with_settings(&source, |settings, _| status::run(settings, json))
            }
            Command::Audit { user, json, source } => {
                with_settings(&source, |settings, _| audit::run(settings, user, json))
            }
            Command::Verify { notes, clock_slack_ms, json, source } => {
                let asked = verify::Asked { notes, clock_slack_ms, as_json: json };
                with_settings(&source, |settings, _| verify::run(settings, asked))
            }
            Command::Watch { users, source } => {
                with_settings(&source, |settings, _| watch::run(settings, users))
            }
        }
    }
}

fn with_settings<F: Future<Output = ExitCode>>(
    source: &Source,
    run: impl FnOnce(Settings, Telemetry) -> F,
) -> ExitCode {
    let (settings, telemetry) = match source.load() {
        Ok((_, settings, telemetry)) => (settings, telemetry),
        Err(problems) => return refuse(&problems),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(settings, telemetry)),
        Err(error) => complain(EXIT_FAILURE, &error),
    }
}

fn refuse(problems: &Problems) -> ExitCode {
    complain(EXIT_CONFIGURATION, problems)
}

/// Says on standard error what is wrong.
#[expect(clippy::print_stderr, reason = "a command line talks to its user")]
fn complain(code: u8, problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(code)
}

/// Prints a line on standard output; false when nobody reads it any more.
fn print(line: &str) -> bool {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// Prints a report as JSON on standard output: on a terminal for people, else in one line.
fn print_json(report: &impl serde::Serialize) -> serde_json::Result<()> {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(report)?
    } else {
        serde_json::to_string(report)?
    };
    print(&text);
    Ok(())
}
