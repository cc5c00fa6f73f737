//! Blocking users and unblocking them.
//!
//! Each user is one entry: written, applied in memory on the acknowledgement, then told. The gate
//! lets one call through at a time.

use std::collections::HashMap;

use futures::future::join_all;
use tokio::time::Instant;

use super::cell::UserCell;
use super::node::Node;
use super::settings::entry_failure;
use crate::bus::Bus;
use crate::domain::blocklist::{BlockChange, BlockEntry, BlockNumber};
use crate::domain::clock::Lane;
use crate::domain::event::{BlacklistAction, Event};
use crate::domain::id::UserId;
use crate::domain::user::UserInfo;
use crate::storage::block;
use crate::store::{Store, StreamId};
use crate::wire::failure::{CallError, Failure};
use crate::wire::reply::Reply;
use crate::wire::request::BlacklistQuery;
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
        let others: Vec<UserId> = writes.iter().map(|(other, _)| other.clone()).collect();
        let writes = writes.into_iter().map(|(other, expected_seq)| {
            let block = (action == BlacklistAction::Added).then(|| self.next_block(cell));
            async move {
                let written = self.store_block(cell, &other, block, expected_seq, deadline).await;
                written.map(|seq| (other, BlockEntry { seq, block }))
            }
        });
        let (names, written) =
            futures::join!(self.names(others.iter(), deadline), join_all(writes));
        let mut names = names.unwrap_or_else(|error| {
            // The change is stored. The names can be asked for.
            tracing::warn!(%error, "an event goes without the names of its users");
            HashMap::new()
        });
        let mut stored = Vec::new();
        let mut failed = None;
        for written in written {
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
            for (id, entry) in stored {
                user.blocked.adopt(id.clone(), entry);
                let name = names.remove(&id).unwrap_or_default();
                users.push(UserInfo { id, name });
            }
            // No change of conversations: the revision stays.
            let told = user.tell(vec![Event::BlacklistChanged { action, users }]);
            self.tell(cell, &user, &told);
        }
        match failed {
            Some(failure) => Err(failure.into()),
            None => Ok(Reply::BlacklistChanged { refused }),
        }
    }

    /// The number of a new block. To be called inside the gate.
    fn next_block(&self, cell: &UserCell) -> BlockNumber {
        let floor = cell.lock().blocked.newest();
        BlockNumber(cell.tenure.clock.next(self.clock.wall_ms(), floor, Lane::Even).0)
    }

    /// A page of the block list.
    pub(super) async fn blacklist(
        &self,
        cell: &UserCell,
        query: BlacklistQuery,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        let (page, has_more) = cell.lock().blocked.page(query.after, query.count);
        let names = self.names(page.iter().map(|(other, _)| other), deadline);
        let mut names = names.await.map_err(Failure::from)?;
        let info = |(id, number): (UserId, BlockNumber)| {
            (UserInfo { name: names.remove(&id).unwrap_or_default(), id }, number)
        };
        Ok(Reply::Blacklist { users: page.into_iter().map(info).collect(), has_more })
    }

    async fn store_block(
        &self,
        cell: &UserCell,
        other: &UserId,
        block: Option<BlockNumber>,
        expected_seq: u64,
        deadline: Instant,
    ) -> Result<u64, Failure> {
        let payload = block::encode(block).map_err(|_| Failure::Internal)?;
        let subject = block::key(&self.subjects, cell.partition, &cell.token, &Token::of(other));
        let stream = StreamId::State(cell.partition);
        let written = self.write(cell, stream, subject, payload, expected_seq, deadline).await;
        written.map_err(|error| entry_failure(cell, &error))
    }
}
