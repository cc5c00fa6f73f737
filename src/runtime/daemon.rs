//! The composition root: builds the parts, runs them, and stops them in order.
//!
//! # Start
//!
//! 1. Two connections to NATS: the data plane's, for calls, appends with their acknowledgements,
//!    events and replies; and async-nats for everything that is not per message.
//! 2. Missing streams are created and the others compared with the configuration, as the server
//!    returns it (`store/provision.rs`). On a difference peerd ends. Sentinels are written. The TTL
//!    is compared with that of the present members (`agreement.rs`). Until here, failures that may
//!    pass are retried until `nats.connect_timeout_ms` is over, and a signal ends peerd at once
//!    ([0024](../../docs/decisions/0024-exit-codes-say-who-must-act.md)).
//! 3. The instance subscribes to its probe subject, writes its member entry, watches the bucket,
//!    and claims its partitions (`cluster/membership.rs`). It does not wait for those that others
//!    still own. A partition costs a fixed number of reads; no user is loaded, nothing is replayed.
//! 4. It subscribes to calls, answers service discovery, and logs `ready`.
//!
//! With `http.listen`, metrics and health are served from before the first step to the end of the
//! stop (`monitor.rs`).
//!
//! # Stop
//!
//! On SIGTERM or SIGINT, within `limits.shutdown_deadline_ms` (two seconds if no call was served
//! yet):
//!
//! 1. Service discovery ends. The subscription of calls ends without losing one: the server answers
//!    a `PING` after the last call that it sent
//!    ([0022](../../docs/decisions/0022-the-bus-has-a-nats-client-of-its-own.md)).
//! 2. The member entry says `leaving`, and every partition is handed over (`hosting.rs`), up to
//!    eight at a time.
//! 3. Calls that were taken and wait for an owner are forwarded. The member entry is deleted.
//!    Stores that calls still owe (a push, an outcome in doubt) are finished, the outgoing queue is
//!    emptied, and a round trip shows that the server has everything. The exit code is 0.
//!
//! A second signal exits at once.

mod instance;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::agreement::{Agreement, Disagreement};
use super::connect::{ConnectError, NatsOptions, bus, connect};
use super::env::Options;
use super::logins::Login;
use super::monitor::Monitor;
use super::patience::Patience;
use super::payload::{self, TooSmall};
use super::permissions::Permissions;
use super::rights;
use super::tuning::STOP_DISCONNECTED_TIMEOUT;
use crate::clock::Clock;
use crate::http::Server;
use crate::link::{Cause, Connection, DataConnection, Link, Violation};
use crate::store::jetstream::StreamNames;
use crate::store::provision::{ProvisionError, StreamOptions, provision};
use crate::store::trouble::Resource;
use peerd_protocol::subject::Subjects;

/// The settings of a daemon.
pub struct Settings {
    /// How to connect to NATS.
    pub nats: NatsOptions,
    /// First token or tokens of every subject.
    pub subject_prefix: String,
    /// The number of partitions that users are hashed to.
    pub partitions: u16,
    /// How streams are configured.
    pub stream: StreamOptions,
    /// How long an instance is considered alive without a heartbeat.
    pub member_ttl: Duration,
    /// How calls are handled.
    pub node: Options,
    /// Reads per second of the audit; 0: it does not run.
    pub audit_reads_per_second: u32,
    /// How long a stop may take.
    pub shutdown_deadline: Duration,
    /// The address for HTTP; `None`: there is no listener.
    pub http: Option<SocketAddr>,
    /// How clients log in with tokens; `None`: not at all.
    pub callout: Option<Login>,
}

/// Why the daemon did not start, or why it stopped.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// peerd could not connect.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The streams could not be created, or differ from the configuration.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The server's `max_payload` is too small.
    #[error(transparent)]
    Payload(#[from] TooSmall),
    /// Other instances have different settings.
    #[error(transparent)]
    Disagree(#[from] Disagreement),
    /// The NATS user lacks a permission that peerd cannot work without.
    #[error("the NATS user of peerd is {violation}: {remedy}")]
    Forbidden {
        /// The denied operation.
        violation: Violation,
        /// The remedy.
        remedy: String,
    },
    /// Files for logins by token cannot be used, one per line.
    #[error("{0}")]
    Callout(String),
    /// The address for HTTP cannot be listened on.
    #[error("http.listen: {0}: {1}")]
    Http(SocketAddr, std::io::Error),
    /// The membership manager has ended.
    #[error("a fault in peerd: the membership manager ended")]
    Fault,
}

impl ServeError {
    /// The kind of remedy that the error calls for; `None` for a fault in peerd.
    #[must_use]
    pub fn cause(&self) -> Option<Cause> {
        match self {
            Self::Connect(error) => Some(error.cause()),
            Self::Provision(error) => Some(error.cause()),
            Self::Disagree(error) => Some(error.cause()),
            // Perhaps the process that is to be replaced has not ended yet.
            Self::Http(_, error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                Some(Cause::Transient)
            }
            Self::Payload(_) | Self::Forbidden { .. } | Self::Callout(_) | Self::Http(..) => {
                Some(Cause::Configuration)
            }
            Self::Fault => None,
        }
    }
}

/// Runs the daemon until `shutdown` completes. `ready` is called once calls are being taken.
pub async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(&str),
) -> Result<(), ServeError> {
    let clock = Clock::system();
    let monitor = Monitor::new(clock, settings.partitions);
    let drained = monitor.clone();
    let shutdown = std::pin::pin!(async move {
        shutdown.await;
        drained.drains();
    });
    // Dropped last, so that it still reports that the instance is draining.
    let _http = settings.http.map(|address| listen(address, &monitor)).transpose()?;
    serve_monitored(settings, (clock, monitor), shutdown, ready).await
}

/// Serves metrics and health.
fn listen(
    address: SocketAddr,
    monitor: &Arc<Monitor>,
) -> Result<(Server, AbortOnDrop<()>), ServeError> {
    let server = Server::start(address, Arc::new(monitor.clone()));
    let server = server.map_err(|error| ServeError::Http(address, error))?;
    tracing::info!(address = %server.address(), "serves metrics and health");
    Ok((server, AbortOnDrop::new(tokio::spawn(monitor.clone().run()))))
}

async fn serve_monitored(
    settings: Settings,
    (clock, monitor): (Clock, Arc<Monitor>),
    mut shutdown: impl Future<Output = ()> + Unpin,
    ready: impl FnOnce(&str),
) -> Result<(), ServeError> {
    let connections = tokio::select! {
        biased;
        () = &mut shutdown => return Ok(()),
        prepared = prepare(&settings, &monitor) => prepared?,
    };
    instance::run(settings, connections, (clock, monitor), shutdown, ready).await
}

/// The two connections: the data plane's, on which calls, writes to the store with their
/// acknowledgements, events and replies travel, and the one for everything that is not per message.
struct Connections {
    store: Connection,
    bus: DataConnection,
    permissions: Permissions,
    /// Monitors the servers' `max_payload` while it is held.
    _payload: AbortOnDrop<()>,
    /// The one for logins by token, if it is one of its own.
    callout: Option<Connection>,
    /// Streams that were missing although others existed, and were created again.
    lost: Vec<Resource>,
}

impl Connections {
    /// Asks the server for this NATS user's permissions, so that a missing one is known before it
    /// is needed.
    async fn check_rights(&self) -> Result<(), ServeError> {
        for violation in rights::missing(&self.bus, &self.permissions).await {
            let remedy = self.permissions.remedy(&violation);
            if self.permissions.is_essential(&violation) {
                return Err(ServeError::Forbidden { violation, remedy });
            }
            tracing::error!(%violation, remedy, "a NATS permission is missing");
        }
        Ok(())
    }

    /// Waits until a connection has been down for so long that a stop does not wait for it.
    async fn cut_off(&self) {
        let is_cut_off = async |link: &Link| loop {
            link.lost(link.generation()).await;
            if timeout(STOP_DISCONNECTED_TIMEOUT, link.up()).await.is_err() {
                return;
            }
        };
        tokio::select! {
            () = is_cut_off(&self.store.link) => {}
            () = is_cut_off(&self.bus.link) => {}
        }
    }

    /// The state of each connection, by its name.
    fn links(&self) -> Vec<(&'static str, Link)> {
        let own = self.callout.iter().map(|own| ("callout", own.link.clone()));
        let shared = [("store", self.store.link.clone()), ("bus", self.bus.link.clone())];
        shared.into_iter().chain(own).collect()
    }

    /// The connection for logins by token.
    fn for_callouts(&self) -> &Connection {
        self.callout.as_ref().unwrap_or(&self.store)
    }

    /// Waits until the server denies something that peerd cannot work without.
    async fn forbidden(&self) -> ServeError {
        let is_essential = |violation: &Violation| self.permissions.is_essential(violation);
        let violation = tokio::select! {
            violation = self.store.link.forbidden(is_essential) => violation,
            violation = self.bus.link.forbidden(is_essential) => violation,
            violation = self.for_callouts().link.forbidden(is_essential) => violation,
        };
        let remedy = self.permissions.remedy(&violation);
        ServeError::Forbidden { violation, remedy }
    }
}

/// Connects, creates the streams and compares the settings with those of the other members. Retries
/// failures that may pass until `connect_timeout` is over.
async fn prepare(settings: &Settings, monitor: &Arc<Monitor>) -> Result<Connections, ServeError> {
    let permissions = Permissions::new(&settings.subject_prefix, &settings.nats.inbox_prefix);
    let mut patience = Patience::new(settings.nats.connect_timeout).monitored(monitor.clone());
    monitor.waits_for("NATS");
    let nats = &settings.nats;
    let store = connect(nats, "peerd store", &permissions, &mut patience).await?;
    let bus = bus::connect(nats, "peerd bus", &permissions, &mut patience).await?;
    let callout = match settings.callout.as_ref().and_then(|login| login.nats.as_ref()) {
        Some(nats) => Some(connect(nats, "peerd callout", &permissions, &mut patience).await?),
        None => None,
    };
    let payload = payload::follow(&settings.node.limits, &bus, &store)?;
    let mut connections =
        Connections { store, bus, permissions, _payload: payload, callout, lost: Vec::new() };
    connections.check_rights().await?;
    monitor.waits_for("JetStream");
    connections.lost = tokio::select! {
        biased;
        forbidden = connections.forbidden() => return Err(forbidden),
        made = make_streams(settings, &connections.store, &mut patience) => made?,
    };
    Ok(connections)
}

async fn make_streams(
    settings: &Settings,
    store: &Connection,
    patience: &mut Patience,
) -> Result<Vec<Resource>, ServeError> {
    let subjects = Subjects::new(&settings.subject_prefix, settings.partitions);
    let names = StreamNames::new(&settings.subject_prefix);
    let mut agreement = Agreement::default();
    loop {
        let making = async {
            let lost = provision(&store.client, &subjects, &names, &settings.stream).await?;
            agreement.look(store, &names, settings.member_ttl).await?;
            Ok(lost)
        };
        let error: ServeError = match making.await {
            Ok(lost) => return Ok(lost),
            Err(error) => error,
        };
        let cause = error.cause().unwrap_or(Cause::Configuration);
        if !patience.wait("JetStream", cause, &error.to_string()).await {
            return Err(error);
        }
    }
}
