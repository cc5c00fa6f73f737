//! Reads of messages.

use std::collections::{BTreeMap, HashMap};

use futures::future::try_join_all;

use super::Storage;
use super::amended::RawPage;
use super::items::{Item, Logged, Page, Pair, Raw, Slot};
use crate::storage::message;
use crate::storage::tuning::{SEARCH_FARTHER, SEARCH_REACH, SEARCH_RECORDS_PER_READ};
use crate::storage::user_of;
use crate::store::{Batch, ReadError, Record, Start, Store, StreamId};
use peerd_core::amendment::Removed;
use peerd_core::conversation::Head;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::pages::AmendedPages;
use peerd_protocol::subject::{Token, is_sentinel, last_token};

impl<S: Store> Storage<'_, S> {
    fn raw(&self, record: &Record, parties: (&UserId, &UserId), partition: Partition) -> Raw {
        Raw::read(record, parties, partition).unwrap_or_else(|error| {
            self.leave_out(StreamId::Log(partition), record, &error);
            let &Record { stream_seq, stored_ms, .. } = record;
            Raw(Item::Unreadable { stream_seq, stored_ms, error })
        })
    }

    /// Up to `limit` records of a pair from a position on, as they were stored.
    async fn raw_page(&self, pair: &Pair, from: Start, limit: usize) -> Result<RawPage, ReadError> {
        let (stream, subject) = (StreamId::Log(pair.partition), pair.subject.clone());
        let batch = self.store.read(stream, subject, from, limit, self.deadline).await?;
        let raw = |record| self.raw(record, (&pair.sender, &pair.receiver), pair.partition);
        let records = batch.records.iter().map(raw).collect();
        Ok(RawPage { records, count: count(&batch), next: next(&batch) })
    }

    /// Up to `limit` messages and stubs of a pair from a position on, with amendments applied.
    /// `amended` has the pages of the pair that may have amendments.
    pub async fn page(
        &self,
        pair: &Pair,
        amended: &AmendedPages,
        from: Start,
        limit: usize,
    ) -> Result<Page, ReadError> {
        let page = self.raw_page(pair, from, limit).await?;
        self.fold(pair, amended, (from, limit), page).await
    }

    /// As [`Storage::page`], but fewer only at the end of the log: unreadable records are skipped.
    pub async fn messages(
        &self,
        pair: &Pair,
        amended: &AmendedPages,
        mut from: Start,
        limit: usize,
    ) -> Result<Vec<Slot>, ReadError> {
        let mut all = Vec::with_capacity(limit);
        loop {
            let page = self.page(pair, amended, from, limit - all.len()).await?;
            all.extend(page.items.into_iter().filter_map(Item::slot));
            match page.next {
                Some(next) if all.len() < limit => from = Start::Seq(next),
                _ => return Ok(all),
            }
        }
    }

    /// When the messages of a pair were stored, from a time on, by the server's clock in
    /// milliseconds since 1970, including removed ones. A carrier counts at the time of its
    /// message.
    pub async fn times(
        &self,
        pair: &Pair,
        amended: &AmendedPages,
        since_ms: u64,
        limit: usize,
    ) -> Result<Vec<u64>, ReadError> {
        let from = Start::TimeMs(since_ms);
        let page = self.raw_page(pair, from, limit).await?;
        let carriers = page.records.iter().filter_map(Raw::carrier).cloned();
        let carriers: Vec<Removed> = carriers.collect();
        let page = self.fold(pair, amended, (from, limit), page).await?;
        let mut times = Vec::with_capacity(page.items.len());
        for item in page.items {
            let carrier = carriers.iter().find(|it| it.stream_seq == item.stream_seq());
            let stored_ms = match carrier {
                Some(carrier) => self.first_stored_ms(pair, carrier).await?,
                None => item.stored_ms(),
            };
            times.push(stored_ms);
        }
        times.retain(|stored_ms| *stored_ms >= since_ms);
        Ok(times)
    }

    /// The newest record of each of these pairs, if any. Each pair comes with its pages that may
    /// have amendments.
    pub async fn newest_of(
        &self,
        pairs: &[(Pair, AmendedPages)],
    ) -> Result<Vec<Option<Item>>, ReadError> {
        let mut by_partition: BTreeMap<Partition, HashMap<&str, usize>> = BTreeMap::new();
        for (index, (pair, _)) in pairs.iter().enumerate() {
            let subjects = by_partition.entry(pair.partition).or_default();
            subjects.insert(pair.subject.as_str(), index);
        }
        let reads = by_partition.into_iter().map(|(partition, by_subject)| async move {
            let subjects = by_subject.keys().map(|subject| (*subject).to_owned()).collect();
            let (mut indices, mut raw) = (Vec::new(), Vec::new());
            for record in self.last(StreamId::Log(partition), subjects).await? {
                let Some(index) = by_subject.get(record.subject.as_str()) else { continue };
                let Pair { sender, receiver, .. } = &pairs[*index].0;
                let item = self.raw(&record, (sender, receiver), partition);
                indices.push(*index);
                raw.push((sender.clone(), receiver.clone(), item));
            }
            // Usually there are none.
            let amended: HashMap<(&UserId, &UserId), &AmendedPages> = (indices.iter())
                .map(|index| &pairs[*index])
                .filter(|(_, amended)| !amended.is_empty())
                .map(|(pair, amended)| ((&pair.sender, &pair.receiver), amended))
                .collect();
            let amended = |sender: &UserId, receiver: &UserId| {
                amended
                    .get(&(sender, receiver))
                    .map(|amended| (*amended).clone())
                    .unwrap_or_default()
            };
            let items = self.amended(partition, raw, amended).await?;
            Ok::<_, ReadError>(indices.into_iter().zip(items).collect::<Vec<_>>())
        });
        let mut newest = vec![None; pairs.len()];
        for (index, item) in try_join_all(reads).await?.into_iter().flatten() {
            newest[index] = Some(item);
        }
        Ok(newest)
    }

    /// The newest message or stub of a pair at the stream's leader; `None` if there is none, or it
    /// is unreadable.
    pub async fn newest_at_leader(
        &self,
        pair: &Pair,
        amended: &AmendedPages,
    ) -> Result<Option<Slot>, ReadError> {
        self.store.last_seq(StreamId::Log(pair.partition), self.deadline).await?;
        let mut newest = self.newest_of(&[(pair.clone(), amended.clone())]).await?;
        Ok(newest.pop().flatten().and_then(Item::slot))
    }

    /// The head of the newest record of a pair; `None` if the store has none.
    pub async fn end(&self, pair: &Pair) -> Result<Option<Head>, ReadError> {
        let newest = self.last(StreamId::Log(pair.partition), vec![pair.subject.clone()]).await?;
        match newest.first() {
            Some(newest) => self.head_of(newest, pair).await.map(Some),
            None => Ok(None),
        }
    }

    /// Whether a pair has a record at a sequence.
    pub async fn has_record(&self, pair: &Pair, stream_seq: u64) -> Result<bool, ReadError> {
        let page = self.raw_page(pair, Start::Seq(stream_seq), 1).await?;
        Ok(page.records.iter().any(|record| record.stream_seq() == stream_seq))
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

    /// The head of the newest record of a pair. If that is unreadable, the head of the last
    /// readable record, with each later record counted as a message that does not count, so that no
    /// `messageSeq` is assigned twice.
    async fn head_of(&self, newest: &Record, pair: &Pair) -> Result<Head, ReadError> {
        let parties = (&pair.sender, &pair.receiver);
        if let Raw(Item::Slot(slot)) = self.raw(newest, parties, pair.partition) {
            return Ok(slot.head());
        }
        let end = newest.stream_seq;
        let mut reach = SEARCH_REACH;
        loop {
            let first = end.saturating_sub(reach).max(1);
            let (mut head, mut next, mut unread) = (None, Some(first), 0);
            while let Some(from) = next.take() {
                let page = self.raw_page(pair, Start::Seq(from), SEARCH_RECORDS_PER_READ).await?;
                let until_end = page.records.iter().take_while(|raw| raw.stream_seq() <= end);
                for Raw(item) in until_end {
                    match item {
                        Item::Slot(slot) => (head, unread) = (Some(slot.head()), 0),
                        Item::Unreadable { .. } => unread += 1,
                    }
                }
                next = page.next.filter(|next| *next <= end);
            }
            if head.is_some() || first == 1 {
                let holes = self.holes_after(pair, head, end).await?;
                return Ok(Head::past(head, unread + holes, end));
            }
            reach = reach.saturating_mul(SEARCH_FARTHER);
        }
    }

    /// Up to `limit` records to a user from all senders, from a position on, with amendments
    /// applied. `amended` has the pages of a sender's messages to the user that may have
    /// amendments. Holes are not filled.
    pub async fn received(
        &self,
        receiver: &UserId,
        from: Start,
        limit: usize,
        amended: impl Fn(&UserId) -> AmendedPages,
    ) -> Result<Page, ReadError> {
        let to = Token::of(receiver);
        let partition = self.subjects.partition(&to);
        let (stream, all) = (StreamId::Log(partition), self.subjects.log_to(partition, &to));
        let batch = self.store.read(stream, all, from, limit, self.deadline).await?;
        let mut senders: HashMap<&str, UserId> = HashMap::new();
        let mut raw = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let token = last_token(&record.subject);
            if !senders.contains_key(token) {
                let Ok(sender) = user_of(token) else { continue };
                senders.insert(token, sender);
            }
            let sender = &senders[token];
            let item = self.raw(record, (sender, receiver), partition);
            raw.push((sender.clone(), receiver.clone(), item));
        }
        let items = self.amended(partition, raw, |sender, _| amended(sender)).await?;
        Ok(Page { items, count: count(&batch), next: next(&batch) })
    }

    /// Reads up to `limit` records of a partition's log from a position on. Returns those of the
    /// wanted pairs (receiver, sender) as they were stored, and the next position if there are
    /// more.
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
                let record = self.raw(record, (&sender, &receiver), partition);
                logged.push(Logged { receiver, sender, record });
            }
        }
        Ok((logged, next(&batch)))
    }

    /// The order keys of up to `limit` records of a partition's log from a sequence on.
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
                // Perhaps of a newer version. The partition must be served all the same.
                Err(error) => self.leave_out(stream, record, &error),
            }
        }
        Ok(keys)
    }

    /// The sequences of up to `limit` records of a partition's log from a sequence on, readable or
    /// not, and whether there are more.
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
