//! The stored account: sessions, the revision, and the last-seen time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, sleep};

use super::env::Env;
use super::tuning::{REVISION_LAG_MAX, REVISION_RETRY_DELAY};
use super::users::{UserCell, Users, entry_failure};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::storage::account;
use crate::store::{Append, Store, StreamId};
use peerd_core::id::OrderKey;
use peerd_core::rejection::Rejection;
use peerd_core::user::{Account, User};
use peerd_protocol::failure::Failure;

/// Stores accounts: sessions, revisions, and last-seen times.
pub(super) struct Sessions<S, B> {
    env: Arc<Env<S, B>>,
    users: Arc<Users<S, B>>,
}

impl<S: Store, B: Bus> Sessions<S, B> {
    pub(super) const fn new(env: Arc<Env<S, B>>, users: Arc<Users<S, B>>) -> Self {
        Self { env, users }
    }

    /// Stores the account. Returns the sequence of the entry.
    pub(super) async fn store_account(
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
        let stream = StreamId::State(cell.partition);
        let entry = Append { stream, subject, payload, expected_seq };
        let written = self.users.write(cell, entry, deadline).await;
        let seq = written.map_err(|error| entry_failure(cell, &error))?;
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

    /// Notes a call of a logged-in user, and stores its time at intervals.
    pub(super) fn note_last_seen(self: &Arc<Self>, cell: &Arc<UserCell>) -> Result<(), Rejection> {
        let now_ms = self.env.clock.wall_ms();
        cell.lock().note_last_seen(now_ms, self.env.limits())?;
        self.store_last_seen_if_due(cell, now_ms);
        Ok(())
    }

    /// Stores the noted time of a call in the background, if it is due.
    pub(super) fn store_last_seen_if_due(self: &Arc<Self>, cell: &Arc<UserCell>, now_ms: u64) {
        if cell.claim_last_seen(now_ms, now_ms + self.env.options.last_seen_write_interval_ms) {
            let (sessions, cell, work) = (self.clone(), cell.clone(), cell.ownership.go_on());
            self.env.tasks.spawn(async move {
                sessions.store_last_seen(&cell).await;
                drop(work);
            });
        }
    }

    /// Stores the last-seen time of a user, with the rest of the account. Losing it only makes a
    /// replay longer. Returns whether it is stored.
    pub(super) async fn store_last_seen(&self, cell: &UserCell) -> bool {
        let Ok(_entry_lock) = self.users.entry_lock(cell, self.env.deadline()).await else {
            return false;
        };
        let (account, expected_seq) = {
            let user = cell.lock();
            // While a replay is due, the stored time is that from which it begins.
            let last_seen_ms = user.replay_due_ms.or(user.account.last_seen_ms);
            (Account { last_seen_ms, ..user.account.clone() }, user.account_seq)
        };
        let stored = self.store_account(cell, &account, expected_seq, self.env.deadline()).await;
        if let Ok(seq) = stored {
            cell.lock().account_seq = seq;
        }
        stored.is_ok()
    }

    /// Starts to store a revision that no order key shows, together with those that follow soon.
    /// Call it before the revision is published.
    pub(super) fn note_revision(self: &Arc<Self>, cell: &Arc<UserCell>, user: &mut User) {
        let is_new = std::mem::take(&mut user.is_revision_unstored);
        if !is_new || cell.is_revision_due.swap(true, Ordering::Relaxed) {
            return;
        }
        let (sessions, cell, work) = (self.clone(), cell.clone(), cell.ownership.go_on());
        // If this owner dies or ends before it is stored, the next one must redeliver.
        let now_ms = self.env.server_ms();
        let unstored =
            (self.env.pending.clone().begin_owned(now_ms), cell.ownership.begin_in_doubt(now_ms));
        self.env.tasks.spawn(async move {
            let _unstored = unstored;
            sleep(REVISION_LAG_MAX).await;
            if sessions.store_revision(&cell).await {
                return;
            }
            // A hand-over does not wait for a store that refuses it.
            drop(work);
            while cell.ownership.may_act() {
                cell.ownership.sleep(REVISION_RETRY_DELAY).await;
                if sessions.store_revision(&cell).await {
                    return;
                }
            }
        });
    }

    /// Stores the account because of its revision. Returns whether this is done, or is left to
    /// another task: a revision that rose meanwhile is stored by itself.
    async fn store_revision(&self, cell: &UserCell) -> bool {
        cell.is_revision_due.store(false, Ordering::Relaxed);
        self.store_last_seen(cell).await || cell.is_revision_due.swap(true, Ordering::Relaxed)
    }
}
