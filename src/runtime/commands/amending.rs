//! Changing stored messages: revoking, editing, reactions, receipts of single messages.
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
//! 5. The receiver's owner publishes its events; then the sender's owner does.
//!
//! If the sender makes the change, the sender's owner requests steps 2 to 5 of the receiver's. If
//! the receiver makes it, the receiver's owner requests step 1 and the end of step 5 of the
//! sender's (`received.rs`). No owner holds a lock during a request to the other.

mod published;
mod received;
mod replied;

use std::sync::Arc;

use tokio::time::Instant;

use self::published::Changed;
use self::replied::in_replies;
use super::{Call, Peer, WithPeer, not_in_conversation};
use crate::bus::Bus;
use crate::runtime::commit::{Change as Commit, Entries, Events, Write};
use crate::runtime::env::Env;
use crate::runtime::history::{History, Reader};
use crate::runtime::parts::Parts;
use crate::runtime::users::{AmendedPage, Removal, UserCell, Users};
use crate::storage::amendments::{self, AmendError};
use crate::storage::reads::Found;
use crate::store::{Store, StreamId};
use crate::wire::amend::{AmendAnswer, AmendPart, StorePart};
use peerd_core::amend::{Notice, Operation, Target};
use peerd_core::amendment::{Amendment, AmendmentPage, Change, Removed};
use peerd_core::conversation::{Conversation, Removing};
use peerd_core::event::Messages;
use peerd_core::id::{Direction, MessageId, OrderKey, Partition, UserId};
use peerd_core::message::Message;
use peerd_core::pages::page_number;
use peerd_core::rejection::Rejection;
use peerd_core::reply::RepliedPages;
use peerd_core::user::User;
use peerd_protocol::failure::{CallError, Failure};

/// Changes stored messages.
pub(super) struct Amending<'p, S, B> {
    env: &'p Arc<Env<S, B>>,
    users: &'p Arc<Users<S, B>>,
    history: &'p Arc<History<S, B>>,
    entries: &'p Arc<Entries<S, B>>,
}

/// A message before and after a call; the same if nothing changed.
pub(super) struct Amended {
    pub(super) before: Message,
    pub(super) after: Arc<Message>,
}

/// A decided change of messages of one sender.
struct Decided {
    /// The conversation as the receiver of the messages has it.
    known: Conversation,
    /// The messages, in their order, each with its amendment unless it does not change.
    messages: Vec<(Found, Option<Amendment>)>,
    pages: Vec<AmendedPage>,
    notice: Notice,
    /// Whether the receiver deleted all of the messages that change.
    is_hidden: bool,
    /// The receiver's conversation changes at this key.
    changed: OrderKey,
    events: Events,
}

impl<'p, S: Store, B: Bus> Amending<'p, S, B> {
    pub(super) fn of(parts: &'p Parts<S, B>) -> Self {
        let Parts { env, users, history, entries, .. } = parts;
        Self { env, users, history, entries }
    }

    /// Changes a message of the caller's conversation with `other`, which either of them sent.
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
        self.admit(call.cell)?;
        let known = call.cell.lock().conversations.get(other).cloned().unwrap_or_default();
        let (direction, mut found) =
            self.find(call.cell, (other, &known), id, call.deadline).await?;
        known.settings.receipts.show(direction, &mut found.stored.message);
        let message = &mut found.stored.message;
        let shown = self.history.show_original(call.cell, (other, &known), message, call.deadline);
        shown.await.map_err(Failure::from)?;
        match direction {
            Direction::Send => self.amend_sent::<C>(call, other, found, operation).await,
            Direction::Receive if operation.is_for_sender() => Err(Rejection::NotPermitted.into()),
            Direction::Receive => {
                let amended = self.amend_received::<C>(call, other, vec![found], operation).await?;
                amended.into_iter().next().ok_or(Failure::Internal.into())
            }
        }
    }

    /// Changes a message that the caller sent to `other`.
    async fn amend_sent<C>(
        &self,
        call: &Call<'_, S, B>,
        other: &UserId,
        found: Found,
        operation: &Operation,
    ) -> Result<Amended, CallError>
    where
        C: WithPeer<Part = AmendPart, Answer = AmendAnswer>,
    {
        let (sender, deadline) = (call.cell, call.deadline);
        // A refusal here writes nothing. The owner of the log decides the rest.
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        operation.decide(&sender.id, target(&found), None, now_ms, limits)?;
        let (key, seq) = (found.key(), found.seq());
        self.entries
            .commit(sender, deadline, |user, _| Ok(name_pages(user, other, &[seq])))
            .await?;
        let part = AmendPart::Store(StorePart::new(key, operation));
        let answer = call.at_peer::<C>(other, &part).await;
        if let Err(CallError::Failed(_)) = &answer {
            // It may have been changed despite the error.
            self.users.forget_read(sender);
            sender.doubt();
        }
        let mut answer = answer?;
        let before = found.stored.message;
        let Some(amendment) = &answer.amendment else {
            return Ok(Amended { after: Arc::new(before.clone()), before });
        };
        let (_, amendment) = amendments::decode_one(amendment).map_err(|_| Failure::Internal)?;
        let after = Arc::new(amended(&before, &amendment)?);
        if answer.carrier_seq > 0 {
            self.env.storage(deadline).note_stored(before.partition, answer.carrier_seq);
            if let Change::Removed(removed) = &amendment.change {
                let head = removed.stub.head(answer.carrier_seq);
                sender.lock().update(other, |known| known.adopt_head(Direction::Send, head));
            }
        }
        let notice = answer.take_notice().map_err(|_| Failure::Internal)?;
        let mut replied = amendment.replied;
        if !in_replies(&before, &after) {
            replied = RepliedPages::default();
        }
        let changed = Changed { keys: &[key], state_seq: answer.state_seq, replied: &replied };
        let published = self.publish_sent(sender, other, changed, notice, deadline).await;
        if let Err(error) = published {
            // The change is stored, so this failure is not the caller's.
            tracing::warn!(%error, "a changed message was not published to its sender");
        }
        Ok(Amended { before, after })
    }

    /// Takes a slot of the caller's rate limit.
    pub(super) fn admit(&self, cell: &UserCell) -> Result<(), Rejection> {
        let (now_us, limits) = (self.env.clock.now().steady_us, self.env.limits());
        let taken = cell.lock().amendments_made.take(now_us, limits.amendments_per_second);
        match taken {
            Ok(_) => Ok(()),
            Err(retry_after_ms) => Err(Rejection::RateLimited { retry_after_ms }),
        }
    }

    /// Performs a part of a change that `peer.from` makes, for a user whom this instance owns.
    pub(super) async fn serve(
        &self,
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        match part {
            AmendPart::Store(part) => self.store(part, peer).await,
            AmendPart::Announce(seqs) => self.announce(&seqs, peer).await,
            AmendPart::Publish(part) => self.publish(part, peer).await,
        }
    }

    /// Stores a change of a message to `peer.cell`, which this instance owns, and publishes it to
    /// this user.
    async fn store(
        &self,
        part: StorePart,
        Peer { cell, from, deadline, .. }: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        let (key, operation) = part.into_operation();
        let decide = async {
            let pair_lock = cell.pair_lock(from, deadline).await?;
            if operation.is_refused_to_blocked() {
                cell.lock().refuse_blocked(from)?;
            }
            let keys = [key];
            let mut decided = self.decide(cell, (from, from), &keys, &operation, deadline).await?;
            let Some((found, Some(amendment))) = decided.messages.pop() else {
                return Ok((None, None));
            };
            let stored =
                amendments::encode_one(found.seq(), &amendment).map_err(|_| Failure::Internal)?;
            let notice = decided.notice.clone();
            let change = match amendment.change {
                // A note may be made at a message that was removed before.
                Change::Removed(removed) if notice != Notice::Replied => {
                    removal(from, decided, removed)?
                }
                Change::None | Change::Replaced(_) | Change::Removed(_) | Change::Unknown(_) => {
                    amendments_of(from, decided)
                }
            };
            Ok((Some(change), Some((found, stored, notice, pair_lock))))
        };
        let stored = self.entries.commit_reading(cell, deadline, Box::pin(decide)).await?;
        let Some((found, stored, notice, pair_lock)) = stored else {
            return Ok(AmendAnswer::unchanged());
        };
        drop(pair_lock);
        let head = cell.lock().conversations.get(from).and_then(|known| known.received);
        let carrier =
            head.filter(|head| head.mark.seq == found.seq() && head.stream_seq != found.stream_seq);
        let carrier_seq = carrier.map_or(0, |head| head.stream_seq);
        Ok(AmendAnswer::amended(&stored, &notice, state_seq(cell), carrier_seq))
    }

    /// Decides about a change of messages that `from` sent to the user, if `by` makes it. Their keys
    /// ascend.
    async fn decide(
        &self,
        cell: &Arc<UserCell>,
        (from, by): (&UserId, &UserId),
        keys: &[OrderKey],
        operation: &Operation,
        deadline: Instant,
    ) -> Result<Decided, CallError> {
        let known = cell.lock().conversations.get(from).cloned().unwrap_or_default();
        let wanted: Vec<_> = keys.iter().map(|key| (*key, cell.partition)).collect();
        let found = self.find_all(cell, (from, &known), &wanted, deadline).await?;
        let received = found.into_iter().filter(|(direction, _)| *direction == Direction::Receive);
        let found: Vec<Found> = received.map(|(_, found)| found).collect();
        if found.len() != keys.len() {
            return Err(not_in_conversation("message.messageID").into());
        }
        let (pair, storage) = (self.env.pair(from, &cell.id), self.env.storage(deadline));
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        let (mut messages, mut visible) = (Vec::with_capacity(found.len()), Messages::new());
        let mut pages: Vec<(AmendedPage, bool)> = Vec::new();
        let (mut notice, mut originals) = (None, Vec::new());
        for mut found in found {
            let message = &mut found.stored.message;
            if operation.shows_message() {
                let shown = self.history.show_original(cell, (from, &known), message, deadline);
                shown.await.map_err(Failure::from)?;
            }
            let (seq, key, number) = (found.seq(), found.key(), page_number(found.seq()));
            if pages.last().is_none_or(|(last, _)| last.number != number) {
                let read = storage.amendments(&pair, number).await.map_err(Failure::from)?;
                let (page, expected_seq) = read;
                pages.push((AmendedPage { number, page, expected_seq }, false));
            }
            let Some((last, is_changed)) = pages.last_mut() else { break };
            let before = last.page.get(seq, key);
            let amendment = operation.decide(by, target(&found), before, now_ms, limits)?;
            if let Some(amendment) = &amendment {
                *last.page.amend(seq, key) = amendment.clone();
                *is_changed = true;
                let message = &found.stored.message;
                notice.get_or_insert_with(|| operation.notice(by, message));
                let at = (Direction::Receive, seq);
                if !self.users.is_hidden(cell, (from, &known), at, deadline).await? {
                    let after = Arc::new(amended(message, amendment)?);
                    if in_replies(message, &after) {
                        originals.push((after.clone(), amendment.replied.clone()));
                    }
                    visible.push(after);
                }
            }
            messages.push((found, amendment));
        }
        let pages = pages.into_iter().filter(|(_, is_changed)| *is_changed);
        let pages: Vec<AmendedPage> = pages.map(|(page, _)| page).collect();
        for AmendedPage { page, .. } in &pages {
            fits(page)?;
        }
        let notice = notice.unwrap_or(Notice::Edited);
        // A user who deleted the messages gets no event, since nothing changes for this user.
        let newest = visible.last().map(|message| message.key);
        let replies = self.replies_to(cell, (from, &known), &originals, deadline).await?;
        let (changed, events) = match (newest, notice.clone().event(visible)) {
            (Some(message), Some(event)) => {
                let key = self.entries.next_key(cell);
                (key, Events::amended(key, message, event, replies))
            }
            _ => (known.settings.changed, Events::None),
        };
        let is_hidden = newest.is_none() || notice == Notice::Replied;
        Ok(Decided { known, messages, pages, notice, is_hidden, changed, events })
    }

    /// A message of a conversation by its ID.
    async fn find(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        id: MessageId,
        deadline: Instant,
    ) -> Result<(Direction, Found), CallError> {
        let wanted = [(id.key(), id.partition())];
        let mut found = self.find_all(cell, (other, known), &wanted, deadline).await?;
        found.pop().ok_or_else(|| not_in_conversation("message.messageID").into())
    }

    /// Messages of a conversation by their order keys, which ascend, and their partitions, as far as
    /// they are there, with their pins.
    async fn find_all(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        wanted: &[(OrderKey, Partition)],
        deadline: Instant,
    ) -> Result<Vec<(Direction, Found)>, CallError> {
        let reader = Reader::new(self.history, cell, other, known, deadline);
        let mut found = reader.find_stored(wanted).await.map_err(Failure::from)?;
        let oldest = wanted.first().map_or(OrderKey::ZERO, |(key, _)| *key);
        let pins = self.env.pins_from(cell, other, oldest, deadline).await;
        if let Some(pins) = pins.map_err(Failure::from)? {
            for (_, found) in &mut found {
                pins.show(&mut found.stored.message);
            }
        }
        Ok(found)
    }
}

/// Makes the sender's entry name the pages of messages, if it does not yet.
fn name_pages(user: &User, other: &UserId, seqs: &[u64]) -> Option<Commit> {
    let known = user.conversations.get(other)?;
    let is_named = |seq: &u64| known.settings.amended_sent.contains(page_number(*seq));
    if seqs.iter().all(is_named) {
        return None;
    }
    let settings = known.changed_settings(known.settings.changed, |settings| {
        for seq in seqs {
            settings.note_amended(Direction::Send, *seq);
        }
    });
    let writes = vec![Write::settings(other, known, settings)];
    Some(Commit { writes, events: Events::None })
}

/// Amendments of messages that `from` sent, of which none is removed.
fn amendments_of(
    from: &UserId,
    Decided { known, pages, is_hidden, changed, events, .. }: Decided,
) -> Commit {
    let settings = known.changed_settings(changed, |settings| {
        settings.kept |= !is_hidden && known.exists();
        for AmendedPage { number, .. } in &pages {
            settings.amended_received.insert(*number);
        }
    });
    let pages = pages.into_iter().map(|page| Write::Amendments { sender: from.clone(), page });
    let writes = std::iter::once(Write::settings(from, &known, settings)).chain(pages).collect();
    Commit { writes, events }
}

/// The removal of a message that `from` sent. The caller holds the pair lock.
fn removal(
    from: &UserId,
    Decided { known, mut pages, is_hidden, changed, events, .. }: Decided,
    removed: Removed,
) -> Result<Commit, Failure> {
    let page = pages.pop().ok_or(Failure::Internal)?;
    let (seq, key) = (removed.seq(), removed.key());
    let begun = known.changed_settings(known.settings.changed, |settings| {
        settings.note_amended(Direction::Receive, seq);
        settings.removing = Some(Removing { seq, key });
    });
    let (is_unread, expected_seq) = (removed.is_unread(&known) && !is_hidden, known.settings_seq);
    // Messages that arrive meanwhile are from other senders.
    let known = Conversation { settings: begun.clone(), ..known };
    let ended = known.after_removal(changed, is_unread);
    let sender = from.clone();
    let removal = Removal { sender, removed, page, begun, ended, expected_seq };
    Ok(Commit { writes: vec![Write::Removal(Box::new(removal))], events })
}

/// The sequence up to which the other owner must read the state stream to see what was stored.
fn state_seq(cell: &UserCell) -> u64 {
    cell.ownership.gap_tracker(StreamId::State(cell.partition)).newest()
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

/// Refuses a change for which the page of amendments has no room.
fn fits(page: &AmendmentPage) -> Result<(), CallError> {
    match amendments::encode(page) {
        Ok(_) => Ok(()),
        Err(AmendError::Full { .. }) => {
            let problem = "is too large together with the changes of the messages around it";
            Err(Rejection::invalid("message", problem).into())
        }
        Err(AmendError::Encode(_)) => Err(Failure::Internal.into()),
    }
}

#[cfg(test)]
mod tests;
