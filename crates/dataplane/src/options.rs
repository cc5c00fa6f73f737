//! How a connection is made, and its bounds.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::event::Event;

/// Who the connection is made as.
#[derive(Clone, Default)]
pub enum Credentials {
    /// As who the address says, `nats://user:password@host` or `nats://token@host`, or as nobody.
    #[default]
    None,
    /// With a token.
    Token(String),
    /// With user and password.
    UserAndPassword(String, String),
    /// With the seed of an nkey.
    Nkey(String),
    /// With a JWT and the seed of its nkey, in the text of a `.creds` file.
    Text(String),
    /// As [`Credentials::Text`], read anew for each try to connect: who renews the file in time has
    /// a connection whose JWT has not run out.
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

/// How TLS is used. It is used at all where a server or an option asks for it.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// Whether a connection without it is refused.
    pub required: bool,
    /// Whether it comes before the server's first line (`handshake_first` of a nats-server).
    pub first: bool,
    /// Files with the certificates to trust; without any, those of the system.
    pub ca_files: Vec<PathBuf>,
    /// Files with the client's certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Is called with each event, by the task of the connection: it must not block.
pub type OnEvent = Arc<dyn Fn(&Event<'_>) + Send + Sync>;

/// How a connection is made, and its bounds.
#[derive(Clone)]
pub struct Options {
    /// Addresses: `nats://host:port`, `tls://host:port`, or `host`.
    pub servers: Vec<String>,
    /// Who it is made as.
    pub credentials: Credentials,
    /// How TLS is used.
    pub tls: Tls,
    /// The connection's name in the server's monitoring.
    pub name: String,
    /// What its reply subjects begin with.
    pub inbox_prefix: String,
    /// Most that one try with one address of a server takes.
    pub connect_timeout: Duration,
    /// How often the server is asked whether it is there. One that has left two unanswered is given
    /// up at the third.
    pub ping_interval: Duration,
    /// Most that is waited between two rounds of tries to connect again.
    pub reconnect_delay_max: Duration,
    /// Whether servers that others name are used, too.
    pub uses_discovered_servers: bool,
    /// Most bytes that wait to be written; a message alone may be larger.
    pub write_buffer_bytes: usize,
    /// Longest line that is sent: the server's `max_control_line`, which it does not tell, and
    /// beyond which it ends the connection.
    pub control_line_bytes: usize,
    /// Most messages that wait in a subscription. What comes beyond them is dropped and reported.
    pub subscription_messages: usize,
    /// Most bytes that wait in a subscription.
    pub subscription_bytes: usize,
    /// What is told of events.
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
