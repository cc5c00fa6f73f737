//! Finds messages for read receipts.

use std::sync::Arc;

use super::Reader;
use crate::bus::Bus;
use crate::runtime::tuning::{UNCONFIRMED_PAGES_MAX, UNREPORTED_PAGES_MAX};
use crate::runtime::users::LoadError;
use crate::storage::reads::Found;
use crate::store::Store;
use peerd_core::id::{Direction, OrderKey, Partition};
use peerd_core::limits::{DELIVERED_BATCH_MAX, PAGE_MESSAGES};
use peerd_core::message::{Message, ReceiptStatus};
use peerd_core::unreported::MessagePlace;

impl<S: Store, B: Bus> Reader<'_, S, B> {
    /// The newest message of the other that the user sees and that waits for a read receipt. If
    /// many messages have none, it may be one of those.
    pub(in crate::runtime) async fn newest_unconfirmed(
        &mut self,
    ) -> Result<Option<Arc<Message>>, LoadError> {
        self.views.retain(|view| view.direction == Direction::Receive);
        let Some(view) = self.views.first() else { return Ok(None) };
        let confirmed = view.receipts.of(Direction::Receive);
        if view.head.key <= confirmed {
            return Ok(None);
        }
        let (mut before, mut newest) = (None, None);
        for _ in 0..UNCONFIRMED_PAGES_MAX {
            let page = self.back(before, PAGE_MESSAGES).await?.messages;
            let (Some(oldest), Some(last)) = (page.first(), page.last()) else { return Ok(None) };
            let waits = |message: &&Arc<Message>| {
                message.receipt == ReceiptStatus::Processing && message.revoked().is_none()
            };
            if let Some(found) = page.iter().rev().find(waits) {
                return Ok(Some(found.clone()));
            }
            if oldest.key <= confirmed || page.len() < PAGE_MESSAGES {
                return Ok(None);
            }
            before = Some(oldest.key);
            newest.get_or_insert_with(|| last.clone());
        }
        Ok(newest)
    }

    /// The messages of the other after a key that the user sees and that wait for a read receipt, the
    /// oldest first: at most the newest of one event, and those of a few pages.
    pub(in crate::runtime) async fn unreported(
        &mut self,
        after: OrderKey,
    ) -> Result<Vec<MessagePlace>, LoadError> {
        self.views.retain(|view| view.direction == Direction::Receive);
        let (mut before, mut places) = (None, Vec::new());
        for _ in 0..UNREPORTED_PAGES_MAX {
            let page = self.back(before, PAGE_MESSAGES).await?.messages;
            let newer = page.iter().rev().take_while(|message| message.key > after);
            let waiting = newer.filter(|message| {
                message.receipt == ReceiptStatus::Processing && message.revoked().is_none()
            });
            places.extend(waiting.map(|it| MessagePlace { key: it.key, seq: it.seq }));
            before = page.first().map(|oldest| oldest.key).filter(|oldest| *oldest > after);
            if before.is_none() || places.len() >= DELIVERED_BATCH_MAX {
                break;
            }
        }
        places.truncate(DELIVERED_BATCH_MAX);
        places.reverse();
        Ok(places)
    }

    /// Those of the messages with these keys that the user sees, with their receipts. `wanted`
    /// ascends, and so do the messages of each direction.
    pub(in crate::runtime) async fn find_seen(
        &mut self,
        wanted: &[(OrderKey, Partition)],
    ) -> Result<Vec<(Direction, Found)>, LoadError> {
        let mut found = self.find_stored(wanted).await?;
        let mut seen = Vec::with_capacity(found.len());
        for view in self.views.clone() {
            let here = found.extract_if(.., |(direction, _)| *direction == view.direction);
            let here = here.map(|(_, found)| found).collect();
            for mut found in self.visible(&view, here).await? {
                view.receipts.show(view.direction, &mut found.stored.message);
                seen.push((view.direction, found));
            }
        }
        Ok(seen)
    }
}
