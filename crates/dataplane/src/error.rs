//! The errors of connecting, publishing and requests.

use std::io;
use std::path::PathBuf;

/// Why connecting to a server failed.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// An invalid address.
    #[error("{address:?} is not the address of a nats-server: {problem}")]
    Address {
        /// The address as given, without user and password.
        address: String,
        /// The problem with it.
        problem: String,
    },
    /// A required file (certificates, a key, or credentials) cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// The file's path.
        path: PathBuf,
        /// The reason, or the problem with its content.
        error: io::Error,
    },
    /// Invalid credentials.
    #[error("{0}")]
    Credentials(String),
    /// The system's trusted certificates, which TLS needs, cannot be read.
    #[error("cannot read the system's certificates: {0}")]
    SystemCertificates(String),
    /// The name of a server could not be resolved.
    #[error("{server}: {error}")]
    Dns {
        /// The server's address.
        server: String,
        /// The reason.
        error: io::Error,
    },
    /// The connection could not be made, or ended.
    #[error("{server}: {error}")]
    Io {
        /// The server's address.
        server: String,
        /// The reason.
        error: io::Error,
    },
    /// The TLS handshake failed.
    #[error("{server}: TLS: {error}")]
    Tls {
        /// The server's address.
        server: String,
        /// The reason; its inner error is a [`tokio_rustls::rustls::Error`] where rustls failed.
        error: io::Error,
    },
    /// TLS is required here, but the server does not offer it.
    #[error("{server}: TLS is required, and the server does not offer it")]
    NoTls {
        /// The server's address.
        server: String,
    },
    /// The server rejected the credentials.
    #[error("{server}: {text}")]
    Authentication {
        /// The server's address.
        server: String,
        /// The server's error message.
        text: String,
    },
    /// The server refused the connection for another reason.
    #[error("{server}: {text}")]
    Refused {
        /// The server's address.
        server: String,
        /// The server's error message.
        text: String,
    },
    /// The server did not answer in time.
    #[error("{server}: no answer in time")]
    Timeout {
        /// The server's address.
        server: String,
    },
    /// The other side is not a nats-server, or lacks a required feature.
    #[error("{server}: {problem}")]
    Protocol {
        /// The server's address.
        server: String,
        /// The problem.
        problem: String,
    },
}

/// The kinds of [`ConnectError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// An invalid setting, or one that names a file that cannot be read. Retrying does not help.
    Settings,
    /// A name that cannot be resolved at the moment.
    Dns,
    /// No connection at the moment.
    Io,
    /// The TLS handshake failed: a certificate is missing, expired or not trusted.
    Tls,
    /// The credentials were rejected. A server that is just starting with another configuration may
    /// do so.
    Authentication,
    /// The server did not answer in time.
    Timeout,
    /// The other side does not follow the protocol.
    Protocol,
}

impl ConnectError {
    /// The kind of error.
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

/// Why a message was not sent. No part of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// There is no connection at the moment.
    #[error("there is no connection")]
    NotConnected,
    /// The write buffer has no room: earlier messages have not been written yet.
    #[error("the write buffer is full")]
    Full,
    /// Larger than the server's `max_payload`.
    #[error("larger than the server's max_payload")]
    TooLarge,
    /// Subject and reply subject are longer than a server accepts.
    #[error("the subject and the reply subject are too long")]
    SubjectTooLong,
    /// The subject or the reply subject is empty or contains white space.
    #[error("a subject is empty or contains white space")]
    Subject,
    /// The client was closed.
    #[error("the connection was closed")]
    Closed,
}

/// Why a request has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request was not sent.
    #[error(transparent)]
    NotSent(#[from] PublishError),
    /// The server reports no responders.
    #[error("no responders")]
    NoResponders,
    /// The connection was lost before an answer arrived; the request may have been processed.
    #[error("the connection was lost")]
    Disconnected,
}

/// The connection was lost, or there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection, or it was lost")]
pub struct Disconnected;
