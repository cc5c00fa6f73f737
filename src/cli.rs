//! The command line. Each command is one file.

mod audit;
mod bench;
mod call;
mod check_config;
mod connection;
mod introspect;
mod new_seed;
pub mod readable;
mod schema;
mod serve;
mod status;
mod streams;
mod table;
pub(crate) mod verify;
mod watch;

use std::future::Future;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::config::{self, Loaded, Overrides, Problems};
use crate::link::Cause;
use crate::runtime::daemon::Settings;
use crate::telemetry::Telemetry;

/// A person must change something: the configuration, or NATS (`EX_USAGE`).
const EXIT_CONFIGURATION: u8 = 64;
/// NATS could not be used, which may pass by itself (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;
/// The call was refused, or something else failed.
const EXIT_FAILURE: u8 = 1;

/// How long a command waits for an answer of the store.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// One-to-one messaging for NATS: login, limits, Do Not Disturb, history and unread counts, with
/// JetStream as the only database.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    source: Source,
}

const AFTER_HELP: &str = "\
Try it, with a nats-server (2.12 or newer) that was started with -js:

  peerd serve                                     # one terminal: the daemon
  peerd watch alice bob                           # another: the events of both users
  peerd call alice login                          # a third: calls
  peerd call bob login
  peerd call alice send_peer_message \\
      '{\"toUserID\":\"bob\",\"message\":{\"type\":1,\"message\":\"Hello!\"}}'
  peerd call bob query_history_message \\
      '{\"conversationID\":\"alice\",\"config\":{\"count\":30,\"reverse\":true}}'

The configuration comes from config/peerd.toml if it exists, the file given with --config, the \
environment (PEERD__SECTION__KEY, as in PEERD__NATS__SERVERS=nats://host:4222), --context, and \
--server and --credentials.

Exit codes: 0 done; 1 refused or failed; 64 a person must change the configuration, or NATS; 69 \
NATS could not be used, perhaps only for now: try again.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT; a second signal exits at once.
    Serve,
    /// Print the resulting configuration without secrets, or all problems with it.
    CheckConfig,
    /// Print the configuration of the streams, to create them without peerd.
    #[command(after_help = streams::HELP)]
    Streams {
        /// Commands of the `nats` command line, manifests for NACK, or JSON.
        #[arg(long, value_enum, default_value_t = streams::Form::Nats)]
        form: streams::Form,
    },
    /// Print the contract for machines: subjects, requests, replies and events.
    #[command(after_help = schema::HELP)]
    Schema {
        /// One document with all, or the schemas of the bodies alone.
        #[arg(long, value_enum, default_value_t = schema::Format::Asyncapi)]
        format: schema::Format,
    },
    /// Describe the command line to the `nats` command line, for which peerd can be a plugin.
    #[command(long_flag = "fisk-introspect", hide = true)]
    Introspect,
    /// Make a key for logins by token: write its seed to a new file, and print the public key.
    NewSeed {
        /// The use of the key.
        of: new_seed::Use,
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Call a method as a user and print the reply as JSON.
    ///
    /// The NATS user needs permission to publish the call and to subscribe to its inbox.
    #[command(after_help = call::help())]
    Call {
        /// The userID; peerd does not verify it, NATS permissions control its use.
        user: String,
        /// The method's name, for example `send_peer_message`.
        method: String,
        /// The body; an empty object if left out.
        #[arg(default_value = "{}")]
        json: String,
    },
    /// Measure the throughput and the latency of a running deployment.
    #[command(after_help = bench::HELP)]
    Bench {
        #[command(flatten)]
        arguments: Box<bench::Arguments>,
    },
    /// The responder on the official client library that `bench --baseline` compares with.
    #[command(hide = true)]
    BenchBaseline {
        #[command(flatten)]
        arguments: peerd_bench::responder::Arguments,
    },
    /// The responder without a client library that `bench --baseline` compares with.
    #[command(hide = true)]
    BenchLimit {
        #[command(flatten)]
        arguments: peerd_bench::responder::Arguments,
    },
    /// Print members, partition owners, stream states and problems; exit code 0 if there are none.
    #[command(after_help = status::HELP)]
    Status {
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Recount users' counts from the log; exit code 0 if nothing differs.
    #[command(after_help = audit::HELP)]
    Audit {
        /// One user; all users if left out.
        user: Option<String>,
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Compare the notes of clients with the stored messages; exit code 0 if nothing is wrong.
    #[command(after_help = verify::HELP)]
    Verify {
        /// The notes of the clients, one file each.
        #[arg(required = true)]
        notes: Vec<PathBuf>,
        /// The number of milliseconds by which the clocks of two clients may differ.
        #[arg(long, value_name = "MS", default_value_t = 0)]
        clock_slack_ms: u64,
        /// One JSON object, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Print the events of users, one JSON object per line, until interrupted.
    Watch {
        /// The userIDs.
        #[arg(required = true)]
        users: Vec<String>,
    },
}

/// The sources of the configuration. They may be given before or after the command.
#[derive(Debug, clap::Args)]
struct Source {
    /// A configuration file (TOML); its values replace those of config/peerd.toml.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// A context of the `nats` command line, instead of the configured addresses, identity and TLS.
    #[arg(long, value_name = "NAME", global = true)]
    context: Option<String>,
    /// Addresses of NATS, separated by commas, instead of the configured ones.
    #[arg(long, value_name = "URL", global = true, value_delimiter = ',')]
    server: Vec<String>,
    /// A .creds file, instead of the configured NATS user.
    #[arg(long, value_name = "FILE", global = true)]
    credentials: Option<PathBuf>,
}

impl Source {
    fn load(&self) -> Result<(Loaded, Settings, Telemetry), Problems> {
        let overrides = Overrides {
            context: self.context.clone(),
            servers: self.server.clone(),
            credentials_file: self.credentials.clone(),
        };
        let loaded = config::load(self.config.as_deref(), &overrides)?;
        let (settings, telemetry) = loaded.config.settings()?;
        Ok((loaded, settings, telemetry))
    }

    /// The arguments with which another process uses the same configuration.
    fn arguments(&self) -> Vec<std::ffi::OsString> {
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: &std::ffi::OsStr| {
            arguments.extend([name.into(), value.to_owned()]);
        };
        if let Some(config) = &self.config {
            add("--config", config.as_os_str());
        }
        if let Some(context) = &self.context {
            add("--context", context.as_ref());
        }
        for server in &self.server {
            add("--server", server.as_ref());
        }
        if let Some(credentials) = &self.credentials {
            add("--credentials", credentials.as_os_str());
        }
        arguments
    }
}

impl Arguments {
    /// Runs the command that the arguments name.
    #[must_use]
    pub fn run(self) -> ExitCode {
        let Self { command, source } = self;
        match command {
            Command::Serve => with_loaded(&source, serve::run),
            Command::CheckConfig => match source.load() {
                Ok((loaded, ..)) => check_config::run(&loaded),
                Err(problems) => refuse(&problems),
            },
            Command::Streams { form } => match source.load() {
                Ok((_, settings, _)) => streams::run(&settings, form),
                Err(problems) => refuse(&problems),
            },
            Command::Schema { format } => schema::run(format),
            Command::Introspect => introspect::run(),
            Command::NewSeed { of, file } => new_seed::run(of, &file),
            Command::Call { user, method, json } => {
                with_settings(&source, |settings| call::run(settings, user, method, json))
            }
            Command::Bench { arguments } => with_settings(&source, |settings| {
                bench::run(settings, source.arguments(), *arguments)
            }),
            Command::BenchBaseline { arguments } => {
                with_settings(&source, |settings| bench::serve_baseline(settings, arguments))
            }
            Command::BenchLimit { arguments } => {
                with_settings(&source, |settings| bench::serve_limit(settings, arguments))
            }
            Command::Status { json } => {
                with_settings(&source, |settings| status::run(settings, json))
            }
            Command::Audit { user, json } => {
                with_settings(&source, |settings| audit::run(settings, user, json))
            }
            Command::Verify { notes, clock_slack_ms, json } => {
                let asked = verify::Asked { notes, clock_slack_ms, as_json: json };
                with_settings(&source, |settings| verify::run(settings, asked))
            }
            Command::Watch { users } => {
                with_settings(&source, |settings| watch::run(settings, users))
            }
        }
    }
}

fn with_settings<F: Future<Output = ExitCode>>(
    source: &Source,
    run: impl FnOnce(Settings) -> F,
) -> ExitCode {
    with_loaded(source, |settings, _, _| run(settings))
}

fn with_loaded<F: Future<Output = ExitCode>>(
    source: &Source,
    run: impl FnOnce(Settings, Telemetry, Vec<String>) -> F,
) -> ExitCode {
    let (loaded, settings, telemetry) = match source.load() {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(settings, telemetry, loaded.warnings)),
        Err(error) => complain(EXIT_FAILURE, &error),
    }
}

/// The exit code for a kind of failure.
const fn exit_code(cause: Cause) -> u8 {
    match cause {
        Cause::Configuration | Cause::Refused => EXIT_CONFIGURATION,
        Cause::Transient => EXIT_UNAVAILABLE,
    }
}

/// A number with its noun: `1 user`, `2 users`.
fn counted<N: std::fmt::Display + PartialEq + From<u8> + Copy>(number: N, thing: &str) -> String {
    if number == N::from(1) { format!("1 {thing}") } else { format!("{number} {thing}s") }
}

/// Prints a warning on standard error: about a setting that is accepted but perhaps a mistake.
#[expect(clippy::print_stderr, reason = "a command line talks to its user")]
fn warn(warning: &str) {
    eprintln!("warning: {warning}");
}

fn refuse(problems: &Problems) -> ExitCode {
    complain(EXIT_CONFIGURATION, problems)
}

/// Prints a problem on standard error and returns the exit code.
#[expect(clippy::print_stderr, reason = "a command line talks to its user")]
fn complain(code: u8, problem: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("{problem}");
    ExitCode::from(code)
}

/// Prints a line on standard output; false if the reader of the output is gone.
fn print(line: &str) -> bool {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).is_ok()
}

/// Prints a report as JSON on standard output: indented on a terminal, otherwise on one line.
fn print_json(report: &impl serde::Serialize) -> serde_json::Result<()> {
    let text = if std::io::stdout().is_terminal() {
        serde_json::to_string_pretty(report)?
    } else {
        serde_json::to_string(report)?
    };
    print(&text);
    Ok(())
}
