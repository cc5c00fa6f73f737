//! The bus on core NATS.

use std::collections::HashMap;
use std::sync::Arc;

use peerd_dataplane::{Headers, Message, Publish, RequestError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::intake::Subscription;
use super::sender::Sender;
use super::tuning::SUBSCRIBE_TIMEOUT;
use super::{Answer, AskError, Bus, Full, IsAnswer, Kind, Outgoing, Take};
use crate::link::DataConnection;
use crate::trace::Trace;
use crate::wire::probe;
use peerd_core::id::Partition;
use peerd_protocol::subject::Subjects;

/// The bus on core NATS.
///
/// It uses a single connection: a NATS user that may publish only replies (`allow_responses`) may
/// do so only on the connection that received the request.
#[derive(Debug)]
pub struct Nats {
    connection: DataConnection,
    subjects: Subjects,
    sender: Arc<Sender>,
    /// The subscriptions: calls by users, and messages routed to partitions.
    calls: Mutex<Option<Subscription>>,
    routed: Mutex<HashMap<Partition, Subscription>>,
}

impl Nats {
    /// A bus over a connection, with room for `capacity` outgoing messages while they cannot be
    /// sent. The writer task ends when the bus was dropped and everything was given to the
    /// connection.
    pub(crate) fn new(
        connection: DataConnection,
        subjects: Subjects,
        capacity: usize,
    ) -> (Self, JoinHandle<()>) {
        let sender = Arc::new(Sender::new(connection.clone(), capacity));
        let writer = tokio::spawn(sender.clone().run());
        let (calls, routed) = (Mutex::default(), Mutex::default());
        (Self { connection, subjects, sender, calls, routed }, writer)
    }

    /// Answers probes of this instance for as long as the connection exists.
    pub fn answer_probes(&self, instance: &str) {
        let client = self.connection.client.clone();
        let subjects = self.subjects.clone();
        let mut probes = client.subscribe(&subjects.probe(instance), None);
        let instance = instance.to_owned();
        tokio::spawn(async move {
            while let Some(probe) = probes.next().await {
                let reply = probe.reply.as_deref().map(std::str::from_utf8);
                if let Some(Ok(reply)) = reply
                    && !subjects.is_reserved(reply)
                {
                    let (subject, answer) = (reply.as_bytes(), probe::answer(&instance, reply));
                    let payload = answer.as_bytes();
                    // The prober repeats a probe whose answer is lost.
                    let _ = client.try_publish(&Publish { subject, payload, ..Publish::default() });
                }
            }
        });
    }

    /// How many outgoing messages were dropped for each reason.
    pub(crate) fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.sender.dropped()
    }

    /// The most messages in the outgoing queue.
    pub(crate) fn capacity(&self) -> usize {
        self.sender.capacity()
    }

    fn subscribe(&self, subject: &str, take: Take) -> Subscription {
        Subscription::new(&self.connection, subject, self.sender.clone(), take)
    }

    /// Begins to take calls by users.
    pub async fn take_calls(&self, take: Take) {
        let subscription = self.subscribe(&self.subjects.all_calls(), take);
        *self.calls.lock().await = Some(subscription);
    }

    /// Stops taking calls by users. Everything that has arrived is handled before this returns.
    pub async fn end_calls(&self) {
        if let Some(subscription) = self.calls.lock().await.take() {
            subscription.end().await;
        }
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.sender.end();
    }
}

impl Bus for Nats {
    fn emit(&self, outgoing: Outgoing) -> Result<(), Full> {
        self.sender.emit(outgoing)
    }

    fn room(&self) -> usize {
        self.sender.room()
    }

    async fn room_for(&self, count: usize) {
        self.sender.room_for(count).await;
    }

    fn waiting(&self) -> usize {
        self.sender.waiting()
    }

    fn inbox(&self) -> String {
        self.connection.client.new_reply_subject()
    }

    async fn ask(
        &self,
        request: Outgoing,
        is_answer: IsAnswer,
        deadline: Instant,
    ) -> Result<Answer, AskError> {
        let DataConnection { client, link } = &self.connection;
        let headers = self.sender.headers(&request, Trace::header());
        let Outgoing { subject, kind: Kind::Routed { reply_to: Some(reply), .. }, body, .. } =
            &request
        else {
            tracing::error!("a request has no reply subject");
            return Err(AskError::Nobody);
        };
        let request = Publish {
            subject: subject.as_bytes(),
            reply: Some(reply.as_bytes()),
            headers: &headers,
            payload: body,
        };
        let is_answer = move |message: &Message| is_answer(&answer(message));
        let answered = Box::pin(client.request(&request, is_answer));
        match link.guard(deadline, answered).await {
            Ok(Ok(message)) => Ok(answer(&message)),
            Ok(Err(RequestError::NoResponders | RequestError::NotSent(_))) => Err(AskError::Nobody),
            Ok(Err(RequestError::Disconnected)) | Err(_) => Err(AskError::Unknown),
        }
    }

    async fn listen(&self, partition: Partition, take: Take) -> bool {
        let mut routed = self.routed.lock().await;
        if routed.contains_key(&partition) {
            return true;
        }
        let subject = self.subjects.all_routed(partition);
        routed.insert(partition, self.subscribe(&subject, take));
        drop(routed);
        // The current owner keeps the partition until the server knows of this subscription.
        self.is_reached(Instant::now() + SUBSCRIBE_TIMEOUT).await
    }

    async fn unlisten(&self, partition: Partition) {
        let subscription = self.routed.lock().await.remove(&partition);
        if let Some(subscription) = subscription {
            subscription.end().await;
        }
    }

    async fn is_reached(&self, deadline: Instant) -> bool {
        // The server's `PONG` follows everything that it sent before, and shows that it has
        // received everything given to the connection before. It depends on no other client, and no
        // other client can prevent it.
        matches!(timeout_at(deadline, self.connection.client.round_trip()).await, Ok(Ok(())))
    }

    async fn reach(&self, deadline: Instant) -> bool {
        let is_sent = matches!(timeout_at(deadline, self.sender.mark()).await, Ok(Ok(())));
        is_sent && self.is_reached(deadline).await
    }

    fn max_message_bytes(&self) -> usize {
        self.connection.max_payload()
    }
}

fn answer(message: &Message) -> Answer {
    let headers = message.headers.iter().flat_map(Headers::all);
    let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Answer { headers, body: message.payload.clone() }
}
