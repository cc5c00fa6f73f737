//! The part of a command that belongs to the other user of a conversation, at that user's owner.

use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep};

use super::{Call, Command, Kind, Method};
use crate::bus::Bus;
use crate::runtime::owner_request::Terms;
use crate::runtime::parts::Parts;
use crate::runtime::tuning::SHOW_RETRY_DELAY;
use crate::runtime::users::{Ownership, UserCell};
use crate::store::Store;
use crate::wire::owner_request::PeerPart;
use peerd_core::id::UserId;
use peerd_protocol::failure::{CallError, Failure};

/// A command with a part for the other user of a conversation: the owner of that user checks,
/// writes or publishes it.
pub trait WithPeer: Command {
    /// The content of the part, besides the caller.
    type Part: Serialize + DeserializeOwned + Send;
    /// The answer of the other owner.
    type Answer: Serialize + DeserializeOwned + Send;

    /// Performs the part at the owner of the other user. It may be performed more than once.
    fn at_peer<S: Store, B: Bus>(
        part: Self::Part,
        peer: Peer<'_, S, B>,
    ) -> impl Future<Output = Result<Self::Answer, CallError>> + Send;
}

/// The context in which the part of the other user is performed.
pub struct Peer<'c, S, B> {
    pub(in crate::runtime) parts: &'c Parts<S, B>,
    /// The other user, whether logged in or not.
    pub(in crate::runtime) cell: &'c Arc<UserCell>,
    /// The caller of the command.
    pub(in crate::runtime) from: &'c UserId,
    /// By when the caller's owner is to have the answer.
    pub deadline: Instant,
}

impl<S: Store, B: Bus> Call<'_, S, B> {
    /// Asks the owner of `other` to perform the part of this command that belongs to that user.
    pub(super) async fn at_peer<C: WithPeer>(
        &self,
        other: &UserId,
        part: &C::Part,
    ) -> Result<C::Answer, CallError> {
        let terms = self.parts.router.terms(self.deadline, unknown_outcome(C::KIND));
        self.at_peer_on::<C>(terms, other, part).await
    }

    /// As [`Self::at_peer`], for a part that prepares a change: if its outcome is unknown, it is
    /// certain that nothing has changed.
    pub(super) async fn prepare_at_peer<C: WithPeer>(
        &self,
        other: &UserId,
        part: &C::Part,
    ) -> Result<C::Answer, CallError> {
        let terms = self.parts.router.terms(self.deadline, Failure::StoreUnavailable);
        let prepared = self.at_peer_on::<C>(terms, other, part).await;
        prepared.map_err(|error| match error {
            // A write of that owner may have no acknowledgement.
            CallError::Failed(Failure::OutcomeUnknown) => Failure::StoreUnavailable.into(),
            error @ (CallError::Rejected(_) | CallError::Failed(_)) => error,
        })
    }

    /// As [`Self::at_peer`], for a part that shows a stored change to the other user. It may be
    /// performed more than once, and is tried until the deadline: success means that both users see
    /// the change, and without it the caller does not know.
    pub(super) async fn show_at_peer<C: WithPeer>(
        &self,
        other: &UserId,
        part: &C::Part,
    ) -> Result<C::Answer, Failure> {
        let deadline = self.deadline;
        loop {
            let unknown = Failure::OutcomeUnknown;
            let terms = Terms { owner_until: deadline, deadline, unknown };
            match self.at_peer_on::<C>(terms, other, part).await {
                Ok(shown) => return Ok(shown),
                // That owner is handing the partition over, has too much to do, or cannot reach the
                // store.
                Err(CallError::Failed(
                    Failure::NoOwner { .. }
                    | Failure::NoOwners
                    | Failure::Overloaded { .. }
                    | Failure::StoreUnavailable,
                )) if Instant::now() + SHOW_RETRY_DELAY < deadline => {
                    sleep(SHOW_RETRY_DELAY).await;
                }
                Err(error) => {
                    let method = C::NAME;
                    tracing::warn!(%error, method, "a change was not published to the other user");
                    return Err(unknown);
                }
            }
        }
    }

    async fn at_peer_on<C: WithPeer>(
        &self,
        terms: Terms,
        other: &UserId,
        part: &C::Part,
    ) -> Result<C::Answer, CallError> {
        let part = encode_part::<C>(part)?;
        let (from, method) = (self.cell.id.clone(), C::NAME.to_owned());
        let request = PeerPart { from, method, part };
        // Boxed, because such a request may be served here, by a part of this call's own future.
        let (parts, deadline) = (self.parts, self.deadline);
        let request = &request;
        let here = |ownership: Arc<Ownership>| async move {
            serve_peer_part(parts, request, &ownership, other, deadline).await
        };
        let asked = parts.router.at_owner_on(terms, other, request, here);
        let answer = Box::pin(asked).await?;
        decode_part::<C, _>(&answer)
    }
}

/// Encodes a part for another owner, or its answer.
pub(super) fn encode_part<C: Command>(part: &impl Serialize) -> Result<Bytes, Failure> {
    let encoded = rmp_serde::to_vec(part).map(Bytes::from);
    encoded.map_err(|error| {
        tracing::error!(%error, method = C::NAME, "a part for another owner cannot be encoded");
        Failure::Internal
    })
}

/// Decodes a part from another owner, or its answer.
pub(super) fn decode_part<C: Command, T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CallError> {
    rmp_serde::from_slice(bytes).map_err(|_| {
        // Without the error, which may quote the part.
        tracing::warn!(
            method = C::NAME,
            remedy = UPDATE,
            "a part from another owner cannot be decoded"
        );
        Failure::Internal.into()
    })
}

/// The answer `()`, encoded.
const NOTHING: Bytes = Bytes::from_static(&[0xc0]);

/// The remedy if the owner of the caller is of a later release, as in a rolling update.
const UPDATE: &str = "update this instance: the other one is of a later release";

/// The failure for the caller if it is unknown whether another owner has performed a part of the
/// command.
const fn unknown_outcome(kind: Kind) -> Failure {
    match kind {
        Kind::Read => Failure::StoreUnavailable,
        Kind::Change | Kind::Live | Kind::Session => Failure::OutcomeUnknown,
    }
}

/// Performs the part of a command that belongs to `user`, at this user's owner.
pub(in crate::runtime) async fn serve_peer_part<S: Store, B: Bus>(
    parts: &Parts<S, B>,
    request: &PeerPart,
    ownership: &Arc<Ownership>,
    user: &UserId,
    deadline: Instant,
) -> Result<Bytes, CallError> {
    let Some(method) = Method::from_name(&request.method) else {
        tracing::warn!(
            method = request.method.escape_default().to_string(),
            remedy = UPDATE,
            "another owner asks for a part of a method that this release does not have"
        );
        return Err(Failure::Internal.into());
    };
    if method.needs_peer_in_memory() && ownership.cell_in_memory(user).is_none() {
        return Ok(NOTHING);
    }
    let cell = &parts.ageing.user(ownership, user, deadline).await?;
    let peer = Peer { parts, cell, from: &request.from, deadline };
    method.perform_at_peer(&request.part, peer).await
}

pub(super) async fn perform_at_peer<C: WithPeer, S: Store, B: Bus>(
    part: &[u8],
    peer: Peer<'_, S, B>,
) -> Result<Bytes, CallError> {
    let answer = C::at_peer(decode_part::<C, _>(part)?, peer).await?;
    Ok(encode_part::<C>(&answer)?)
}
