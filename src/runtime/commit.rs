//! Changes of a user's own entries: *lock, decide, write, apply, publish*, for all commands.
//!
//! A command decides which entries are written and which events follow, as data ([`Change`]). This
//! module does the rest. The entry lock lets one change of a user through at a time, while messages
//! still come in. A change is applied only after the store has acknowledged it. Between applying
//! and publishing there is no await, so that events go out in the order of their revisions.

mod publish;

use std::sync::Arc;

use tokio::time::Instant;

use super::conversations::Conversations;
use super::publisher::Publisher;
use super::session::Sessions;
pub(super) use super::users::{Keys, Write};
use super::users::{UserCell, Users};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::conversation::{Conversation, Settings};
use peerd_core::event::{BlacklistAction, Event, Messages};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::rejection::Rejection;
use peerd_core::user::User;
use peerd_protocol::failure::CallError;

/// The decision of a command.
pub(super) struct Change {
    /// The entries to write. If one fails, the others are still applied.
    pub(super) writes: Vec<Write>,
    /// The events about the entries that were written.
    pub(super) events: Events,
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

/// Changes entries of users.
pub(super) struct Entries<S, B> {
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
        let decide = async { Ok((decide(&cell.lock(), &self.users.keys(cell))?, ())) };
        self.commit_reading(cell, deadline, decide).await
    }

    /// [`Self::commit`] for a decision that needs reads. The future starts when no other change of
    /// the user's entries is in progress, and the user is loaded; until the change is published,
    /// only messages come in. The second part of its output is returned after the change, and
    /// dropped if that fails: it may hold a lock.
    pub(super) async fn commit_reading<T>(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        deadline: Instant,
        decide: impl Future<Output = Result<(Option<Change>, T), CallError>>,
    ) -> Result<T, CallError> {
        let _entry_lock = self.users.entry_lock(cell, deadline).await?;
        let (change, result) = decide.await?;
        if let Some(change) = change {
            self.carry_out(cell, change, deadline).await?;
        }
        Ok(result)
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
            let settings = decide(user, known, key)?;
            Ok(settings.map(|settings| Change::of_settings(other, known, settings, (key, first))))
        };
        self.commit(cell, deadline, decide).await
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

    /// A key for a change of conversations, after everything published to the user.
    pub(super) fn next_key(&self, cell: &UserCell) -> OrderKey {
        self.users.keys(cell).change(&cell.lock())
    }
}

impl Change {
    /// New settings of a known conversation. `first` is published before it.
    pub(super) fn of_settings(
        other: &UserId,
        known: &Conversation,
        settings: Settings,
        (key, first): (OrderKey, Option<Event>),
    ) -> Self {
        let writes = vec![Write::settings(other, known, settings)];
        Self { writes, events: Events::Conversations { key, first } }
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

#[cfg(test)]
mod tests;
