//! The real peerd binary, as a child process.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::OpenOptions,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use tempfile::TempDir;

use super::nats::{Nats, kill_and_wait, read_log};
use super::process;
use crate::faults::failure::Failure;

const START_DEADLINE: Duration = Duration::from_secs(40);
const END_DEADLINE: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const LOG_TAIL_LINES: usize = 60;

/// The instance IDs with which a [`Peerd`] of this test process has answered, so that a second
/// instance on the same server does not count as ready when the first one answers.
static CLAIMED_IDS: Mutex<Option<HashSet<String>>> = Mutex::new(None);

/// A running `peerd serve`. Killed when dropped.
pub struct Peerd {
    child: Child,
    url: String,
    envs: Vec<(String, String)>,
    probe: Option<(String, String)>,
    instance_id: String,
    /// The bytes that earlier processes of this instance wrote to the same log.
    earlier_log_bytes: usize,
    dir: TempDir,
}

impl Peerd {
    /// Starts peerd with its defaults on a server and waits until it answers.
    pub async fn start(nats: &Nats) -> Self {
        Self::start_with(&nats.url(), &[]).await
    }

    /// Starts peerd with settings such as `("PEERD__LIMITS__MESSAGES_PER_SECOND", "1000")` and
    /// waits until it answers `$SRV.PING.peerd`.
    pub async fn start_with(nats_url: &str, envs: &[(&str, &str)]) -> Self {
        Self::launch(nats_url, envs, None).await
    }

    /// Like [`Peerd::start_with`], on a server where service discovery needs a user and a password.
    pub async fn start_probed_by(
        (user, password): (&str, &str),
        nats_url: &str,
        envs: &[(&str, &str)],
    ) -> Self {
        let probe = Some((user.to_owned(), password.to_owned()));
        Self::launch(nats_url, envs, probe).await
    }

    async fn launch(
        nats_url: &str,
        envs: &[(&str, &str)],
        probe: Option<(String, String)>,
    ) -> Self {
        let envs: Vec<_> =
            envs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let dir = tempfile::Builder::new().prefix("peerd-log-").tempdir().unwrap();
        let child = spawn(dir.path(), nats_url, &envs);
        let mut peerd = Self {
            child,
            url: nats_url.to_owned(),
            envs,
            probe,
            instance_id: String::new(),
            earlier_log_bytes: 0,
            dir,
        };
        peerd.instance_id = peerd.wait_until_ready().await;
        peerd
    }

    /// Starts peerd without waiting for it; [`Peerd::until_ready`] does. Its log is JSON.
    pub fn spawn(nats_url: &str, envs: &[(String, String)]) -> Self {
        let mut envs = envs.to_vec();
        envs.push(("PEERD__LOG__FORMAT".to_owned(), "json".to_owned()));
        let dir = tempfile::Builder::new().prefix("peerd-log-").tempdir().unwrap();
        let child = spawn(dir.path(), nats_url, &envs);
        Self {
            child,
            url: nats_url.to_owned(),
            envs,
            probe: None,
            instance_id: String::new(),
            earlier_log_bytes: 0,
            dir,
        }
    }

    /// Starts peerd again with the same settings, after its end, without waiting for it.
    pub fn spawn_again(&mut self) {
        self.kill9();
        self.earlier_log_bytes = self.log().len();
        self.child = spawn(self.dir.path(), &self.url, &self.envs);
    }

    /// Waits until a spawned instance has logged that it is ready. The error says why not.
    pub async fn until_ready(&mut self) -> Result<(), String> {
        let started = Instant::now();
        loop {
            if let Some(id) = self.ready_id() {
                self.instance_id = id;
                return Ok(());
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                return Err(format!("peerd ended ({status}); its log:\n{}", tail(&self.log())));
            }
            if started.elapsed() > START_DEADLINE {
                let log = self.log();
                return Err(format!("not ready in {START_DEADLINE:?}; its log:\n{}", tail(&log)));
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The ID that the present process logged with `ready`.
    fn ready_id(&self) -> Option<String> {
        let log = self.log();
        log.get(self.earlier_log_bytes..)?.lines().find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            let fields = line.get("fields").filter(|fields| fields["message"] == "ready")?;
            Some(fields["id"].as_str()?.to_owned())
        })
    }

    /// The ID under which this instance answers service discovery.
    pub fn instance_id(&self) -> &str {
        &self.instance_id
    }

    /// The process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The daemon's standard error so far.
    pub fn log(&self) -> String {
        read_log(&log_path(self.dir.path()))
    }

    /// The address on which this instance serves metrics and health, once it has logged it.
    pub fn http_address(&self) -> Option<String> {
        let log = self.log();
        let line = log.lines().rfind(|line| line.contains("serves metrics and health"))?;
        let rest = line.split_once("127.0.0.1:")?.1;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        Some(format!("127.0.0.1:{port}"))
    }

    /// Resident memory, in bytes.
    pub fn rss_bytes(&self) -> u64 {
        process::look(self.pid()).expect("peerd runs").rss_bytes
    }

    /// Whether the process still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`).
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .unwrap();
        assert!(status.success(), "kill -{name} {}: {status}", self.pid());
    }

    /// Kills the daemon with SIGKILL and waits for its end.
    pub fn kill9(&mut self) {
        kill_and_wait(&mut self.child);
    }

    /// Stops the daemon with SIGTERM and waits for its end.
    pub async fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended().await
    }

    /// Waits for the end of a daemon that was signalled.
    pub async fn ended(&mut self) -> ExitStatus {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                started.elapsed() < END_DEADLINE,
                "peerd did not end within {END_DEADLINE:?} of SIGTERM; its log:\n{}",
                tail(&self.log())
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Starts the daemon again with the same settings; kills it first if it still runs.
    pub async fn restart(&mut self) {
        self.kill9();
        // It is dead: an answer with the same ID is from the next process.
        release_id(&self.instance_id);
        self.child = spawn(self.dir.path(), &self.url, &self.envs);
        self.instance_id = self.wait_until_ready().await;
    }

    async fn wait_until_ready(&mut self) -> String {
        let started = Instant::now();
        let client = self.probe_client().await;
        let inbox = client.new_inbox();
        let mut replies = client.subscribe(inbox.clone()).await.unwrap();
        loop {
            client.publish_with_reply("$SRV.PING.peerd", inbox.clone(), "".into()).await.unwrap();
            let round_ends = tokio::time::Instant::now() + POLL_INTERVAL;
            while let Ok(Some(reply)) = tokio::time::timeout_at(round_ends, replies.next()).await {
                if let Some(id) = claim_new_id(&reply.payload) {
                    return id;
                }
            }
            self.assert_starting(started);
        }
    }

    fn assert_starting(&mut self, started: Instant) {
        if let Some(status) = self.child.try_wait().unwrap() {
            panic!("peerd ended ({status}) before it answered; its log:\n{}", tail(&self.log()));
        }
        assert!(
            started.elapsed() < START_DEADLINE,
            "peerd on {} did not answer $SRV.PING.peerd within {START_DEADLINE:?}; its log:\n{}",
            self.url,
            tail(&self.log())
        );
    }

    /// A connection with the permission for service discovery.
    async fn probe_client(&self) -> async_nats::Client {
        let mut options = async_nats::ConnectOptions::new();
        if let Some((user, password)) = &self.probe {
            options = options.user_and_password(user.clone(), password.clone());
        }
        options
            .connect(&self.url)
            .await
            .unwrap_or_else(|error| panic!("cannot connect to {}: {error}", self.url))
    }
}

impl Drop for Peerd {
    fn drop(&mut self) {
        kill_and_wait(&mut self.child);
        if std::thread::panicking() {
            eprintln!("--- peerd's log ---\n{}", tail(&self.log()));
        }
    }
}

/// The result of a run of the command line.
#[derive(Debug)]
pub struct Cli {
    /// The exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Cli {
    /// Its standard output as JSON; the error has its standard error.
    pub fn json(&self) -> Result<serde_json::Value, Failure> {
        let read = serde_json::from_str(&self.stdout);
        read.map_err(|error| format!("{error}: {}", self.stderr).into())
    }
}

/// Runs `peerd <args>` to its end. See [`run_cli_within`].
pub async fn run_cli(args: &[&str]) -> Cli {
    run_cli_env(args, &[]).await
}

/// Runs `peerd <args>` with the given environment variables. See [`run_cli_within`].
pub async fn run_cli_env(args: &[&str], envs: &[(&str, &str)]) -> Cli {
    run_cli_within(END_DEADLINE, args, envs.iter().copied()).await
}

/// Runs `peerd <args>` to its end, with the given environment variables and no other `PEERD…` ones,
/// in an empty directory. Panics if it does not end in time.
pub async fn run_cli_within(
    deadline: Duration,
    args: &[impl AsRef<OsStr>],
    envs: impl IntoIterator<Item = (impl AsRef<OsStr>, impl AsRef<OsStr>)>,
) -> Cli {
    let dir = tempfile::tempdir().unwrap();
    let mut command = tokio::process::Command::from(clean_command(dir.path()));
    command.args(args).envs(envs).kill_on_drop(true);
    let output = tokio::time::timeout(deadline, command.output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} did not end within {deadline:?}"))
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", binary().display()));
    Cli {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A command for the binary in a directory, without the `PEERD…` variables of the environment.
pub fn clean_command(dir: &Path) -> Command {
    let mut command = Command::new(binary());
    command.current_dir(dir).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PEERD") {
            command.env_remove(name);
        }
    }
    command
}

fn spawn(dir: &Path, url: &str, envs: &[(String, String)]) -> Child {
    let log = OpenOptions::new().create(true).append(true).open(log_path(dir)).unwrap();
    let mut command = clean_command(dir);
    command
        .arg("serve")
        .env("PEERD__NATS__SERVERS", url)
        .envs(envs.iter().map(|(name, value)| (name, value)))
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap_or_else(|error| {
        panic!("cannot start {}: {error}; `cargo build` makes it", binary().display())
    })
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("peerd.log")
}

/// The peerd binary, one directory above a test (`target/<profile>/deps/x`) or an example
/// (`target/<profile>/examples/x`).
fn binary() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let profile_dir = this.parent().and_then(Path::parent).unwrap();
    profile_dir.join("peerd")
}

/// The instance ID in the answer to a ping, unless an earlier [`Peerd`] has answered with it.
fn claim_new_id(payload: &[u8]) -> Option<String> {
    let pong: serde_json::Value = serde_json::from_slice(payload).ok()?;
    let id = pong["id"].as_str()?.to_owned();
    let mut claimed = CLAIMED_IDS.lock().unwrap_or_else(PoisonError::into_inner);
    claimed.get_or_insert_default().insert(id.clone()).then_some(id)
}

fn release_id(id: &str) {
    let mut claimed = CLAIMED_IDS.lock().unwrap_or_else(PoisonError::into_inner);
    claimed.get_or_insert_default().remove(id);
}

/// The last lines of a log.
pub(crate) fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
}
