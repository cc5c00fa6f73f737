//! Connections to NATS.

pub(super) mod bus;
mod files;
mod judge;
mod log;

use std::path::PathBuf;
use std::time::Duration;

use async_nats::{ClientError, ConnectOptions, Event, ServerAddr};

use self::judge::judge;
use self::log::Log;
use super::patience::Patience;
use super::permissions::Permissions;
use super::tuning::{CONNECT_TIMEOUT, PING_INTERVAL};
use crate::link::{Cause, Connection, Link};

/// How to connect to NATS, and the credentials.
#[derive(Clone, Default)]
pub struct NatsOptions {
    /// Addresses, `nats://host:port` or `tls://host:port`.
    pub servers: Vec<String>,
    /// A `.creds` file with a JWT and its seed.
    pub credentials_file: Option<PathBuf>,
    /// User and password.
    pub user_and_password: Option<(String, String)>,
    /// A token.
    pub token: Option<String>,
    /// A file with the seed of an nkey.
    pub nkey_seed_file: Option<PathBuf>,
    /// Certificates to trust instead of the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// The client's certificate and its key.
    pub tls_certificate: Option<(PathBuf, PathBuf)>,
    /// Whether a connection without TLS is refused.
    pub tls_required: bool,
    /// Whether TLS begins before the server's first line.
    pub tls_first: bool,
    /// The prefix of the connection's reply subjects.
    pub inbox_prefix: String,
    /// How long the attempts continue at the start.
    pub connect_timeout: Duration,
}

impl NatsOptions {
    /// Everything that is wrong with the configured files, each with its option.
    #[must_use]
    pub fn file_problems(&self) -> Vec<(&'static str, String)> {
        files::problems(self)
    }

    fn check_files(&self) -> Result<(), ConnectError> {
        let problems = self.file_problems().into_iter();
        let problems: Vec<String> =
            problems.map(|(option, problem)| format!("{option}: {problem}")).collect();
        if problems.is_empty() { Ok(()) } else { Err(ConnectError::Files(problems.join("\n"))) }
    }

    /// The seed of the nkey, if one is configured.
    fn nkey_seed(&self) -> Result<Option<String>, ConnectError> {
        let Some(file) = &self.nkey_seed_file else { return Ok(None) };
        files::nkey_seed(file).map(Some).map_err(|problem| {
            ConnectError::Files(format!("nats.nkey_seed_file: {}: {problem}", file.display()))
        })
    }

    /// The addresses, without any credentials in them.
    fn shown(&self) -> String {
        let addresses = self.servers.iter().map(|address| match address.parse::<ServerAddr>() {
            Ok(address) => {
                let (scheme, host, port) = (address.scheme(), address.host(), address.port());
                format!("{scheme}://{host}:{port}")
            }
            Err(_) => "(not an address)".to_owned(),
        });
        addresses.collect::<Vec<_>>().join(", ")
    }
}

/// peerd could not connect.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Configured files that cannot be used, one per line.
    #[error("{0}")]
    Files(String),
    /// No server accepted the connection in time.
    #[error("no connection to NATS at {servers}: {problem}")]
    Failed {
        /// The addresses.
        servers: String,
        /// The problem of the last attempt.
        problem: String,
        /// The kind of remedy that the problem calls for.
        cause: Cause,
    },
}

impl ConnectError {
    /// The kind of remedy that the error calls for.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        match self {
            Self::Files(_) => Cause::Configuration,
            Self::Failed { cause, .. } => *cause,
        }
    }
}

/// Connects, retrying for as long as `patience` allows. The server's monitoring shows `name`.
pub(super) async fn connect(
    options: &NatsOptions,
    name: &str,
    permissions: &Permissions,
    patience: &mut Patience,
) -> Result<Connection, ConnectError> {
    options.check_files()?;
    loop {
        let link = Link::new();
        let connecting = connect_options(options, name, permissions, &link)?;
        let judged = match connecting.connect(&options.servers).await {
            Ok(client) => return Ok(Connection { client, link }),
            Err(error) => judge(&error),
        };
        wait(options, patience, judged).await?;
    }
}

/// Waits before the next attempt after one that failed; returns the error when there is none.
async fn wait(
    options: &NatsOptions,
    patience: &mut Patience,
    (cause, problem): (Cause, String),
) -> Result<(), ConnectError> {
    let servers = options.shown();
    if patience.wait(&format!("NATS at {servers}"), cause, &problem).await {
        return Ok(());
    }
    Err(ConnectError::Failed { servers, problem, cause })
}

/// Makes one attempt, for the commands of the command line.
pub(crate) async fn connect_once(
    options: &NatsOptions,
    name: &str,
    permissions: &Permissions,
) -> Result<Connection, ConnectError> {
    connect(options, name, permissions, &mut Patience::new(Duration::ZERO)).await
}

fn connect_options(
    options: &NatsOptions,
    name: &str,
    permissions: &Permissions,
    link: &Link,
) -> Result<ConnectOptions, ConnectError> {
    let link = link.clone();
    let log = Log::new(name, permissions.clone());
    let mut connect = ConnectOptions::new()
        .name(name)
        .connection_timeout(CONNECT_TIMEOUT)
        .ping_interval(PING_INTERVAL)
        .custom_inbox_prefix(&options.inbox_prefix)
        // Every subject is built from encoded tokens, so there is nothing left to validate.
        .skip_subject_validation(true)
        .require_tls(options.tls_required)
        .event_callback(move |event| {
            if let Event::ClientError(ClientError::Other(problem)) = &event {
                link.note_problem(judge::judge_refusal(problem).1);
            }
            link.note(&event);
            log.note(&event);
            std::future::ready(())
        });
    if let Some(file) = &options.credentials_file {
        let failed = |problem: String| {
            ConnectError::Files(format!("nats.credentials_file: {}: {problem}", file.display()))
        };
        let credentials = files::credentials(file).map_err(failed)?;
        let used = connect.credentials(&credentials);
        connect = used.map_err(|error| failed(error.to_string()))?;
    }
    if let Some((user, password)) = options.user_and_password.clone() {
        connect = connect.user_and_password(user, password);
    }
    if let Some(token) = options.token.clone() {
        connect = connect.token(token);
    }
    if let Some(seed) = options.nkey_seed()? {
        connect = connect.nkey(seed);
    }
    if options.tls_first {
        connect = connect.tls_first();
    }
    if let Some(file) = options.tls_ca_file.clone() {
        connect = connect.add_root_certificates(file);
    }
    if let Some((certificate, key)) = options.tls_certificate.clone() {
        connect = connect.add_client_certificate(certificate, key);
    }
    Ok(connect)
}
