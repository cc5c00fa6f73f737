//! The users of the partitions that this instance owns: their state in memory, loading it, and
//! writing to their partitions.

mod deletions;
mod entries;
mod gap_tracker;
mod load;
mod log_end;
mod oldest;
mod ownership;
mod removals;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::Instant;

pub(super) use self::deletions::unread_pages;
pub(super) use self::entries::{AmendedPage, Keys, Removal, StoredEntry, Write};
pub(super) use self::load::{LoadError, Stored};
pub(super) use self::ownership::cell::{LockedUser, PairLock, QueuedPairLock, UserCell};
pub(super) use self::ownership::{Ownership, What, Work};
use super::env::Env;
use super::tuning::NO_OWNER;
use crate::bus::Bus;
use crate::store::{Append, AppendError, Store};
use peerd_core::id::{Partition, UserId};
use peerd_protocol::failure::Failure;

/// The users of this instance.
pub(super) struct Users<S, B> {
    env: Arc<Env<S, B>>,
    /// The partitions that this instance owns.
    pub(super) slots: Vec<RwLock<Option<Arc<Ownership>>>>,
    /// The number of user loads so far.
    loads: AtomicU64,
}

impl<S: Store, B: Bus> Users<S, B> {
    pub(super) fn new(env: Arc<Env<S, B>>) -> Self {
        Self {
            slots: (0..env.subjects.partitions()).map(|_| RwLock::default()).collect(),
            env,
            loads: AtomicU64::new(0),
        }
    }

    /// The ownership of a partition, if this instance owns it.
    pub(super) fn ownership(&self, partition: Partition) -> Option<Arc<Ownership>> {
        let ownership = self.slots.get(usize::from(partition.0))?;
        ownership.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All partition ownerships.
    pub(super) fn ownerships(&self) -> impl Iterator<Item = Arc<Ownership>> {
        (0..self.env.subjects.partitions()).filter_map(|number| self.ownership(Partition(number)))
    }

    /// A loaded user of the partition. Its counts may still include messages that aged out.
    pub(super) async fn loaded(
        &self,
        ownership: &Arc<Ownership>,
        id: &UserId,
        deadline: Instant,
    ) -> Result<Arc<UserCell>, Failure> {
        let most = (self.env.options.cached_users / self.slots.len()).max(1);
        let cell = ownership.cell(id, most);
        if !cell.is_loaded(self.env.store.generation()) {
            // Boxed, like all rare work: the future of a call has room for everything that it may
            // wait for.
            Box::pin(self.load(&cell, deadline)).await?;
        }
        Ok(cell)
    }

    /// The user, if this instance owns the partition and the user's state is in memory.
    pub(super) fn user_in_memory(&self, id: &UserId) -> Option<Arc<UserCell>> {
        self.ownership(self.env.subjects.partition_of_user(id))?.cell_in_memory(id)
    }

    /// How many users are in memory.
    pub(super) fn users_in_memory(&self) -> usize {
        self.ownerships().map(|ownership| ownership.users_in_memory()).sum()
    }

    /// A user of the partition that can be used without waiting: in memory, and up to date.
    pub(super) fn ready(&self, ownership: &Ownership, id: &UserId) -> Option<Arc<UserCell>> {
        let cell = ownership.cell_in_memory(id)?;
        cell.touch();
        let is_ready = cell.is_loaded(self.env.store.generation()) && !self.is_ageing_due(&cell);
        is_ready.then_some(cell)
    }

    /// Writes to a stream of the user's partition.
    pub(super) async fn write(
        &self,
        cell: &UserCell,
        Append { stream, subject, payload, expected_seq }: Append,
        deadline: Instant,
    ) -> Result<u64, AppendError> {
        let until = cell.may_write(deadline)?;
        let seq = self.env.store.append(stream, subject, payload, expected_seq, until).await?;
        cell.wrote(stream, seq)
    }

    /// The subject of the messages that `sender` sent to `receiver`.
    pub(super) fn log_subject(&self, receiver: &UserCell, sender: &UserId) -> String {
        self.env.subjects.log_from_user(receiver.partition, &receiver.token, sender)
    }
}

/// The failure with which a call is answered if an entry could not be written. Unless it is certain
/// that nothing was written, the user is loaded again before the next use.
pub(super) fn entry_failure(cell: &UserCell, error: &AppendError) -> Failure {
    match error {
        AppendError::Unavailable(_) if !cell.ownership.may_act() => NO_OWNER,
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
