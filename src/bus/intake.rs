//! The intake: subscriptions whose messages are handled as they are read, and that end without
//! losing one.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;
use peerd_dataplane::{HandledSubscription, Headers, Malformed, Message};
use tokio::time::timeout;

use super::sender::Sender;
use super::tuning::{CONTENT_TYPE_BYTES_MAX, UNSUBSCRIBE_TIMEOUT};
use super::{Incoming, Take};
use crate::link::DataConnection;
use crate::trace::Trace;
use peerd_protocol::discovery::QUEUE_GROUP;
use peerd_protocol::encoding::{CONTENT_TYPE, PEER_HOPS, hops};
use peerd_protocol::subject::is_sentinel;
use peerd_protocol::trace::{TRACEPARENT, TraceParent};

/// A subscription in the queue group. Each message is handled by the connection's task when it is
/// read: messages wait where they are counted and can be refused, never here.
#[derive(Debug)]
pub(super) struct Subscription(HandledSubscription);

impl Subscription {
    /// Subscribes. The message that `take` returns is sent at once.
    pub(super) fn new(
        connection: &DataConnection,
        subject: &str,
        sender: Arc<Sender>,
        take: Take,
    ) -> Self {
        let handler = Arc::new(move |message| {
            let (incoming, trace) = incoming(message);
            // Instances of earlier peerd releases end their subscriptions with messages to the
            // whole group.
            let is_filler = incoming.reply_to.is_none() && is_sentinel(&incoming.subject);
            Trace::scope(trace, || {
                if !is_filler && let Some(answer) = take(incoming) {
                    sender.send_now(answer);
                }
            });
        });
        Self(connection.client.subscribe_with(subject, Some(QUEUE_GROUP), handler))
    }

    /// Ends the subscription after everything that the server has sent was handled.
    pub(super) async fn end(self) {
        if timeout(UNSUBSCRIBE_TIMEOUT, self.0.drain()).await.is_err() {
            tracing::warn!("a subscription did not end in time");
        }
    }
}

/// An incoming call, and its trace.
fn incoming(message: Message) -> (Incoming, Option<Trace>) {
    let Message { subject, reply, payload, headers } = message;
    let Read { content_type, hops, malformed, status, trace } = read(headers);
    let incoming = Incoming {
        content_type,
        hops,
        malformed,
        status,
        // A replacement character is in no user token and no method, so such a subject matches
        // none.
        subject: text(&subject)
            .unwrap_or_else(|| String::from_utf8_lossy(&subject).into_owned().into()),
        // A reply subject that is not UTF-8 is never answered.
        reply_to: reply.as_ref().and_then(text),
        body: payload,
    };
    (incoming, Trace::of(trace))
}

/// The content of a message's headers.
#[derive(Default)]
struct Read {
    content_type: Option<Cow<'static, str>>,
    hops: u8,
    malformed: Option<Malformed>,
    status: Option<u16>,
    trace: Option<TraceParent>,
}

fn read(headers: Option<Headers>) -> Read {
    /// The whole header block of most calls, and its content type.
    const USUAL: [(&[u8], &str); 2] = [
        (b"NATS/1.0\r\nContent-Type: application/msgpack\r\n\r\n", "application/msgpack"),
        (b"NATS/1.0\r\nContent-Type: application/json\r\n\r\n", "application/json"),
    ];
    let Some(headers) = headers else { return Read::default() };
    if let Some((_, named)) = USUAL.iter().find(|(block, _)| headers.is(block)) {
        return Read { content_type: Some(Cow::Borrowed(named)), ..Read::default() };
    }
    let (malformed, status) = (headers.check().err(), headers.status());
    // No header of a malformed block is trusted.
    let header = |name| headers.get(name).filter(|_| malformed.is_none());
    Read {
        content_type: header(CONTENT_TYPE).map(|named| Cow::Owned(content_type(named))),
        hops: hops(header(PEER_HOPS).as_deref()),
        trace: header(TRACEPARENT).and_then(|value| TraceParent::parse(&value)),
        malformed,
        status,
    }
}

/// Truncates a `Content-Type` that is longer than any known one, since it may have to be passed on.
fn content_type(value: Cow<'_, str>) -> String {
    match value.char_indices().find(|(at, _)| *at >= CONTENT_TYPE_BYTES_MAX) {
        Some((at, _)) => value[..at].to_owned(),
        None => value.into_owned(),
    }
}

/// The bytes as text, without a copy.
fn text(bytes: &Bytes) -> Option<ByteString> {
    ByteString::try_from(bytes.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(subject: &'static [u8], reply: Option<&'static [u8]>, block: &'static [u8]) -> Incoming {
        let message = Message {
            subject: subject.into(),
            reply: reply.map(Bytes::from_static),
            headers: Some(Headers::new(block.into(), false)),
            payload: "{}".into(),
        };
        incoming(message).0
    }

    #[test]
    fn a_malformed_header_block_is_reported_and_the_rest_is_read() {
        let call = of(b"a.b", Some(b"r"), b"NATS/1.0\r\nContent-Type: application/json\r\n\r\n");
        assert_eq!(call.malformed, None);
        assert_eq!(call.content_type.as_deref(), Some("application/json"));
        let call = of(b"a.b", Some(b"r"), b"NATS/1.0\r\nContent-Type application/json\r\n\r\n");
        assert_eq!(call.malformed, Some(Malformed::Colon));
        assert_eq!((call.content_type, call.reply_to.as_deref()), (None, Some("r")));
        assert_eq!(call.status, None);
        let status = of(b"a.b", None, b"NATS/1.0 404 No Messages\r\n\r\n");
        assert_eq!((status.malformed, status.status), (None, Some(404)));
    }

    #[test]
    fn the_usual_header_blocks_are_read_as_any_other() {
        for named in ["application/msgpack", "application/json"] {
            let usual = format!("NATS/1.0\r\nContent-Type: {named}\r\n\r\n");
            let other = format!("NATS/1.0\r\nContent-Type:{named}\r\n\r\n");
            for block in [&usual, &other] {
                let call = read(Some(Headers::new(block.clone().into(), false)));
                assert_eq!(call.content_type.as_deref(), Some(named));
                assert_eq!((call.hops, call.malformed, call.status), (0, None, None));
                let cut = read(Some(Headers::new(block.clone().into(), true)));
                assert_eq!((cut.content_type, cut.malformed), (None, Some(Malformed::Length)));
            }
        }
    }

    #[test]
    fn a_subject_that_is_not_utf_8_matches_no_user_and_is_never_answered() {
        let call = of(b"peer.api.al\xffice.login", Some(b"r.\xff"), b"NATS/1.0\r\n\r\n");
        assert_eq!(call.subject, "peer.api.al\u{fffd}ice.login");
        assert_eq!(call.reply_to, None);
    }
}
