//! Loading a user: a fixed number of batched reads, whatever the length of the history.
//!
//! A load runs under the entry lock. One read returns the user's entries (account, conversations,
//! blocks), a concurrent one the newest record of each subject to the user, and then one read for
//! each partition of the users to whom this user wrote returns the newest sent records. Totals and
//! revision follow from these. If the user sent a message recently, the last second is read from
//! the log, by the server's clock, for the rate limit.
//!
//! When the store's connection was lost, its generation rises, and every user is loaded again
//! before the next use. Beyond `limits.cached_users` (divided equally among the partitions), users
//! that were not used for a while and that no task holds are evicted.

use std::sync::atomic::Ordering;

use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::{UserCell, Users};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::{PEER_CLOCK_SLACK_MS, RATE_RECALL_MESSAGES_MAX};
use crate::storage::Entry;
pub(in crate::runtime) use crate::storage::reads::LoadError;
use crate::store::Store;
use peerd_core::blocklist::BlockEntry;
use peerd_core::conversation::{Head, Settings};
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::subscriptions::Subscriptions;
use peerd_core::user::{Account, User};
use peerd_protocol::failure::Failure;

#[cfg(test)]
mod tests;

const SECOND_MS: u64 = 1000;

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

/// The stored entries and heads of a user.
#[derive(Default)]
pub(in crate::runtime) struct Stored {
    account: Option<(Account, u64)>,
    pub(in crate::runtime) settings: Vec<(UserId, Settings, u64)>,
    blocked: Vec<(UserId, BlockEntry)>,
    subscriptions: Option<(Subscriptions, u64)>,
    pub(in crate::runtime) received: Vec<(UserId, Head)>,
    pub(in crate::runtime) sent: Vec<(UserId, Head)>,
}

impl<S: Store, B: Bus> Users<S, B> {
    /// Loads a user's state, or brings it up to date.
    pub(in crate::runtime) async fn load(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let _entry_lock = cell.entry_lock(deadline).await?;
        self.load_under_entry_lock(cell, deadline).await
    }

    /// Waits until no other load or change of the user's entries is in progress, then loads the
    /// user if necessary: the previous change may have ended without an answer.
    pub(in crate::runtime) async fn entry_lock<'c>(
        &self,
        cell: &'c UserCell,
        deadline: Instant,
    ) -> Result<MutexGuard<'c, ()>, Failure> {
        let entry_lock = cell.entry_lock(deadline).await?;
        self.load_under_entry_lock(cell, deadline).await?;
        Ok(entry_lock)
    }

    async fn load_under_entry_lock(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<(), Failure> {
        // Read before the store: a connection that is lost meanwhile causes another load.
        let generation = self.env.store.generation();
        if cell.is_loaded(generation) {
            return Ok(());
        }
        let stored = self.read_user(cell, deadline).await?;
        let follows = {
            let mut user = cell.lock();
            if let Some((account, _)) = &stored.account {
                let last_seen_ms = account.last_seen_ms.unwrap_or_default();
                cell.last_seen_stored_ms.store(last_seen_ms, Ordering::Relaxed);
                cell.put_off_last_seen(last_seen_ms + self.env.options.last_seen_write_interval_ms);
            }
            if !cell.was_ever_loaded() {
                // Also after an invalidation: the store did not have what memory had.
                user.forget_entries();
            }
            stored.merge_into(&mut user);
            user.settle_revision();
            let revision = user.revision.current;
            user.blocked.note_loaded(revision);
            let clock = &cell.ownership.clock;
            let mut are_receipts_due = false;
            for known in user.conversations.values() {
                clock.observe(known.order_key().max(known.settings.changed));
                are_receipts_due |= known.settings.receipts.unfinished().is_some();
            }
            cell.set_receipts_due(are_receipts_due);
            if self.env.options.delivered_receipts {
                note_unreported(cell, &mut user);
            }
            clock.observe(user.newest_published());
            clock.observe(user.blocked.newest());
            user.subscriptions.is_some()
        };
        self.end_removals(cell, deadline).await?;
        self.look_at_oldest(cell, deadline).await?;
        if !cell.was_ever_loaded() && !failpoint::is(Fault::RateForgotten) {
            self.recall_last_second(cell, deadline).await?;
        }
        cell.set_loaded(generation, self.next_load());
        // Not before: one that is not loaded is forgotten.
        if follows {
            cell.ownership.following().followers.note(&cell.id);
        }
        Ok(())
    }

    /// A number that no load has had.
    pub(in crate::runtime) fn next_load(&self) -> u64 {
        self.loads.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Drops the cached histories of the user, because a message was changed.
    pub(in crate::runtime) fn forget_read(&self, cell: &UserCell) {
        cell.forget_read(self.next_load());
    }

    /// A new owner of a user does not know the user's messages of the last second, and reads them
    /// from the log. A user who did not send then needs no read.
    ///
    /// Ages are measured by the clock of the server that stored the messages: the clocks of two
    /// owners may differ by more than the rate limit allows.
    async fn recall_last_second(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let now = self.env.clock.now();
        let server_ms = self.env.server_ms();
        // The heads have times of the clocks of peerd's machines.
        let recent_ms = now.wall_ms.saturating_sub(SECOND_MS + PEER_CLOCK_SLACK_MS);
        let receivers = cell.lock().receivers_since(recent_ms);
        let since_ms = server_ms.saturating_sub(SECOND_MS);
        let mut sent_us = Vec::new();
        for receiver in receivers {
            let pair = self.env.pair(&cell.id, &receiver);
            let amended = cell.amended(&receiver, Direction::Send);
            // The rate limit bounds the number; with an extreme configured limit some are missed.
            let storage = self.env.storage(deadline);
            for stored_ms in
                storage.times(&pair, &amended, since_ms, RATE_RECALL_MESSAGES_MAX).await?
            {
                let age_ms = server_ms.saturating_sub(stored_ms);
                if age_ms <= SECOND_MS {
                    sent_us.push(now.steady_us.saturating_sub(age_ms * 1000));
                }
            }
        }
        cell.lock().messages_sent.assume(sent_us);
        Ok(())
    }

    /// The stored entries and heads of a user.
    pub(in crate::runtime) async fn read_user(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<Stored, LoadError> {
        let storage = self.env.storage(deadline);
        let (entries, received) = futures::try_join!(
            storage.entries_at_load(cell.partition, &cell.token),
            storage.heads_to(&cell.id),
        )?;
        let mut stored = Stored { received, ..Stored::default() };
        for (entry, seq) in entries {
            stored.take_entry(entry, seq);
        }
        // Every conversation into which the user ever sent has an entry, which was written before.
        let others = stored.settings.iter().map(|(other, ..)| other);
        stored.sent = storage.heads_from(&cell.id, others).await?;
        Ok(stored)
    }
}

/// Notes that messages which the user received may have to be reported as delivered: those since the
/// position in the account, or since the user was last seen if delivered receipts were turned off.
fn note_unreported(cell: &UserCell, user: &mut User) {
    let Account { reported_up_to, last_seen_ms, .. } = user.account;
    let up_to = if reported_up_to > OrderKey::ZERO {
        reported_up_to
    } else {
        OrderKey::at_ms(last_seen_ms.unwrap_or_default())
    };
    user.unreported.get_or_insert_default().loaded(up_to);
    cell.set_reports_due();
}

impl Stored {
    /// Takes an entry, or the substitute for an unreadable one.
    fn take_entry(&mut self, entry: Entry, seq: u64) {
        match entry {
            Entry::Account(account) => self.account = Some((account, seq)),
            Entry::Conversation(other, settings) => self.settings.push((other, *settings, seq)),
            Entry::Block(other, block) => self.blocked.push((other, BlockEntry { seq, block })),
            Entry::Subscriptions(subscriptions) => self.subscriptions = Some((subscriptions, seq)),
            // Read together with their messages.
            Entry::Deletions(..) | Entry::Amendments(..) => {}
        }
    }

    /// The newer one wins, entry by entry: changes may have been acknowledged while the store was
    /// read.
    fn merge_into(self, user: &mut User) {
        if let Some((account, seq)) = self.account.filter(|(_, seq)| *seq > user.account_seq) {
            let last_seen_ms = user.account.last_seen_ms.max(account.last_seen_ms);
            let revision = user.account.revision.max(account.revision);
            user.set_account(Account { last_seen_ms, revision, ..account }, seq);
        }
        for (other, head) in self.received {
            let is_known = user.conversations.contains_key(&other);
            user.update(&other, |known| {
                known.adopt_received(head);
                if !is_known {
                    known.published_seq = head.stream_seq;
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
        if let Some((subscriptions, seq)) = self.subscriptions {
            user.set_subscriptions(subscriptions, seq);
        }
    }
}
