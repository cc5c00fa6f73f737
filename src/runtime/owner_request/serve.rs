//! What an owner does with the requests of other owners: one [`Served`] for each kind.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use crate::bus::{Bus, Incoming, Kind, Outgoing};
use crate::runtime::commands::{Method, Peer};
use crate::runtime::injected;
use crate::runtime::node::Node;
use crate::runtime::ownership::{Ownership, Work};
use crate::store::Store;
use crate::wire::owner_request::{
    Deliver, FindRepeat, FollowLog, MaySend, OwnerRequest, PeerPart, Request, Settle, WasBegun,
    encode_answer, encode_refusal,
};
use crate::wire::packed::EncodeError;
use peerd_core::id::UserId;
use peerd_core::message::Message;
use peerd_core::receive::Delivered;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::{CallError, Failure};

/// A request that the owner of a user serves, whoever sent it.
pub(in crate::runtime) trait Served: OwnerRequest + Sync {
    /// Does what the request asks of the owner of `user`, who has `ownership`.
    fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Answer, CallError>> + Send;
}

impl Served for Deliver {
    async fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        _user: &UserId,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        // The servers of a cluster may differ in what they take.
        node.room().check(&self.delivery.send)?;
        node.take_delivery(ownership, self, deadline).await
    }
}

impl Served for MaySend {
    async fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        node.room().has(self.needed_bytes)?;
        let receiver = node.user(ownership, user, deadline).await?;
        injected::accepted(receiver.lock().accepts(&self.from, node.limits()))?;
        Ok(())
    }
}

impl Served for FindRepeat {
    async fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        _user: &UserId,
        deadline: Instant,
    ) -> Result<Option<Arc<Message>>, CallError> {
        Ok(node.find_repeat(ownership, self, deadline).await)
    }
}

impl Served for FollowLog {
    async fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let sender = node.user(ownership, user, deadline).await?;
        // Nobody here knows what of it the sender was told.
        let followed = node.follow_log(&sender, &self.receiver, 0, deadline).await;
        let published_seq = followed.map_err(Failure::from)?;
        if let Some(since_ms) = self.in_doubt_since_ms {
            node.follow_in_doubt(&sender, &self.receiver, published_seq, since_ms);
        }
        Ok(())
    }
}

impl Served for Settle {
    async fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        node.settle_here(ownership, (&self.sender, user), self.key, deadline).await;
        Ok(())
    }
}

impl Served for PeerPart {
    async fn serve<S: Store, B: Bus>(
        &self,
        node: &Arc<Node<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let Some(method) = Method::from_name(&self.method) else {
            // The caller's instance is of a later release.
            return Err(Failure::Internal.into());
        };
        let cell = &node.user(ownership, user, deadline).await?;
        method.perform_at_peer(&self.part, Peer { node, cell, from: &self.from }).await
    }
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Handles a request of another instance to its end. Every one is answered, also one that cannot
    /// be read.
    pub(in crate::runtime) async fn handle_request(
        self: &Arc<Self>,
        incoming: Incoming,
        user: &UserId,
        work: Work,
    ) {
        let _under_way = self.pending.begin(self.server_ms());
        let request = match Request::decode(&incoming.body, user) {
            Ok(request) => request,
            Err(error) => {
                tracing::error!(%error, "another instance asks what this one does not understand");
                self.emit_any(refusal(&incoming, &Failure::Internal.into()));
                return;
            }
        };
        let is_inquired = match &request {
            Request::Deliver(_)
            | Request::MaySend(_)
            | Request::FindRepeat(_)
            | Request::FollowLog(_)
            | Request::PeerPart(_) => true,
            Request::Audit(_) | Request::WasBegun(_) | Request::Settle(_) => false,
        };
        if is_inquired && !incoming.reply_to.as_ref().is_none_or(|it| self.received.begin(it)) {
            // Its sender was told that it was not begun, or it came twice.
            return;
        }
        match &request {
            Request::Deliver(request) => self.answer_to(&incoming, request, user, &work).await,
            Request::MaySend(request) => {
                Box::pin(self.answer_to(&incoming, request, user, &work)).await;
            }
            Request::FindRepeat(request) => {
                Box::pin(self.answer_to(&incoming, &**request, user, &work)).await;
            }
            Request::FollowLog(request) => {
                Box::pin(self.answer_to(&incoming, request, user, &work)).await;
            }
            Request::PeerPart(request) => {
                Box::pin(self.answer_to(&incoming, request, user, &work)).await;
            }
            Request::Settle(request) => self.answer_to(&incoming, request, user, &work).await,
            Request::Audit(_) => {
                let ownership = work.ownership.clone();
                // A hand-over does not wait for it.
                drop(work);
                Box::pin(self.answer_audit(&ownership, user, &incoming)).await;
            }
            Request::WasBegun(request) => {
                let begun = self.inquired(&work.ownership, &request.reply_to);
                self.emit_any(answer(&incoming, WasBegun::encode_answer(&begun)));
            }
        }
    }

    async fn answer_to<R: Served>(
        self: &Arc<Self>,
        incoming: &Incoming,
        request: &R,
        user: &UserId,
        work: &Work,
    ) {
        // Before whoever asks gives up: an answer that is known is better than none.
        let deadline = Instant::now() + self.options.call_deadline * 4 / 5;
        let served = request.serve(self, &work.ownership, user, deadline).await;
        self.emit_any(answer(incoming, encode_answer::<R>(&served)));
    }
}

/// The refusal of a request of another instance; `None` where nobody waits for an answer.
pub(in crate::runtime) fn refusal(incoming: &Incoming, error: &CallError) -> Option<Outgoing> {
    answer(incoming, encode_refusal(error))
}

fn answer(incoming: &Incoming, body: Result<Bytes, EncodeError>) -> Option<Outgoing> {
    let subject = incoming.reply_to.clone()?;
    match body {
        Ok(body) => {
            let (encoding, kind) = (Encoding::MessagePack, Kind::Answer);
            Some(Outgoing { subject, encoding, kind, body, permit: None })
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            None
        }
    }
}
