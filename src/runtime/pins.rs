//! Shows which messages are pinned.
//!
//! The list of a conversation is in the entry of one of its users, the keeper. The other user's
//! entry says up to which message any was ever pinned, so that readers of newer messages, and of
//! conversations without pins, read nothing more.

use std::sync::Arc;

use tokio::time::Instant;

use super::env::Env;
use super::history::{History, Reader};
use super::users::{LoadError, UserCell};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::conversation::Conversation;
use peerd_core::id::{OrderKey, Partition, UserId};
use peerd_core::message::Message;
use peerd_core::pins::{PinnedId, Pins};

impl<S: Store, B: Bus> Env<S, B> {
    /// The pinned messages of the user's conversation with `other`. `None`: no message from this
    /// key on is pinned.
    pub(super) async fn pins_from(
        &self,
        cell: &UserCell,
        other: &UserId,
        from: OrderKey,
        deadline: Instant,
    ) -> Result<Option<Pins>, LoadError> {
        let up_to = {
            let user = cell.lock();
            let Some(known) = user.conversations.get(other) else { return Ok(None) };
            if cell.id < *other {
                let pins = &known.settings.pins;
                return Ok((!pins.list().is_empty()).then(|| pins.clone()));
            }
            known.settings.pinned_up_to
        };
        if up_to == OrderKey::ZERO || from > up_to {
            return Ok(None);
        }
        Ok(Some(self.storage(deadline).pins(other, &cell.id).await?))
    }

    /// Shows which of these messages of the conversation with `other` are pinned.
    pub(super) async fn show_pins(
        &self,
        cell: &UserCell,
        other: &UserId,
        messages: &mut [Arc<Message>],
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let Some(oldest) = messages.iter().map(|message| message.key).min() else { return Ok(()) };
        if let Some(pins) = self.pins_from(cell, other, oldest, deadline).await? {
            for message in messages {
                pins.show_shared(message);
            }
        }
        Ok(())
    }

    /// Where a message of the conversation with `other` is: its key, and the partition of its
    /// receiver.
    pub(super) fn place_of(
        &self,
        cell: &UserCell,
        other: &UserId,
        PinnedId { key, from_keeper }: PinnedId,
    ) -> (OrderKey, Partition) {
        let is_sent = from_keeper == (cell.id < *other);
        let partition =
            if is_sent { self.subjects.partition_of_user(other) } else { cell.partition };
        (key, partition)
    }
}

impl<S: Store, B: Bus> History<S, B> {
    /// Those of these messages that the user sees and that were not revoked, in the same order, with
    /// their pins.
    pub(super) async fn find_pinned(
        &self,
        cell: &UserCell,
        (other, known): (&UserId, &Conversation),
        ids: impl Iterator<Item = PinnedId> + Clone,
        pins: &Pins,
        deadline: Instant,
    ) -> Result<Vec<Arc<Message>>, LoadError> {
        let mut wanted: Vec<_> =
            ids.clone().map(|id| self.env().place_of(cell, other, id)).collect();
        wanted.sort_unstable();
        let mut reader = Reader::new(self, cell, other, known, deadline);
        let found = reader.find_seen(&wanted).await?.into_iter();
        let mut found: Vec<Message> = found.map(|(_, found)| found.stored.message).collect();
        found.retain(|message| message.revoked().is_none());
        for message in &mut found {
            pins.show(message);
        }
        let of = |id| found.iter().find(|message| PinnedId::of(message) == id).cloned();
        Ok(ids.filter_map(of).map(Arc::new).collect())
    }
}
