//! Blocking users and unblocking them.
//!
//! Each user is one entry: written, applied in memory on the acknowledgement, then told. The gate
//! lets one call through at a time.

use futures::future::join_all;
use tokio::time::Instant;

use super::cell::UserCell;
use super::node::Node;
use super::settings::entry_failure;
use crate::bus::Bus;
use crate::domain::blocklist::{BlockChange, BlockEntry};
use crate::domain::event::{BlacklistAction, Event};
use crate::domain::id::UserId;
use crate::store::{Store, StreamId};
use crate::wire::entry;
use crate::wire::failure::{CallError, Failure};
use crate::wire::reply::Reply;
use crate::wire::subject::Token;

impl<S: Store, B: Bus> Node<S, B> {
    /// Blocks users.
    pub(super) async fn block(
        &self,
        cell: &UserCell,
        others: &[UserId],
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let _gate = self.gate(cell, deadline).await?;
        let change = cell.lock().block(others);
        self.change_blocks(cell, change, BlacklistAction::Added, deadline).await
    }

    /// Unblocks users.
    pub(super) async fn unblock(
        &self,
        cell: &UserCell,
        others: &[UserId],
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let _gate = self.gate(cell, deadline).await?;
        let change = cell.lock().unblock(others);
        self.change_blocks(cell, change, BlacklistAction::Removed, deadline).await
    }

    /// Stores a change, all its entries at once, applies what is stored, and tells the user. To be
    /// called inside the gate.
    async fn change_blocks(
        &self,
        cell: &UserCell,
        change: BlockChange,
        action: BlacklistAction,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let BlockChange { writes, refused } = change;
        let is_blocked = action == BlacklistAction::Added;
        let writes = writes.into_iter().map(|(other, expected_seq)| async move {
            let written = self.store_block(cell, &other, is_blocked, expected_seq, deadline).await;
            written.map(|seq| (other, BlockEntry { seq, is_blocked }))
        });
        let mut stored = Vec::new();
        let mut failed = None;
        for written in join_all(writes).await {
            match written {
                Ok(entry) => stored.push(entry),
                // Of several failures, an unknown outcome is what may be said of all.
                Err(_) if failed == Some(Failure::OutcomeUnknown) => {}
                Err(failure) => failed = Some(failure),
            }
        }
        if !stored.is_empty() {
            let mut user = cell.lock();
            let mut users = Vec::with_capacity(stored.len());
            for (other, entry) in stored {
                user.blocked.adopt(other.clone(), entry);
                users.push(other);
            }
            // No change of conversations: the revision stays.
            let told = user.tell(vec![Event::BlacklistChanged { action, users }]);
            self.tell(cell, &told);
        }
        match failed {
            Some(failure) => Err(failure.into()),
            None => Ok(Reply::BlacklistChanged { refused }),
        }
    }

    async fn store_block(
        &self,
        cell: &UserCell,
        other: &UserId,
        is_blocked: bool,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let payload = entry::encode_block(is_blocked).map_err(|_| Failure::Internal)?;
        let subject = self.subjects.block(cell.partition, &cell.token, &Token::of(other));
        let stream = StreamId::State(cell.partition);
        let written = self.write(cell, stream, subject, payload, expected_seq, deadline).await;
        written.map_err(|error| entry_failure(cell, &error))
    }
}
