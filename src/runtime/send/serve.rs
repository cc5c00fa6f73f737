//! Serves the requests of other owners: one [`Served`] for each kind.

use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;

use super::SendPath;
use crate::bus::Bus;
use crate::runtime::injected;
use crate::runtime::users::Ownership;
use crate::store::Store;
use crate::wire::owner_request::{Deliver, FindRepeat, FollowLog, MaySend, OwnerRequest, Settle};
use peerd_core::id::UserId;
use peerd_core::message::Message;
use peerd_core::receive::Delivered;
use peerd_protocol::failure::{CallError, Failure};

/// A request that the owner of a user serves, local or remote.
pub(in crate::runtime) trait Served: OwnerRequest + Sync {
    /// Performs the request as the owner of `user`, under `ownership`.
    fn serve<S: Store, B: Bus>(
        &self,
        path: &Arc<SendPath<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> impl Future<Output = Result<Self::Answer, CallError>> + Send;
}

impl Served for Deliver {
    async fn serve<S: Store, B: Bus>(
        &self,
        path: &Arc<SendPath<S, B>>,
        ownership: &Arc<Ownership>,
        _user: &UserId,
        deadline: Instant,
    ) -> Result<Delivered, CallError> {
        // The servers of a cluster may differ in `max_payload`.
        path.env.room().check(&self.delivery.send)?;
        path.take_delivery(ownership, self, deadline).await
    }
}

impl Served for MaySend {
    async fn serve<S: Store, B: Bus>(
        &self,
        path: &Arc<SendPath<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        path.env.room().has(self.needed_bytes)?;
        let receiver = path.ageing.user(ownership, user, deadline).await?;
        injected::accepted(receiver.lock().accepts(&self.from, path.env.limits()))?;
        Ok(())
    }
}

impl Served for FindRepeat {
    async fn serve<S: Store, B: Bus>(
        &self,
        path: &Arc<SendPath<S, B>>,
        ownership: &Arc<Ownership>,
        _user: &UserId,
        deadline: Instant,
    ) -> Result<Option<Arc<Message>>, CallError> {
        Ok(path.find_repeat(ownership, self, deadline).await)
    }
}

impl Served for FollowLog {
    async fn serve<S: Store, B: Bus>(
        &self,
        path: &Arc<SendPath<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        let sender = path.ageing.user(ownership, user, deadline).await?;
        // This owner does not know which events were published.
        let followed = path.follow_log(&sender, &self.receiver, 0, deadline).await;
        let published_seq = followed.map_err(Failure::from)?;
        if let Some(since_ms) = self.in_doubt_since_ms {
            path.follow_in_doubt(&sender, &self.receiver, published_seq, since_ms);
        }
        Ok(())
    }
}

impl Served for Settle {
    async fn serve<S: Store, B: Bus>(
        &self,
        path: &Arc<SendPath<S, B>>,
        ownership: &Arc<Ownership>,
        user: &UserId,
        deadline: Instant,
    ) -> Result<(), CallError> {
        path.in_flight.settle_here(ownership, (&self.sender, user), self.key, deadline).await;
        Ok(())
    }
}

impl<S: Store, B: Bus> SendPath<S, B> {
    /// Has the owner of a user, this instance or another, serve a request that may be served more
    /// than once.
    pub(super) async fn at_owner<R: Served>(
        self: &Arc<Self>,
        user: &UserId,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Answer, CallError> {
        let here = |ownership: Arc<Ownership>| async move {
            request.serve(self, &ownership, user, deadline).await
        };
        self.router.at_owner(user, request, deadline, here).await
    }
}
