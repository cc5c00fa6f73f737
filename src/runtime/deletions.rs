//! Pages of deletions that are too many for the conversation's entry.

use std::collections::HashSet;

use tokio::time::Instant;

use super::cell::UserCell;
use super::commit::entry_failure;
use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::storage::deletions;
use crate::store::{Store, StreamId};
use peerd_core::deletions::{Bitmap, PageId};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::subject::Token;

impl<S: Store, B: Bus> Node<S, B> {
    /// Those of `pages` that have entries of their own, and where the store has them.
    pub(super) async fn read_deletions(
        &self,
        cell: &UserCell,
        other: &Token,
        pages: HashSet<PageId>,
        deadline: Instant,
    ) -> Result<Vec<(PageId, Bitmap, u64)>, LoadError> {
        let tokens = (&cell.token, other);
        Ok(self.storage(deadline).deletions(cell.partition, tokens, pages).await?)
    }

    /// Writes pages of deletions into entries of their own.
    pub(super) async fn write_deletions(
        &self,
        cell: &UserCell,
        other: &Token,
        pages: Vec<(PageId, Bitmap)>,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let ids = pages.iter().map(|(page, _)| *page).collect();
        let known = self.read_deletions(cell, other, ids, deadline).await.map_err(Failure::from)?;
        for (page, bitmap) in pages {
            let known = known.iter().find(|(known, ..)| *known == page);
            let expected_seq = known.map_or(0, |(.., seq)| *seq);
            let payload = deletions::encode(&bitmap).map_err(|_| Failure::Internal)?;
            let subject = deletions::key(&self.subjects, cell.partition, &cell.token, other, page);
            let stream = StreamId::State(cell.partition);
            let written = self.write(cell, stream, subject, payload, expected_seq, deadline).await;
            written.map_err(|error| entry_failure(cell, &error))?;
        }
        Ok(())
    }
}
