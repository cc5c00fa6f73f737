//! The originals of replies, which are read when the replies are shown, and the replies to a message.
//! Pages without replies read nothing more.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::time::Instant;

use super::{History, Reader};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::tuning::{ORIGINALS_CONCURRENT_MAX, REPLIED_PAGES_READ_MAX};
use crate::runtime::users::{LoadError, UserCell};
use crate::storage::reads::{Found, Slot};
use crate::store::{Start, Store};
use peerd_core::conversation::Conversation;
use peerd_core::deletions::PageId;
use peerd_core::event::Messages;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::limits::{PAGE_MESSAGES, REPLIES_SHOWN_MAX};
use peerd_core::message::Message;
use peerd_core::pages::{first_of_page, page_number};
use peerd_core::reply::{Original, Reference, RepliedPages};
use peerd_protocol::subject::Token;

/// Originals by their keys, each with its direction and its reference.
type Wanted = BTreeMap<OrderKey, (Direction, Reference)>;

/// A changed message that may have replies.
pub(in crate::runtime) struct Replied<'m> {
    /// The message.
    pub(in crate::runtime) message: &'m Message,
    /// The pages that may have replies to it.
    pub(in crate::runtime) pages: &'m RepliedPages,
    /// The message as its replies show it now.
    pub(in crate::runtime) original: Original,
}

impl<S: Store, B: Bus> History<S, B> {
    /// Reads the originals of those of these messages of a conversation that are replies, as the user
    /// sees them, and counts the replies of those that are roots.
    pub(in crate::runtime) async fn show_originals(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        messages: &mut [Arc<Message>],
        deadline: Instant,
    ) -> Result<(), LoadError> {
        self.show_counts(cell, (other, known), messages, deadline).await?;
        let wanted = wanted(cell, messages.iter().map(|message| &**message));
        if wanted.is_empty() {
            return Ok(());
        }
        let shown = messages.iter().map(|message| (message.key, original_of(message)));
        let shown = shown.filter(|(key, _)| wanted.contains_key(key)).collect();
        let reading = self.read_originals(cell, (other, known), wanted, shown, deadline);
        let originals = Box::pin(reading).await?;
        for message in messages.iter_mut().filter(|message| message.reply().is_some()) {
            show(Arc::make_mut(message), &originals);
        }
        Ok(())
    }

    /// As [`Self::show_originals`], for one message.
    pub(in crate::runtime) async fn show_original(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        message: &mut Message,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        self.show_count(cell, (other, known), message, deadline).await?;
        let wanted = wanted(cell, std::iter::once(&*message));
        if wanted.is_empty() {
            return Ok(());
        }
        let shown = HashMap::new();
        let reading = self.read_originals(cell, (other, known), wanted, shown, deadline);
        let originals = Box::pin(reading).await?;
        show(message, &originals);
        Ok(())
    }

    /// An original of this direction as the user sees it.
    pub(in crate::runtime) async fn original(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        (direction, reference): (Direction, Reference),
        deadline: Instant,
    ) -> Result<Original, LoadError> {
        let wanted = Wanted::from([(reference.key, (direction, reference))]);
        let reading = self.read_originals(cell, (other, known), wanted, HashMap::new(), deadline);
        Ok(reading.await?.remove(&reference.key).unwrap_or_default())
    }

    /// Reads originals, except those that the user deleted and those that are `shown` anyway.
    async fn read_originals(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        wanted: Wanted,
        mut shown: HashMap<OrderKey, Original>,
        deadline: Instant,
    ) -> Result<HashMap<OrderKey, Original>, LoadError> {
        let mut deletions = known.settings.deleted.clone();
        let pages = wanted.values().map(|(way, reference)| PageId::of(*way, reference.seq));
        let pages: HashSet<PageId> = pages
            .filter(|page| deletions.has_spilled(page.direction) && !deletions.has_page(*page))
            .collect();
        if !pages.is_empty() {
            let token = Token::of(other);
            let read = self.users.read_deletions(cell, &token, pages, deadline).await?;
            for (page, bitmap, _) in read {
                deletions.add_page(page, bitmap);
            }
        }
        let mut left = Vec::new();
        for (key, (way, reference)) in wanted {
            let is_hidden = reference.seq <= known.settings.cleared(way).seq
                || deletions.contains(way, reference.seq);
            if is_hidden && !failpoint::is(Fault::DeletedOriginalShown) {
                shown.insert(key, Original::Deleted);
            } else if !shown.contains_key(&key) {
                left.push((way, reference));
            }
        }
        for chunk in left.chunks(ORIGINALS_CONCURRENT_MAX) {
            let reads = chunk.iter().map(|(way, reference)| async {
                let read = self.read_original(cell, (other, known), *way, reference, deadline);
                Ok::<_, LoadError>((reference.key, read.await?))
            });
            shown.extend(try_join_all(reads).await?);
        }
        Ok(shown)
    }

    async fn read_original(
        &self,
        cell: &UserCell,
        seen: (&UserId, &Conversation),
        direction: Direction,
        reference: &Reference,
        deadline: Instant,
    ) -> Result<Original, LoadError> {
        Ok(match self.read_at(cell, seen, direction, reference, deadline).await? {
            Some(Slot::Message(found)) => Original::Normal(found.stored.message.content),
            Some(Slot::Removed(_)) => Original::Revoked,
            None => Original::NotFound,
        })
    }

    /// Reads a message by a reference.
    pub(super) async fn read_at(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        direction: Direction,
        reference: &Reference,
        deadline: Instant,
    ) -> Result<Option<Slot>, LoadError> {
        let pair = self.pair(cell, other, direction);
        let storage = self.env.storage(deadline);
        let is_unknown = known.head(direction).is_none_or(|head| head.mark.seq < reference.seq);
        if is_unknown && !self.has_settled(reference.timestamp_ms) {
            // Its acknowledgement has not arrived here, but it is stored. That is not said of older
            // ones: the log may have been removed, or restored from a backup.
            storage.note_stored(pair.partition, reference.stream_seq);
        }
        let (amended, start) =
            (known.settings.amended(direction), Start::Seq(reference.stream_seq));
        let found = storage.messages(&pair, amended, start, 1).await?.into_iter().next();
        Ok(found.filter(|slot| slot.key() == reference.key))
    }

    /// The newest replies of a conversation to changed messages, as the user sees them now.
    pub(in crate::runtime) async fn replies_to(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        changed: Vec<Replied<'_>>,
        deadline: Instant,
    ) -> Result<Messages, LoadError> {
        let mut replies = Vec::new();
        for way in [Direction::Receive, Direction::Send] {
            let Some(head) = known.head(way) else { continue };
            let newest = page_number(head.mark.seq);
            let pages = changed.iter().flat_map(|Replied { message, pages, .. }| {
                newest_pages(pages.of(message.direction(&cell.id), way).pages.ranges(), newest)
            });
            let pages: BTreeSet<u64> = pages.collect();
            let pages: Vec<u64> = pages.into_iter().rev().take(REPLIED_PAGES_READ_MAX).collect();
            if pages.is_empty() {
                continue;
            }
            let seqs = pages.into_iter().rev().flat_map(|page| {
                let first = first_of_page(page);
                first..first + PAGE_MESSAGES as u64
            });
            let seqs: Vec<u64> = seqs.collect();
            let mut reader = Reader::new(self, cell, other, known, deadline);
            replies.extend(reader.numbered(&seqs, Some(way)).await?);
        }
        let originals: HashMap<OrderKey, Original> =
            changed.into_iter().map(|it| (it.message.key, it.original)).collect();
        replies.retain(|reply| {
            reply.reply().is_some_and(|reply| originals.contains_key(&reply.to.key))
        });
        replies.sort_unstable_by_key(|reply| reply.key);
        replies.drain(..replies.len().saturating_sub(REPLIES_SHOWN_MAX));
        for reply in &mut replies {
            show(Arc::make_mut(reply), &originals);
        }
        Ok(replies.into())
    }
}

/// The newest pages of these ranges, which ascend, up to the page `newest`.
fn newest_pages(ranges: &[(u64, u64)], newest: u64) -> impl Iterator<Item = u64> {
    let pages = ranges.iter().flat_map(move |(first, last)| *first..=newest.min(*last));
    pages.rev().take(REPLIED_PAGES_READ_MAX)
}

/// The originals of the replies among messages.
fn wanted<'m>(cell: &UserCell, messages: impl Iterator<Item = &'m Message>) -> Wanted {
    let references = messages.filter_map(|message| {
        let to = message.reply()?.to;
        Some((to.key, (to.direction(message.direction(&cell.id)), to)))
    });
    references.collect()
}

/// A reference to a message that has this direction for the user who replies.
pub(in crate::runtime) const fn reference_to(direction: Direction, found: &Found) -> Reference {
    let Found { stream_seq, stored, .. } = found;
    let message = &stored.message;
    Reference {
        by_sender: matches!(direction, Direction::Send),
        key: message.key,
        partition: message.partition,
        seq: message.seq,
        stream_seq: *stream_seq,
        timestamp_ms: message.timestamp_ms,
    }
}

/// A message that the user sees, as replies to it show it.
pub(in crate::runtime) fn original_of(message: &Message) -> Original {
    match message.revoked() {
        Some(_) => Original::Revoked,
        None => Original::Normal(message.content.clone()),
    }
}

/// Sets the original of a reply.
fn show(message: &mut Message, originals: &HashMap<OrderKey, Original>) {
    if let Some(key) = message.reply().map(|reply| reply.to.key) {
        message.set_original(originals.get(&key).cloned().unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_pages_come_first_whatever_their_range() {
        let pages = |ranges, newest| newest_pages(ranges, newest).collect::<Vec<_>>();
        assert_eq!(pages(&[(0, 1), (3, 5)], 4), [4, 3, 1, 0]);
        let most = u64::try_from(REPLIED_PAGES_READ_MAX).expect("a small number");
        let newest = pages(&[(0, most + 1), (40, 40)], 50);
        assert_eq!(newest.len(), REPLIED_PAGES_READ_MAX);
        assert_eq!((newest[0], newest[1]), (40, most + 1));
    }
}
