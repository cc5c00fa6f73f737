//! Measures the sizes of peerd's records, replies and events, which the baseline and the limit use.

use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout_at};

use super::shared::Target;
use super::users::{Pair, TRY_FOR, until_accepted};
use peerd_protocol::event::BUNDLE;
use peerd_protocol::subject::{Subjects, Token};

/// The events of one message to its sender.
const SENDERS: usize = 1;
/// The events of one message to its receiver.
const RECEIVERS: usize = 3;
/// How long they may take.
const SOON: Duration = Duration::from_secs(5);

/// An event of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EventSize {
    pub(super) is_senders: bool,
    pub(super) name: String,
    pub(super) bytes: usize,
}

/// The sizes of everything that one message causes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) record: usize,
    pub(super) reply: usize,
    /// The events in the order of arrival.
    pub(super) events: Vec<EventSize>,
}

/// Sends a message of the first pair, and measures everything that it causes.
pub(super) async fn learn(
    client: &Client,
    subjects: &Subjects,
    pair: &Pair,
    target: &Target,
    log_streams: &[String],
) -> Result<Sizes, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the sizes could not be learned: {error}");
    let (sender, receiver) = (Token::of(&pair.sender), Token::of(&pair.receiver));
    let mut senders =
        client.subscribe(subjects.all_events(&sender)).await.map_err(|e| failed(&e))?;
    let mut receivers =
        client.subscribe(subjects.all_events(&receiver)).await.map_err(|e| failed(&e))?;
    let call = &target.calls[0];
    let body = call.body.body(0, target.next_number());
    let reply =
        until_accepted(client, call.subject.to_string(), target.headers.clone(), body, TRY_FOR)
            .await?;
    let deadline = Instant::now() + SOON;
    let (mut events, mut count) = (Vec::new(), 0);
    while count < SENDERS + RECEIVERS {
        let next = async {
            tokio::select! {
                event = receivers.next() => (false, event),
                event = senders.next() => (true, event),
            }
        };
        let Ok((is_senders, Some(event))) = timeout_at(deadline, next).await else {
            return Err(failed(&format!("{count} of the events came")));
        };
        let name = peerd_protocol::subject::last_token(&event.subject).to_owned();
        count += match &*name {
            BUNDLE if is_senders => SENDERS,
            BUNDLE => RECEIVERS,
            _ => 1,
        };
        events.push(EventSize { is_senders, name, bytes: event.payload.len() });
    }
    let partition = subjects.partition(&receiver);
    let stream = log_streams.get(usize::from(partition.0)).ok_or("the partition has no log")?;
    let stream = jetstream::new(client.clone()).get_stream(stream).await.map_err(|e| failed(&e))?;
    let subject = subjects.log(partition, &receiver, &sender);
    let record = stream.direct_get_last_for_subject(subject).await.map_err(|e| failed(&e))?;
    Ok(Sizes { record: record.payload.len(), reply: reply.payload.len(), events })
}
