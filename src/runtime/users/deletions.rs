//! Pages of deletions that do not fit the conversation's entry and have entries of their own.

use std::collections::HashSet;

use tokio::time::Instant;

use super::{LoadError, UserCell, Users, entry_failure};
use crate::bus::Bus;
use crate::storage::deletions;
use crate::store::{Append, Store, StreamId};
use peerd_core::conversation::Conversation;
use peerd_core::deletions::{Bitmap, PageId};
use peerd_core::id::{Direction, UserId};
use peerd_protocol::failure::Failure;
use peerd_protocol::subject::Token;

impl<S: Store, B: Bus> Users<S, B> {
    /// Those of `pages` that have entries of their own, with the sequences of the entries.
    pub(in crate::runtime) async fn read_deletions(
        &self,
        cell: &UserCell,
        other: &Token,
        pages: HashSet<PageId>,
        deadline: Instant,
    ) -> Result<Vec<(PageId, Bitmap, u64)>, LoadError> {
        let tokens = (&cell.token, other);
        Ok(self.env.storage(deadline).deletions(cell.partition, tokens, pages).await?)
    }

    /// Writes pages of deletions into entries of their own.
    pub(super) async fn write_deletions(
        &self,
        cell: &UserCell,
        other: &Token,
        pages: Vec<(PageId, Bitmap)>,
        deadline: Instant,
    ) -> Result<(), Failure> {
        let ids = pages.iter().map(|(page, _)| *page).collect();
        let known = self.read_deletions(cell, other, ids, deadline).await?;
        for (page, bitmap) in pages {
            let known = known.iter().find(|(known, ..)| *known == page);
            let expected_seq = known.map_or(0, |(.., seq)| *seq);
            let payload = deletions::encode(&bitmap).map_err(|_| Failure::Internal)?;
            let subject =
                deletions::key(&self.env.subjects, cell.partition, &cell.token, other, page);
            let stream = StreamId::State(cell.partition);
            let entry = Append { stream, subject, payload, expected_seq };
            let written = self.write(cell, entry, deadline).await;
            written.map_err(|error| entry_failure(cell, &error))?;
        }
        Ok(())
    }

    /// Adds pages of deletions that have entries of their own to a conversation.
    pub(in crate::runtime) async fn add_deletions(
        &self,
        cell: &UserCell,
        other: &UserId,
        conversation: &mut Conversation,
        pages: HashSet<PageId>,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let read = self.read_deletions(cell, &Token::of(other), pages, deadline).await?;
        for (page, bitmap, _) in read {
            conversation.settings.deleted.add_page(page, bitmap);
        }
        Ok(())
    }
}

/// The pages of deletions that affect unread messages and are not in the conversation's entry, in
/// parts of at most `most`.
pub(in crate::runtime) fn unread_pages(
    conversation: &Conversation,
    most: usize,
) -> Vec<HashSet<PageId>> {
    let settings = &conversation.settings;
    let Some(head) = &conversation.received else { return Vec::new() };
    if !settings.deleted.has_spilled(Direction::Receive) {
        return Vec::new();
    }
    let first = PageId::of(Direction::Receive, settings.read.seq + 1);
    let last = PageId::of(Direction::Receive, head.mark.seq);
    let numbers = first.number..=last.number;
    let pages = numbers.map(|number| PageId { number, ..first });
    let pages: Vec<PageId> = pages.filter(|page| !settings.deleted.has_page(*page)).collect();
    pages.chunks(most).map(|chunk| chunk.iter().copied().collect()).collect()
}
