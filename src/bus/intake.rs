//! The intake: subscriptions that hand each message on at once, and end without losing one.

use std::borrow::Cow;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use peerd_dataplane::{Headers, Message};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, unconstrained, yield_now};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::connection::Connection;
use super::exit::Exit;
use super::{Incoming, Take};
use peerd_protocol::discovery::QUEUE_GROUP;
use peerd_protocol::encoding::{CONTENT_TYPE, PEER_HOPS, hops};
use peerd_protocol::subject::is_sentinel;

/// How long a subscription may take to end.
const ENDING: Duration = Duration::from_secs(3);
/// How many bytes of a `Content-Type` are kept.
const CONTENT_TYPE_BYTES_MAX: usize = 256;
/// Messages that are handled before the task yields.
const IN_A_ROW: usize = 2048;

/// A subscription in the queue group. Each message is handled at once: messages wait where they are
/// counted and can be refused, never here.
#[derive(Debug)]
pub(super) struct Subscription {
    end: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Subscription {
    /// Subscribes.
    pub(super) fn new(connection: &Connection, subject: &str, take: Take) -> Self {
        let subscription = connection.client.subscribe(subject, Some(QUEUE_GROUP));
        let (end, ends) = oneshot::channel();
        let exit = Exit::new(connection.clone());
        let pump = Pump { subscription, in_a_row: 0, take, exit };
        // Outside the scheduler's budget. Within it, this task would progress no faster than a call
        // does, so more messages would arrive than it can refuse.
        Self { end, task: tokio::spawn(unconstrained(pump.run(ends))) }
    }

    /// Ends the subscription after everything that the server has sent was handled.
    pub(super) async fn end(self) {
        let _ = self.end.send(());
        let task = AbortOnDrop::new(self.task);
        // Where the connection accepts no more data, refusals cannot be sent.
        if timeout(2 * ENDING, task).await.is_err() {
            tracing::warn!("abandoned a subscription: the connection accepts no data");
        }
    }
}

struct Pump {
    subscription: peerd_dataplane::Subscription,
    /// Messages since the task last yielded.
    in_a_row: usize,
    take: Take,
    exit: Exit,
}

impl Pump {
    async fn run(mut self, mut ends: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                message = self.subscription.next() => match message {
                    Some(message) => self.pass_all(message).await,
                    None => return,
                },
                // Also when the subscription was dropped.
                _ = &mut ends => break,
            }
        }
        self.end().await;
    }

    /// Handles a message, and then those that have already arrived, up to [`IN_A_ROW`].
    async fn pass_all(&mut self, first: Message) {
        self.pass(first).await;
        for _ in 1..IN_A_ROW {
            let Some(message) = self.subscription.try_next() else { return };
            self.pass(message).await;
        }
    }

    async fn pass(&mut self, message: Message) {
        let incoming = incoming(message);
        // Instances of earlier peerd releases end their subscriptions with messages to the whole
        // group.
        let is_filler = incoming.reply_to.is_none() && is_sentinel(&incoming.subject);
        if !is_filler && let Some(answer) = (self.take)(incoming) {
            self.exit.send_now(answer).await;
        }
        self.in_a_row += 1;
        if self.in_a_row == IN_A_ROW {
            self.in_a_row = 0;
            yield_now().await;
        }
    }

    async fn end(&mut self) {
        let mut drained = pin!(timeout(ENDING, self.subscription.drain()));
        loop {
            tokio::select! {
                // Messages that have arrived come first: nothing arrives after the end.
                biased;
                message = self.subscription.next() => match message {
                    Some(message) => self.pass_all(message).await,
                    None => return,
                },
                in_time = &mut drained => {
                    if in_time.is_err() {
                        tracing::warn!("a subscription did not end in time");
                    }
                    break;
                }
            }
        }
        while let Some(message) = self.subscription.try_next() {
            self.pass(message).await;
        }
    }
}

fn incoming(message: Message) -> Incoming {
    let Message { subject, reply, payload, headers } = message;
    let malformed = headers.as_ref().and_then(|headers| Headers::check(headers).err());
    let status = headers.as_ref().and_then(Headers::status);
    // No header of a malformed block is trusted.
    let headers = headers.filter(|_| malformed.is_none());
    let header = |name| headers.as_ref().and_then(|headers| headers.get(name));
    Incoming {
        content_type: header(CONTENT_TYPE).map(content_type),
        hops: hops(header(PEER_HOPS).as_deref()),
        malformed,
        status,
        // A replacement character is in no user token and no method, so such a subject matches
        // none.
        subject: text(&subject).unwrap_or_else(|| String::from_utf8_lossy(&subject).into_owned()),
        // A reply subject that is not UTF-8 is never answered.
        reply_to: reply.as_ref().and_then(text),
        body: payload,
    }
}

/// Truncates a `Content-Type` that is longer than any known one, since it may have to be passed on.
fn content_type(value: Cow<'_, str>) -> String {
    match value.char_indices().find(|(at, _)| *at >= CONTENT_TYPE_BYTES_MAX) {
        Some((at, _)) => value[..at].to_owned(),
        None => value.into_owned(),
    }
}

fn text(bytes: &Bytes) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use peerd_dataplane::Malformed;

    use super::*;

    fn of(subject: &'static [u8], reply: Option<&'static [u8]>, block: &'static [u8]) -> Incoming {
        incoming(Message {
            subject: subject.into(),
            reply: reply.map(Bytes::from_static),
            headers: Some(Headers::new(block.into(), false)),
            payload: "{}".into(),
        })
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
    fn a_subject_that_is_not_utf_8_matches_no_user_and_is_never_answered() {
        let call = of(b"peer.api.al\xffice.login", Some(b"r.\xff"), b"NATS/1.0\r\n\r\n");
        assert_eq!(call.subject, "peer.api.al\u{fffd}ice.login");
        assert_eq!(call.reply_to, None);
    }
}
