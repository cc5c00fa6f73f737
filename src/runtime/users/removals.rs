//! Completes the removal of messages. The page of amendments decides: if it shows a message as
//! removed, the rest of it in the log is erased, and an offline push that waits is taken back.

use tokio::time::Instant;

use super::entries::{AmendedPage, Removal, StoredEntry, Write};
use super::{LoadError, UserCell, Users, entry_failure};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::{REMOVAL_LOOKS_MAX, SERVER_CLOCK_SLACK_MS};
use crate::storage;
use crate::storage::amendments::AmendError;
use crate::storage::reads::Pair;
use crate::storage::removal::{self, Left};
use crate::store::{Append, AppendError, Push, Store};
use peerd_core::amendment::{Change, Removed};
use peerd_core::conversation::{Conversation, Removing};
use peerd_core::deletions::PageId;
use peerd_core::id::{Direction, MessageId, UserId};
use peerd_core::pages::page_number;
use peerd_protocol::failure::Failure;

impl<S: Store, B: Bus> Users<S, B> {
    /// Does the remaining steps for a message to `cell` that its page of amendments shows as
    /// removed. Each step can be repeated.
    async fn remove_content(
        &self,
        cell: &UserCell,
        pair: &Pair,
        removed: &Removed,
        deadline: Instant,
    ) -> Result<(), Failure> {
        self.remove_record(cell, pair, removed, deadline).await?;
        self.withdraw_push(cell, removed, deadline).await
    }

    /// Takes back the offline push of a removed message, if it still waits for its gateway.
    async fn withdraw_push(
        &self,
        cell: &UserCell,
        Removed { stub, stored_ms, .. }: &Removed,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let env = &self.env;
        let id = MessageId::new(stub.key, cell.ownership.partition);
        let until = cell.may_write(deadline).map_err(|error| entry_failure(cell, &error))?;
        if !env.handing_off.is_over(id, until).await {
            return Err(Failure::StoreUnavailable);
        }
        // The message was stored before its push, perhaps on another server.
        let since_ms = stored_ms.saturating_sub(SERVER_CLOCK_SLACK_MS);
        let subject = storage::push::key(&env.subjects, &cell.token);
        let push = Push { subject, id: id.to_string(), since_ms };
        let withdrawn = env.store.withdraw(push, until).await;
        withdrawn.map_err(|error| entry_failure(cell, &error))
    }

    /// Does the remaining steps in the log.
    async fn remove_record(
        &self,
        cell: &UserCell,
        pair: &Pair,
        removed: &Removed,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let storage = self.env.storage(deadline);
        for _ in 0..REMOVAL_LOOKS_MAX {
            match storage.left(pair, removed).await.map_err(LoadError::from)? {
                Left::Nothing => return Ok(()),
                Left::Record => {
                    let until = cell.may_write(deadline);
                    let until = until.map_err(|error| entry_failure(cell, &error))?;
                    let erased = self.env.store.erase(cell.log(), removed.stream_seq, until).await;
                    return erased.map_err(|error| entry_failure(cell, &error));
                }
                Left::Carrier => {
                    let write = removal::carry(pair, removed).map_err(|_| Failure::Internal)?;
                    let removal::Write { stream, subject, payload, expected_seq } = write;
                    let append = Append { stream, subject, payload, expected_seq };
                    match self.write(cell, append, deadline).await {
                        Ok(stream_seq) => {
                            let (head, counts) =
                                (removed.stub.head(stream_seq), removed.stub.counts);
                            cell.lock().update(&pair.sender, |known| {
                                if known.has_unpublished() {
                                    // The log is read up to its end before the next message.
                                    known.adopt_head(Direction::Receive, head);
                                } else {
                                    known.take_in_removed(head, counts);
                                }
                            });
                        }
                        // A message arrived in between: the record is no longer the newest.
                        Err(AppendError::Conflict) => {}
                        Err(error) => return Err(entry_failure(cell, &error)),
                    }
                }
            }
        }
        Err(Failure::StoreUnavailable)
    }

    /// Removes a message, from the note that this begins to the settings in which it has ended.
    /// Returns the sequence of those. The caller holds the entry lock and the pair lock.
    pub(super) async fn remove(
        &self,
        cell: &UserCell,
        removal: &Removal,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let Removal { sender, removed, page, begun, ended, expected_seq } = removal;
        let steps = async {
            let begun = self.write_settings(cell, sender, begun, *expected_seq, deadline).await?;
            self.write_amendments(cell, sender, page, deadline).await?;
            let pair = self.env.pair(sender, &cell.id);
            self.remove_content(cell, &pair, removed, deadline).await?;
            self.write_settings(cell, sender, ended, begun, deadline).await
        };
        steps.await.inspect_err(|_| {
            // The next load completes the removal.
            self.forget_read(cell);
            cell.invalidate();
        })
    }

    /// Writes a page of amendments of the messages from `sender` to the user. Returns its sequence.
    pub(super) async fn write_amendments(
        &self,
        cell: &UserCell,
        sender: &UserId,
        AmendedPage { number, page, expected_seq }: &AmendedPage,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let pair = self.env.pair(sender, &cell.id);
        let without = failpoint::is(Fault::LostReaction).then(|| page.without_reactions());
        let page = without.as_ref().unwrap_or(page);
        let write = removal::amend(&self.env.subjects, &pair, *number, page, *expected_seq);
        let write = write.map_err(|error| match error {
            AmendError::Full { .. } => Failure::TooLarge,
            AmendError::Encode(_) => Failure::Internal,
        })?;
        let removal::Write { stream, subject, payload, expected_seq } = write;
        let entry = Append { stream, subject, payload, expected_seq };
        let written = self.write(cell, entry, deadline).await;
        written.map_err(|error| entry_failure(cell, &error))
    }

    /// Whether the user deleted the message, or all messages up to it.
    pub(in crate::runtime) async fn is_hidden(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        (direction, seq): (Direction, u64),
        deadline: Instant,
    ) -> Result<bool, Failure> {
        let (page, deleted) = (PageId::of(direction, seq), &known.settings.deleted);
        if known.hides(direction, seq) || !deleted.has_spilled(direction) || deleted.has_page(page)
        {
            return Ok(known.hides(direction, seq));
        }
        let pages = std::iter::once(page).collect();
        let mut known = known.clone();
        self.add_deletions(cell, other, &mut known, pages, deadline).await?;
        Ok(known.hides(direction, seq))
    }

    /// Completes the removals that a previous owner or a failed call has begun.
    pub(super) async fn end_removals(
        &self,
        cell: &UserCell,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let mut begun: Vec<(UserId, Conversation, Removing)> = {
            let user = cell.lock();
            let known = user.conversations.iter();
            known
                .filter_map(|(other, known)| {
                    Some((other.clone(), known.clone(), known.settings.removing?))
                })
                .collect()
        };
        begun.sort_unstable_by(|(one, ..), (other, ..)| one.cmp(other));
        for (other, known, removing) in begun {
            self.end_removal(cell, (&other, &known), removing, deadline).await?;
        }
        Ok(())
    }

    async fn end_removal(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        Removing { seq, key }: Removing,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let pair = self.env.pair(other, &cell.id);
        let storage = self.env.storage(deadline);
        let (page, _) = storage.amendments(&pair, page_number(seq)).await?;
        let removed = match page.get(seq, key).map(|amendment| &amendment.change) {
            Some(Change::Removed(removed)) => Some(removed),
            Some(Change::None | Change::Replaced(_) | Change::Unknown(_)) | None => None,
        };
        let mut is_unread = false;
        if let Some(removed) = removed {
            self.remove_content(cell, &pair, removed, deadline).await?;
            let message = (Direction::Receive, seq);
            let is_hidden = self.is_hidden(cell, (other, known), message, deadline).await?;
            is_unread = removed.is_unread(known) && !is_hidden;
        }
        let settings = known.after_removal(self.keys(cell).change(&cell.lock()), is_unread);
        let write = Write::settings(other, known, settings);
        let seq = self.write_entry(cell, &write, deadline).await?;
        let mut user = cell.lock();
        StoredEntry { write, seq }.apply(&mut user);
        user.settle_revision();
        Ok(())
    }
}
