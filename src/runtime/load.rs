//! Loading a user: a fixed number of batched reads, whatever the length of the history.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use futures::future::try_join_all;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::cell::UserCell;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::blocklist::{BlockEntry, BlockNumber};
use crate::domain::conversation::{Head, Settings};
use crate::domain::id::{Partition, UserId};
use crate::domain::message::Direction;
use crate::domain::user::{Account, User};
use crate::failpoint::{self, Fault};
use crate::store::{ReadError, Record, Start, Store, StreamId};
use crate::wire::entry;
use crate::wire::failure::Failure;
use crate::wire::record::RecordError;
use crate::wire::subject::{self, Token, last_token};

const SECOND_MS: u64 = 1000;
/// How far the clocks of two machines of peerd may be apart.
const CLOCK_SLACK_MS: u64 = 2000;
/// Most messages of one pair that are read to know a sender's last second.
const RECALLED: usize = 1024;

/// Why a read came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        match error {
            LoadError::Read(error) => {
                tracing::debug!(%error, "a read failed");
                Self::StoreUnavailable
            }
            LoadError::Record(error) => {
                tracing::error!(%error, "the store holds what peerd cannot read");
                Self::Internal
            }
        }
    }
}

/// What the store has of a user.
#[derive(Default)]
pub(super) struct Stored {
    account: Option<(Account, u64)>,
    pub(super) settings: Vec<(UserId, Settings, u64)>,
    blocked: Vec<(UserId, BlockEntry)>,
    pub(super) received: Vec<(UserId, Head)>,
    pub(super) sent: Vec<(UserId, Head)>,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Loads a user's state, or brings it up to date.
    pub(super) async fn load(&self, cell: &UserCell, deadline: Instant) -> Result<(), Failure> {
        let _gate = cell.gate(deadline).await?;
        self.load_in_gate(cell, deadline).await
    }

    /// Waits until no other load or change of the user's entries is under way, and sees to it that
    /// what the one before left behind is known: it may have ended without an answer.
    pub(super) async fn gate<'c>(
        &self,
        cell: &'c UserCell,
        deadline: Instant,
    ) -> Result<MutexGuard<'c, ()>, Failure> {
        let gate = cell.gate(deadline).await?;
        self.load_in_gate(cell, deadline).await?;
        Ok(gate)
    }

    async fn load_in_gate(&self, cell: &UserCell, deadline: Instant) -> Result<(), Failure> {
        // Read before the store is: what is lost meanwhile has it loaded once more.
        let generation = self.store.generation();
        if cell.is_loaded(generation) {
            return Ok(());
        }
        let stored = self.read_user(cell, deadline).await?;
        {
            let mut user = cell.lock();
            if let Some((account, _)) = &stored.account {
                let heard_ms = account.heard_ms.unwrap_or_default();
                cell.heard_stored_ms.store(heard_ms, Ordering::Relaxed);
                cell.put_off_heard(heard_ms + self.options.heard_write_interval_ms);
            }
            if !cell.was_ever_loaded() {
                // Or invalidated: the store did not have what memory had.
                user.forget_entries();
            }
            stored.merge_into(&mut user);
            user.settle_revision();
            let clock = &cell.tenure.clock;
            for known in user.conversations.values() {
                clock.observe(known.order_key().max(known.settings.changed));
            }
            clock.observe(user.newest_told());
            clock.observe(user.blocked.newest());
        }
        self.look_at_oldest(cell, deadline).await?;
        if !cell.was_ever_loaded() && !failpoint::is(Fault::RateForgotten) {
            self.recall_last_second(cell, deadline).await?;
        }
        cell.set_loaded(generation, self.loads.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(())
    }

    /// An owner that has just come to a user does not know what the user sent in the last second.
    /// The log does. A user who did not send then needs no read.
    ///
    /// Ages are counted by the server's clock, which stored the messages, whoever had them stored:
    /// the machines of two owners may disagree by more than the rate allows.
    async fn recall_last_second(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let now = self.clock.now();
        let server_ms = self.server_ms();
        // Who sent to whom is known by the clocks of peerd's machines.
        let recent_ms = now.wall_ms.saturating_sub(SECOND_MS + CLOCK_SLACK_MS);
        let receivers = cell.lock().receivers_since(recent_ms);
        let since_ms = server_ms.saturating_sub(SECOND_MS);
        let mut sent_us = Vec::new();
        for receiver in receivers {
            let token = Token::of(&receiver);
            let partition = self.subjects.partition(&token);
            let subject = self.subjects.log(partition, &token, &cell.token);
            let start = Start::TimeMs(since_ms);
            // The rate bounds what there can be; at a rate past all reason some is missed.
            let read =
                self.store.read(StreamId::Log(partition), subject, start, RECALLED, deadline);
            for record in read.await?.records {
                let age_ms = server_ms.saturating_sub(record.stored_ms);
                if age_ms <= SECOND_MS {
                    sent_us.push(now.steady_us.saturating_sub(age_ms * 1000));
                }
            }
        }
        cell.lock().messages_sent.assume(sent_us);
        Ok(())
    }

    /// What the store has of a user.
    pub(super) async fn read_user(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<Stored, LoadError> {
        let (partition, token) = (cell.partition, &cell.token);
        let entries = vec![
            self.subjects.account(partition, token),
            self.subjects.conversations(partition, token),
            self.subjects.blocks(partition, token),
            self.subjects.state_sentinel(partition),
        ];
        let log =
            vec![self.subjects.log_to(partition, token), self.subjects.log_sentinel(partition)];
        let (entries, log) = futures::try_join!(
            self.store.last(StreamId::State(partition), entries, deadline),
            self.store.last(StreamId::Log(partition), log, deadline),
        )?;
        let mut stored = Stored::default();
        for record in entries.iter().filter(|record| !is_sentinel(record)) {
            if let Err(error) = stored.take_entry(record) {
                self.leave_out(StreamId::State(partition), record, &error);
            }
        }
        for record in log.iter().filter(|record| !is_sentinel(record)) {
            match user_of(last_token(&record.subject)) {
                Ok(other) => {
                    let pair = (&other, &cell.id);
                    let head = self.head_of(record, pair, partition, deadline).await?;
                    stored.received.push((other, head));
                }
                Err(error) => self.leave_out(StreamId::Log(partition), record, &error),
            }
        }
        stored.sent = self.read_sent(cell, &stored, deadline).await?;
        Ok(stored)
    }

    /// The newest messages that the user sent to each known other.
    async fn read_sent(
        &self,
        cell: &UserCell,
        stored: &Stored,
        deadline: Instant,
    ) -> Result<Vec<(UserId, Head)>, LoadError> {
        // Every conversation that the user ever sent into has an entry: it was written first.
        let mut by_partition: BTreeMap<Partition, Vec<String>> = BTreeMap::new();
        for (other, ..) in &stored.settings {
            let other = Token::of(other);
            let partition = self.subjects.partition(&other);
            let subject = self.subjects.log(partition, &other, &cell.token);
            by_partition.entry(partition).or_default().push(subject);
        }
        let reads = by_partition.into_iter().map(|(partition, mut subjects)| async move {
            subjects.push(self.subjects.log_sentinel(partition));
            let records = self.store.last(StreamId::Log(partition), subjects, deadline).await?;
            let mut heads = Vec::with_capacity(records.len());
            for record in records.iter().filter(|record| !is_sentinel(record)) {
                let receiver = record.subject.rsplit('.').nth(1).unwrap_or_default();
                let other = user_of(receiver)?;
                let pair = (&cell.id, &other);
                let head = self.head_of(record, pair, partition, deadline).await?;
                heads.push((other, head));
            }
            Ok::<_, LoadError>(heads)
        });
        Ok(try_join_all(reads).await?.into_iter().flatten().collect())
    }
}

impl Stored {
    /// Takes an entry. Of one that cannot be read only its place is taken, so that the next change
    /// replaces it, with what keeps its user safe: no session, nothing read or deleted, and whoever
    /// may be blocked is.
    fn take_entry(&mut self, record: &Record) -> Result<(), RecordError> {
        let mut tokens = record.subject.rsplit('.');
        let (last, before) = (tokens.next().unwrap_or_default(), tokens.next());
        // `state.<p>.<user>.account`. Where an entry concerns another user, who may be called
        // `account`, there is a partition's number in the place of `state`.
        let is_of_user_alone = tokens.nth(1) == Some("state");
        match (is_of_user_alone, before, last) {
            (true, _, "account") => {
                let account = entry::decode_account(&record.payload);
                let (account, problem) = readable(account, Account::default);
                self.account = Some((account, record.stream_seq));
                problem?;
            }
            (false, Some("conversation"), other) => {
                let other = user_of(other)?;
                let settings = entry::decode_settings(&record.payload);
                let (settings, problem) = readable(settings, Settings::default);
                self.settings.push((other, settings, record.stream_seq));
                problem?;
            }
            (false, Some("blocked"), other) => {
                let other = user_of(other)?;
                let block = entry::decode_block(&record.payload);
                // Fails closed: what cannot be read may have been a block.
                let (block, problem) = readable(block, || Some(BlockNumber::UNKNOWN));
                let entry = BlockEntry { seq: record.stream_seq, block };
                self.blocked.push((other, entry));
                problem?;
            }
            // A newer version's kind of entry.
            _ => {}
        }
        Ok(())
    }

    /// Newer wins, entry by entry: acknowledged changes may have come while the store was read.
    fn merge_into(self, user: &mut User) {
        if let Some((account, seq)) = self.account.filter(|(_, seq)| *seq > user.account_seq) {
            let heard_ms = user.account.heard_ms.max(account.heard_ms);
            let revision = user.account.revision.max(account.revision);
            user.set_account(Account { heard_ms, revision, ..account }, seq);
        }
        for (other, head) in self.received {
            let is_known = user.conversations.contains_key(&other);
            user.update(&other, |known| {
                known.adopt_received(head);
                if !is_known {
                    known.told_seq = head.stream_seq;
                }
            });
        }
        for (other, settings, seq) in self.settings {
            user.update(&other, |conversation| conversation.adopt_settings(settings, seq));
        }
        for (other, head) in self.sent {
            user.update(&other, |known| known.adopt_head(Direction::Send, head));
        }
        for (other, entry) in self.blocked {
            user.blocked.adopt(other, entry);
        }
    }
}

/// What was read, or what is taken instead, and why.
fn readable<T>(
    read: Result<T, RecordError>,
    instead: impl FnOnce() -> T,
) -> (T, Result<(), RecordError>) {
    match read {
        Ok(value) => (value, Ok(())),
        Err(error) => (instead(), Err(error)),
    }
}

/// Whether a record is there only so that no answer is empty.
pub(super) fn is_sentinel(record: &Record) -> bool {
    subject::is_sentinel(&record.subject)
}

fn user_of(token: &str) -> Result<UserId, RecordError> {
    Token::parse(token).map_err(|_| RecordError {
        kind: "subject",
        problem: "its token is not a user's".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::subject::Subjects;

    #[test]
    fn a_user_named_like_a_kind_of_entry_is_not_mistaken_for_one() {
        let subjects = Subjects::new("peer", 4);
        let partition = Partition(3);
        for name in ["alice", "account", "conversation", "blocked", "deleted", "state"] {
            let user = Token::of(&UserId::new(name, "userID").expect("a valid ID"));
            for name in ["account", "conversation", "blocked", "state"] {
                let other = UserId::new(name, "userID").expect("a valid ID");
                let token = Token::of(&other);
                let mut stored = Stored::default();
                let account = entry::encode_account(&Account::default()).expect("writable");
                let settings = entry::encode_settings(&Settings::default()).expect("writable");
                let entries = [
                    (subjects.account(partition, &user), account),
                    (subjects.conversation(partition, &user, &token), settings),
                ];
                for (seq, (subject, payload)) in (1..).zip(entries) {
                    let record = Record { subject, stream_seq: seq, stored_ms: 0, payload };
                    stored.take_entry(&record).expect("readable");
                }
                assert_eq!(stored.account.map(|(_, seq)| seq), Some(1), "{user} {token}");
                assert_eq!(stored.settings, [(other, Settings::default(), 2)], "{user} {token}");
                assert!(stored.blocked.is_empty(), "{user} {token}");
            }
        }
    }
}
