//! Changes of messages by their receiver, whose owner has their log.

use std::sync::Arc;

use super::{
    Amended, Amending, Call, Peer, WithPeer, amended, amendments_of, name_pages, state_seq, target,
};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::injected;
use crate::runtime::tuning::LATE_WRITE_MAX;
use crate::storage::reads::Found;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart, PublishPart};
use peerd_core::amend::{Notice, Operation};
use peerd_core::amendment::Amendment;
use peerd_core::id::{OrderKey, UserId};
use peerd_core::message::Message;
use peerd_protocol::failure::{CallError, Failure};

/// Changes of messages that are stored.
struct Stored {
    /// The messages, each with its amendment unless it did not change.
    messages: Vec<(Found, Option<Amendment>)>,
    notice: Notice,
    /// The sequence of the newest page of amendments in the state stream; 0 if nothing changed.
    state_seq: u64,
}

impl<S: Store, B: Bus> Amending<'_, S, B> {
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
        let user = call.cell;
        // A refusal here writes nothing.
        let (now_ms, limits) = (self.env.clock.wall_ms(), self.env.limits());
        let mut seqs = Vec::with_capacity(found.len());
        for found in &found {
            let decided = operation.decide(&user.id, target(found), None, now_ms, limits)?;
            seqs.extend(decided.map(|_| found.seq()));
        }
        let mut stored = self.store_received::<C>(call, other, &found, &seqs, operation).await?;
        if stored.is_none() {
            // Another call came in between, so that more messages change than were announced.
            let all: Vec<u64> = found.iter().map(Found::seq).collect();
            stored = self.store_received::<C>(call, other, &found, &all, operation).await?;
        }
        let Stored { messages, notice, state_seq } = stored.ok_or(Failure::Internal)?;
        let changed = messages.iter().filter(|(_, amendment)| amendment.is_some());
        let changed: Vec<OrderKey> = changed.map(|(found, _)| found.key()).collect();
        if !changed.is_empty() {
            let part = AmendPart::Publish(PublishPart::new(&changed, &notice, state_seq));
            call.show_at_peer::<C>(other, &part).await?;
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

    /// Announces changes of the messages with these `messageSeq`s, decides again, and stores them.
    /// `None`: other messages would change, too, and nothing was stored.
    async fn store_received<C>(
        &self,
        call: &Call<'_, S, B>,
        other: &UserId,
        found: &[Found],
        seqs: &[u64],
        operation: &Operation,
    ) -> Result<Option<Stored>, CallError>
    where
        C: WithPeer<Part = AmendPart, Answer = AmendAnswer>,
    {
        let (user, deadline) = (call.cell, call.deadline);
        call.prepare_at_peer::<C>(other, &AmendPart::Announce(seqs.to_vec())).await?;
        let keys: Vec<OrderKey> = found.iter().map(Found::key).collect();
        let decide = async {
            let pair_lock = user.pair_lock(other, deadline).await?;
            let by = (other, &user.id);
            let mut decided = self.decide(user, by, &keys, operation, deadline).await?;
            let messages = std::mem::take(&mut decided.messages);
            let mut changed = messages.iter().filter(|(_, amendment)| amendment.is_some());
            if !changed.all(|(found, _)| seqs.contains(&found.seq())) {
                return Ok((None, None));
            }
            let notice = decided.notice.clone();
            let is_changed = messages.iter().any(|(_, amendment)| amendment.is_some());
            let change = is_changed.then(|| amendments_of(other, decided));
            Ok((change, Some((messages, notice, pair_lock))))
        };
        let stored = self.entries.commit_reading(user, deadline, Box::pin(decide)).await?;
        Ok(stored.map(|(messages, notice, _)| {
            let is_changed = messages.iter().any(|(_, amendment)| amendment.is_some());
            Stored { messages, notice, state_seq: if is_changed { state_seq(user) } else { 0 } }
        }))
    }

    /// Prepares for a change of messages that `peer.cell` sent to the caller: from now on, the
    /// readers of this user look for amendments of their pages.
    pub(super) async fn announce(
        &self,
        seqs: &[u64],
        Peer { cell, from, deadline, .. }: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        cell.note_may_change(deadline + LATE_WRITE_MAX);
        let seqs = if failpoint::is(Fault::PageUnnamed) { &[] } else { seqs };
        let named = self.entries.commit(cell, deadline, |user, _| {
            injected::unless_blocked(Fault::BlockedReacts, user.refuse_blocked(from))?;
            Ok(name_pages(user, from, seqs))
        });
        named.await?;
        Ok(AmendAnswer::unchanged())
    }
}
