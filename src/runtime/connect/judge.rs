//! Classifies connection failures by the remedy that they call for, and explains each in a
//! sentence. Errors of either client library come down to a refusal by the server, a TLS failure,
//! or the network.

use std::error::Error;

use async_nats::rustls::{self, AlertDescription, CertificateError};
use async_nats::{ConnectErrorKind, ServerError};

use crate::link::Cause;

/// Classifies a failure of async-nats.
pub(super) fn judge(error: &async_nats::ConnectError) -> (Cause, String) {
    let text = chain(error);
    if let Some(judged) = find(error, |it| it.downcast_ref().map(judge_tls)) {
        return judged;
    }
    let refusal = |it: &(dyn Error + 'static)| match it.downcast_ref() {
        Some(ServerError::Other(text)) => Some(judge_refusal(text)),
        Some(ServerError::AuthorizationViolation) => Some(judge_refusal("authorization violation")),
        Some(ServerError::SlowConsumer(_)) | None => None,
    };
    if let Some(judged) = find(error, refusal) {
        return judged;
    }
    match error.kind() {
        ConnectErrorKind::ServerParse => (Cause::Configuration, format!("nats.servers: {text}")),
        ConnectErrorKind::Authentication => {
            (Cause::Configuration, format!("nats.credentials_file: its key cannot sign: {text}"))
        }
        ConnectErrorKind::AuthorizationViolation => judge_refusal("authorization violation"),
        // The remaining TLS errors are about its setup: files, and the names of servers.
        ConnectErrorKind::Tls => (Cause::Configuration, text),
        ConnectErrorKind::Dns => {
            (Cause::Transient, format!("the name of a server cannot be resolved: {text}"))
        }
        ConnectErrorKind::TimedOut | ConnectErrorKind::Io | ConnectErrorKind::MaxReconnects => {
            (Cause::Transient, text)
        }
    }
}

/// Classifies a failure of the bus's connection.
pub(super) fn judge_bus(error: &peerd_dataplane::ConnectError) -> (Cause, String) {
    use peerd_dataplane::ConnectError;

    let text = error.to_string();
    match error {
        ConnectError::Address { .. } => (Cause::Configuration, format!("nats.servers: {text}")),
        ConnectError::File { .. }
        | ConnectError::Credentials(_)
        | ConnectError::SystemCertificates(_) => (Cause::Configuration, text),
        ConnectError::Dns { .. } => {
            (Cause::Transient, format!("the name of a server cannot be resolved: {text}"))
        }
        ConnectError::Io { error, .. } | ConnectError::Tls { error, .. } => {
            let judged = find(error, |it| it.downcast_ref().map(judge_tls));
            judged.unwrap_or((Cause::Transient, text))
        }
        ConnectError::NoTls { .. } => {
            let remedy = "enable TLS in the server, or remove tls:// and nats.tls_required";
            (Cause::Refused, format!("{text}: {remedy}"))
        }
        ConnectError::Authentication { text, .. } | ConnectError::Refused { text, .. } => {
            judge_refusal(text)
        }
        ConnectError::Timeout { .. } | ConnectError::Protocol { .. } => (Cause::Transient, text),
    }
}

/// Classifies an error message with which the server closed a new connection.
pub(super) fn judge_refusal(text: &str) -> (Cause, String) {
    let lower = text.to_lowercase();
    let refusals = ["authorization violation", "expired", "revoked"];
    if refusals.iter().any(|words| lower.contains(words)) {
        let remedy =
            "check nats.user and nats.password, or the option of [nats] that replaces them";
        return (Cause::Refused, format!("the server refuses the NATS user ({text}): {remedy}"));
    }
    if lower.contains("secure connection") {
        let remedy = "write tls:// in nats.servers, or set nats.tls_required";
        return (Cause::Refused, format!("the server requires TLS ({text}): {remedy}"));
    }
    // For example too many connections, an authentication timeout, or a server that shuts down.
    (Cause::Transient, format!("the server refuses the connection: {text}"))
}

/// Classifies a TLS failure.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a large enum; the other variants are explained by their own text"
)]
pub(super) fn judge_tls(error: &rustls::Error) -> (Cause, String) {
    match error {
        rustls::Error::InvalidCertificate(problem) => judge_certificate(problem),
        rustls::Error::AlertReceived(alert) => {
            let problem = match alert {
                AlertDescription::CertificateRequired => "requires a client certificate",
                AlertDescription::CertificateExpired => {
                    "says that the client's certificate expired"
                }
                AlertDescription::UnknownCA => {
                    "does not know the authority that signed the client's certificate"
                }
                AlertDescription::BadCertificate | AlertDescription::CertificateUnknown => {
                    "refuses the client's certificate, or requires one"
                }
                _ => return (Cause::Refused, format!("TLS failed: {error}")),
            };
            let remedy = "check nats.tls_certificate_file and nats.tls_key_file";
            (Cause::Refused, format!("the server {problem} (TLS alert {alert:?}): {remedy}"))
        }
        rustls::Error::InvalidMessage(_) => {
            let remedy = "enable TLS in the server, or remove tls:// and nats.tls_required";
            (Cause::Refused, format!("the server does not speak TLS ({error}): {remedy}"))
        }
        _ => (Cause::Refused, format!("TLS failed: {error}")),
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "a large enum; the other variants are explained by their own text"
)]
fn judge_certificate(problem: &CertificateError) -> (Cause, String) {
    let refused = |text: String| (Cause::Refused, text);
    match problem {
        CertificateError::UnknownIssuer => refused(
            "the server's certificate is not signed by an authority that is trusted here: set \
             nats.tls_ca_file to the certificate of the authority that signed it"
                .to_owned(),
        ),
        CertificateError::NotValidForName => refused(
            "the server's certificate is not for the name in nats.servers: write a name there that \
             it covers, or give the server a certificate with that name among its subjectAltNames"
                .to_owned(),
        ),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let presented = if presented.is_empty() { "none".into() } else { presented.join(", ") };
            let expected = expected.to_str();
            refused(format!(
                "the server's certificate is not for the name {expected:?} but for: {presented}; \
                 write one of these in nats.servers, or give the server a certificate with \
                 {expected} among its subjectAltNames"
            ))
        }
        // A certificate that is renewed automatically, or a clock that is not set yet, needs no
        // person.
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => (
            Cause::Transient,
            format!(
                "the server's certificate has expired ({problem}): renew it, or set the clock of \
                 this machine"
            ),
        ),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => (
            Cause::Transient,
            format!("the server's certificate is not valid yet ({problem}): is the clock right?"),
        ),
        CertificateError::Revoked => refused("the server's certificate was revoked".to_owned()),
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            refused(
                "the server presents a CA certificate as its own (CaUsedAsEndEntity), as \
                 `openssl req -x509` makes one by default; TLS refuses that: give the server a \
                 certificate with basicConstraints CA:FALSE that an authority signed, and set \
                 nats.tls_ca_file to that authority's certificate"
                    .to_owned(),
            )
        }
        _ => refused(format!("the server's certificate is refused: {problem}")),
    }
}

/// The first result of `what` for an error, its sources, and the errors that these wrap.
fn find<T>(
    error: &(dyn Error + 'static),
    what: impl Fn(&(dyn Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = what(error) {
            return Some(found);
        }
        // `io::Error::source` returns the source of the wrapped error, and so skips the wrapped
        // error itself.
        let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// An error with all its sources, each once.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io;

    use async_nats::ConnectError;

    use super::*;

    fn io_error(error: impl Into<Box<dyn Error + Send + Sync>>) -> (Cause, String) {
        judge(&ConnectError::with_source(ConnectErrorKind::Io, io::Error::other(error)))
    }

    #[test]
    fn certificates_are_explained() {
        let of = |problem| io_error(rustls::Error::InvalidCertificate(problem));
        let (cause, text) = of(CertificateError::UnknownIssuer);
        assert!(cause == Cause::Refused && text.contains("nats.tls_ca_file"), "{text}");
        let other = rustls::OtherError(std::sync::Arc::new(io::Error::other("CaUsedAsEndEntity")));
        let (cause, text) = of(CertificateError::Other(other));
        assert!(cause == Cause::Refused && text.contains("basicConstraints CA:FALSE"), "{text}");
        let (cause, text) = of(CertificateError::NotValidForName);
        assert!(cause == Cause::Refused && text.contains("subjectAltName"), "{text}");
        let (cause, text) = of(CertificateError::Expired);
        assert!(cause == Cause::Transient && text.contains("expired"), "{text}");
        let alert = rustls::Error::AlertReceived(AlertDescription::CertificateRequired);
        let (cause, text) = io_error(alert);
        assert!(cause == Cause::Refused && text.contains("nats.tls_certificate_file"), "{text}");
    }

    #[test]
    fn refusals_are_distinguished_from_transient_failures() {
        let of = |text: &str| io_error(ServerError::Other(text.to_owned())).0;
        assert_eq!(of("User Authentication Expired"), Cause::Refused);
        assert_eq!(of("Authentication Timeout"), Cause::Transient);
        assert_eq!(of("maximum connections exceeded"), Cause::Transient);
        let violation = ConnectError::with_source(
            ConnectErrorKind::AuthorizationViolation,
            ServerError::AuthorizationViolation,
        );
        let (cause, text) = judge(&violation);
        assert!(cause == Cause::Refused && text.contains("nats.password"), "{text}");
        assert_eq!(judge(&ConnectError::new(ConnectErrorKind::Dns)).0, Cause::Transient);
        assert_eq!(judge(&ConnectError::new(ConnectErrorKind::TimedOut)).0, Cause::Transient);
        let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
        assert_eq!(judge(&ConnectError::from(refused)).0, Cause::Transient);
    }

    #[test]
    fn failures_of_the_bus_are_classified_alike() {
        use peerd_dataplane::ConnectError;

        let server = || "nats://a:4222".to_owned();
        let said = |text: &str| {
            let text = text.to_owned();
            judge_bus(&ConnectError::Authentication { server: server(), text }).0
        };
        assert_eq!(said("Authorization Violation"), Cause::Refused);
        assert_eq!(said("User Authentication Expired"), Cause::Refused);
        assert_eq!(said("Authentication Timeout"), Cause::Transient);
        assert_eq!(said("maximum account active connections exceeded"), Cause::Transient);
        let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let error = io::Error::other(unknown);
        let (cause, text) = judge_bus(&ConnectError::Tls { server: server(), error });
        assert!(cause == Cause::Refused && text.contains("nats.tls_ca_file"), "{text}");
        let (cause, text) = judge_bus(&ConnectError::NoTls { server: server() });
        assert!(cause == Cause::Refused && text.contains("nats.tls_required"), "{text}");
        let (path, error) = ("x.creds".into(), io::ErrorKind::NotFound.into());
        assert_eq!(judge_bus(&ConnectError::File { path, error }).0, Cause::Configuration);
        let error = io::ErrorKind::ConnectionRefused.into();
        let refused = ConnectError::Io { server: server(), error };
        assert_eq!(judge_bus(&refused).0, Cause::Transient);
        assert_eq!(judge_bus(&ConnectError::Timeout { server: server() }).0, Cause::Transient);
    }
}
