//! The stored account: sessions, the revision, and the last-seen time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::env::Env;
use super::tuning::{REVISION_LAG_MAX, REVISION_RETRY_DELAY};
use super::users::{UserCell, Users, Write};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::rejection::Rejection;
use peerd_core::user::{Account, User};

/// Stores accounts: sessions, revisions, and last-seen times.
pub(super) struct Sessions<S, B> {
    env: Arc<Env<S, B>>,
    users: Arc<Users<S, B>>,
}

impl<S: Store, B: Bus> Sessions<S, B> {
    pub(super) const fn new(env: Arc<Env<S, B>>, users: Arc<Users<S, B>>) -> Self {
        Self { env, users }
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
        let decide = |user: &User| {
            // While a replay is due, the stored time is that from which it begins.
            let last_seen_ms = user.replay_due_ms.or(user.account.last_seen_ms);
            let account = Account { last_seen_ms, ..user.account.clone() };
            Write::LastSeen { account, expected_seq: user.account_seq }
        };
        self.users.store_entry(cell, self.env.deadline(), decide).await.is_ok()
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
