//! The number of replies of a tree, published after a reply was stored.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::SendPath;
use crate::bus::Bus;
use crate::runtime::history::Root;
use crate::runtime::tuning::{COUNT_WAIT_MAX, COUNTS_MAX};
use crate::runtime::users::{LoadError, UserCell};
use crate::store::Store;
use peerd_core::message::Message;
use peerd_protocol::reply_tree::RepliedCountChanged;

impl<S: Store, B: Bus> SendPath<S, B> {
    /// All permits for counts in progress.
    pub(in crate::runtime) fn counts() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(COUNTS_MAX))
    }

    /// Publishes to one of the two users how many replies the tree of a stored reply has now, before
    /// the reply is answered unless the store is slow.
    pub(super) async fn publish_count(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        message: &Arc<Message>,
    ) {
        if let Some(counting) = self.publish_count_later(cell, message) {
            // It goes on nevertheless.
            let _ = timeout(COUNT_WAIT_MAX, counting).await;
        }
    }

    /// As [`Self::publish_count`], in the background.
    pub(super) fn publish_count_later(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        message: &Arc<Message>,
    ) -> Option<JoinHandle<()>> {
        message.reply()?;
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        if !cell.lock().is_logged_in(now_ms, limits) {
            return None;
        }
        // Without a permit the number is shown by later reads.
        let permit = self.counts.clone().try_acquire_owned().ok()?;
        let (send_path, cell, message) = (self.clone(), cell.clone(), message.clone());
        let under_way = cell.ownership.go_on();
        Some(self.env.tasks.spawn(async move {
            let _held = (permit, under_way);
            let deadline = send_path.env.deadline();
            if let Err(error) = send_path.count_and_publish(&cell, &message, deadline).await {
                // The reply is stored and published; every later read counts it.
                tracing::debug!(%error, "the number of replies was not published");
            }
        }))
    }

    async fn count_and_publish(
        &self,
        cell: &Arc<UserCell>,
        message: &Message,
        deadline: Instant,
    ) -> Result<(), LoadError> {
        let Some(reply) = message.reply() else { return Ok(()) };
        let (other, root) = (message.other(&cell.id), reply.root());
        let direction = root.direction(message.direction(&cell.id));
        while Instant::now() < deadline && cell.ownership.may_act() {
            let known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
            let (seen, history) = ((other, &known), &self.conversations.history);
            let found = history.root(cell, seen, (direction, root), deadline).await?;
            let Some(found) = found.filter(Root::is_shown) else { break };
            let tree = (direction, root.key, &found.replied);
            let count = history.count_replies(cell, seen, tree, deadline).await?;
            let user = cell.lock();
            // Otherwise more arrived meanwhile, and another event may have shown more.
            let is_current = user.conversations.get(other).is_some_and(|current| {
                (current.received, current.sent) == (known.received, known.sent)
            });
            if is_current {
                let event = RepliedCountChanged::new(root.id(), other, count);
                self.publisher.publish_live(cell, &user, &event);
                break;
            }
        }
        Ok(())
    }
}
