//! The options of a connection, and its limits.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;

/// The credentials of a connection.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Those in the address, `nats://user:password@host` or `nats://token@host`, if any.
    #[default]
    None,
    /// A token.
    Token(String),
    /// User and password.
    UserAndPassword(String, String),
    /// The seed of an nkey.
    Nkey(String),
    /// A JWT and the seed of its nkey, as the text of a `.creds` file.
    Text(String),
    /// A `.creds` file like [`Credentials::Text`]. It is read for each attempt to connect, so that
    /// a renewed file is used before the old JWT expires.
    File(PathBuf),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::UserAndPassword(..) => "UserAndPassword",
            Self::Nkey(_) => "Nkey",
            Self::Text(_) => "Text",
            Self::File(_) => "File",
        })
    }
}

/// How TLS is used, where a server or an option requires it.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whether a connection without TLS is refused.
    pub required: bool,
    /// Whether the TLS handshake comes before the server's INFO (`handshake_first` of nats-server).
    pub first: bool,
    /// Files with the trusted certificates; without any, the system's are trusted.
    pub ca_files: Vec<PathBuf>,
    /// Files with the client's certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Called by the connection's task with each event: it must not block.
pub type OnEvent = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// The options of a connection, and its limits.
#[derive(Clone)]
pub struct Options {
    /// Addresses: `nats://host:port`, `tls://host:port`, or `host`.
    pub servers: Vec<String>,
    /// The credentials.
    pub credentials: Credentials,
    /// How TLS is used.
    pub tls: Tls,
    /// The connection's name in the server's monitoring.
    pub name: String,
    /// The prefix of its reply subjects.
    pub inbox_prefix: String,
    /// The timeout of one attempt to connect to one IP address of a server.
    pub connect_timeout: Duration,
    /// The interval of PINGs. A server that has left two unanswered is given up when the third is
    /// due.
    pub ping_interval: Duration,
    /// The longest delay between two rounds of attempts to reconnect.
    pub reconnect_delay_max: Duration,
    /// Whether servers that other servers name are used too.
    pub uses_discovered_servers: bool,
    /// The most bytes in the write buffer; a single message may be larger.
    pub write_buffer_bytes: usize,
    /// The longest line that is sent. This is the server's `max_control_line`: the server does not
    /// report it, and closes the connection for a longer line.
    pub control_line_bytes: usize,
    /// The most messages that wait in a subscription. Further ones are dropped and reported.
    pub subscription_messages: usize,
    /// The most bytes that wait in a subscription.
    pub subscription_bytes: usize,
    /// The handler of events.
    pub on_event: OnEvent,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            credentials: Credentials::None,
            tls: Tls::default(),
            name: String::new(),
            inbox_prefix: "_INBOX".to_owned(),
            connect_timeout: Duration::from_secs(5),
            ping_interval: Duration::from_secs(60),
            reconnect_delay_max: Duration::from_secs(4),
            uses_discovered_servers: true,
            write_buffer_bytes: 2 * 1024 * 1024,
            control_line_bytes: 4096,
            subscription_messages: 65_536,
            subscription_bytes: 128 * 1024 * 1024,
            on_event: Arc::new(|_| {}),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options").field("name", &self.name).finish_non_exhaustive()
    }
}
