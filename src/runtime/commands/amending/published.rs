//! Publishing changes of messages to their sender, after the receiver's owner has stored them.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Amending, Commit, Events, Peer, Write};
use crate::bus::Bus;
use crate::runtime::users::UserCell;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, PublishPart};
use peerd_core::amend::Notice;
use peerd_core::event::Messages;
use peerd_core::id::{Direction, OrderKey, UserId};
use peerd_core::reply::RepliedPages;
use peerd_protocol::failure::{CallError, Failure};

/// Changed messages of a user.
pub(super) struct Changed<'c> {
    /// Their order keys, which ascend.
    pub(super) keys: &'c [OrderKey],
    /// The sequence of the newest page of amendments in the state stream.
    pub(super) state_seq: u64,
    /// The pages that may have replies to them that show the change.
    pub(super) replied: &'c RepliedPages,
}

impl<S: Store, B: Bus> Amending<'_, S, B> {
    /// Publishes changes of messages that `peer.cell` sent to the caller, who made them.
    pub(super) async fn publish(
        &self,
        part: PublishPart,
        Peer { cell, from, deadline, .. }: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        let state_seq = part.state_seq;
        let (keys, notice) = part.into_notice().map_err(|_| Failure::Internal)?;
        // The receiver of a message cannot change what its replies show.
        let changed = Changed { keys: &keys, state_seq, replied: &RepliedPages::default() };
        self.publish_sent(cell, from, changed, notice, deadline).await?;
        Ok(AmendAnswer::unchanged())
    }

    /// Publishes a change of messages that the user sent to `other`. They are read under the entry
    /// lock, with everything that was stored up to `state_seq`: so of two changes, whose parts may
    /// arrive in any order, the last event always shows the newest state.
    pub(super) async fn publish_sent(
        &self,
        cell: &Arc<UserCell>,
        other: &UserId,
        Changed { keys, state_seq, replied }: Changed<'_>,
        notice: Notice,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let partition = self.env.subjects.partition_of_user(other);
        self.env.storage(deadline).note_entry(partition, state_seq);
        self.users.forget_read(cell);
        if notice == Notice::Replied {
            return Ok(());
        }
        let decide = async {
            let known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
            let wanted: Vec<_> = keys.iter().map(|key| (*key, partition)).collect();
            let mut messages = Messages::new();
            for (direction, found) in
                self.find_all(cell, (other, &known), &wanted, deadline).await?
            {
                let at = (direction, found.seq());
                let is_hidden = self.users.is_hidden(cell, (other, &known), at, deadline).await?;
                if direction == Direction::Send && !is_hidden {
                    messages.push(Arc::new(found.stored.message));
                }
            }
            let seen = (other, &known);
            let shown = self.history.show_originals(cell, seen, &mut messages, deadline).await;
            shown.map_err(Failure::from)?;
            let changed = messages.iter().map(|message| (message.clone(), replied.clone()));
            let replies =
                self.replies_to(cell, seen, &changed.collect::<Vec<_>>(), deadline).await?;
            let newest = messages.last().map(|message| message.key);
            let (Some(message), Some(event)) = (newest, notice.event(messages)) else {
                return Ok((None, ()));
            };
            let known = cell.lock().conversations.get(other).cloned().unwrap_or_default();
            let key = self.entries.next_key(cell);
            let settings = known.changed_settings(key, |settings| settings.kept = known.exists());
            let writes = vec![Write::settings(other, &known, settings)];
            let events = Events::amended(key, message, event, replies);
            Ok((Some(Commit { writes, events }), ()))
        };
        self.entries.commit_reading(cell, deadline, Box::pin(decide)).await
    }
}
