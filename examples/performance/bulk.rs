//! Fills a store faster than peerd would: valid records, written directly into the streams, without
//! other writers.

use std::sync::Arc;
use std::{ops::Range, time::Duration};

use async_nats::{
    Client,
    jetstream::{self, Context},
};
use futures::future::try_join_all;
use peerd::{
    clock::Clock,
    storage::{conversation, message},
    store::{StreamId, jetstream::StreamNames},
};
use peerd_core::{
    clock::{KeyClock, Lane},
    content::Content,
    conversation::{Head, Mark, PagePointers, Settings},
    id::{MessageId, OrderKey, Partition, UserId},
    message::{Message, ReceiptStatus},
    receive::Placed,
};
use peerd_protocol::subject::{Subjects, Token};
use serde_json::Value;

/// peerd's defaults.
const PREFIX: &str = "peer";
const PARTITIONS: u16 = 8;
/// Messages of each conversation of a full store.
const MESSAGES_EACH: u64 = 10;
/// The most messages without an acknowledgement: that of the last one covers all before it.
const AT_ONCE: u64 = 500;
/// The interval between messages at a sender's rate: ten a second.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// The messages of a pair.
#[derive(Clone, Debug)]
pub(crate) struct Conversation {
    pub(crate) sender: UserId,
    pub(crate) receiver: UserId,
    pub(crate) messages: u64,
    /// The messages, counted from 0, that are written at a sender's rate. A message that a request
    /// names is searched by its time, so the density of messages around that time matters.
    pub(crate) slow: Range<u64>,
}

/// The place of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stored {
    pub(crate) stream_seq: u64,
    pub(crate) id: MessageId,
}

/// A growing conversation.
struct Growing {
    conversation: Conversation,
    subject: String,
    newest: Option<Head>,
}

fn user(name: &str) -> Result<UserId, String> {
    UserId::new(name, "userID").map_err(|error| error.to_string())
}

fn subjects() -> Subjects {
    Subjects::new(PREFIX, PARTITIONS)
}

/// Fills a store with conversations; returns the number of messages.
pub(crate) async fn fill(url: &str, conversations: u64) -> Result<u64, String> {
    let conversation = |number: u64| {
        Ok(Conversation {
            sender: user(&format!("full-s{number}"))?,
            receiver: user(&format!("full-r{number}"))?,
            messages: MESSAGES_EACH,
            slow: 0..0,
        })
    };
    let all: Result<Vec<_>, String> = (0..conversations).map(conversation).collect();
    write(url, all?).await?;
    Ok(conversations * MESSAGES_EACH)
}

/// Writes the conversation of the one pair of `peerd bench --pairs 1 --users <users>`; returns its
/// messages, oldest first.
pub(crate) async fn conversation(
    url: &str,
    users: &str,
    messages: u64,
    slow: Range<u64>,
) -> Result<Vec<Stored>, String> {
    let (sender, receiver) = (user(&format!("{users}-s0"))?, user(&format!("{users}-r0"))?);
    write(url, vec![Conversation { sender, receiver, messages, slow }]).await
}

/// Writes conversations; returns all messages, in order for each conversation.
pub(crate) async fn write(
    url: &str,
    conversations: Vec<Conversation>,
) -> Result<Vec<Stored>, String> {
    let client = async_nats::connect(url).await.map_err(|error| error.to_string())?;
    let context = jetstream::new(client.clone());
    let subjects = subjects();
    let mut by_partition: Vec<Vec<Growing>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    let mut entries: Vec<Vec<String>> = (0..PARTITIONS).map(|_| Vec::new()).collect();
    for conversation in conversations {
        let Conversation { sender, receiver, .. } = &conversation;
        let (sender, receiver) = (Token::of(sender), Token::of(receiver));
        let (theirs, ours) = (subjects.partition(&sender), subjects.partition(&receiver));
        entries[usize::from(theirs.0)]
            .push(conversation::key(&subjects, theirs, &sender, &receiver));
        let subject = subjects.log(ours, &receiver, &sender);
        by_partition[usize::from(ours.0)].push(Growing { conversation, subject, newest: None });
    }
    let settings = Settings { changed: OrderKey::at_ms(now_ms()), ..Settings::default() };
    let entry = conversation::encode(&settings).map_err(|error| error.to_string())?;
    let entries = (0..PARTITIONS).zip(entries).map(|(number, subjects)| {
        let (writer, entry) =
            (Writer::new(&client, &context, StreamId::State(Partition(number))), entry.clone());
        async move {
            let mut writer = writer.await?;
            for subject in subjects {
                writer.write(subject, entry.clone()).await?;
            }
            writer.flush().await
        }
    });
    try_join_all(entries).await?;
    let logs = (0..PARTITIONS)
        .zip(by_partition)
        .map(|(number, growing)| messages(&client, &context, Partition(number), growing));
    Ok(try_join_all(logs).await?.concat())
}

fn now_ms() -> u64 {
    Clock::system().now().wall_ms
}

/// Writes the messages of one partition, alternating between conversations as in real traffic.
async fn messages(
    client: &Client,
    context: &Context,
    partition: Partition,
    mut conversations: Vec<Growing>,
) -> Result<Vec<Stored>, String> {
    let mut writer = Writer::new(client, context, StreamId::Log(partition)).await?;
    let (clock, mut stored) = (KeyClock::default(), Vec::new());
    let rounds = conversations.iter().map(|growing| growing.conversation.messages).max();
    for round in 0..rounds.unwrap_or_default() {
        for growing in &mut conversations {
            if round >= growing.conversation.messages {
                continue;
            }
            let is_slow = growing.conversation.slow.contains(&round);
            if is_slow {
                // Earlier messages are stored before it.
                writer.flush().await?;
                tokio::time::sleep(WRITE_INTERVAL).await;
            }
            let placed = growing.next(partition, &clock, now_ms());
            let record = message::encode(&placed, None).map_err(|error| error.to_string())?;
            let stream_seq = writer.write(growing.subject.clone(), record).await?;
            stored.push(Stored { stream_seq, id: placed.message.id() });
            growing.newest = Some(placed.head(stream_seq));
            if is_slow {
                writer.flush().await?;
            }
        }
    }
    writer.flush().await?;
    Ok(stored)
}

impl Growing {
    fn next(&self, partition: Partition, clock: &KeyClock, sent_ms: u64) -> Placed {
        let Conversation { sender, receiver, .. } = &self.conversation;
        let seq = self.newest.map_or(0, |head| head.mark.seq) + 1;
        let message = Message {
            sender: sender.clone(),
            receiver: receiver.clone(),
            partition,
            key: clock.next(sent_ms, OrderKey::ZERO, Lane::of(sender, receiver)),
            seq,
            timestamp_ms: sent_ms,
            local_id: None,
            receipt: ReceiptStatus::None,
            counts: true,
            extended_data: String::new(),
            content: Content::Text { message: format!("Message {seq} of a long time ago.") },
            annotations: None,
        };
        Placed {
            message: Arc::new(message),
            mark: Mark { seq, counted: seq },
            page: self.newest.map_or_else(PagePointers::default, |head| head.next_pointers()),
            expected_seq: self.newest.map_or(0, |head| head.stream_seq),
        }
    }
}

/// Writes into one stream as its only writer, so that it knows each message's sequence before the
/// acknowledgement.
struct Writer {
    client: Client,
    newest_seq: u64,
    unacknowledged: u64,
    /// The last message, whose acknowledgement covers all before it.
    held_back: Option<(String, bytes::Bytes)>,
}

impl Writer {
    async fn new(client: &Client, context: &Context, stream: StreamId) -> Result<Self, String> {
        let name = StreamNames::new(PREFIX).of(stream);
        let stream = context.get_stream(name).await.map_err(|error| error.to_string())?;
        let newest_seq = stream.cached_info().state.last_sequence;
        Ok(Self { client: client.clone(), newest_seq, unacknowledged: 0, held_back: None })
    }

    async fn write(&mut self, subject: String, body: bytes::Bytes) -> Result<u64, String> {
        if let Some((subject, body)) = self.held_back.replace((subject, body)) {
            self.unacknowledged += 1;
            if self.unacknowledged >= AT_ONCE {
                self.acknowledged(subject, body).await?;
            } else {
                let sent = self.client.publish(subject, body).await;
                sent.map_err(|error| error.to_string())?;
            }
            self.newest_seq += 1;
        }
        Ok(self.newest_seq + 1)
    }

    /// Writes a message and waits for its acknowledgement.
    async fn acknowledged(&mut self, subject: String, body: bytes::Bytes) -> Result<(), String> {
        let ack = self.client.request(subject, body).await.map_err(|error| error.to_string())?;
        let ack: Value = serde_json::from_slice(&ack.payload).map_err(|error| error.to_string())?;
        let expected = self.newest_seq + 1;
        self.unacknowledged = 0;
        if ack["seq"] == expected {
            Ok(())
        } else {
            Err(format!("a message is not at {expected}, as one was lost or another wrote: {ack}"))
        }
    }

    /// Waits until everything is stored.
    async fn flush(&mut self) -> Result<(), String> {
        if let Some((subject, body)) = self.held_back.take() {
            self.acknowledged(subject, body).await?;
            self.newest_seq += 1;
        }
        Ok(())
    }
}
