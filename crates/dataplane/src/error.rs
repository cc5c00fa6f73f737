//! Why there is no connection, and why something could not be sent.

use std::io;
use std::path::PathBuf;

/// Why a server did not become the connection's.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An address that is none.
    #[error("{address:?} is no address of a nats-server: {problem}")]
    Address {
        /// As it was given, without user and password.
        address: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file that is needed, of certificates, a key or credentials, cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Where it should be.
        path: PathBuf,
        /// Why it cannot be read, or what is wrong with what it holds.
        error: io::Error,
    },
    /// A credential that makes no sense.
    #[error("{0}")]
    Credentials(String),
    /// The system's trusted certificates, which are needed for TLS, cannot be read.
    #[error("the system's certificates cannot be read: {0}")]
    SystemCertificates(String),
    /// The name of a server could not be resolved.
    #[error("{server}: {error}")]
    Dns {
        /// The server's address.
        server: String,
        /// Why.
        error: io::Error,
    },
    /// No connection to a server, or it ended.
    #[error("{server}: {error}")]
    Io {
        /// The server's address.
        server: String,
        /// Why.
        error: io::Error,
    },
    /// No agreement on TLS.
    #[error("{server}: TLS: {error}")]
    Tls {
        /// The server's address.
        server: String,
        /// Why; the cause is a [`tokio_rustls::rustls::Error`] where rustls refused.
        error: io::Error,
    },
    /// TLS is asked for here, and the server has none.
    #[error("{server}: TLS is required, and the server has none")]
    NoTls {
        /// The server's address.
        server: String,
    },
    /// The server refused who this is.
    #[error("{server}: {text}")]
    Authentication {
        /// The server's address.
        server: String,
        /// What the server said.
        text: String,
    },
    /// The server refused the connection for another reason.
    #[error("{server}: {text}")]
    Refused {
        /// The server's address.
        server: String,
        /// What the server said.
        text: String,
    },
    /// The server did not answer in time.
    #[error("{server}: no answer in time")]
    Timeout {
        /// The server's address.
        server: String,
    },
    /// What answered is no nats-server, or lacks what is needed.
    #[error("{server}: {problem}")]
    Protocol {
        /// The server's address.
        server: String,
        /// What is wrong.
        problem: String,
    },
}

/// The kinds of [`ConnectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// A setting that makes no sense, or names a file that cannot be read. Trying again changes
    /// nothing.
    Settings,
    /// A name that is not resolved, now.
    Dns,
    /// No connection, now.
    Io,
    /// No agreement on TLS: a certificate that is not trusted, or has run out, or is missing.
    Tls,
    /// Refused as this user. A server that is just starting with another configuration may do so.
    Authentication,
    /// No answer in time.
    Timeout,
    /// The other side is not what it should be.
    Protocol,
}

impl ConnectError {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> ConnectErrorKind {
        match self {
            Self::Address { .. }
            | Self::File { .. }
            | Self::Credentials(_)
            | Self::SystemCertificates(_) => ConnectErrorKind::Settings,
            Self::Dns { .. } => ConnectErrorKind::Dns,
            Self::Io { .. } | Self::Refused { .. } => ConnectErrorKind::Io,
            Self::Tls { .. } | Self::NoTls { .. } => ConnectErrorKind::Tls,
            Self::Authentication { .. } => ConnectErrorKind::Authentication,
            Self::Timeout { .. } => ConnectErrorKind::Timeout,
            Self::Protocol { .. } => ConnectErrorKind::Protocol,
        }
    }
}

/// Why a message was not sent. None of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection at the moment.
    #[error("there is no connection")]
    NotConnected,
    /// What was given before has not been written yet, and there is no room for more.
    #[error("too much waits to be written")]
    Full,
    /// Larger than the server takes.
    #[error("larger than the server's max_payload")]
    TooLarge,
    /// Subject and reply subject are longer than a server takes.
    #[error("the subject and the reply subject are too long")]
    SubjectTooLong,
    /// Subject or reply subject are empty or hold white space.
    #[error("a subject is empty or holds white space")]
    Subject,
    /// The client was closed.
    #[error("the connection was closed")]
    Closed,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It was not sent.
    #[error(transparent)]
    NotSent(#[from] PublishError),
    /// Nobody takes requests there: the server says so.
    #[error("no responders")]
    NoResponders,
    /// The connection was lost before an answer came; the request may have been taken.
    #[error("the connection was lost")]
    Disconnected,
}

/// The connection was lost, or there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection, or it was lost")]
pub struct Disconnected;
