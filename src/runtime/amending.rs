//! Changing stored messages: revoking and editing.
//!
//! The log of a message belongs to the owner of its receiver, which decides and writes the change,
//! in this order, so that after a crash at any moment both users see the same:
//!
//! 1. The sender's owner notes in the sender's entry that the page of the message may have
//!    amendments.
//! 2. The receiver's owner does so in the receiver's entry. For a removal, the entry also says that
//!    it begins.
//! 3. It writes the page of amendments, which is the commit point: from here on, every reader sees
//!    the change. Before this, nothing has changed.
//! 4. For a removal, the content is erased from the log, and the receiver's entry is written with
//!    the new unread count. If that was interrupted, the next load of the receiver does it.
//! 5. The receiver's owner publishes its events and answers; then the sender's owner publishes.

use std::sync::Arc;

use smallvec::smallvec;
use tokio::sync::MutexGuard;
use tokio::time::Instant;

use super::commands::{Call, Peer, WithPeer};
use super::commit::{Change as Commit, Entries, Events, Write};
use super::env::Env;
use super::history::{History, Reader};
use super::users::{UserCell, Users};
use crate::bus::Bus;
use crate::storage::amendments::{self, AmendError};
use crate::storage::reads::Found;
use crate::store::{Store, StreamId};
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::{Operation, Target};
use peerd_core::amendment::{Amendment, AmendmentPage, Change, Removed, page_number};
use peerd_core::conversation::{Conversation, Removing, Settings};
use peerd_core::event::Event;
use peerd_core::id::{MessageId, OrderKey, UserId};
use peerd_core::message::{Direction, Message};
use peerd_core::rejection::Rejection;
use peerd_core::user::User;
use peerd_protocol::failure::{CallError, Failure};

/// Changes stored messages.
pub(super) struct Amending<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) history: Arc<History<S, B>>,
    pub(super) entries: Arc<Entries<S, B>>,
}

/// A message before and after a change.
pub(super) struct Amended {
    pub(super) before: Message,
    pub(super) after: Arc<Message>,
}

/// A decided change of a message.
struct Decided {
    /// The conversation as its receiver has it.
    known: Conversation,
    /// The message before the change.
    found: Found,
    amendment: Amendment,
    /// The number of its page of amendments, the page after the change, and the sequence of the page
    /// before it; 0 if there was none.
    page: (u64, AmendmentPage, u64),
    /// Whether the receiver deleted the message.
    is_hidden: bool,
    /// The receiver's conversation changes at this key.
    changed: OrderKey,
    events: Events,
}

impl<S: Store, B: Bus> Amending<S, B> {
    /// Changes a message that the caller sent to `other`.
    pub(super) async fn amend<C>(
        &self,
        call: &Call<'_, S, B>,
        other: &UserId,
        id: MessageId,
        operation: &Operation,
    ) -> Result<Amended, CallError>
    where
        C: WithPeer<Part = AmendPart, Answer = AmendAnswer>,
    {
        let (sender, deadline) = (call.cell, call.deadline);
        self.admit(sender)?;
        let known = sender.lock().conversations.get(other).cloned().unwrap_or_default();
        let (direction, mut found) = self.find(sender, (other, &known), id, deadline).await?;
        known.settings.receipts.show(direction, &mut found.stored.message);
        if direction == Direction::Receive {
            return Err(Rejection::NotPermitted.into());
        }
        // A refusal here writes nothing. The owner of the log decides the rest.
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        operation.decide(&sender.id, target(&found), None, now_ms, limits)?;
        let (key, seq) = (found.key(), found.seq());
        self.entries.commit(sender, deadline, |user, _| Ok(name_page(user, other, seq))).await?;
        let answer = call.at_peer::<C>(other, &AmendPart::new(key, operation)).await;
        if let Err(CallError::Failed(_)) = &answer {
            // It may have been changed despite the error.
            self.users.forget_read(sender);
            sender.doubt();
        }
        let AmendAnswer { amendment, state_seq, carrier_seq } = answer?;
        let before = found.stored.message;
        let Some(amendment) = amendment else {
            return Ok(Amended { after: Arc::new(before.clone()), before });
        };
        let (_, amendment) = amendments::decode_one(&amendment).map_err(|_| Failure::Internal)?;
        let after = Arc::new(amended(&before, &amendment)?);
        self.env.storage(deadline).note_entry(before.partition, state_seq);
        if carrier_seq > 0 {
            self.env.storage(deadline).note_stored(before.partition, carrier_seq);
            if let Change::Removed(removed) = &amendment.change {
                let head = removed.stub.head(carrier_seq);
                sender.lock().update(other, |known| known.adopt_head(Direction::Send, head));
            }
        }
        let is_hidden =
            self.users.is_hidden(sender, (other, &known), (direction, seq), deadline).await?;
        self.users.forget_read(sender);
        if !is_hidden {
            let event = event(operation, after.clone());
            self.publish_sent(sender, other, (key, event), deadline).await;
        }
        Ok(Amended { before, after })
    }

    /// Publishes the change of a message to its sender. The change is stored, so a failure here is
    /// not the caller's.
    async fn publish_sent(
        &self,
        cell: &Arc<UserCell>,
        other: &UserId,
        (message, event): (OrderKey, Event),
        deadline: Instant,
    ) {
        let published = self.entries.commit(cell, deadline, |user, keys| {
            let unknown = Conversation::default();
            let known = user.conversations.get(other).unwrap_or(&unknown);
            let key = keys.change(user);
            let settings = known.changed_settings(key, |settings| settings.kept = known.exists());
            let writes = vec![Write::settings(other, known, settings)];
            Ok(Some(Commit { writes, events: Events::Amended { key, message, event } }))
        });
        if let Err(error) = published.await {
            tracing::warn!(%error, "a changed message was not published to its sender");
        }
    }

    /// Takes a slot of the caller's rate limit.
    fn admit(&self, cell: &UserCell) -> Result<(), Rejection> {
        let (now_us, limits) = (self.env.clock.now().steady_us, self.env.limits());
        let taken = cell.lock().amendments_made.take(now_us, limits.amendments_per_second);
        match taken {
            Ok(_) => Ok(()),
            Err(retry_after_ms) => Err(Rejection::RateLimited { retry_after_ms }),
        }
    }

    /// Stores a change of a message to `peer.cell`, which this instance owns, and publishes it to
    /// this user.
    pub(super) async fn store(
        &self,
        part: AmendPart,
        Peer { cell, from, deadline, .. }: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        let (key, operation) = part.into_operation();
        let entry_lock = self.users.entry_lock(cell, deadline).await?;
        let pair_lock = cell.pair_lock(from, deadline).await?;
        if operation.is_refused_to_blocked() && cell.lock().blocked.contains(from) {
            return Err(Rejection::BlockedByReceiver.into());
        }
        let Some(decided) = self.decide(cell, from, key, &operation, deadline).await? else {
            return Ok(AmendAnswer::unchanged());
        };
        let (seq, stream_seq) = (decided.found.seq(), decided.found.stream_seq);
        let stored =
            amendments::encode_one(seq, &decided.amendment).map_err(|_| Failure::Internal)?;
        let state_seq = match decided.amendment.change.clone() {
            Change::Removed(removed) => {
                self.store_removal(&entry_lock, cell, from, decided, &removed, deadline).await?
            }
            Change::None | Change::Replaced(_) | Change::Unknown(_) => {
                self.store_amendment(&entry_lock, cell, from, decided, deadline).await?
            }
        };
        drop(pair_lock);
        let user = cell.lock();
        let head = user.conversations.get(from).and_then(|known| known.received);
        let carrier = head.filter(|head| head.mark.seq == seq && head.stream_seq != stream_seq);
        let carrier_seq = carrier.map_or(0, |head| head.stream_seq);
        Ok(AmendAnswer::amended(&stored, state_seq, carrier_seq))
    }

    /// Decides about a change of a message that `from` sent to the user. `None`: nothing changes.
    async fn decide(
        &self,
        cell: &Arc<UserCell>,
        from: &UserId,
        key: OrderKey,
        operation: &Operation,
        deadline: Instant,
    ) -> Result<Option<Decided>, CallError> {
        let known = cell.lock().conversations.get(from).cloned().unwrap_or_default();
        let id = MessageId::new(key, cell.partition);
        let (direction, found) = self.find(cell, (from, &known), id, deadline).await?;
        let (pair, number) = (self.env.pair(from, &cell.id), page_number(found.seq()));
        let storage = self.env.storage(deadline);
        let (mut page, page_seq) =
            storage.amendments(&pair, number).await.map_err(Failure::from)?;
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        let before = page.get(found.seq(), key);
        let decided = operation.decide(from, target(&found), before, now_ms, limits)?;
        let Some(amendment) = decided else { return Ok(None) };
        *page.amend(found.seq(), key) = amendment.clone();
        fits(&page)?;
        let message = (direction, found.seq());
        let is_hidden = self.users.is_hidden(cell, (from, &known), message, deadline).await?;
        // A user who deleted the message gets no event, since nothing changes for this user.
        let (changed, events) = if is_hidden {
            (known.settings.changed, Events::None)
        } else {
            let event = event(operation, Arc::new(amended(&found.stored.message, &amendment)?));
            let changed = self.entries.next_key(cell);
            (changed, Events::Amended { key: changed, message: key, event })
        };
        let page = (number, page, page_seq);
        Ok(Some(Decided { known, found, amendment, page, is_hidden, changed, events }))
    }

    /// Stores what replaced a message's content. Returns the sequence of the page of amendments.
    async fn store_amendment(
        &self,
        entry_lock: &MutexGuard<'_, ()>,
        cell: &Arc<UserCell>,
        from: &UserId,
        Decided { known, found, page, is_hidden, changed, events, .. }: Decided,
        deadline: Instant,
    ) -> Result<u64, CallError> {
        let settings = known.changed_settings(changed, |settings| {
            settings.kept |= !is_hidden && known.exists();
            settings.note_amended(Direction::Receive, found.seq());
        });
        let ((number, page, expected_seq), sender) = (page, from.clone());
        let writes = vec![
            Write::settings(from, &known, settings),
            Write::Amendments { sender, number, page, expected_seq },
        ];
        self.entries.carry_out(entry_lock, cell, Commit { writes, events }, deadline).await?;
        Ok(cell.ownership.written(StreamId::State(cell.partition)).newest())
    }

    /// Stores the removal of a message. Returns the sequence of the page of amendments.
    async fn store_removal(
        &self,
        entry_lock: &MutexGuard<'_, ()>,
        cell: &Arc<UserCell>,
        from: &UserId,
        Decided { known, page, is_hidden, changed, events, .. }: Decided,
        removed: &Removed,
        deadline: Instant,
    ) -> Result<u64, CallError> {
        let removal = self.remove(cell, from, &known, removed, page, deadline).await;
        let (state_seq, begun, expected_seq) = removal.inspect_err(|_| {
            // The next load completes the removal.
            self.users.forget_read(cell);
            cell.invalidate();
        })?;
        let is_unread = removed.is_unread(&known) && !is_hidden;
        // Messages that arrived meanwhile are from other senders: the pair is locked.
        let begun = Conversation { settings: begun, ..known };
        let settings = begun.after_removal(changed, is_unread);
        let writes = vec![Write::Settings { other: from.clone(), settings, expected_seq }];
        let change = Commit { writes, events };
        let committed = self.entries.carry_out(entry_lock, cell, change, deadline).await;
        committed.inspect_err(|_| cell.invalidate())?;
        Ok(state_seq)
    }

    /// Removes a message, up to erasing its record. Returns the sequence of the page of amendments,
    /// and the receiver's settings in which the removal has begun, with their sequence.
    async fn remove(
        &self,
        cell: &Arc<UserCell>,
        from: &UserId,
        known: &Conversation,
        removed: &Removed,
        (number, page, page_seq): (u64, AmendmentPage, u64),
        deadline: Instant,
    ) -> Result<(u64, Settings, u64), Failure> {
        let (seq, key) = (removed.seq(), removed.key());
        let begun = known.changed_settings(known.settings.changed, |settings| {
            settings.note_amended(Direction::Receive, seq);
            settings.removing = Some(Removing { seq, key });
        });
        let settings_seq =
            self.entries.write_settings(cell, from, &begun, known.settings_seq, deadline).await?;
        let page = (number, &page, page_seq);
        let state_seq = self.users.write_amendments(cell, from, page, deadline).await?;
        let pair = self.env.pair(from, &cell.id);
        self.users.remove_record(cell, &pair, removed, deadline).await?;
        Ok((state_seq, begun, settings_seq))
    }

    /// A message of a conversation by its ID.
    async fn find(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        id: MessageId,
        deadline: Instant,
    ) -> Result<(Direction, Found), CallError> {
        let reader = Reader::new(&self.history, cell, other, known, deadline);
        let found = reader.find_stored(&[(id.key(), id.partition())]).await;
        found.map_err(Failure::from)?.pop().ok_or_else(|| {
            let problem = "names a message that is not in the conversation";
            Rejection::invalid("message.messageID", problem).into()
        })
    }
}

/// Makes the sender's entry name the page of a message, if it does not yet.
fn name_page(user: &User, other: &UserId, seq: u64) -> Option<Commit> {
    let known = user.conversations.get(other)?;
    if known.settings.amended_sent.contains(page_number(seq)) {
        return None;
    }
    let settings = known.changed_settings(known.settings.changed, |settings| {
        settings.note_amended(Direction::Send, seq);
    });
    let writes = vec![Write::settings(other, known, settings)];
    Some(Commit { writes, events: Events::None })
}

fn target(found: &Found) -> Target<'_> {
    let Found { stream_seq, stored_ms, stored, .. } = found;
    Target {
        message: &stored.message,
        mark: stored.mark,
        page: stored.page,
        stream_seq: *stream_seq,
        stored_ms: *stored_ms,
    }
}

/// A message after a change.
fn amended(message: &Message, amendment: &Amendment) -> Result<Message, Failure> {
    if let Change::Removed(removed) = &amendment.change {
        let Message { sender, receiver, partition, .. } = message;
        return removed.shown(sender, receiver, *partition).ok_or(Failure::Internal);
    }
    let mut message = message.clone();
    amendment.apply(&mut message);
    Ok(message)
}

/// The event for both users.
fn event(operation: &Operation, message: Arc<Message>) -> Event {
    match operation {
        Operation::Revoke { .. } => Event::MessagesRevoked(smallvec![message]),
        Operation::Edit { .. } => Event::MessagesEdited(smallvec![message]),
    }
}

/// Refuses a change for which the page of amendments has no room.
fn fits(page: &AmendmentPage) -> Result<(), CallError> {
    match amendments::encode(page) {
        Ok(_) => Ok(()),
        Err(AmendError::Full { .. }) => {
            let problem = "is too large together with the edits of the messages around it";
            Err(Rejection::invalid("message", problem).into())
        }
        Err(AmendError::Encode(_)) => Err(Failure::Internal.into()),
    }
}

#[cfg(test)]
mod tests;
