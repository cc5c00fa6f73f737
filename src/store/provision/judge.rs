//! Classifies refusals by JetStream by the remedy that they call for.

use std::error::Error as _;

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, GetStreamError, GetStreamErrorKind, RequestError,
};
use async_nats::jetstream::{self, ErrorCode};

use crate::link::Cause;

/// Why JetStream refused a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No responders: no server offers JetStream here.
    Nobody,
    /// The server reports that JetStream is off; `true`: for this account.
    Off(bool),
    /// The stream does not exist.
    Missing,
    /// Another stream has some of the subjects.
    Overlap,
    /// Something else.
    Other(Cause, String),
}

/// Classifies the failure to look a stream up.
pub(super) fn of_get(error: &GetStreamError) -> Refusal {
    match error.kind() {
        GetStreamErrorKind::JetStream(error) => of_api(&error),
        GetStreamErrorKind::Request => {
            let source = error.source().and_then(|source| source.downcast_ref::<RequestError>());
            let is_nobody = source.is_some_and(|source| source.kind() == no_responders());
            if is_nobody { Refusal::Nobody } else { transient(error) }
        }
        GetStreamErrorKind::EmptyName | GetStreamErrorKind::InvalidStreamName => {
            Refusal::Other(Cause::Configuration, error.to_string())
        }
    }
}

/// Classifies the failure to create a stream.
pub(super) fn of_create(error: &CreateStreamError) -> Refusal {
    match error.kind() {
        CreateStreamErrorKind::JetStream(error) => of_api(&error),
        CreateStreamErrorKind::JetStreamUnavailable => Refusal::Nobody,
        CreateStreamErrorKind::TimedOut
        | CreateStreamErrorKind::Response
        | CreateStreamErrorKind::NotFound
        | CreateStreamErrorKind::ResponseParse => transient(error),
        CreateStreamErrorKind::EmptyStreamName
        | CreateStreamErrorKind::InvalidStreamName
        | CreateStreamErrorKind::DomainAndExternalSet => {
            Refusal::Other(Cause::Configuration, error.to_string())
        }
    }
}

/// Classifies the failure to write an entry.
pub(super) fn of_request(error: &async_nats::RequestError) -> Refusal {
    match error.kind() {
        RequestErrorKind::NoResponders => Refusal::Nobody,
        RequestErrorKind::TimedOut
        | RequestErrorKind::Other
        | RequestErrorKind::InvalidSubject
        | RequestErrorKind::MaxPayloadExceeded => transient(error),
    }
}

const fn no_responders() -> jetstream::context::RequestErrorKind {
    jetstream::context::RequestErrorKind::NoResponders
}

/// An error with its sources, without which it may say no more than "request error".
fn transient(error: &(dyn std::error::Error + 'static)) -> Refusal {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    Refusal::Other(Cause::Transient, text)
}

fn of_api(error: &jetstream::Error) -> Refusal {
    of_code(error.error_code(), error.code(), error.to_string())
}

/// A cluster that is still starting, or has lost nodes, reports it with several codes. All other
/// codes are about the request, and so about the configuration.
fn of_code(code: ErrorCode, status: usize, text: String) -> Refusal {
    const PASSES: [ErrorCode; 6] = [
        ErrorCode::CLUSTER_NOT_AVAILABLE,
        // No node has room, or some nodes are not up yet.
        ErrorCode::CLUSTER_NO_PEERS,
        ErrorCode::INSUFFICIENT_RESOURCES,
        // The limits of the account: once they are raised or data is deleted, a retry succeeds.
        ErrorCode::ACCOUNT_RESOURCES_EXCEEDED,
        ErrorCode::STREAM_OFFLINE,
        ErrorCode::STREAM_OFFLINE_REASON,
    ];
    /// About the request, although the status is that of a server error.
    const WRONG: [ErrorCode; 3] = [
        ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED,
        ErrorCode::STREAM_INVALID_CONFIG,
        ErrorCode::STREAM_INVALID,
    ];
    match code {
        code if WRONG.contains(&code) => Refusal::Other(Cause::Configuration, text),
        ErrorCode::STREAM_NOT_FOUND => Refusal::Missing,
        ErrorCode::STREAM_SUBJECT_OVERLAP => Refusal::Overlap,
        ErrorCode::JETSTREAM_NOT_ENABLED => Refusal::Off(false),
        ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT => Refusal::Off(true),
        code if PASSES.contains(&code) || status >= 500 => Refusal::Other(Cause::Transient, text),
        _ => Refusal::Other(Cause::Configuration, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_starting_cluster_differs_from_a_wrong_request() {
        let cause = |code, status| {
            let refusal = of_code(ErrorCode(code), status, String::new());
            let Refusal::Other(cause, _) = refusal else { panic!("{refusal:?}") };
            cause
        };
        for (code, status) in
            [(10008, 503), (10005, 400), (10023, 503), (10002, 400), (10118, 500), (10047, 500)]
        {
            assert_eq!(cause(code, status), Cause::Transient, "{code}");
        }
        // Replicas without a cluster, a limit that the account requires, too many streams.
        for (code, status) in [(10074, 500), (10113, 400), (10027, 400), (10052, 500)] {
            assert_eq!(cause(code, status), Cause::Configuration, "{code}");
        }
        assert_eq!(of_code(ErrorCode(10059), 404, String::new()), Refusal::Missing);
        assert_eq!(of_code(ErrorCode(10065), 400, String::new()), Refusal::Overlap);
        assert_eq!(of_code(ErrorCode(10039), 503, String::new()), Refusal::Off(true));
    }
}
