//! Corrects a conversation after the store lost messages of it: an operator purged or removed some,
//! a limit was set from outside, or a stream was created again.
//!
//! The missing messages that counted are added to the messages that the user deleted unread, in the
//! user's entry, so that the next load does not count them as unread. The last message of the log
//! is now the newest one.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Auditor, ReadRate, Unaudited};
use crate::bus::Bus;
use crate::runtime::commit::Change;
use crate::runtime::tuning::{LOST_READS_MAX, LOST_RECORDS_PER_READ};
use crate::runtime::users::{LoadError, Ownership, UserCell};
use crate::store::Store;
use crate::wire::owner_request::Audited;
use peerd_core::conversation::Conversation;
use peerd_core::id::UserId;
use peerd_protocol::failure::{CallError, Failure};

impl<S: Store, B: Bus> Auditor<S, B> {
    /// Whether records are missing between each two of these places of the user's log: a message
    /// that was never stored leaves no place free.
    ///
    /// The log is examined without amendments. The stub of a removed message of this conversation
    /// stands in its place already: it ends a gap, and is inside none. A removed message of another
    /// conversation leaves a place free as well, like a record that an operator deleted: if peerd
    /// skipped a number exactly there, that is corrected instead of reported. It is logged, and
    /// `peerd verify` reports the gap.
    pub(super) async fn are_removed(
        &self,
        cell: &UserCell,
        gaps: &[(u64, u64)],
        rate: &mut ReadRate,
    ) -> Result<bool, Unaudited> {
        for (from, to) in gaps {
            if !self.is_removed(cell, (*from, *to), rate).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn is_removed(
        &self,
        cell: &UserCell,
        (from, to): (u64, u64),
        rate: &mut ReadRate,
    ) -> Result<bool, Unaudited> {
        let mut expected = from + 1;
        for _ in 0..LOST_READS_MAX {
            self.wait_for_interval(rate, &cell.ownership).await?;
            let storage = self.env.storage(self.env.deadline());
            let places = storage.places(cell.partition, expected, LOST_RECORDS_PER_READ).await;
            let (places, has_more) = places.map_err(LoadError::from)?;
            for place in places {
                if place >= to || place > expected {
                    return Ok(expected < to);
                }
                expected += 1;
            }
            if !has_more {
                return Ok(expected < to);
            }
        }
        Ok(true)
    }

    /// Corrects the user's conversations with these users. Returns how many were corrected.
    pub(super) async fn correct_all(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        others: &[UserId],
    ) -> u64 {
        let mut corrected = 0;
        for other in others {
            match self.correct(ownership, user, other, self.env.deadline()).await {
                Ok(is_corrected) => corrected += u64::from(is_corrected),
                Err(error) => tracing::debug!(%error, "not corrected yet"),
            }
        }
        corrected
    }

    /// Corrects a conversation by what the store has of it. Returns whether there was something to
    /// correct.
    pub(super) async fn correct(
        self: &Arc<Self>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        other: &UserId,
        deadline: Instant,
    ) -> Result<bool, CallError> {
        let cell = self.ageing.user(ownership, user, deadline).await?;
        let decide = self.decide_correction(&cell, other, deadline);
        self.entries.commit_reading(&cell, deadline, decide).await
    }

    /// Compares a conversation with what the store has of it, and decides whether its settings must
    /// change.
    async fn decide_correction(
        &self,
        cell: &Arc<UserCell>,
        other: &UserId,
        deadline: Instant,
    ) -> Result<(Option<Change>, bool), CallError> {
        let totals = cell.lock().totals;
        let unread = || cell.lock().conversations.get(other).map_or(0, Conversation::unread);
        let before = unread();
        let is_moved = {
            let _pair_lock = cell.pair_lock(other, deadline).await?;
            let received = self.users.compare_end(cell, other, deadline).await;
            let sent = self.users.compare_sent_end(cell, other, deadline);
            received.map_err(Failure::from)? | sent.await.map_err(Failure::from)?
        };
        let known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
        let recounted = self
            .recount_one(cell, other, &known, &mut Audited::default(), &mut ReadRate::every(None))
            .await
            .map_err(|error| {
                tracing::debug!(%error, "a conversation could not be recounted");
                Failure::StoreUnavailable
            })?;
        let (held, left) = (known.unread(), recounted.unread);
        let is_corrected = is_moved || held != left;
        if is_corrected {
            let (stream, subject) = (cell.log(), self.users.log_subject(cell, other));
            tracing::warn!(?stream, subject, user = %cell.id, %other, held, left,
                "the store no longer has messages that were counted: corrected");
        }
        if held != left {
            let key = self.entries.next_key(cell);
            let settings = known.changed_settings(key, |settings| {
                settings.deleted_unread = (settings.deleted_unread + held).saturating_sub(left);
            });
            let change = Change::of_settings(other, &known, settings, (key, None));
            return Ok((Some(change), is_corrected));
        }
        if is_moved || unread() != before {
            let changed = [other.clone()];
            let published = self.ageing.publish_counts(cell, &changed, totals, deadline);
            published.await.map_err(Failure::from)?;
        }
        Ok((None, is_corrected))
    }
}
