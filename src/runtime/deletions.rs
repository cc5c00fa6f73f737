//! Pages of deletions that are too many for the conversation's entry.

use std::collections::HashSet;

use tokio::time::Instant;

use super::cell::UserCell;
use super::commit::entry_failure;
use super::load::LoadError;
use super::node::Node;
use crate::bus::Bus;
use crate::domain::deletions::{Bitmap, PageId};
use crate::store::{Store, StreamId};
use crate::wire::entry;
use crate::wire::failure::{CallError, Failure};
use crate::wire::subject::Token;

impl<S: Store, B: Bus> Node<S, B> {
    /// Those of `pages` that have entries of their own, and where the store has them.
    pub(super) async fn read_deletions(
        &self,
        cell: &UserCell,
        other: &Token,
        pages: HashSet<PageId>,
        deadline: Instant,
    ) -> Result<Vec<(PageId, Bitmap, u64)>, LoadError> {
        if pages.is_empty() {
            return Ok(Vec::new());
        }
        let subject = |page| self.subjects.deleted(cell.partition, &cell.token, other, page);
        let mut subjects: Vec<String> = pages.iter().copied().map(subject).collect();
        subjects.push(self.subjects.state_sentinel(cell.partition));
        let stream = StreamId::State(cell.partition);
        let records = self.store.last(stream, subjects, deadline).await?;
        let mut found = Vec::new();
        for page in pages {
            let subject = subject(page);
            if let Some(record) = records.iter().find(|record| record.subject == subject) {
                let bitmap = entry::decode_page(&record.payload).unwrap_or_else(|error| {
                    // What was deleted there is shown again, and can be deleted again.
                    self.leave_out(stream, record, &error);
                    Bitmap::default()
                });
                found.push((page, bitmap, record.stream_seq));
            }
        }
        Ok(found)
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
            let payload = entry::encode_page(&bitmap).map_err(|_| Failure::Internal)?;
            let subject = self.subjects.deleted(cell.partition, &cell.token, other, page);
            let stream = StreamId::State(cell.partition);
            let written = self.write(cell, stream, subject, payload, expected_seq, deadline).await;
            written.map_err(|error| entry_failure(cell, &error))?;
        }
        Ok(())
    }
}
