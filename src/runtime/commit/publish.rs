//! Stores a decided change, applies it and publishes it.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Change, Entries, Events};
use crate::bus::Bus;
use crate::runtime::conversations::{Preview, Previewed};
use crate::runtime::publisher::chunks;
use crate::runtime::users::{LoadError, StoredEntry, UserCell, Write};
use crate::store::Store;
use peerd_core::conversation::{Conversation, ConversationEvent, ConversationView};
use peerd_core::event::{Event, Publication};
use peerd_core::id::{OrderKey, UserId};
use peerd_core::user::User;
use peerd_core::user_info::{Profile, UserInfo};
use peerd_protocol::failure::{CallError, Failure};

/// The events of a change of conversations.
struct Shown {
    /// The revision advances to it.
    key: OrderKey,
    /// The first events.
    first: Vec<Event>,
    /// Conversations are shown only if this is their last message, or their unread count changed.
    only_with: Option<OrderKey>,
}

impl<S: Store, B: Bus> Entries<S, B> {
    /// Stores a change that was decided under the entry lock, applies it and publishes it.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        change: Change,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let Change { writes, events } = change;
        let (profiles, written) = futures::join!(
            self.profiles_of(&events, &writes, deadline),
            self.users.write_entries(cell, &writes, deadline)
        );
        let (stored, failed) = outcomes(writes, written?);
        if !stored.is_empty() {
            let is_whole = failed.is_none();
            self.apply_and_publish(cell, events, (stored, is_whole), profiles, deadline).await;
        }
        failed.map_or(Ok(()), |failure| Err(failure.into()))
    }

    /// Applies the stored entries of a change and publishes its events. `is_whole`: all of its
    /// entries are stored.
    async fn apply_and_publish(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        events: Events,
        (stored, is_whole): (Vec<StoredEntry>, bool),
        profiles: HashMap<UserId, Profile>,
        deadline: Instant,
    ) {
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
            Events::Amended { .. } | Events::Receipt { .. } if !is_whole => {
                apply(&mut cell.lock(), stored);
            }
            Events::Amended { key, message, events: first } => {
                self.users.forget_read(cell);
                let only_with = Some(message);
                let shown = Shown { key, first, only_with };
                self.apply_and_show(cell, shown, stored, deadline).await;
            }
            Events::ConversationsDeleted { key } => {
                let left = self.apply_deleted(cell, key, stored);
                if !left.is_empty() {
                    self.show_again(cell, &left, deadline).await;
                }
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
                let publication = user.publication(vec![Event::BlacklistChanged { action, users }]);
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

    /// Applies the deletion of all conversations and publishes it. Returns those that a message
    /// has brought back meanwhile: it was published before.
    fn apply_deleted(
        &self,
        cell: &Arc<UserCell>,
        key: OrderKey,
        stored: Vec<StoredEntry>,
    ) -> Vec<UserId> {
        let all: Vec<UserId> =
            stored.iter().filter_map(|entry| entry.write.other()).cloned().collect();
        let mut user = cell.lock();
        let totals = user.totals;
        apply(&mut user, stored);
        let left: Vec<UserId> =
            all.iter().filter(|other| user.conversation(other).is_some()).cloned().collect();
        let count = all.len() - left.len();
        let revision = user.advance(key);
        let mut events = vec![Event::ConversationsAllDeleted { count }];
        if user.totals.unmuted != totals.unmuted {
            events.push(Event::TotalChanged(user.totals));
        }
        self.sessions.note_revision(cell, &mut user);
        self.publisher.publish(cell, &user, &Publication { revision, events: events.into() });
        left
    }

    /// Publishes conversations that clients have just dropped.
    async fn show_again(&self, cell: &Arc<UserCell>, others: &[UserId], deadline: Instant) {
        let page_of = |user: &User| {
            let known = |other: &UserId| Some((other.clone(), user.conversation(other)?.clone()));
            others.iter().filter_map(known).collect()
        };
        let locked = self.conversations.lock_with_previews(cell, page_of, 0, deadline).await;
        let Previewed { user, page, previews, .. } = locked;
        let previews = or_without(previews, page.len());
        let views = page.iter().zip(previews).filter_map(|((other, _), preview)| {
            let known = user.conversation(other)?;
            let view = ConversationView::new(other, &preview.profile, known, preview.last_message);
            Some((ConversationEvent::Added, view))
        });
        let views: Vec<_> = views.collect();
        let events: Vec<_> = chunks(views).map(Event::ConversationChanged).collect();
        self.publisher.publish(cell, &user, &user.publication(events));
    }

    /// Applies a change of conversations and publishes it. The previews of the conversations are
    /// read before, because there must be no await between applying and publishing.
    async fn apply_and_show(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        Shown { key, mut first, only_with }: Shown,
        stored: Vec<StoredEntry>,
        deadline: Instant,
    ) {
        // At worst one event for each conversation and message, beyond what a call may send.
        let messages = first.iter().map(Event::entries).sum();
        let page_of = |user: &User| preview(user, &stored);
        let locked = self.conversations.lock_with_previews(cell, page_of, messages, deadline).await;
        let Previewed { mut user, page, previews, .. } = locked;
        let previews = or_without(previews, page.len());
        let totals = user.totals;
        // Whether each exists, its unread count, and its newest message.
        let state = |user: &User, other: &UserId| {
            let known = user.conversations.get(other);
            known.map_or((false, 0, None), |known| {
                (known.exists(), known.unread(), known.newest.upgrade())
            })
        };
        let before: Vec<_> = page.iter().map(|(other, _)| state(&user, other)).collect();
        apply(&mut user, stored);
        let revision = user.advance(key);
        let views = page.iter().zip(&previews).zip(before);
        let views =
            views.filter_map(|(((other, _), preview), (existed, unread_before, newest))| {
                let known = user.conversations.get(other)?;
                let event = kind_of(existed, known)?;
                // One that came in while the previews were read.
                let newer = newest.filter(|newest| {
                    let read = preview.last_message.as_ref();
                    let is_newer = read.is_none_or(|read| read.key < newest.key);
                    is_newer && !known.hides(newest.direction(&cell.id), newest.seq)
                });
                let last = newer.or_else(|| preview.last_message.clone());
                let is_shown = only_with.is_none_or(|message| {
                    let is_last = last.as_ref().is_some_and(|last| {
                        last.key == message
                            || first.iter().any(|event| event.is_about_reply(last.key))
                    });
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

/// The previews of so many conversations; without their last messages if those cannot be read. The
/// change is stored, and clients can query the last message.
fn or_without(previews: Result<Vec<Preview>, LoadError>, count: usize) -> Vec<Preview> {
    previews.unwrap_or_else(|error| {
        tracing::warn!(%error, "an event goes without its conversation's last message");
        vec![Preview::default(); count]
    })
}

/// The kind of a change of a conversation that existed before or not; `None`: it was deleted
/// before, and its user does not see it.
fn kind_of(existed: bool, known: &Conversation) -> Option<ConversationEvent> {
    match (existed, known.exists()) {
        // A setting brings a deleted conversation back. One that is set before the first message is
        // added by that message.
        (false, true) if known.has_begun() => Some(ConversationEvent::Added),
        (_, true) => Some(ConversationEvent::Updated),
        (true, false) => Some(ConversationEvent::Deleted),
        (false, false) => None,
    }
}

/// The entries that were written, and the failure of the others.
fn outcomes(
    writes: Vec<Write>,
    written: Vec<Result<u64, Failure>>,
) -> (Vec<StoredEntry>, Option<Failure>) {
    let mut stored = Vec::with_capacity(writes.len());
    let mut failed = None;
    for (write, written) in writes.into_iter().zip(written) {
        match written {
            // Without the conversation's entry the pages have no effect.
            Ok(_) if matches!(write, Write::Deletions { .. }) => {}
            Ok(seq) => stored.push(StoredEntry { write, seq }),
            // If several writes fail, an unknown outcome takes precedence.
            Err(_) if failed == Some(Failure::OutcomeUnknown) => {}
            Err(failure) => failed = Some(failure),
        }
    }
    (stored, failed)
}

/// Applies stored entries to the user's state.
fn apply(user: &mut User, stored: Vec<StoredEntry>) {
    for entry in stored {
        entry.apply(user);
    }
}

/// The conversations as they are after the stored settings are applied.
fn preview(user: &User, stored: &[StoredEntry]) -> Vec<(UserId, Conversation)> {
    let with_settings = |StoredEntry { write, seq }: &StoredEntry| {
        let (other, settings) = write.new_settings()?;
        let mut known = user.conversations.get(other).cloned().unwrap_or_default();
        known.adopt_settings(settings.clone(), *seq);
        Some((other.clone(), known))
    };
    stored.iter().filter_map(with_settings).collect()
}

/// The users whose blocks are stored.
fn users(stored: &[StoredEntry], mut profiles: HashMap<UserId, Profile>) -> Vec<UserInfo> {
    let others = stored.iter().filter_map(|stored| stored.write.other());
    let info =
        |id: &UserId| UserInfo { id: id.clone(), profile: profiles.remove(id).unwrap_or_default() };
    others.map(info).collect()
}
