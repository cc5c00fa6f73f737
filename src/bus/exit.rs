//! Sends outgoing messages over core NATS.

use std::borrow::Cow;

use peerd_dataplane::headers::{add, block, end};
use peerd_dataplane::{Publish, PublishError};

use super::connection::Connection;
use super::{Kind, Outgoing};
use crate::wire::owner_request;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::{
    CONTENT_TYPE, Encode as _, Encoding, PEER_DUPLICATE, PEER_HOPS, SERVICE_ERROR,
    SERVICE_ERROR_CODE,
};
use peerd_protocol::event::Omitted;
use peerd_protocol::failure::{CallError, Failure, FailureBody};

/// Gives outgoing messages to a connection.
#[derive(Debug)]
pub(super) struct Exit {
    connection: Connection,
    /// The header blocks that most messages share, built once.
    json: Vec<u8>,
    message_pack: Vec<u8>,
}

impl Exit {
    /// A publisher over a connection.
    pub(super) fn new(connection: Connection) -> Self {
        let of = |encoding| whole(encoding, |_| {});
        Self { connection, json: of(Encoding::Json), message_pack: of(Encoding::MessagePack) }
    }

    /// Gives a message to the connection as soon as there is one with room, if the permit is still
    /// valid then.
    pub(super) async fn send(&self, message: Outgoing) {
        self.hand_over(message, || true).await;
    }

    /// As [`Exit::send`], but the message is lost where there is no connection, as everything in
    /// flight on the lost connection is.
    pub(super) async fn send_now(&self, message: Outgoing) {
        self.hand_over(message, || self.connection.client.is_connected()).await;
    }

    async fn hand_over(&self, message: Outgoing, is_time: impl Fn() -> bool) {
        let Err(error) = self.publish(&message, &is_time).await else { return };
        let subject = message.subject.clone();
        // The message was built to fit the smallest server seen so far, and this one may accept
        // less.
        if error == PublishError::TooLarge {
            tracing::warn!(
                subject,
                "message is larger than the server accepts: sending it without its content"
            );
            let Some(message) = without_content(message) else { return };
            let Err(error) = self.publish(&message, &is_time).await else { return };
            tracing::error!(%error, subject, "cannot send a message");
            return;
        }
        if error == PublishError::Closed {
            // The process is about to exit.
            tracing::debug!(subject, "the connection is closed");
            return;
        }
        tracing::warn!(%error, subject, "cannot send a message");
    }

    async fn publish(
        &self,
        message: &Outgoing,
        is_time: impl Fn() -> bool,
    ) -> Result<(), PublishError> {
        let headers = self.headers(message);
        let reply = match &message.kind {
            Kind::Routed { reply_to, .. } => reply_to.as_deref().map(str::as_bytes),
            Kind::Plain
            | Kind::Event { .. }
            | Kind::Answer
            | Kind::Duplicate
            | Kind::Error { .. }
            | Kind::Relayed { .. } => None,
        };
        let subject = &message.subject;
        let publish = Publish {
            subject: subject.as_bytes(),
            reply,
            headers: &headers,
            payload: &message.body,
        };
        let holds = || message.permit.as_ref().is_none_or(|permit| permit.holds());
        let given = self.connection.client.publish_while(&publish, || is_time() && holds()).await?;
        if !given {
            tracing::debug!(subject, "dropped a message: its permit or connection is gone");
        }
        Ok(())
    }

    /// The header block of a message; empty where it has none.
    pub(super) fn headers(&self, message: &Outgoing) -> Cow<'_, [u8]> {
        match &message.kind {
            Kind::Plain | Kind::Event { .. } | Kind::Answer => {
                Cow::Borrowed(match message.encoding {
                    Encoding::Json => &self.json,
                    Encoding::MessagePack => &self.message_pack,
                })
            }
            Kind::Duplicate => {
                Cow::Owned(whole(message.encoding, |block| add(block, PEER_DUPLICATE, "true")))
            }
            Kind::Error { code, text } => Cow::Owned(whole(message.encoding, |block| {
                add(block, SERVICE_ERROR, text);
                add(block, SERVICE_ERROR_CODE, &code.to_string());
            })),
            Kind::Relayed { headers } => Cow::Owned(relayed(headers)),
            Kind::Routed { content_type: None, hops: 0, .. } => Cow::Borrowed(&[]),
            Kind::Routed { content_type, hops, .. } => {
                let mut routed = block();
                if let Some(content_type) = content_type {
                    add(&mut routed, CONTENT_TYPE, content_type);
                }
                add(&mut routed, PEER_HOPS, &hops.to_string());
                end(&mut routed);
                Cow::Owned(routed)
            }
        }
    }
}

/// A header block with the encoding's `Content-Type` and the headers that `more` adds.
fn whole(encoding: Encoding, more: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut whole = block();
    add(&mut whole, CONTENT_TYPE, encoding.content_type());
    more(&mut whole);
    end(&mut whole);
    whole
}

/// A header block with the headers of another instance's reply. A header with an invalid name is
/// left out: peerd did not write it.
fn relayed(received: &[(String, String)]) -> Vec<u8> {
    let is_one = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic());
    let mut headers = received.iter().filter(|(name, _)| is_one(name)).peekable();
    if headers.peek().is_none() {
        return Vec::new();
    }
    let mut relayed = block();
    for (name, value) in headers {
        add(&mut relayed, name, value);
    }
    end(&mut relayed);
    relayed
}

/// A replacement for a message that is larger than the server accepts; `None` where no caller waits
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
        // The answer may have been about a message that is stored.
        Kind::Answer => {
            let body = owner_request::encode_refusal(&Failure::OutcomeUnknown.into()).ok()?;
            Some(Outgoing { subject, encoding, kind, body, permit })
        }
        Kind::Plain | Kind::Duplicate | Kind::Error { .. } | Kind::Relayed { .. } => {
            error(subject, encoding, Failure::TooLarge.into())
        }
        Kind::Routed { reply_to, content_type, .. } => {
            let encoding = Encoding::of_request(content_type.as_deref(), &message.body);
            let problem = "is larger than the nats-server accepts on the way to its owner";
            let rejection = Rejection::invalid("body", problem);
            error(reply_to?, encoding.unwrap_or_default(), rejection.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::wire::owner_request::Audit;
    use peerd_core::event::Revision;
    use peerd_core::id::Partition;

    fn instead(kind: Kind) -> Option<Outgoing> {
        let (subject, body) = ("a.subject".to_owned(), Bytes::from(vec![b'x'; 9]));
        let encoding = Encoding::Json;
        without_content(Outgoing { subject, encoding, kind, body, permit: None })
    }

    #[test]
    fn an_event_that_is_too_large_still_carries_its_revision() {
        let kind = Kind::Event { revision: Revision { current: 7, previous: 6 } };
        let event = instead(kind.clone()).expect("an event");
        assert_eq!((event.subject.as_str(), event.kind), ("a.subject", kind));
        let expected = r#"{"isContentOmitted":true,"revision":7,"previousRevision":6}"#;
        assert_eq!(event.body, expected);
    }

    #[test]
    fn a_call_whose_reply_or_request_is_too_large_gets_an_error_reply() {
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
        assert!(instead(routed(None)).is_none(), "no caller waits for it");
    }

    #[test]
    fn an_answer_that_is_too_large_becomes_outcome_unknown() {
        let answer = instead(Kind::Answer).expect("an answer");
        let read = owner_request::decode_answer(&Audit, &answer.body, Partition(0));
        assert_eq!(read, Ok(Err(Failure::OutcomeUnknown.into())));
    }
}
