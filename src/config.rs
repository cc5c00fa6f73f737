//! The configuration as it is written ([`Config`]), which is checked and converted to the settings
//! in use ([`crate::runtime::daemon::Settings`]).
//!
//! Later sources override earlier ones: the defaults, `config/peerd.toml` in the working directory
//! if it exists, the file that is given, and the environment (`PEERD__SECTION__KEY`). A context of
//! the `nats` command line replaces how to connect.

mod callout;
mod check;
mod context;
mod names;
mod problems;
mod relations;
mod secret;
mod source;

pub use callout::Callout;
pub use problems::Problems;
pub use secret::Hidden;
pub use source::{Loaded, Overrides, load, read};

use serde::{Deserialize, Serialize};

/// The prefix of the environment variables.
pub const ENVIRONMENT_PREFIX: &str = "PEERD";
/// The file that is read if it exists.
pub const DEFAULT_FILE: &str = "config/peerd.toml";

/// The configuration as it is written. `config/peerd.toml` explains every option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Config {
    pub subject_prefix: String,
    pub partitions: u16,
    pub nats: Nats,
    pub stream: Stream,
    pub cluster: Cluster,
    pub events: Events,
    pub session: Session,
    pub send: Send,
    pub receipts: Receipts,
    pub limits: Limits,
    pub audit: Audit,
    pub callout: Callout,
    pub http: Http,
    pub log: Log,
    pub trace: Trace,
}

/// `[nats]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Nats {
    pub servers: Vec<String>,
    pub credentials_file: String,
    pub user: String,
    pub password: String,
    pub token: String,
    pub nkey_seed_file: String,
    pub tls_ca_file: String,
    pub tls_certificate_file: String,
    pub tls_key_file: String,
    pub tls_required: bool,
    pub tls_first: bool,
    pub inbox_prefix: String,
    pub connect_timeout_ms: u64,
}

/// `[stream]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Stream {
    pub provision: String,
    pub replicas: u64,
    pub storage: String,
    pub max_age_seconds: u64,
    pub max_bytes: u64,
    pub push_max_age_seconds: u64,
    pub push_max_messages: u64,
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Cluster {
    pub member_ttl_ms: u64,
    pub owner_wait_ms: u64,
}

/// `[events]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Events {
    pub encoding: String,
    pub bundle: bool,
}

/// `[session]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Session {
    pub heartbeat_interval_ms: u64,
    pub offline_after_ms: u64,
    pub idle_limit_ms: u64,
    pub max_sessions: u64,
    pub last_seen_write_interval_ms: u64,
    pub replay_max_messages: u64,
    pub replay_max_age_ms: u64,
}

/// `[send]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Send {
    pub require_known_receiver: bool,
}

/// `[receipts]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Receipts {
    pub delivered: bool,
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Limits {
    pub user_id_bytes: u64,
    pub text_bytes: u64,
    pub command_bytes: u64,
    pub media_bytes: u64,
    pub combine_bytes: u64,
    pub messages_per_second: u64,
    pub commands_per_second: u64,
    /// The most changes of stored messages per user in any second.
    pub amendments_per_second: u64,
    /// How long after it was sent a message may be revoked.
    pub revoke_window_ms: u64,
    pub repeat_window_ms: u64,
    pub retry_window_ms: u64,
    pub body_bytes: u64,
    pub calls_under_way: u64,
    pub call_deadline_ms: u64,
    pub shutdown_deadline_ms: u64,
    pub cached_users: u64,
    pub history_bytes: u64,
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Audit {
    pub reads_per_second: u64,
}

/// `[http]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Http {
    pub listen: String,
}

/// `[trace]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Trace {
    pub endpoint: String,
    pub sample_ratio: f64,
    pub tls_ca_file: String,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(missing_docs, reason = "each option is explained once, in config/peerd.toml")]
pub struct Log {
    pub level: String,
    pub format: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            subject_prefix: "peer".to_owned(),
            partitions: 8,
            nats: Nats::default(),
            stream: Stream::default(),
            cluster: Cluster::default(),
            events: Events::default(),
            session: Session::default(),
            send: Send::default(),
            receipts: Receipts::default(),
            limits: Limits::default(),
            audit: Audit::default(),
            callout: Callout::default(),
            http: Http::default(),
            log: Log::default(),
            trace: Trace::default(),
        }
    }
}

impl Default for Nats {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".to_owned()],
            credentials_file: String::new(),
            user: String::new(),
            password: String::new(),
            token: String::new(),
            nkey_seed_file: String::new(),
            tls_ca_file: String::new(),
            tls_certificate_file: String::new(),
            tls_key_file: String::new(),
            tls_required: false,
            tls_first: false,
            inbox_prefix: "_INBOX".to_owned(),
            connect_timeout_ms: 60_000,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            provision: "create".to_owned(),
            replicas: 1,
            storage: "file".to_owned(),
            max_age_seconds: 0,
            max_bytes: 0,
            push_max_age_seconds: 7 * 24 * 60 * 60,
            push_max_messages: 1_000_000,
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self { member_ttl_ms: 5000, owner_wait_ms: 2000 }
    }
}

impl Default for Events {
    fn default() -> Self {
        Self { encoding: "msgpack".to_owned(), bundle: false }
    }
}

impl Default for Session {
    fn default() -> Self {
        Self {
            heartbeat_interval_ms: 10_000,
            offline_after_ms: 35_000,
            idle_limit_ms: 24 * 60 * 60 * 1000,
            max_sessions: 10,
            last_seen_write_interval_ms: 30_000,
            replay_max_messages: 1000,
            replay_max_age_ms: 7 * 24 * 60 * 60 * 1000,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            user_id_bytes: 64,
            text_bytes: 2048,
            command_bytes: 5120,
            media_bytes: 2048,
            combine_bytes: 32_768,
            messages_per_second: 10,
            commands_per_second: 30,
            amendments_per_second: 10,
            revoke_window_ms: 2 * 60 * 1000,
            repeat_window_ms: 10 * 60 * 1000,
            retry_window_ms: 24 * 60 * 60 * 1000,
            body_bytes: 262_144,
            calls_under_way: 4096,
            call_deadline_ms: 5000,
            shutdown_deadline_ms: 10_000,
            cached_users: 100_000,
            history_bytes: 16 << 20,
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self { reads_per_second: 10 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: "pretty".to_owned() }
    }
}

impl Nats {
    /// The options that say who peerd is, of which one at most may be given.
    fn identities(&self) -> Vec<&'static str> {
        let all = [
            ("nats.credentials_file", &self.credentials_file),
            ("nats.nkey_seed_file", &self.nkey_seed_file),
            ("nats.token", &self.token),
            ("nats.user", &self.user),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect()
    }
}

impl Config {
    /// The configuration without secrets, for people to read.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut config = self.clone();
        for secret in [&mut config.nats.password, &mut config.nats.token] {
            if !secret.is_empty() {
                "(hidden)".clone_into(secret);
            }
        }
        config.callout.hide();
        config.nats.servers = config.nats.servers.iter().map(|url| without_login(url)).collect();
        config
    }
}

/// An address without the user and password that it may contain. Of the part before the host, only
/// a plain scheme is shown: a password may look like the beginning of an address.
fn without_login(url: &str) -> String {
    let Some((login, host)) = url.rsplit_once('@') else { return url.to_owned() };
    let scheme = login.split_once("://").map(|(scheme, _)| scheme);
    match scheme.filter(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphabetic())) {
        Some(scheme) => format!("{scheme}://(hidden)@{host}"),
        None => format!("(hidden)@{host}"),
    }
}
