//! Changes of a user's own entries: *lock, decide, write, apply, publish*, for all commands.
//!
//! A command decides which entries are written and which events follow, as data ([`Change`]). This
//! module does the rest. The entry lock lets one change of a user through at a time, while messages
//! still come in. A change is applied only after the store has acknowledged it. Between applying
//! and publishing there is no await, so that events go out in the order of their revisions.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use futures::future::join_all;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::conversations::{Conversations, Preview, Previewed};
use super::env::Env;
use super::publisher::{Publisher, chunks};
use super::session::Sessions;
use super::tuning::CHANGE_WRITES_CONCURRENT;
use super::users::{UserCell, Users, entry_failure};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::storage::block;
use crate::storage::conversation;
use crate::storage::subscriptions;
use crate::store::{Append, Store, StreamId};
use peerd_core::amendment::AmendmentPage;
use peerd_core::blocklist::{BlockEntry, BlockNumber};
use peerd_core::clock::{KeyClock, Lane};
use peerd_core::conversation::{Conversation, ConversationEvent, ConversationView, Mark, Settings};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::event::{BlacklistAction, Event, Messages, Publication};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::marks::ConversationMarks;
use peerd_core::pins::Pins;
use peerd_core::receipt::ReceiptMarks;
use peerd_core::rejection::Rejection;
use peerd_core::subscriptions::Subscriptions;
use peerd_core::user::{Account, User};
use peerd_core::user_info::{Profile, UserInfo};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

/// The decision of a command.
pub(super) struct Change {
    /// The entries to write. If one fails, the others are still applied.
    pub(super) writes: Vec<Write>,
    /// The events about the entries that were written.
    pub(super) events: Events,
}

/// An entry to write. [`apply`] says how it changes the user's state once it is stored.
pub(super) enum Write {
    /// Pages of deletions that no longer fit the conversation's entry. They are written before all
    /// other entries; if one fails, the change ends there.
    Deletions { other: UserId, pages: Vec<(PageId, Bitmap)> },
    /// A conversation's settings.
    Settings { other: UserId, settings: Box<Settings>, expected_seq: u64 },
    /// A block, or `None` to unblock.
    Block { other: UserId, block: Option<BlockNumber>, expected_seq: u64 },
    /// Amendments of a page of what `sender` sent to the user. They are written after all other
    /// entries, and only if those were.
    Amendments { sender: UserId, number: u64, page: AmendmentPage, expected_seq: u64 },
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
}

/// The events of a change.
pub(super) enum Events {
    /// No events: the change is not visible to the user.
    None,
    /// `first`, then the conversations whose settings were written, then the total unread count if
    /// it changed. The revision advances to `key`.
    Conversations { key: OrderKey, first: Option<Event> },
    /// The event about the deletion of all conversations, then the total unread count if it
    /// changed. The revision advances to `key`.
    ConversationsDeleted { key: OrderKey },
    /// As [`Events::Conversations`], beginning with the events about the deletion of messages.
    MessagesDeleted { key: OrderKey, events: Vec<Event> },
    /// The events about a change of this message, then the conversation if the message is its last
    /// or its unread count changed, then the total if it changed. The revision advances to `key`.
    /// If an entry could not be written, nothing is published.
    Amended { key: OrderKey, message: OrderKey, events: Vec<Event> },
    /// The event about receipts. The revision advances to `key`; no conversation is shown. If an
    /// entry could not be written, nothing is published.
    Receipt { key: OrderKey, event: Event },
    /// The users whose blocks were written. Conversations do not change: the revision stays.
    Blacklist(BlacklistAction),
    /// These events. Conversations do not change: the revision stays.
    These(Vec<Event>),
}

/// Draws order keys for a change.
pub(super) struct Keys<'k> {
    clock: &'k KeyClock,
    wall_ms: u64,
}

impl Keys<'_> {
    /// A key for a change of conversations, after everything published to the user.
    pub(super) fn change(&self, user: &User) -> OrderKey {
        self.after(user.newest_published())
    }

    /// A number for a new block, after those of all earlier blocks of the user.
    pub(super) fn block(&self, user: &User) -> BlockNumber {
        BlockNumber(self.after(user.blocked.newest()).0)
    }

    fn after(&self, floor: OrderKey) -> OrderKey {
        self.clock.next(self.wall_ms, floor, Lane::Even)
    }
}

/// The events of a change of conversations.
struct Shown {
    /// The revision advances to it.
    key: OrderKey,
    /// The first events.
    first: Vec<Event>,
    /// Conversations are shown only if this is their last message, or their unread count changed.
    only_with: Option<OrderKey>,
}

/// A write that the store has acknowledged, with the sequence of the entry.
struct Stored {
    write: Write,
    seq: u64,
}

/// Changes entries of users.
pub(super) struct Entries<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) publisher: Arc<Publisher<S, B>>,
    pub(super) conversations: Arc<Conversations<S, B>>,
    pub(super) sessions: Arc<Sessions<S, B>>,
}

impl<S: Store, B: Bus> Entries<S, B> {
    /// Decides a change of a user's entries, stores it, applies it and publishes it. `decide` runs
    /// with the user's state locked and returns `None` if there is nothing to change.
    pub(super) async fn commit(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        deadline: Instant,
        decide: impl FnOnce(&User, &Keys<'_>) -> Result<Option<Change>, Rejection>,
    ) -> Result<(), CallError> {
        let entry_lock = self.users.entry_lock(cell, deadline).await?;
        let change = decide(&cell.lock(), &self.keys(cell))?;
        match change {
            Some(change) => self.carry_out(&entry_lock, cell, change, deadline).await,
            None => Ok(()),
        }
    }

    /// [`Self::commit`] for a change of one conversation's settings. `first` is published before
    /// it.
    pub(super) async fn commit_settings(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: &UserId,
        first: Option<Event>,
        deadline: Instant,
        decide: impl FnOnce(&User, &Conversation, OrderKey) -> Result<Option<Settings>, Rejection>,
    ) -> Result<(), CallError> {
        let decide = |user: &User, keys: &Keys<'_>| {
            let key = keys.change(user);
            let unknown = Conversation::default();
            let known = user.conversations.get(other).unwrap_or(&unknown);
            Ok(decide(user, known, key)?.map(|settings| {
                let (other, expected_seq) = (other.clone(), known.settings_seq);
                let writes = vec![Write::entry(other, settings, expected_seq)];
                Change { writes, events: Events::Conversations { key, first } }
            }))
        };
        self.commit(cell, deadline, decide).await
    }

    /// Stores settings that were not changed by the user, applies them and publishes the change.
    /// The caller holds the user's entry lock.
    pub(super) async fn store_and_apply(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: &UserId,
        (key, settings): (OrderKey, Settings),
        deadline: Instant,
    ) -> Result<(), CallError> {
        let expected_seq =
            cell.lock().conversations.get(other).map_or(0, |known| known.settings_seq);
        let writes = vec![Write::entry(other.clone(), settings, expected_seq)];
        let change = Change { writes, events: Events::Conversations { key, first: None } };
        self.store_change(cell, change, deadline).await
    }

    /// Writes the entry that makes a conversation findable for its sender, before its first
    /// message.
    pub(super) async fn first_contact(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let decide = |user: &User, keys: &Keys<'_>| {
            Ok(user.first_contact(other, keys.change(user)).map(|settings| {
                let other = other.clone();
                let writes = vec![Write::entry(other, settings, 0)];
                Change { writes, events: Events::None }
            }))
        };
        self.commit(cell, deadline, decide).await
    }

    /// The source of a change's order keys.
    pub(super) fn keys<'k>(&self, cell: &'k UserCell) -> Keys<'k> {
        Keys { clock: &cell.ownership.clock, wall_ms: self.env.clock.wall_ms() }
    }

    pub(super) fn next_key(&self, cell: &UserCell) -> OrderKey {
        self.keys(cell).change(&cell.lock())
    }

    /// Stores a change that was decided under the entry lock, applies it and publishes it.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        _entry_lock: &MutexGuard<'_, ()>,
        cell: &Arc<UserCell>,
        change: Change,
        deadline: Instant,
    ) -> Result<(), CallError> {
        self.store_change(cell, change, deadline).await
    }

    async fn store_change(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        change: Change,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let Change { writes, events } = change;
        let (profiles, written) = futures::join!(
            self.profiles_of(&events, &writes, deadline),
            self.write_all(cell, &writes, deadline)
        );
        let written = written?;
        let mut stored = Vec::with_capacity(writes.len());
        let mut failed = None;
        for (write, written) in writes.into_iter().zip(written) {
            match written {
                // Without the conversation's entry the pages have no effect.
                Ok(_) if matches!(write, Write::Deletions { .. }) => {}
                Ok(seq) => stored.push(Stored { write, seq }),
                // If several writes fail, an unknown outcome takes precedence.
                Err(_) if failed == Some(Failure::OutcomeUnknown) => {}
                Err(failure) => failed = Some(failure),
            }
        }
        if !stored.is_empty() {
            match events {
                Events::None => {
                    apply(&mut cell.lock(), stored);
                }
                Events::Conversations { key, first } => {
                    let first = first.into_iter().collect();
                    let shown = Shown { key, first, only_with: None };
                    self.apply_and_show(cell, shown, stored, deadline).await;
                }
                Events::MessagesDeleted { key, events: first } => {
                    let shown = Shown { key, first, only_with: None };
                    self.apply_and_show(cell, shown, stored, deadline).await;
                }
                Events::Amended { .. } | Events::Receipt { .. } if failed.is_some() => {
                    apply(&mut cell.lock(), stored);
                }
                Events::Amended { key, message, events: first } => {
                    self.users.forget_read(cell);
                    let only_with = Some(message);
                    let shown = Shown { key, first, only_with };
                    self.apply_and_show(cell, shown, stored, deadline).await;
                }
                Events::ConversationsDeleted { key } => {
                    self.apply_deleted(cell, key, stored);
                }
                Events::Receipt { key, event } => {
                    if matches!(event, Event::ReceiptsChanged(_)) {
                        self.users.forget_read(cell);
                    }
                    let mut user = cell.lock();
                    apply(&mut user, stored);
                    let revision = user.advance(key);
                    self.sessions.note_revision(cell, &mut user);
                    let publication = Publication { revision, events: vec![event].into() };
                    self.publisher.publish(cell, &user, &publication);
                }
                Events::Blacklist(action) => {
                    let users = users(&stored, profiles);
                    let mut user = cell.lock();
                    apply(&mut user, stored);
                    let publication =
                        user.publication(vec![Event::BlacklistChanged { action, users }]);
                    self.publisher.publish(cell, &user, &publication);
                }
                Events::These(events) => {
                    let mut user = cell.lock();
                    apply(&mut user, stored);
                    let publication = user.publication(events);
                    self.publisher.publish(cell, &user, &publication);
                }
            }
        }
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// The profiles of the users that the events of a change show.
    async fn profiles_of(
        &self,
        events: &Events,
        writes: &[Write],
        deadline: Instant,
    ) -> HashMap<UserId, Profile> {
        if !matches!(events, Events::Blacklist(_)) {
            return HashMap::new();
        }
        let profiles =
            self.conversations.profiles(writes.iter().filter_map(Write::other), deadline);
        profiles.await.unwrap_or_else(|error| {
            // The change goes on. Clients can query the profiles.
            tracing::warn!(%error, "an event goes without the profiles of its users");
            HashMap::new()
        })
    }

    /// Writes the entries of a change. Returns the sequence of each.
    async fn write_all(
        &self,
        cell: &UserCell,
        writes: &[Write],
        deadline: Instant,
    ) -> Result<Vec<Result<u64, Failure>>, CallError> {
        for write in writes {
            if let Write::Deletions { other, pages } = write {
                let other = Token::of(other);
                self.users.write_deletions(cell, &other, pages.clone(), deadline).await?;
            }
        }
        let mut written = Vec::with_capacity(writes.len());
        for chunk in writes.chunks(CHANGE_WRITES_CONCURRENT) {
            let writes = chunk.iter().map(|write| self.write_entry(cell, write, deadline));
            written.extend(join_all(writes).await);
        }
        for (index, write) in writes.iter().enumerate() {
            if let Write::Amendments { sender, number, page, expected_seq } = write {
                let failed = written.iter().find_map(|written| written.as_ref().err().copied());
                written[index] = if let Some(failure) = failed {
                    Err(failure)
                } else {
                    let page = (*number, page, *expected_seq);
                    self.users.write_amendments(cell, sender, page, deadline).await
                };
            }
        }
        Ok(written)
    }

    async fn write_entry(
        &self,
        cell: &UserCell,
        write: &Write,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        match write {
            // Written by `write_all`.
            Write::Deletions { .. } | Write::Amendments { .. } => Ok(0),
            Write::Settings { other, settings, expected_seq } => {
                self.write_settings(cell, other, settings, *expected_seq, deadline).await
            }
            Write::Block { other, block, expected_seq } => {
                let payload = block::encode(*block).map_err(|_| Failure::Internal)?;
                let subject =
                    block::key(&self.env.subjects, cell.partition, &cell.token, &Token::of(other));
                let stream = StreamId::State(cell.partition);
                let entry = Append { stream, subject, payload, expected_seq: *expected_seq };
                let written = self.users.write(cell, entry, deadline);
                written.await.map_err(|error| entry_failure(cell, &error))
            }
            Write::Subscriptions { subscriptions: of, expected_seq } => {
                let lost = Subscriptions::default();
                let of = if failpoint::is(Fault::LostSubscription) { &lost } else { of };
                let payload = subscriptions::encode(of).map_err(|_| Failure::Internal)?;
                let subject = subscriptions::key(&self.env.subjects, cell.partition, &cell.token);
                let stream = StreamId::State(cell.partition);
                let entry = Append { stream, subject, payload, expected_seq: *expected_seq };
                let written = self.users.write(cell, entry, deadline);
                written.await.map_err(|error| entry_failure(cell, &error))
            }
            Write::Login { account, expected_seq, now_ms, .. } => {
                let seq =
                    self.sessions.store_account(cell, account, *expected_seq, deadline).await?;
                cell.put_off_last_seen(now_ms + self.env.options.last_seen_write_interval_ms);
                Ok(seq)
            }
            Write::Logout { account, expected_seq } | Write::Profile { account, expected_seq } => {
                self.sessions.store_account(cell, account, *expected_seq, deadline).await
            }
        }
    }

    /// Applies the deletion of all conversations and publishes it.
    fn apply_deleted(&self, cell: &Arc<UserCell>, key: OrderKey, stored: Vec<Stored>) {
        let count = stored.len();
        let mut user = cell.lock();
        let totals = user.totals;
        apply(&mut user, stored);
        let revision = user.advance(key);
        let mut events = vec![Event::ConversationsAllDeleted { count }];
        if user.totals.unmuted != totals.unmuted {
            events.push(Event::TotalChanged(user.totals));
        }
        self.sessions.note_revision(cell, &mut user);
        self.publisher.publish(cell, &user, &Publication { revision, events: events.into() });
    }

    /// Writes a conversation's settings without applying them. Returns the entry's sequence.
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
        let mut stream = StreamId::State(cell.partition);
        if failpoint::is(Fault::WrongStream) {
            stream = cell.log();
        }
        let entry = Append { stream, subject, payload, expected_seq };
        let written = self.users.write(cell, entry, deadline);
        written.await.map_err(|error| entry_failure(cell, &error))
    }

    /// Applies a change of conversations and publishes it. The previews of the conversations are
    /// read before, because there must be no await between applying and publishing.
    async fn apply_and_show(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        Shown { key, mut first, only_with }: Shown,
        stored: Vec<Stored>,
        deadline: Instant,
    ) {
        // At worst one event for each conversation and message, beyond what a call may send.
        let messages = first.iter().map(Event::entries).sum();
        let page_of = |user: &User| preview(user, &stored);
        let locked = self.conversations.lock_with_previews(cell, page_of, messages, deadline).await;
        let Previewed { mut user, page, previews, .. } = locked;
        let previews = previews.unwrap_or_else(|error| {
            // The change is stored. Clients can query the last message.
            tracing::warn!(%error, "an event goes without its conversation's last message");
            vec![Preview::default(); page.len()]
        });
        let totals = user.totals;
        // Whether each exists, and its unread count.
        let state = |user: &User, other: &UserId| {
            let known = user.conversations.get(other);
            known.map_or((false, 0), |known| (known.exists(), known.unread()))
        };
        let before: Vec<_> = page.iter().map(|(other, _)| state(&user, other)).collect();
        apply(&mut user, stored);
        let revision = user.advance(key);
        let views = page.iter().zip(&previews).zip(before);
        let views = views.filter_map(|(((other, _), preview), (existed, unread_before))| {
            let known = user.conversations.get(other)?;
            let event = match (existed, known.exists()) {
                (_, true) => ConversationEvent::Updated,
                (true, false) => ConversationEvent::Deleted,
                // It was deleted before, and its user does not see it.
                (false, false) => return None,
            };
            let last = preview.last_message.clone();
            let is_shown = only_with.is_none_or(|message| {
                let is_last = last.as_ref().is_some_and(|last| last.key == message);
                is_last || known.unread() != unread_before
            });
            let view = ConversationView::new(other, &preview.profile, known, last);
            is_shown.then_some((event, view))
        });
        let views: Vec<_> = views.collect();
        for event in &mut first {
            event.show_receipts(&user);
        }
        let mut events = first;
        events.extend(chunks(views).map(Event::ConversationChanged));
        if user.totals.unmuted != totals.unmuted {
            events.push(Event::TotalChanged(user.totals));
        }
        self.sessions.note_revision(cell, &mut user);
        self.publisher.publish(cell, &user, &Publication { revision, events: events.into() });
    }
}

impl Events {
    /// The events of a change of messages, of which `message` is the newest. `replies` show them as
    /// their originals.
    pub(super) fn amended(
        key: OrderKey,
        message: OrderKey,
        event: Event,
        replies: Messages,
    ) -> Self {
        if matches!(event, Event::ReceiptsChanged(_)) {
            return Self::Receipt { key, event };
        }
        let replies = Some(Event::RepliedInfoChanged(replies)).filter(|it| it.entries() > 0);
        let events = std::iter::once(event).chain(replies).collect();
        Self::Amended { key, message, events }
    }
}

impl Write {
    /// New settings of a known conversation.
    pub(super) fn settings(other: &UserId, known: &Conversation, settings: Settings) -> Self {
        Self::entry(other.clone(), settings, known.settings_seq)
    }

    /// New settings of a conversation whose entry has this sequence; 0: it has none.
    pub(super) fn entry(other: UserId, settings: Settings, expected_seq: u64) -> Self {
        Self::Settings { other, settings: Box::new(settings), expected_seq }
    }

    /// The other user of the conversation or block.
    const fn other(&self) -> Option<&UserId> {
        match self {
            Self::Deletions { other, .. }
            | Self::Settings { other, .. }
            | Self::Block { other, .. } => Some(other),
            Self::Amendments { sender, .. } => Some(sender),
            Self::Login { .. }
            | Self::Logout { .. }
            | Self::Profile { .. }
            | Self::Subscriptions { .. } => None,
        }
    }
}

/// Applies stored entries to the user's state.
fn apply(user: &mut User, stored: Vec<Stored>) {
    for Stored { write, seq } in stored {
        match write {
            Write::Deletions { .. } => {}
            Write::Amendments { sender, .. } => {
                user.update(&sender, |known| known.newest = Weak::new());
            }
            Write::Settings { other, settings, .. } => {
                user.update(&other, |known| known.adopt_settings(*settings, seq));
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
        }
    }
}

/// The conversations as they are after the stored settings are applied.
fn preview(user: &User, stored: &[Stored]) -> Vec<(UserId, Conversation)> {
    let with_settings = |Stored { write, seq }: &Stored| {
        let Write::Settings { other, settings, .. } = write else { return None };
        let mut known = user.conversations.get(other).cloned().unwrap_or_default();
        known.adopt_settings(Settings::clone(settings), *seq);
        Some((other.clone(), known))
    };
    stored.iter().filter_map(with_settings).collect()
}

/// The users whose blocks are stored.
fn users(stored: &[Stored], mut profiles: HashMap<UserId, Profile>) -> Vec<UserInfo> {
    let others = stored.iter().filter_map(|stored| stored.write.other());
    let info =
        |id: &UserId| UserInfo { id: id.clone(), profile: profiles.remove(id).unwrap_or_default() };
    others.map(info).collect()
}

#[cfg(test)]
mod tests;
