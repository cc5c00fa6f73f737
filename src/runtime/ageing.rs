//! Keeps counts in step with messages that aged out of the store.
//!
//! If messages age, each user in memory has the time at which the oldest unread message was stored.
//! When that message may be gone, the oldest remaining message of the conversation is read: it
//! shows how many of the counted messages are gone. This happens before a call or a delivery uses
//! the user, and at intervals for idle users. Without ageing nothing is read.

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::conversations::{Conversations, Preview};
use super::env::Env;
use super::publisher::{Publisher, chunks};
use super::tuning::AGEING_INTERVAL;
use super::users::{LoadError, Ownership, UserCell, Users};
use crate::bus::Bus;
use crate::store::{ReadError, Store};
use peerd_core::conversation::{Conversation, ConversationEvent, ConversationView};
use peerd_core::event::{Event, Totals};
use peerd_core::id::UserId;
use peerd_protocol::failure::Failure;

/// Updates counts when messages age out.
pub(super) struct Ageing<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) users: Arc<Users<S, B>>,
    pub(super) publisher: Arc<Publisher<S, B>>,
    pub(super) conversations: Arc<Conversations<S, B>>,
}

impl<S: Store, B: Bus> Ageing<S, B> {
    /// A loaded user of the partition, with counts that take aged-out messages into account.
    pub(super) async fn user(
        &self,
        ownership: &Arc<Ownership>,
        id: &UserId,
        deadline: Instant,
    ) -> Result<Arc<UserCell>, Failure> {
        let cell = self.users.loaded(ownership, id, deadline).await?;
        if self.users.is_ageing_due(&cell) {
            Box::pin(self.follow_ageing(&cell, deadline)).await;
        }
        Ok(cell)
    }

    /// Updates the counts of users in memory when messages age out, and publishes them. Runs until
    /// it is dropped.
    pub(super) async fn follow_ageing_of_all(self: Arc<Self>) {
        loop {
            sleep(AGEING_INTERVAL).await;
            for ownership in self.users.ownerships() {
                for cell in ownership.cells() {
                    if cell.was_ever_loaded() {
                        self.follow_ageing(&cell, self.env.deadline()).await;
                    }
                }
            }
        }
    }

    /// Updates the counts of a user for messages that aged out, and publishes those that changed.
    pub(super) async fn follow_ageing(&self, cell: &UserCell, deadline: Instant) {
        if !self.users.is_ageing_due(cell) {
            return;
        }
        let followed = async {
            let _one = cell.ageing_lock(deadline).await?;
            let totals = cell.lock().totals;
            let changed = self.users.look_at_oldest(cell, deadline).await?;
            self.publish_counts(cell, &changed, totals, deadline).await
        };
        if let Err(error) = followed.await {
            tracing::debug!(%error, "what aged out is not known yet");
        }
    }

    /// Publishes the conversations of a user whose counts changed without a message or a call.
    /// These events belong to no change.
    pub(super) async fn publish_counts(
        &self,
        cell: &UserCell,
        changed: &[UserId],
        before: Totals,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        if changed.is_empty() {
            return Ok(());
        }
        let page: Vec<(UserId, Conversation)> = {
            let user = cell.lock();
            let known = |other: &UserId| {
                user.conversations.get(other).map(|known| (other.clone(), known.clone()))
            };
            changed.iter().filter_map(known).collect()
        };
        let previews =
            self.conversations.previews(cell, &page, deadline).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "an event goes without its conversation's last message");
                vec![Preview::default(); page.len()]
            });
        self.env.wait_for_room_beyond(page.len() + 1).await;
        let user = cell.lock();
        let views = page.iter().zip(&previews).filter_map(|((other, seen), preview)| {
            let known = user.conversations.get(other)?;
            let is_current = known.received == seen.received && known.sent == seen.sent;
            let last = preview.last_message.clone();
            let view = ConversationView::new(other, &preview.profile, known, last);
            // Conversations that changed since were already published, with their counts.
            is_current.then_some((ConversationEvent::Updated, view))
        });
        let views: Vec<_> = views.collect();
        let mut events: Vec<Event> = chunks(views).map(Event::ConversationChanged).collect();
        if user.totals.unmuted != before.unmuted {
            events.push(Event::TotalChanged(user.totals));
        }
        let publication = user.publication(events);
        self.publisher.publish(cell, &user, &publication);
        Ok(())
    }
}

impl From<Failure> for LoadError {
    fn from(failure: Failure) -> Self {
        Self::Read(ReadError(failure.to_string()))
    }
}
