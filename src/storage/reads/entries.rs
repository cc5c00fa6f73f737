//! Reads of entries.

use std::collections::{BTreeMap, HashMap, HashSet};

use futures::future::try_join_all;

use super::Storage;
use crate::storage::{Entry, Key, Kind, account, conversation, deletions};
use crate::store::{ReadError, Start, Store, StreamId};
use peerd_core::conversation::Settings;
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{Partition, UserId};
use peerd_core::pins::Pins;
use peerd_core::user::Account;
use peerd_protocol::subject::{Token, is_sentinel};

impl<S: Store> Storage<'_, S> {
    /// The entries of a user that a load reads, each with its sequence, with substitutes for
    /// unreadable ones.
    pub async fn entries_at_load(
        &self,
        partition: Partition,
        user: &Token,
    ) -> Result<Vec<(Entry, u64)>, ReadError> {
        let at_load = |kind: &Kind| kind.at_load(self.subjects, partition, user);
        let stream = StreamId::State(partition);
        let records = self.last(stream, Kind::ALL.iter().filter_map(at_load).collect()).await?;
        let mut entries = Vec::with_capacity(records.len());
        for record in &records {
            let key = match Key::parse(self.subjects, partition, &record.subject) {
                Ok(Some((_, key))) => key,
                Ok(None) => continue,
                Err(error) => {
                    self.leave_out(stream, record, &error);
                    continue;
                }
            };
            let entry = Entry::decode(key.clone(), &record.payload).unwrap_or_else(|error| {
                self.leave_out(stream, record, &error);
                Entry::instead(key)
            });
            entries.push((entry, record.stream_seq));
        }
        Ok(entries)
    }

    /// The accounts of these users, as far as they have one.
    pub async fn accounts(
        &self,
        users: impl Iterator<Item = &UserId>,
    ) -> Result<HashMap<UserId, Account>, ReadError> {
        let mut by_partition: BTreeMap<Partition, HashMap<String, UserId>> = BTreeMap::new();
        for user in users {
            let token = Token::of(user);
            let partition = self.subjects.partition(&token);
            let subject = account::key(self.subjects, partition, &token);
            by_partition.entry(partition).or_default().insert(subject, user.clone());
        }
        let reads = by_partition.into_iter().map(|(partition, mut users)| async move {
            let stream = StreamId::State(partition);
            let mut accounts = Vec::with_capacity(users.len());
            for record in self.last(stream, users.keys().cloned().collect()).await? {
                let Some(user) = users.remove(&record.subject) else { continue };
                match account::decode(&record.payload) {
                    Ok(account) => accounts.push((user, account)),
                    Err(error) => self.leave_out(stream, &record, &error),
                }
            }
            Ok::<_, ReadError>(accounts)
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }

    /// The pinned messages of the conversation of `keeper`, who keeps them, with `other`.
    pub async fn pins(&self, keeper: &UserId, other: &UserId) -> Result<Pins, ReadError> {
        let (user, other) = (Token::of(keeper), Token::of(other));
        let partition = self.subjects.partition(&user);
        let stream = StreamId::State(partition);
        let subject = conversation::key(self.subjects, partition, &user, &other);
        let records = self.last(stream, vec![subject]).await?;
        let Some(record) = records.first() else { return Ok(Pins::default()) };
        let settings = conversation::decode(&record.payload).unwrap_or_else(|error| {
            self.leave_out(stream, record, &error);
            Settings::default()
        });
        Ok(settings.pins)
    }

    /// Users of a partition who ever logged in, in the order in which their accounts were stored,
    /// from a sequence on; and the sequence of the rest, if there are more.
    pub async fn users(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<UserId>, Option<u64>), ReadError> {
        let (stream, all) = (StreamId::State(partition), account::all(self.subjects, partition));
        let batch = self.store.read(stream, all, Start::Seq(from), limit, self.deadline).await?;
        // An entry that is no account is of a later release.
        let user = |subject: &str| match Key::parse(self.subjects, partition, subject) {
            Ok(Some((user, Key::Account))) => Some(user),
            _ => None,
        };
        let users = batch.records.iter().filter_map(|record| user(&record.subject)).collect();
        let last = batch.records.last().filter(|_| batch.remaining > 0);
        Ok((users, last.map(|last| last.stream_seq + 1)))
    }

    /// Those of these pages of a user's deletions that have entries of their own, with the
    /// sequences.
    pub async fn deletions(
        &self,
        partition: Partition,
        (user, other): (&Token, &Token),
        pages: HashSet<PageId>,
    ) -> Result<Vec<(PageId, Bitmap, u64)>, ReadError> {
        if pages.is_empty() {
            return Ok(Vec::new());
        }
        let subject = |page| deletions::key(self.subjects, partition, user, other, page);
        let pages: HashMap<String, PageId> =
            pages.into_iter().map(|page| (subject(page), page)).collect();
        let stream = StreamId::State(partition);
        let mut found = Vec::new();
        for record in self.last(stream, pages.keys().cloned().collect()).await? {
            let Some(page) = pages.get(&record.subject) else { continue };
            let bitmap = deletions::decode(&record.payload).unwrap_or_else(|error| {
                // The deleted messages of an unreadable page are shown again, and can be deleted
                // again.
                self.leave_out(stream, &record, &error);
                Bitmap::default()
            });
            found.push((*page, bitmap, record.stream_seq));
        }
        Ok(found)
    }

    /// The users of the entries in a partition's state from a sequence on, with the sequences, and
    /// where the rest begins, if there are more. `None`: an unknown user.
    pub async fn whose_entries(
        &self,
        partition: Partition,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<(u64, Option<UserId>)>, Option<u64>), ReadError> {
        let (stream, all) = (StreamId::State(partition), self.subjects.all_state(partition));
        let batch = self.store.read(stream, all, Start::Seq(from), limit, self.deadline).await?;
        let prefix = self.subjects.state_prefix(partition);
        let user = |subject: &str| {
            // Includes kinds of a later release.
            Token::parse(subject.strip_prefix(&prefix)?.split('.').next()?).ok()
        };
        let entries = batch.records.iter().filter(|record| !is_sentinel(&record.subject));
        let entries = entries.map(|record| (record.stream_seq, user(&record.subject))).collect();
        let last = batch.records.last().filter(|_| batch.remaining > 0);
        Ok((entries, last.map(|last| last.stream_seq + 1)))
    }
}
