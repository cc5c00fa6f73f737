//! The baseline: the least that a responder on the official client library does for a message. For
//! each request it appends one record, and on the acknowledgement it publishes four events and the
//! reply, of the sizes of peerd's, without headers. It reads no body, checks and counts nothing,
//! orders nothing, and expects no sequence.
//!
//! One task takes requests and acknowledgements, which arrive on separate subscriptions: there is
//! no task, timer or channel for a message.

use std::time::Instant;

use async_nats::{Client, HeaderMap, Message, Subject};
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;
use tokio_util::task::AbortOnDropHandle as AbortOnDrop;

use super::load::RECEIVED;
use super::places::{Places, number_of};
use super::responder::{
    Arguments, OVERLOADED, OVERLOADED_CODE, Streams, input_ended, is_stored, say_ready, users,
};
use super::sizes::EventSize;
use peerd_protocol::discovery::QUEUE_GROUP;
use peerd_protocol::encoding::{SERVICE_ERROR, SERVICE_ERROR_CODE};
use peerd_protocol::subject::Subjects;

/// The means of the baseline.
#[derive(Debug)]
pub struct Service {
    /// Its streams, on any connection.
    pub streams: Streams,
    /// The connection for requests, appends, events and replies.
    pub client: Client,
    /// The most requests in progress, as configured for peerd.
    pub calls_under_way: usize,
}

/// Serves until the standard input ends; then its streams are gone.
pub async fn serve(service: Service, arguments: Arguments) -> Result<(), String> {
    let Service { streams, client, calls_under_way } = service;
    let subjects = streams.subjects(&arguments.prefix)?;
    let baseline = Baseline::new(client, subjects.clone(), calls_under_way, arguments);
    let work = async {
        // A task, because the runtime wakes a worker at less cost than the main thread.
        let serving = AbortOnDrop::new(tokio::spawn(baseline.respond()));
        tokio::select! {
            served = serving => served.unwrap_or_else(|error| Err(error.to_string())),
            () = input_ended() => Ok(()),
        }
    };
    streams.around(&subjects, work).await
}

/// A request whose record is not acknowledged yet.
struct Request {
    subject: Subject,
    reply_to: Subject,
    payload: Bytes,
}

struct Baseline {
    client: Client,
    subjects: Subjects,
    inbox: String,
    record_bytes: usize,
    reply: Bytes,
    events: Vec<(EventSize, Bytes)>,
    under_way: Places<Request>,
}

impl Baseline {
    fn new(client: Client, subjects: Subjects, places: usize, arguments: Arguments) -> Self {
        let filled = |bytes: usize| Bytes::from(vec![b'.'; bytes]);
        let Arguments { record, reply, events, .. } = arguments;
        let events = events.into_iter().map(|event| {
            let body = filled(event.bytes);
            (event, body)
        });
        Self {
            inbox: client.new_inbox(),
            client,
            subjects,
            record_bytes: record,
            reply: filled(reply),
            events: events.collect(),
            under_way: Places::new(places),
        }
    }

    /// Answers requests as long as there is a connection.
    async fn respond(mut self) -> Result<(), String> {
        let acks = self.client.subscribe(format!("{}.*", self.inbox)).await;
        let mut acks = acks.map_err(|error| error.to_string())?;
        let all = self.subjects.all_calls();
        let requests = self.client.queue_subscribe(all, QUEUE_GROUP.to_owned()).await;
        let mut requests = requests.map_err(|error| error.to_string())?;
        // A round trip: the server has both subscriptions before it reports no responders.
        let nobody = format!("{}.api.=", self.subjects.prefix());
        let _ = self.client.request(nobody, Bytes::new()).await;
        say_ready()?;
        loop {
            tokio::select! {
                biased;
                ack = acks.next() => match ack {
                    Some(ack) => self.acknowledged(&ack).await,
                    None => break,
                },
                request = requests.next() => match request {
                    Some(request) => self.append(request).await,
                    None => break,
                },
            }
        }
        Err("the connection was closed".to_owned())
    }

    /// Appends the record of a request. A publish fails only when the connection is closed, which
    /// the subscriptions show.
    async fn append(&mut self, request: Message) {
        let Message { subject, reply: Some(reply_to), payload, .. } = request else { return };
        let Some((sender, receiver)) = users(&subject) else { return };
        let now = Instant::now();
        if !self.under_way.has_room(now) {
            let mut headers = HeaderMap::new();
            headers.insert(SERVICE_ERROR, "overloaded");
            headers.insert(SERVICE_ERROR_CODE, OVERLOADED_CODE);
            let body = Bytes::from_static(OVERLOADED.as_bytes());
            let _ = self.client.publish_with_headers(reply_to, headers, body).await;
            return;
        }
        let partition = self.subjects.partition_of(receiver);
        let log = format!("{}.log.{partition}.{receiver}.{sender}", self.subjects.prefix());
        let record = resized(&payload, self.record_bytes);
        let number = self.under_way.take(now, Request { subject, reply_to, payload });
        let ack_to = format!("{}.{number}", self.inbox);
        let _ = self.client.publish_with_reply(log, ack_to, record).await;
    }

    /// Publishes the events of a request and answers it. A request whose record is not stored gets
    /// no answer.
    async fn acknowledged(&mut self, ack: &Message) {
        let request = number_of(&ack.subject).and_then(|number| self.under_way.finish(number));
        let Some(Request { subject, reply_to, payload }) = request else { return };
        if !is_stored(&ack.payload) {
            return;
        }
        let Some((sender, receiver)) = users(&subject) else { return };
        let prefix = self.subjects.prefix();
        for (event, filled) in &self.events {
            let user = if event.is_senders { sender } else { receiver };
            let subject = format!("{prefix}.event.{user}.{}", event.name);
            // The load generator reads its marker from this one.
            let body = if event.name == RECEIVED {
                resized(&payload, event.bytes)
            } else {
                filled.clone()
            };
            let _ = self.client.publish(subject, body).await;
        }
        let _ = self.client.publish(reply_to, self.reply.clone()).await;
    }
}

/// Bytes of the given length that begin like these.
fn resized(bytes: &Bytes, length: usize) -> Bytes {
    if length <= bytes.len() {
        return bytes.slice(..length);
    }
    let mut longer = BytesMut::with_capacity(length);
    longer.extend_from_slice(bytes);
    longer.resize(length, b'.');
    longer.freeze()
}
