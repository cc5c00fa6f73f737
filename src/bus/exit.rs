//! What goes out, as core NATS has it.

use std::str::FromStr as _;

use async_nats::client::PublishErrorKind;
use async_nats::client::traits::Publisher as _;
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, HeaderName, HeaderValue, PublishError, Subject};

use super::{Kind, Outgoing};
use crate::domain::rejection::Rejection;
use crate::link::Connection;
use crate::wire::delivery;
use crate::wire::encoding::{
    CONTENT_TYPE, Encoding, PEER_DUPLICATE, PEER_HOPS, SERVICE_ERROR, SERVICE_ERROR_CODE,
};
use crate::wire::event::Omitted;
use crate::wire::failure::{CallError, Failure, FailureBody};
use crate::wire::size::Room;

/// Hands messages to a connection.
#[derive(Debug)]
pub(super) struct Exit {
    connection: Connection,
    /// The headers that most messages have, made once.
    json: HeaderMap,
    message_pack: HeaderMap,
}

impl Exit {
    /// What goes out over a connection.
    pub(super) fn new(connection: Connection) -> Self {
        let of = |encoding: Encoding| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, encoding.content_type());
            headers
        };
        let (json, message_pack) = (of(Encoding::Json), of(Encoding::MessagePack));
        Self { connection, json, message_pack }
    }

    /// Hands a message to the connection, once there is one, if its permit holds by then.
    pub(super) async fn send(&self, message: Outgoing) {
        // What the connection takes while it is down goes out when it is up again, however late.
        if message.permit.is_some() && !self.connection.link.is_up() {
            self.connection.link.up().await;
        }
        self.hand_over(message).await;
    }

    /// The same, but what needs a permit is lost where there is no connection, as is what was on its
    /// way when that was lost.
    pub(super) async fn send_now(&self, message: Outgoing) {
        if message.permit.is_none() || self.connection.link.is_up() {
            self.hand_over(message).await;
        }
    }

    async fn hand_over(&self, message: Outgoing) {
        if message.permit.as_ref().is_some_and(|permit| !permit.holds()) {
            let subject = message.subject;
            tracing::debug!(subject, "waited for too long: somebody else sees to it, or nobody");
            return;
        }
        // It was written to fit the smallest server so far, and this one may take less.
        let is_large = message.body.len() > Room::of(self.connection.max_payload()).body;
        let instead = is_large.then(|| message.clone());
        let Err(error) = self.publish(message).await else { return };
        if error.kind() == PublishErrorKind::MaxPayloadExceeded
            && let Some(message) = instead
        {
            let subject = message.subject.clone();
            tracing::warn!(subject, "larger than the server takes: it goes without its content");
            let Some(message) = without_content(message) else { return };
            let Err(error) = self.publish(message).await else { return };
            tracing::error!(%error, "a message could not go out");
            return;
        }
        // The connection was closed for good.
        tracing::warn!(%error, "a message could not go out");
    }

    async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        let headers = self.headers(&message);
        let Outgoing { subject, kind, body, .. } = message;
        let reply = match kind {
            Kind::Routed { reply_to, .. } => reply_to.map(Subject::from),
            Kind::Plain
            | Kind::Event { .. }
            | Kind::Answer
            | Kind::Duplicate
            | Kind::Error { .. }
            | Kind::Relayed { .. } => None,
        };
        let subject = Subject::from(subject);
        let message = OutboundMessage { subject, reply, payload: body, headers };
        self.connection.client.publish_message(message).await
    }

    fn headers(&self, message: &Outgoing) -> Option<HeaderMap> {
        if let Kind::Routed { content_type, hops, .. } = &message.kind {
            if content_type.is_none() && *hops == 0 {
                return None;
            }
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type.as_str());
            }
            headers.insert(PEER_HOPS, hops.to_string());
            return Some(headers);
        }
        if let Kind::Relayed { headers: came } = &message.kind {
            return relayed(came);
        }
        let mut headers = match message.encoding {
            Encoding::Json => self.json.clone(),
            Encoding::MessagePack => self.message_pack.clone(),
        };
        match &message.kind {
            Kind::Plain
            | Kind::Event { .. }
            | Kind::Answer
            | Kind::Routed { .. }
            | Kind::Relayed { .. } => {}
            Kind::Duplicate => headers.insert(PEER_DUPLICATE, "true"),
            Kind::Error { code, text } => {
                headers.insert(SERVICE_ERROR, text.as_str());
                headers.insert(SERVICE_ERROR_CODE, code.to_string());
            }
        }
        Some(headers)
    }
}

/// Headers as they came from another instance. One that is none is left out: it was not peerd's.
fn relayed(came: &[(String, String)]) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in came {
        if let (Ok(name), Ok(value)) = (HeaderName::from_str(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    (!headers.is_empty()).then_some(headers)
}

/// What is said instead of a message that is larger than the server takes; `None` where nobody waits
/// for it.
fn without_content(message: Outgoing) -> Option<Outgoing> {
    let Outgoing { subject, encoding, kind, permit, .. } = message;
    let error = |subject, encoding: Encoding, error: CallError| {
        let kind = Kind::Error { code: error.code(), text: error.to_string() };
        let body = encoding.encode(&FailureBody(&error)).ok()?;
        Some(Outgoing { subject, encoding, kind, body, permit: None })
    };
    match kind {
        Kind::Event { revision } => {
            let body = encoding.encode(&Omitted { revision }).ok()?;
            Some(Outgoing { subject, encoding, kind, body, permit })
        }
        // It may have told of a message that is stored.
        Kind::Answer => {
            let body = delivery::encode_answer(&Err(Failure::OutcomeUnknown.into())).ok()?;
            Some(Outgoing { subject, encoding, kind, body, permit })
        }
        Kind::Plain | Kind::Duplicate | Kind::Error { .. } | Kind::Relayed { .. } => {
            error(subject, encoding, Failure::TooLarge.into())
        }
        Kind::Routed { reply_to, content_type, .. } => {
            let encoding = Encoding::of_request(content_type.as_deref(), &message.body);
            let problem = "is larger than the nats-server takes on the way to its owner";
            let rejection = Rejection::invalid("body", problem);
            error(reply_to?, encoding.unwrap_or_default(), rejection.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::domain::event::Revision;
    use crate::domain::id::{Partition, UserId};

    fn instead(kind: Kind) -> Option<Outgoing> {
        let (subject, body) = ("a.subject".to_owned(), Bytes::from(vec![b'x'; 9]));
        let encoding = Encoding::Json;
        without_content(Outgoing { subject, encoding, kind, body, permit: None })
    }

    #[test]
    fn an_event_that_is_too_large_tells_its_revision() {
        let kind = Kind::Event { revision: Revision { current: 7, previous: 6 } };
        let event = instead(kind.clone()).expect("an event");
        assert_eq!((event.subject.as_str(), event.kind), ("a.subject", kind));
        let expected = r#"{"isContentOmitted":true,"revision":7,"previousRevision":6}"#;
        assert_eq!(event.body, expected);
    }

    #[test]
    fn a_call_is_answered_whatever_was_too_large() {
        for kind in [Kind::Plain, Kind::Duplicate] {
            let reply = instead(kind).expect("an answer");
            assert!(matches!(reply.kind, Kind::Error { code: 6_000_007, .. }), "{:?}", reply.kind);
            assert_eq!(reply.subject, "a.subject");
        }
        let routed = |reply_to: Option<&str>| Kind::Routed {
            reply_to: reply_to.map(str::to_owned),
            content_type: Some("application/json".to_owned()),
            hops: 1,
        };
        let reply = instead(routed(Some("its.caller"))).expect("an answer");
        assert!(matches!(reply.kind, Kind::Error { code: 6_000_001, .. }), "{:?}", reply.kind);
        assert_eq!((reply.subject.as_str(), reply.encoding), ("its.caller", Encoding::Json));
        assert!(instead(routed(None)).is_none(), "nobody waits for it");
    }

    #[test]
    fn an_answer_that_is_too_large_says_that_the_outcome_is_unknown() {
        let answer = instead(Kind::Answer).expect("an answer");
        let user = |id| UserId::new(id, "userID").expect("a valid ID");
        let read = delivery::decode_answer(&answer.body, &user("a"), &user("b"), Partition(0));
        assert_eq!(read, Ok(Err(Failure::OutcomeUnknown.into())));
    }
}
