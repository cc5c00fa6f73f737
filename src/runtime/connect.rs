//! Connections to NATS.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};
use tokio::time::{Instant, sleep};

use crate::link::{Connection, Link};

/// Wait between tries to connect.
const RETRY: Duration = Duration::from_millis(500);
/// How long one try may take.
const TRY: Duration = Duration::from_secs(5);
/// How often it is told that messages were dropped.
const DROPPED_EACH: Duration = Duration::from_secs(1);
/// A connection that is silent for twice as long is given up and made anew.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// How to reach NATS, and as whom.
#[derive(Clone, Default)]
pub struct NatsOptions {
    /// Addresses, `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// A `.creds` file with a JWT and its seed.
    pub credentials_file: Option<PathBuf>,
    /// User and password.
    pub user_and_password: Option<(String, String)>,
    /// Certificates to trust beside the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub tls_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether a connection without TLS is refused.
    pub tls_required: bool,
    /// What the connection's own reply subjects begin with.
    pub inbox_prefix: String,
    /// How long to try at the start.
    pub connect_timeout: Duration,
}

/// peerd could not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The credentials file could not be read or makes no sense.
    #[error("nats.credentials_file: {0}")]
    Credentials(std::io::Error),
    /// No server took the connection in time.
    #[error("no nats-server could be reached at {servers}: {error}")]
    Unreachable {
        /// The addresses.
        servers: String,
        /// What the last try met.
        error: async_nats::ConnectError,
    },
}

/// Connects, trying again until the configured time is over. `name` is shown by the server's
/// monitoring.
pub(super) async fn connect(options: &NatsOptions, name: &str) -> Result<Connection, ConnectError> {
    let deadline = Instant::now() + options.connect_timeout;
    let servers = options.servers.join(", ");
    loop {
        let link = Link::new();
        match connect_options(options, name, &link).await?.connect(&options.servers).await {
            Ok(client) => return Ok(Connection { client, link }),
            Err(error) if Instant::now() + RETRY >= deadline => {
                return Err(ConnectError::Unreachable { servers, error });
            }
            Err(error) => {
                tracing::warn!(%error, servers, "no connection to NATS yet");
                sleep(RETRY).await;
            }
        }
    }
}

/// Connects once, for the command line's own calls.
pub async fn connect_once(options: &NatsOptions, name: &str) -> Result<Client, ConnectError> {
    let once = NatsOptions { connect_timeout: Duration::ZERO, ..options.clone() };
    connect(&once, name).await.map(|connection| connection.client)
}

async fn connect_options(
    options: &NatsOptions,
    name: &str,
    link: &Link,
) -> Result<ConnectOptions, ConnectError> {
    let link = link.clone();
    let log = Log::new(name);
    let mut connect = ConnectOptions::new()
        .name(name)
        .connection_timeout(TRY)
        .ping_interval(PING_INTERVAL)
        .custom_inbox_prefix(&options.inbox_prefix)
        // Every subject is built from tokens that are encoded: there is nothing left to check.
        .skip_subject_validation(true)
        .require_tls(options.tls_required)
        .event_callback(move |event| {
            link.note(&event);
            log.note(&event);
            std::future::ready(())
        });
    if let Some(file) = &options.credentials_file {
        let credentials = tokio::fs::read_to_string(file).await;
        let credentials = credentials.map_err(ConnectError::Credentials)?;
        connect = connect.credentials(&credentials).map_err(ConnectError::Credentials)?;
    }
    if let Some((user, password)) = options.user_and_password.clone() {
        connect = connect.user_and_password(user, password);
    }
    if let Some(file) = options.tls_ca_file.clone() {
        connect = connect.add_root_certificates(file);
    }
    if let Some((certificate, key)) = options.tls_certificate.clone() {
        connect = connect.add_client_certificate(certificate, key);
    }
    Ok(connect)
}

/// Tells of a connection's events.
struct Log {
    connection: String,
    /// Messages that async-nats had no room for and that nobody was told of, and when somebody was.
    dropped: Mutex<(u64, Option<Instant>)>,
}

impl Log {
    fn new(connection: &str) -> Self {
        Self { connection: connection.to_owned(), dropped: Mutex::default() }
    }

    fn note(&self, event: &Event) {
        let connection = &self.connection;
        match event {
            Event::Connected => tracing::info!(connection, "connected to NATS"),
            Event::Disconnected => tracing::warn!(connection, "disconnected from NATS"),
            Event::Closed => tracing::info!(connection, "connection to NATS closed"),
            Event::ServerError(error) => {
                tracing::error!(connection, %error, "NATS refused something");
            }
            Event::SlowConsumer(_) => self.note_dropped(),
            Event::LameDuckMode | Event::Draining | Event::ClientError(_) => {
                tracing::info!(connection, %event, "connection to NATS");
            }
        }
    }

    /// Each is an event, and there may be very many.
    fn note_dropped(&self) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, told) = &mut *dropped;
        *count += 1;
        if told.is_none_or(|told| told.elapsed() >= DROPPED_EACH) {
            let (connection, count) = (&self.connection, std::mem::take(count));
            *told = Some(Instant::now());
            // There may have been more: async-nats does not tell of each.
            tracing::error!(connection, count, "messages came faster than they could be refused");
        }
    }
}
