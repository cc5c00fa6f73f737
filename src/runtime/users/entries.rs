//! The entries of a user in the state stream: writing them, and applying to the state in memory
//! those that are stored.

use std::sync::Weak;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use futures::future::join_all;
use tokio::time::Instant;

use super::{UserCell, Users, entry_failure};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::CHANGE_WRITES_CONCURRENT;
use crate::storage::{account, block, conversation, subscriptions};
use crate::store::{Append, Store, StreamId};
use peerd_core::amendment::{AmendmentPage, Removed};
use peerd_core::blocklist::{BlockEntry, BlockNumber};
use peerd_core::clock::{KeyClock, Lane};
use peerd_core::conversation::{Conversation, Mark, Settings};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::marks::ConversationMarks;
use peerd_core::pins::Pins;
use peerd_core::receipt::ReceiptMarks;
use peerd_core::subscriptions::Subscriptions;
use peerd_core::user::{Account, User};
use peerd_protocol::failure::Failure;
use peerd_protocol::subject::Token;

/// An entry to write. [`StoredEntry::apply`] says how it changes the user's state once it is
/// stored.
pub(in crate::runtime) enum Write {
    /// Pages of deletions that no longer fit the conversation's entry. They are written before all
    /// other entries; if one fails, nothing else is written.
    Deletions { other: UserId, pages: Vec<(PageId, Bitmap)> },
    /// A conversation's settings.
    Settings { other: UserId, settings: Box<Settings>, expected_seq: u64 },
    /// A block, or `None` to unblock.
    Block { other: UserId, block: Option<BlockNumber>, expected_seq: u64 },
    /// Amendments of what `sender` sent to the user. They are written after all other entries, and
    /// only if those were.
    Amendments { sender: UserId, page: AmendedPage },
    /// The removal of a message to the user, with all of its steps. The pair lock is needed too.
    Removal(Box<Removal>),
    /// The account with one more session. Until the replay is out, the account is stored with the
    /// time from which messages are replayed as its last-seen time, so that a crash does not lose
    /// the replay.
    Login { account: Account, now_ms: u64, replay_due_ms: Option<u64>, expected_seq: u64 },
    /// The account with fewer sessions.
    Logout { account: Account, expected_seq: u64 },
    /// The users whose status the user follows.
    Subscriptions { subscriptions: Subscriptions, expected_seq: u64 },
    /// The account with another profile, privacy or custom status.
    Profile { account: Account, expected_seq: u64 },
    /// The account as it is in memory, with its revision and its last-seen time.
    LastSeen { account: Account, expected_seq: u64 },
}

/// A page of amendments to be written.
pub(in crate::runtime) struct AmendedPage {
    pub(in crate::runtime) number: u64,
    pub(in crate::runtime) page: AmendmentPage,
    /// The sequence of the page before it; 0 if there was none.
    pub(in crate::runtime) expected_seq: u64,
}

/// The removal of a message, decided.
pub(in crate::runtime) struct Removal {
    pub(in crate::runtime) sender: UserId,
    pub(in crate::runtime) removed: Removed,
    /// The page of amendments that shows the message as removed.
    pub(in crate::runtime) page: AmendedPage,
    /// The receiver's settings in which the removal has begun, and those in which it has ended.
    pub(in crate::runtime) begun: Settings,
    pub(in crate::runtime) ended: Settings,
    /// The sequence of the receiver's settings.
    pub(in crate::runtime) expected_seq: u64,
}

/// A write that the store has acknowledged, with the sequence of the entry.
pub(in crate::runtime) struct StoredEntry {
    pub(in crate::runtime) write: Write,
    pub(in crate::runtime) seq: u64,
}

/// Draws order keys for a change.
pub(in crate::runtime) struct Keys<'k> {
    clock: &'k KeyClock,
    wall_ms: u64,
}

impl Keys<'_> {
    /// A key for a change of conversations, after everything published to the user.
    pub(in crate::runtime) fn change(&self, user: &User) -> OrderKey {
        self.after(user.newest_published())
    }

    /// A number for a new block, after those of all earlier blocks of the user.
    pub(in crate::runtime) fn block(&self, user: &User) -> BlockNumber {
        BlockNumber(self.after(user.blocked.newest()).0)
    }

    fn after(&self, floor: OrderKey) -> OrderKey {
        self.clock.next(self.wall_ms, floor, Lane::Even)
    }
}

impl<S: Store, B: Bus> Users<S, B> {
    /// The source of the order keys of a change.
    pub(in crate::runtime) fn keys<'k>(&self, cell: &'k UserCell) -> Keys<'k> {
        Keys { clock: &cell.ownership.clock, wall_ms: self.env.clock.wall_ms() }
    }

    /// Decides and stores an entry, and applies it. Nothing is published: for changes that the user
    /// does not see.
    pub(in crate::runtime) async fn store_entry(
        &self,
        cell: &UserCell,
        deadline: Instant,
        decide: impl FnOnce(&User) -> Write,
    ) -> Result<(), Failure> {
        let _entry_lock = self.entry_lock(cell, deadline).await?;
        let write = decide(&cell.lock());
        let seq = self.write_entry(cell, &write, deadline).await?;
        StoredEntry { write, seq }.apply(&mut cell.lock());
        Ok(())
    }

    /// Writes entries. The caller holds the entry lock. Returns the sequence of each.
    pub(in crate::runtime) async fn write_entries(
        &self,
        cell: &UserCell,
        writes: &[Write],
        deadline: Instant,
    ) -> Result<Vec<Result<u64, Failure>>, Failure> {
        for write in writes {
            if let Write::Deletions { other, pages } = write {
                let other = Token::of(other);
                self.write_deletions(cell, &other, pages.clone(), deadline).await?;
            }
        }
        let mut written = Vec::with_capacity(writes.len());
        for chunk in writes.chunks(CHANGE_WRITES_CONCURRENT) {
            let writes = chunk.iter().map(|write| self.write_entry(cell, write, deadline));
            written.extend(join_all(writes).await);
        }
        for (index, write) in writes.iter().enumerate() {
            if let Write::Amendments { sender, page } = write {
                let failed = written.iter().find_map(|written| written.as_ref().err().copied());
                written[index] = match failed {
                    Some(failure) => Err(failure),
                    None => self.write_amendments(cell, sender, page, deadline).await,
                };
            }
        }
        if written.iter().any(Result::is_err)
            && writes.iter().any(|write| matches!(write, Write::Amendments { .. }))
        {
            // Some of several pages may be written.
            self.forget_read(cell);
        }
        Ok(written)
    }

    /// Writes an entry. The caller holds the entry lock. Returns its sequence.
    pub(super) async fn write_entry(
        &self,
        cell: &UserCell,
        write: &Write,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let (subjects, partition) = (&self.env.subjects, cell.partition);
        match write {
            // Written by `write_entries`.
            Write::Deletions { .. } | Write::Amendments { .. } => Ok(0),
            Write::Settings { other, settings, expected_seq } => {
                self.write_settings(cell, other, settings, *expected_seq, deadline).await
            }
            Write::Removal(removal) => self.remove(cell, removal, deadline).await,
            Write::Block { other, block, expected_seq } => {
                let payload = block::encode(*block).map_err(|_| Failure::Internal)?;
                let subject = block::key(subjects, partition, &cell.token, &Token::of(other));
                self.write_state(cell, subject, payload, *expected_seq, deadline).await
            }
            Write::Subscriptions { subscriptions: of, expected_seq } => {
                let lost = Subscriptions::default();
                let of = if failpoint::is(Fault::LostSubscription) { &lost } else { of };
                let payload = subscriptions::encode(of).map_err(|_| Failure::Internal)?;
                let subject = subscriptions::key(subjects, partition, &cell.token);
                self.write_state(cell, subject, payload, *expected_seq, deadline).await
            }
            Write::Login { account, expected_seq, now_ms, .. } => {
                let seq = self.write_account(cell, account, *expected_seq, deadline).await?;
                cell.put_off_last_seen(now_ms + self.env.options.last_seen_write_interval_ms);
                Ok(seq)
            }
            Write::Logout { account, expected_seq }
            | Write::Profile { account, expected_seq }
            | Write::LastSeen { account, expected_seq } => {
                self.write_account(cell, account, *expected_seq, deadline).await
            }
        }
    }

    async fn write_account(
        &self,
        cell: &UserCell,
        account: &Account,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let mut stored = account.clone();
        stored.reported_up_to = self.reported_up_to(cell);
        if failpoint::is(Fault::LostSession) {
            stored.sessions.clear();
        }
        if failpoint::is(Fault::LostStatus) {
            stored.custom_status = None;
        }
        let payload = account::encode(&stored).map_err(|_| Failure::Internal)?;
        let subject = account::key(&self.env.subjects, cell.partition, &cell.token);
        let seq = self.write_state(cell, subject, payload, expected_seq, deadline).await?;
        cell.last_seen_stored_ms.store(account.last_seen_ms.unwrap_or_default(), Ordering::Relaxed);
        Ok(seq)
    }

    /// The position up to which nothing is left to report of what was delivered to the user; zero if
    /// delivered receipts are turned off.
    fn reported_up_to(&self, cell: &UserCell) -> OrderKey {
        if !self.env.options.delivered_receipts {
            return OrderKey::ZERO;
        }
        let settled = self.env.settled_key();
        cell.lock().unreported.as_ref().map_or(OrderKey::ZERO, |left| left.up_to(settled))
    }

    pub(super) async fn write_settings(
        &self,
        cell: &UserCell,
        other: &UserId,
        settings: &Settings,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let mut stored = settings.clone();
        if failpoint::is(Fault::LostReadMark) {
            stored.read = Mark::default();
        }
        if failpoint::is(Fault::LostPreference) {
            stored.pinned_ms = 0;
            stored.draft = None;
            stored.marks = ConversationMarks::default();
        }
        if failpoint::is(Fault::LostReceipt) {
            stored.receipts = ReceiptMarks::default();
        }
        if failpoint::is(Fault::LostPins) {
            stored.pins = Pins::default();
        }
        if failpoint::is(Fault::LostDeletion) {
            stored.delisted = None;
        }
        let payload = conversation::encode(&stored).map_err(|_| Failure::Internal)?;
        let other = Token::of(other);
        let subject = conversation::key(&self.env.subjects, cell.partition, &cell.token, &other);
        self.write_state(cell, subject, payload, expected_seq, deadline).await
    }

    /// Writes an entry into the state stream.
    async fn write_state(
        &self,
        cell: &UserCell,
        subject: String,
        payload: Bytes,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let mut stream = StreamId::State(cell.partition);
        if failpoint::is(Fault::WrongStream) {
            stream = cell.log();
        }
        let entry = Append { stream, subject, payload, expected_seq };
        let written = self.write(cell, entry, deadline).await;
        written.map_err(|error| entry_failure(cell, &error))
    }
}

impl Write {
    /// New settings of a known conversation.
    pub(in crate::runtime) fn settings(
        other: &UserId,
        known: &Conversation,
        settings: Settings,
    ) -> Self {
        Self::entry(other.clone(), settings, known.settings_seq)
    }

    /// New settings of a conversation whose entry has this sequence; 0: it has none.
    pub(in crate::runtime) fn entry(other: UserId, settings: Settings, expected_seq: u64) -> Self {
        Self::Settings { other, settings: Box::new(settings), expected_seq }
    }

    /// The other user of the conversation or block.
    pub(in crate::runtime) const fn other(&self) -> Option<&UserId> {
        match self {
            Self::Deletions { other, .. }
            | Self::Settings { other, .. }
            | Self::Block { other, .. } => Some(other),
            Self::Amendments { sender, .. } => Some(sender),
            Self::Removal(removal) => Some(&removal.sender),
            Self::Login { .. }
            | Self::Logout { .. }
            | Self::Profile { .. }
            | Self::LastSeen { .. }
            | Self::Subscriptions { .. } => None,
        }
    }

    /// The conversation whose settings are written, with the new ones.
    pub(in crate::runtime) fn new_settings(&self) -> Option<(&UserId, &Settings)> {
        match self {
            Self::Settings { other, settings, .. } => Some((other, settings)),
            Self::Removal(removal) => Some((&removal.sender, &removal.ended)),
            Self::Deletions { .. }
            | Self::Block { .. }
            | Self::Amendments { .. }
            | Self::Login { .. }
            | Self::Logout { .. }
            | Self::Subscriptions { .. }
            | Self::Profile { .. }
            | Self::LastSeen { .. } => None,
        }
    }
}

impl StoredEntry {
    /// Applies the entry to the user's state.
    pub(in crate::runtime) fn apply(self, user: &mut User) {
        let Self { write, seq } = self;
        match write {
            Write::Deletions { .. } => {}
            Write::Amendments { sender, .. } => {
                user.update(&sender, |known| known.newest = Weak::new());
            }
            Write::Settings { other, settings, .. } => {
                user.update(&other, |known| known.adopt_settings(*settings, seq));
            }
            Write::Removal(removal) => {
                let Removal { sender, ended, .. } = *removal;
                user.update(&sender, |known| known.adopt_settings(ended, seq));
            }
            Write::Block { other, block, .. } => {
                user.blocked.adopt(other, BlockEntry { seq, block });
                user.blocked.note_change(user.revision.current);
            }
            Write::Login { account, now_ms, replay_due_ms, .. } => {
                user.replay_due_ms = replay_due_ms;
                // The revision may have risen since the account was written.
                let revision = user.account.revision.max(account.revision);
                user.set_account(Account { last_seen_ms: Some(now_ms), revision, ..account }, seq);
            }
            Write::Logout { account, .. } => {
                let sessions = account.sessions;
                let account = Account { sessions, ..std::mem::take(&mut user.account) };
                user.set_account(account, seq);
            }
            Write::Subscriptions { subscriptions, .. } => {
                user.set_subscriptions(subscriptions, seq);
            }
            Write::Profile { account, .. } => {
                let Account { profile, extended_data, privacy, custom_status, .. } = account;
                let now = std::mem::take(&mut user.account);
                let account = Account { profile, extended_data, privacy, custom_status, ..now };
                user.set_account(account, seq);
            }
            Write::LastSeen { .. } => user.account_seq = seq,
        }
    }
}
