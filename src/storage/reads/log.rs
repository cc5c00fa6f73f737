//! Reads of messages.

use std::collections::{BTreeMap, HashMap};

use futures::future::try_join_all;

use super::{LoadError, Storage};
use crate::storage::message::{self, StoredMessage};
use crate::storage::user_of;
use crate::store::{Batch, ReadError, Record, Start, Store, StreamId};
use crate::wire::packed::RecordError;
use peerd_core::content::Excerpt;
use peerd_core::conversation::Head;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_protocol::subject::{Subjects, Token, is_sentinel, last_token};

/// How far before a record that cannot be read one is looked for that can, at first, and by how much
/// farther each time.
const REACH: u64 = 64;
const FARTHER: u64 = 8;
/// Records that one such read asks for.
const BATCH: usize = 256;

/// One direction of a conversation: a subject of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who sends.
    pub sender: UserId,
    /// Who receives.
    pub receiver: UserId,
    /// The receiver's partition, whose log it is in.
    pub partition: Partition,
    /// The subject.
    pub subject: String,
}

impl Pair {
    /// The messages that `sender` sent to `receiver`.
    #[must_use]
    pub fn new(subjects: &Subjects, sender: &UserId, receiver: &UserId) -> Self {
        let to = Token::of(receiver);
        let partition = subjects.partition(&to);
        let subject = message::key(subjects, partition, &to, &Token::of(sender));
        Self { sender: sender.clone(), receiver: receiver.clone(), partition, subject }
    }
}

/// A stored message and where it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its place in the stream.
    pub stream_seq: u64,
    /// When it was stored, by the server's clock, in milliseconds since 1970.
    pub stored_ms: u64,
    /// About the memory that it takes.
    pub bytes: usize,
    /// The message.
    pub stored: StoredMessage,
}

impl Found {
    /// Reads a record. Production code decodes records here only.
    pub fn read(
        record: &Record,
        (sender, receiver): (&UserId, &UserId),
        partition: Partition,
    ) -> Result<Self, RecordError> {
        let stored = message::decode(&record.payload, sender, receiver, partition)?;
        let &Record { stream_seq, stored_ms, .. } = record;
        let parts = stored.message.content.parts() * size_of::<Excerpt>();
        let bytes = size_of::<Self>() + parts + record.payload.len();
        Ok(Self { stream_seq, stored_ms, bytes, stored })
    }

    /// Its order key.
    #[must_use]
    pub const fn key(&self) -> OrderKey {
        self.stored.message.key
    }

    /// Its `messageSeq`.
    #[must_use]
    pub const fn seq(&self) -> u64 {
        self.stored.message.seq
    }

    /// The head that it is.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.stored.head(self.stream_seq)
    }
}

/// A record of a log.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all are messages, and none is kept")]
pub enum Item {
    /// A message.
    Message(Found),
    /// What cannot be read. It was counted and named.
    Unreadable {
        /// Its place in the stream.
        stream_seq: u64,
        /// Why.
        error: RecordError,
    },
}

impl Item {
    /// Its place in the stream.
    #[must_use]
    pub const fn stream_seq(&self) -> u64 {
        match self {
            Self::Message(found) => found.stream_seq,
            Self::Unreadable { stream_seq, .. } => *stream_seq,
        }
    }

    /// The message's order key, if it is one.
    #[must_use]
    pub const fn key(&self) -> Option<OrderKey> {
        match self {
            Self::Message(found) => Some(found.key()),
            Self::Unreadable { .. } => None,
        }
    }

    /// The message; what cannot be read is an error.
    pub fn required(self) -> Result<Found, LoadError> {
        match self {
            Self::Message(found) => Ok(found),
            Self::Unreadable { error, .. } => Err(error.into()),
        }
    }

    /// The message, if it is one.
    #[must_use]
    pub fn message(self) -> Option<Found> {
        match self {
            Self::Message(found) => Some(found),
            Self::Unreadable { .. } => None,
        }
    }
}

/// A stretch of a log.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Its records, in the log's order.
    pub items: Vec<Item>,
    /// How many records there are from its beginning to the end of the log, sentinels among them.
    pub count: u64,
    /// Where the records after it begin, if there are more.
    pub next: Option<u64>,
}

/// A record of a partition's log, and whose it is.
#[derive(Clone, Debug)]
pub struct Logged {
    /// Who received it.
    pub receiver: UserId,
    /// Who sent it.
    pub sender: UserId,
    /// The record.
    pub item: Item,
}

impl<S: Store> Storage<'_, S> {
    fn item(&self, record: &Record, parties: (&UserId, &UserId), partition: Partition) -> Item {
        match Found::read(record, parties, partition) {
            Ok(found) => Item::Message(found),
            Err(error) => {
                self.leave_out(StreamId::Log(partition), record, &error);
                Item::Unreadable { stream_seq: record.stream_seq, error }
            }
        }
    }

    /// Up to `limit` records of a pair from a place on.
    pub async fn page(&self, pair: &Pair, from: Start, limit: usize) -> Result<Page, ReadError> {
        let (stream, subject) = (StreamId::Log(pair.partition), pair.subject.clone());
        let batch = self.store.read(stream, subject, from, limit, self.deadline).await?;
        let item = |record| self.item(record, (&pair.sender, &pair.receiver), pair.partition);
        let items = batch.records.iter().map(item).collect();
        Ok(Page { items, count: count(&batch), next: next(&batch) })
    }

    /// Up to `limit` messages of a pair from a place on, fewer only where it ends: what cannot be read
    /// is left out.
    pub async fn messages(
        &self,
        pair: &Pair,
        mut from: Start,
        limit: usize,
    ) -> Result<Vec<Found>, ReadError> {
        let mut all = Vec::with_capacity(limit);
        loop {
            let page = self.page(pair, from, limit - all.len()).await?;
            all.extend(page.items.into_iter().filter_map(Item::message));
            match page.next {
                Some(next) if all.len() < limit => from = Start::Seq(next),
                _ => return Ok(all),
            }
        }
    }

    /// When the messages of a pair were stored from a time on, by the server's clock, in milliseconds
    /// since 1970.
    pub async fn times(
        &self,
        pair: &Pair,
        since_ms: u64,
        limit: usize,
    ) -> Result<Vec<u64>, ReadError> {
        let (stream, subject) = (StreamId::Log(pair.partition), pair.subject.clone());
        let from = Start::TimeMs(since_ms);
        let batch = self.store.read(stream, subject, from, limit, self.deadline).await?;
        Ok(batch.records.iter().map(|record| record.stored_ms).collect())
    }

    /// The newest record of each of these pairs that has any.
    pub async fn newest_of(&self, pairs: &[Pair]) -> Result<Vec<Option<Item>>, ReadError> {
        let mut by_partition: BTreeMap<Partition, Vec<usize>> = BTreeMap::new();
        for (index, pair) in pairs.iter().enumerate() {
            by_partition.entry(pair.partition).or_default().push(index);
        }
        let reads = by_partition.into_iter().map(|(partition, indices)| async move {
            let subjects = indices.iter().map(|index| pairs[*index].subject.clone()).collect();
            let records = self.last(StreamId::Log(partition), subjects).await?;
            let by_subject: HashMap<&str, &Record> =
                records.iter().map(|record| (record.subject.as_str(), record)).collect();
            let found = indices.into_iter().filter_map(|index| {
                let pair = &pairs[index];
                let record = by_subject.get(pair.subject.as_str())?;
                Some((index, self.item(record, (&pair.sender, &pair.receiver), partition)))
            });
            Ok::<_, ReadError>(found.collect::<Vec<_>>())
        });
        let mut newest = vec![None; pairs.len()];
        for (index, item) in try_join_all(reads).await?.into_iter().flatten() {
            newest[index] = Some(item);
        }
        Ok(newest)
    }

    /// The newest message of a pair as the stream's leader has it; `None` where there is none, or it
    /// cannot be read.
    pub async fn newest_at_leader(&self, pair: &Pair) -> Result<Option<Found>, ReadError> {
        self.store.last_seq(StreamId::Log(pair.partition), self.deadline).await?;
        let mut newest = self.newest_of(std::slice::from_ref(pair)).await?;
        Ok(newest.pop().flatten().and_then(Item::message))
    }

    /// What the newest record of a pair comes to; `None` where the store has none.
    pub async fn end(&self, pair: &Pair) -> Result<Option<Head>, ReadError> {
        let newest = self.last(StreamId::Log(pair.partition), vec![pair.subject.clone()]).await?;
        match newest.first() {
            Some(newest) => self.head_of(newest, pair).await.map(Some),
            None => Ok(None),
        }
    }

    /// The newest messages to a user, by sender.
    pub async fn heads_to(&self, receiver: &UserId) -> Result<Vec<(UserId, Head)>, ReadError> {
        let to = Token::of(receiver);
        let partition = self.subjects.partition(&to);
        let stream = StreamId::Log(partition);
        let records = self.last(stream, vec![self.subjects.log_to(partition, &to)]).await?;
        let mut heads = Vec::with_capacity(records.len());
        for record in records {
            match user_of(last_token(&record.subject)) {
                Ok(sender) => {
                    let (receiver, subject) = (receiver.clone(), record.subject.clone());
                    let pair = Pair { sender, receiver, partition, subject };
                    heads.push((pair.sender.clone(), self.head_of(&record, &pair).await?));
                }
                Err(error) => self.leave_out(stream, &record, &error),
            }
        }
        Ok(heads)
    }

    /// The newest messages that a user sent to each of these others.
    pub async fn heads_from(
        &self,
        sender: &UserId,
        others: impl Iterator<Item = &UserId>,
    ) -> Result<Vec<(UserId, Head)>, ReadError> {
        let mut by_partition: BTreeMap<Partition, HashMap<String, Pair>> = BTreeMap::new();
        for other in others {
            let pair = Pair::new(self.subjects, sender, other);
            by_partition.entry(pair.partition).or_default().insert(pair.subject.clone(), pair);
        }
        let reads = by_partition.into_iter().map(|(partition, pairs)| async move {
            let subjects = pairs.keys().cloned().collect();
            let records = self.last(StreamId::Log(partition), subjects).await?;
            let mut heads = Vec::with_capacity(records.len());
            for record in &records {
                let Some(pair) = pairs.get(&record.subject) else { continue };
                heads.push((pair.receiver.clone(), self.head_of(record, pair).await?));
            }
            Ok::<_, ReadError>(heads)
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// What the newest record of a pair comes to. Where it cannot be read, that is the one before it,
    /// with all that follow it taken for messages that do not count: no `messageSeq` is given twice.
    async fn head_of(&self, newest: &Record, pair: &Pair) -> Result<Head, ReadError> {
        let parties = (&pair.sender, &pair.receiver);
        if let Item::Message(found) = self.item(newest, parties, pair.partition) {
            return Ok(found.head());
        }
        let end = newest.stream_seq;
        let mut reach = REACH;
        loop {
            let first = end.saturating_sub(reach).max(1);
            let (mut head, mut next, mut unread) = (None, Some(first), 0);
            while let Some(from) = next.take() {
                let page = self.page(pair, Start::Seq(from), BATCH).await?;
                let until_end = page.items.into_iter().take_while(|item| item.stream_seq() <= end);
                for item in until_end {
                    match item {
                        Item::Message(found) => (head, unread) = (Some(found.head()), 0),
                        Item::Unreadable { .. } => unread += 1,
                    }
                }
                next = page.next.filter(|next| *next <= end);
            }
            if head.is_some() || first == 1 {
                return Ok(Head::past(head, unread, end));
            }
            reach = reach.saturating_mul(FARTHER);
        }
    }

    /// Up to `limit` records to a user, of all senders, from a place on.
    pub async fn received(
        &self,
        receiver: &UserId,
        from: Start,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let to = Token::of(receiver);
        let partition = self.subjects.partition(&to);
        let (stream, all) = (StreamId::Log(partition), self.subjects.log_to(partition, &to));
        let batch = self.store.read(stream, all, from, limit, self.deadline).await?;
        let mut senders: HashMap<&str, UserId> = HashMap::new();
        let mut items = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let token = last_token(&record.subject);
            if !senders.contains_key(token) {
                let Ok(sender) = user_of(token) else { continue };
                senders.insert(token, sender);
            }
            items.push(self.item(record, (&senders[token], receiver), partition));
        }
        Ok(Page { items, count: count(&batch), next: next(&batch) })
    }

    /// Of up to `limit` records of a partition's log from a place on, those of pairs (receiver, sender)
    /// that are wanted; and where the others begin, if there are more.
    pub async fn logged(
        &self,
        partition: Partition,
        from: Start,
        limit: usize,
        is_wanted: impl Fn(&UserId, &UserId) -> bool,
    ) -> Result<(Vec<Logged>, Option<u64>), ReadError> {
        let (stream, all) = (StreamId::Log(partition), self.subjects.all_log(partition));
        let batch = self.store.read(stream, all, from, limit, self.deadline).await?;
        let mut logged = Vec::new();
        for record in &batch.records {
            let Some((receiver, sender)) = parties(&record.subject) else { continue };
            if is_wanted(&receiver, &sender) {
                let item = self.item(record, (&sender, &receiver), partition);
                logged.push(Logged { receiver, sender, item });
            }
        }
        Ok((logged, next(&batch)))
    }

    /// The order keys of up to `limit` records of a partition's log from a place on.
    pub async fn order_keys(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<Vec<OrderKey>, ReadError> {
        let (stream, all) = (StreamId::Log(partition), self.subjects.all_log(partition));
        let batch = self.store.read(stream, all, Start::Seq(from), limit, self.deadline).await?;
        let mut keys = Vec::with_capacity(batch.records.len());
        for record in batch.records.iter().filter(|record| !is_sentinel(&record.subject)) {
            match message::order_key(&record.payload) {
                Ok(key) => keys.push(key),
                // Of a newer version, perhaps. It is no reason to leave all others unserved.
                Err(error) => self.leave_out(stream, record, &error),
            }
        }
        Ok(keys)
    }

    /// The places of up to `limit` records of a partition's log from a place on, whatever they hold, and
    /// whether there are more.
    pub async fn places(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<u64>, bool), ReadError> {
        let (stream, all) = (StreamId::Log(partition), self.subjects.all_log(partition));
        let batch = self.store.read(stream, all, Start::Seq(from), limit, self.deadline).await?;
        let places = batch.records.iter().map(|record| record.stream_seq).collect();
        Ok((places, batch.remaining > 0))
    }
}

/// Receiver and sender of a record of a log; `None` for a sentinel.
fn parties(subject: &str) -> Option<(UserId, UserId)> {
    let mut tokens = subject.rsplit('.');
    let sender = Token::parse(tokens.next()?).ok()?;
    let receiver = Token::parse(tokens.next()?).ok()?;
    Some((receiver, sender))
}

fn count(batch: &Batch) -> u64 {
    batch.records.len() as u64 + batch.remaining
}

fn next(batch: &Batch) -> Option<u64> {
    batch.records.last().filter(|_| batch.remaining > 0).map(|last| last.stream_seq + 1)
}
