//! The status of users: who is online, on which platforms, and with which custom status.
//!
//! The owner of a user knows it, so that it is read there and not from the store: the time at which
//! a user was last seen is stored at intervals only. A user who is not in memory has not been seen
//! by this owner, and is read from the stored account without loading the user
//! ([0044](../../docs/decisions/0044-status-is-read-at-the-owner.md)).

mod following;

use std::sync::Arc;

use futures::future::{join_all, try_join_all};
use tokio::time::Instant;

use super::env::Env;
use super::publisher::Publisher;
use super::router::Router;
use super::tuning::STATUS_REQUESTS_CONCURRENT;
use super::users::{LoadError, Ownership, Users};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::store::Store;
use crate::wire::owner_request::ReadStatus;
use peerd_core::id::UserId;
use peerd_core::status::{Presence, Viewer};
use peerd_core::user::Account;
use peerd_core::user_status::{OnlineStatus, UserStatus};
use peerd_protocol::failure::{CallError, Failure};

/// Reads the status of users, and publishes its changes.
pub(super) struct Presences<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) publisher: Arc<Publisher<S, B>>,
    pub(super) router: Arc<Router<S, B>>,
}

impl<S: Store, B: Bus> Presences<S, B> {
    /// The status of these users as others see it, in their order; `None` if a user never logged
    /// in. One request for each partition of the users, to its owner.
    pub(super) async fn read(
        &self,
        users: &[UserId],
        deadline: Instant,
    ) -> Result<Vec<Option<UserStatus>>, CallError> {
        let indexes: Vec<usize> = (0..users.len()).collect();
        let mut statuses = vec![None; users.len()];
        let batches = following::batches(&indexes, |at| self.partition(&users[*at]));
        for batches in batches.chunks(STATUS_REQUESTS_CONCURRENT) {
            let reads = batches.iter().map(|batch| {
                let users = batch.iter().map(|at| users[**at].clone()).collect();
                self.read_batch(users, deadline)
            });
            for (batch, read) in batches.iter().zip(try_join_all(reads).await?) {
                for (at, status) in batch.iter().zip(read) {
                    statuses[**at] = status;
                }
            }
        }
        Ok(statuses)
    }

    /// The status of users of one partition.
    async fn read_batch(
        &self,
        users: Vec<UserId>,
        deadline: Instant,
    ) -> Result<Vec<Option<UserStatus>>, CallError> {
        let Some(first) = users.first().cloned() else { return Ok(Vec::new()) };
        let request = &ReadStatus { users };
        let here = |ownership: Arc<Ownership>| async move {
            Ok(self.serve_read(&ownership, request, deadline).await?)
        };
        self.router.at_owner(&first, request, deadline, here).await
    }

    /// Serves a request about users of a partition that this instance owns.
    pub(super) async fn serve_read(
        &self,
        ownership: &Arc<Ownership>,
        ReadStatus { users }: &ReadStatus,
        deadline: Instant,
    ) -> Result<Vec<Option<UserStatus>>, Failure> {
        let all: Vec<&UserId> = users.iter().collect();
        let presences = self.presences(ownership, &all, deadline).await?;
        let status = |(user, presence): (&UserId, Option<Presence>)| {
            presence.map(|presence| self.status(user, &presence))
        };
        Ok(users.iter().zip(presences).map(status).collect())
    }

    /// The status of a user as others see it now.
    fn status(&self, user: &UserId, presence: &Presence) -> UserStatus {
        let viewer = if failpoint::is(Fault::HiddenShown) { Viewer::Own } else { Viewer::Other };
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        let mut status = presence.status(user, viewer, now_ms, limits);
        if failpoint::is(Fault::EndedSessionOnline) && status.online == OnlineStatus::Logout {
            (status.online, status.platforms) = (OnlineStatus::Online, vec![32]);
        }
        status
    }

    /// What the status of these users of the partition follows from; `None` if a user never logged
    /// in.
    async fn presences(
        &self,
        ownership: &Arc<Ownership>,
        users: &[&UserId],
        deadline: Instant,
    ) -> Result<Vec<Option<Presence>>, Failure> {
        if users.iter().any(|user| self.partition(user) != ownership.partition) {
            tracing::warn!("an owner request names users of another partition");
            return Err(Failure::Internal);
        }
        let in_memory = users.iter().map(|user| self.in_memory(ownership, user, deadline));
        let mut presences: Vec<_> =
            join_all(in_memory).await.into_iter().collect::<Result<_, _>>()?;
        let cold = users.iter().zip(&presences).filter(|(_, known)| known.is_none());
        let cold: Vec<&UserId> = cold.map(|(user, _)| *user).collect();
        if !cold.is_empty() {
            let stored = self.env.storage(deadline).accounts(cold.into_iter()).await;
            let stored = stored.map_err(LoadError::from)?;
            for (user, known) in users.iter().zip(&mut presences) {
                if known.is_none() {
                    *known = stored.get(*user).map(Account::presence);
                } else if let Some(cell) = ownership.cell_in_memory(user) {
                    // It may have changed while the store was read.
                    *known = Some(cell.lock().account.presence());
                }
            }
        }
        Ok(presences)
    }

    /// What is known of a user who is in memory. `None`: the user is not, or never logged in.
    async fn in_memory(
        &self,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<Option<Presence>, Failure> {
        if ownership.cell_in_memory(user).is_none() {
            return Ok(None);
        }
        let cell = self.users.loaded(ownership, user, deadline).await?;
        let user = cell.lock();
        Ok(user.is_known().then(|| user.account.presence()))
    }
}
