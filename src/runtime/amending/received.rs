//! Changes of messages by their receiver, whose owner has their log.

use std::sync::Arc;

use super::{Amended, Amending, Call, Peer, WithPeer, amended, name_pages, target};
use crate::bus::Bus;
use crate::storage::reads::Found;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart, PublishPart};
use peerd_core::amend::Operation;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::message::Message;
use peerd_core::rejection::Rejection;
use peerd_protocol::failure::{CallError, Failure};

impl<S: Store, B: Bus> Amending<S, B> {
    /// Changes messages that `other` sent to the caller, with one event for each of the two users.
    /// They are in order. Returns each of them.
    pub(in crate::runtime) async fn amend_received<C>(
        &self,
        call: &Call<'_, S, B>,
        other: &UserId,
        found: Vec<Found>,
        operation: &Operation,
    ) -> Result<Vec<Amended>, CallError>
    where
        C: WithPeer<Part = AmendPart, Answer = AmendAnswer>,
    {
        let (cell, deadline) = (call.cell, call.deadline);
        // A refusal here writes nothing.
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        let mut seqs = Vec::with_capacity(found.len());
        for found in &found {
            let decided = operation.decide(&cell.id, target(found), None, now_ms, limits)?;
            seqs.extend(decided.map(|_| found.seq()));
        }
        let announced = call.at_peer::<C>(other, &AmendPart::Announce(seqs)).await;
        announced.map_err(|error| match error {
            // Whatever became of it, no message has changed.
            CallError::Failed(Failure::OutcomeUnknown) => Failure::StoreUnavailable.into(),
            error => error,
        })?;
        let keys: Vec<OrderKey> = found.iter().map(Found::key).collect();
        let entry_lock = self.users.entry_lock(cell, deadline).await?;
        let pair_lock = cell.pair_lock(other, deadline).await?;
        let mut decided = self.decide(cell, (other, &cell.id), &keys, operation, deadline).await?;
        let messages = std::mem::take(&mut decided.messages);
        let changed = messages.iter().filter(|(_, amendment)| amendment.is_some());
        let changed: Vec<OrderKey> = changed.map(|(found, _)| found.key()).collect();
        if !changed.is_empty() {
            let notice = decided.notice.clone();
            let state_seq =
                self.store_amendments(&entry_lock, cell, other, decided, deadline).await?;
            drop((pair_lock, entry_lock));
            let part = AmendPart::Publish(PublishPart::new(&changed, &notice, state_seq));
            if let Err(error) = call.at_peer::<C>(other, &part).await {
                // The change is stored, so this failure is not the caller's.
                tracing::warn!(%error, "a changed message was not published to its sender");
            }
        }
        let results = messages.into_iter().map(|(found, amendment)| {
            let before: Message = found.stored.message;
            let after = match &amendment {
                Some(amendment) => amended(&before, amendment)?,
                None => before.clone(),
            };
            Ok(Amended { before, after: Arc::new(after) })
        });
        results.collect()
    }

    /// Prepares for a change of messages that `peer.cell` sent to the caller: from now on, the
    /// readers of this user look for amendments of their pages.
    pub(super) async fn announce(
        &self,
        seqs: &[u64],
        Peer { cell, from, deadline, .. }: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        let named = self.entries.commit(cell, deadline, |user, _| {
            if user.blocked.contains(from) {
                return Err(Rejection::BlockedByReceiver);
            }
            Ok(name_pages(user, from, seqs))
        });
        named.await?;
        Ok(AmendAnswer::unchanged())
    }
}
