//! Changes that a user makes to conversations: clear, mute, delete.
//!
//! Each is one entry written, then applied in memory, then told. The gate lets one through at a
//! time; messages come in meanwhile.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;

use super::cell::UserCell;
use super::conversations::Face;
use super::history::Reader;
use super::node::Node;
use super::route::NO_OWNER;
use crate::bus::Bus;
use crate::domain::clear::clear_unread;
use crate::domain::clock::Lane;
use crate::domain::conversation::{
    Conversation, ConversationEvent, ConversationView, Mark, NotificationStatus, Settings,
};
use crate::domain::delete::{delete_all, delete_messages};
use crate::domain::deletions::PageId;
use crate::domain::event::{DeleteType, Event, Told};
use crate::domain::id::{MessageId, OrderKey, UserId};
use crate::domain::message::Message;
use crate::domain::notification::set_notification;
use crate::domain::rejection::Rejection;
use crate::failpoint::{self, Fault};
use crate::store::{AppendError, Store, StreamId};
use crate::wire::entry;
use crate::wire::failure::{CallError, Failure};
use crate::wire::reply::Reply;
use crate::wire::subject::Token;

/// Entries that one call writes at the same time.
const CONCURRENT: usize = 32;
/// Most conversations that one event tells of, and most bytes of content in it: JSON's escapes can
/// make six of each, which is still below a server's usual `max_payload`.
const CHANGES_PER_EVENT: usize = 64;
const BYTES_PER_EVENT: usize = 128 * 1024;
/// How often what a conversation shows is read anew because a message came in meanwhile.
const FACE_TRIES: usize = 4;

/// A conversation whose new settings are stored, and where.
struct Stored {
    other: UserId,
    settings: Settings,
    settings_seq: u64,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Marks a conversation as read.
    pub(super) async fn clear_unread(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: UserId,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        self.change(cell, &other, None, deadline, clear_unread).await?;
        Ok(Reply::Changed(other))
    }

    /// Mutes a conversation or unmutes it.
    pub(super) async fn set_notification(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: UserId,
        status: NotificationStatus,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        if other == cell.id {
            return Err(Rejection::invalid("conversationID", "must not be the caller's own").into());
        }
        let set = |known: &Conversation, key| set_notification(known, status, key);
        self.change(cell, &other, None, deadline, set).await?;
        Ok(Reply::Changed(other))
    }

    /// Deletes all messages of a conversation for its user.
    pub(super) async fn delete_all(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: UserId,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let mut reader = Reader::new(self, cell, &other, &known, deadline);
        if reader.newest().await.map_err(Failure::from)?.is_none() {
            return Ok(Reply::Empty);
        }
        let told = Event::MessageDeleted {
            other: other.clone(),
            delete_type: DeleteType::Conversation,
            messages: Vec::new(),
        };
        self.change(cell, &other, Some(told), deadline, delete_all).await?;
        Ok(Reply::Empty)
    }

    /// Decides about one conversation, stores what changes, applies it and tells the user.
    async fn change(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: &UserId,
        first: Option<Event>,
        deadline: Instant,
        decide: impl FnOnce(&Conversation, OrderKey) -> Option<Settings>,
    ) -> Result<(), CallError> {
        let _gate = self.gate(cell, deadline).await?;
        let key = self.next_key(cell);
        let known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
        let Some(settings) = decide(&known, key) else { return Ok(()) };
        let stored = self.store_settings(cell, other, settings, known.settings_seq, deadline);
        let stored = stored.await?;
        self.apply(cell, key, first, vec![stored], deadline).await;
        Ok(())
    }

    /// Stores settings that are no doing of the user's, applies them and tells the user. To be called
    /// with the user's gate.
    pub(super) async fn store_and_apply(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: &UserId,
        (key, settings): (OrderKey, Settings),
        deadline: Instant,
    ) -> Result<(), CallError> {
        let known = cell.lock().conversations.get(other).map_or(0, |known| known.settings_seq);
        let stored = self.store_settings(cell, other, settings, known, deadline).await?;
        self.apply(cell, key, None, vec![stored], deadline).await;
        Ok(())
    }

    /// Marks all conversations as read.
    pub(super) async fn clear_all_unread(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let _gate = self.gate(cell, deadline).await?;
        let key = self.next_key(cell);
        let changes: Vec<(UserId, Settings, u64)> = {
            let user = cell.lock();
            let changed = |other: UserId| {
                let known = user.conversations.get(&other)?;
                clear_unread(known, key).map(|settings| (other, settings, known.settings_seq))
            };
            user.unread_conversations().into_iter().filter_map(changed).collect()
        };
        let mut written = Vec::with_capacity(changes.len());
        for chunk in changes.chunks(CONCURRENT) {
            let writes = chunk.iter().map(|(other, settings, expected_seq)| {
                self.store_settings(cell, other, settings.clone(), *expected_seq, deadline)
            });
            written.extend(join_all(writes).await);
        }
        let mut stored = Vec::with_capacity(written.len());
        let mut failed = None;
        for written in written {
            match written {
                Ok(change) => stored.push(change),
                Err(error) => failed = Some(error),
            }
        }
        if !stored.is_empty() {
            self.apply(cell, key, None, stored, deadline).await;
        }
        failed.map_or(Ok(Reply::Empty), Err)
    }

    /// Deletes messages for their user.
    pub(super) async fn delete_messages(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        other: UserId,
        ids: &[MessageId],
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let _gate = self.gate(cell, deadline).await?;
        let mut known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let wanted: Vec<_> = ids.iter().map(|id| (id.key(), id.partition())).collect();
        let reader = Reader::new(self, cell, &other, &known, deadline);
        let found = reader.find(&wanted).await.map_err(Failure::from)?;
        if found.len() < ids.len() {
            let problem = "names a message that is not in the conversation";
            return Err(Rejection::invalid("messageList", problem).into());
        }
        let token = Token::of(&other);
        let pages = found.iter().map(|(direction, message)| PageId::of(*direction, message.seq));
        let spilled = pages.filter(|page| {
            let deleted = &known.settings.deleted;
            deleted.has_spilled(page.direction) && !deleted.has_page(*page)
        });
        let spilled = self.read_deletions(cell, &token, spilled.collect(), deadline).await;
        for (page, bitmap, _) in spilled.map_err(Failure::from)? {
            known.settings.deleted.add_page(page, bitmap);
        }
        let key = self.next_key(cell);
        let messages: Vec<_> = found.iter().map(|(way, message)| (*way, &**message)).collect();
        let Some((mut settings, gone)) = delete_messages(&known, &messages, key) else {
            return Ok(Reply::Empty);
        };
        let mut deleted: Vec<Arc<Message>> = gone.into_iter().map(|i| found[i].1.clone()).collect();
        deleted.sort_by_key(|message| message.key);
        self.write_deletions(cell, &token, settings.deleted.spill(), deadline).await?;
        let told = Event::MessageDeleted {
            other: other.clone(),
            delete_type: DeleteType::Messages,
            messages: deleted,
        };
        let stored = self.store_settings(cell, &other, settings, known.settings_seq, deadline);
        let stored = stored.await?;
        self.apply(cell, key, Some(told), vec![stored], deadline).await;
        Ok(Reply::Empty)
    }

    /// The entry that makes a conversation findable for its sender, before its first message.
    pub(super) async fn first_contact(
        &self,
        cell: &UserCell,
        other: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let _gate = self.gate(cell, deadline).await?;
        let key = self.next_key(cell);
        let Some(settings) = cell.lock().first_contact(other, key) else { return Ok(()) };
        let stored = self.store_settings(cell, other, settings, 0, deadline).await?;
        let Stored { settings, settings_seq, .. } = stored;
        cell.lock().update(other, |known| known.adopt_settings(settings, settings_seq));
        Ok(())
    }

    pub(super) fn next_key(&self, cell: &UserCell) -> OrderKey {
        let floor = cell.lock().newest_told();
        cell.tenure.clock.next(self.clock.wall_ms(), floor, Lane::Even)
    }

    async fn store_settings(
        &self,
        cell: &UserCell,
        other: &UserId,
        settings: Settings,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<Stored, CallError> {
        let mut stored = settings.clone();
        if failpoint::is(Fault::LostReadMark) {
            stored.read = Mark::default();
        }
        let payload = entry::encode_settings(&stored).map_err(|_| Failure::Internal)?;
        let subject = self.subjects.conversation(cell.partition, &cell.token, &Token::of(other));
        let mut stream = StreamId::State(cell.partition);
        if failpoint::is(Fault::WrongStream) {
            stream = cell.log();
        }
        let written = self.write(cell, stream, subject, payload, expected_seq, deadline).await;
        let settings_seq = written.map_err(|error| entry_failure(cell, &error))?;
        Ok(Stored { other: other.clone(), settings, settings_seq })
    }

    /// Applies stored settings in memory and tells the user. What the conversations show is read
    /// before, since nothing may be awaited between applying and telling.
    async fn apply(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        key: OrderKey,
        first: Option<Event>,
        stored: Vec<Stored>,
        deadline: Instant,
    ) {
        let mut tries = 0;
        loop {
            tries += 1;
            let page = snapshot(cell, &stored);
            let faces = self.faces(cell, &page, deadline).await.unwrap_or_else(|error| {
                // The change is stored. What it shows besides can be asked for.
                tracing::warn!(%error, "an event goes without its conversation's last message");
                vec![Face::default(); page.len()]
            });
            // Besides what the call may need: an event for each conversation and message, at worst.
            let messages = first.as_ref().map_or(0, Event::entries);
            self.wait_for_room_beyond(page.len() + messages).await;
            let mut user = cell.lock();
            let is_current = page.iter().all(|(other, seen)| {
                user.conversations
                    .get(other)
                    .is_none_or(|known| known.received == seen.received && known.sent == seen.sent)
            });
            if !is_current && tries < FACE_TRIES {
                continue;
            }
            let totals = user.totals;
            for change in &stored {
                let (settings, seq) = (change.settings.clone(), change.settings_seq);
                user.update(&change.other, |known| known.adopt_settings(settings, seq));
            }
            let revision = user.advance(key);
            let views = stored.iter().zip(&faces).filter_map(|(change, face)| {
                let known = user.conversations.get(&change.other)?;
                let last = face.last_message.clone();
                let view = ConversationView::new(&change.other, &face.name, known, last);
                Some((ConversationEvent::Updated, view))
            });
            let views: Vec<_> = views.collect();
            let mut events: Vec<Event> = first.into_iter().collect();
            events.extend(chunks(views).map(Event::ConversationChanged));
            if user.totals.unmuted != totals.unmuted {
                events.push(Event::TotalChanged(user.totals));
            }
            self.note_revision(cell, &mut user);
            self.tell(cell, &user, &Told { revision, events });
            return;
        }
    }
}

/// What a caller is told when an entry could not be written. Unless it is sure that nothing
/// was, the user is loaded anew before the next use.
pub(super) fn entry_failure(cell: &UserCell, error: &AppendError) -> Failure {
    match error {
        AppendError::Unavailable(_) if !cell.tenure.may_act() => NO_OWNER,
        AppendError::Unavailable(why) => {
            tracing::debug!(%why, "an entry could not be written");
            Failure::StoreUnavailable
        }
        AppendError::Conflict => {
            cell.invalidate();
            Failure::StoreUnavailable
        }
        AppendError::Unknown => {
            cell.doubt();
            Failure::OutcomeUnknown
        }
    }
}

/// Splits changes into what one event can tell.
pub(super) fn chunks(
    mut changes: Vec<(ConversationEvent, ConversationView)>,
) -> impl Iterator<Item = Vec<(ConversationEvent, ConversationView)>> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |(_, view): &&(ConversationEvent, ConversationView)| {
            let last = view.last_message.as_ref();
            bytes += last.map_or(0, |last| last.content.size_bytes() + last.extended_data.len());
            bytes <= BYTES_PER_EVENT
        };
        let length = changes.iter().take(CHANGES_PER_EVENT).take_while(fits).count();
        let rest = changes.split_off(length.max(1).min(changes.len()));
        let chunk = std::mem::replace(&mut changes, rest);
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// The conversations as they will be with the stored settings.
fn snapshot(cell: &UserCell, stored: &[Stored]) -> Vec<(UserId, Conversation)> {
    let user = cell.lock();
    let with_settings = |change: &Stored| {
        let mut known = user.conversations.get(&change.other).cloned().unwrap_or_default();
        known.adopt_settings(change.settings.clone(), change.settings_seq);
        (change.other.clone(), known)
    };
    stored.iter().map(with_settings).collect()
}
