//! Requests of other instances, from intake to answer.

use std::sync::Arc;

use tokio::time::Instant;

use super::audit::Auditor;
use super::commands::serve_peer_part;
use super::env::Env;
use super::parts::Parts;
use super::replies::{owner_answer, owner_refusal};
use super::router::Router;
use super::send::{SendPath, Served};
use super::users::Work;
use crate::bus::{Bus, Incoming};
use crate::store::Store;
use crate::trace::Trace;
use crate::wire::owner_request::{
    NoteDelivered, OwnerRequest as _, PeerPart, ReadStatus, Request, ShowStatus, WasBegun,
    WatchStatus, encode_answer,
};
use peerd_core::id::UserId;
use peerd_protocol::failure::{CallError, Failure};

/// Serves the requests of other instances.
pub(super) struct Requests<S, B> {
    pub(super) env: Arc<Env<S, B>>,
    pub(super) router: Arc<Router<S, B>>,
    pub(super) send_path: Arc<SendPath<S, B>>,
    pub(super) audit: Arc<Auditor<S, B>>,
    pub(super) parts: Arc<Parts<S, B>>,
}

impl<S: Store, B: Bus> Requests<S, B> {
    /// Handles a request of another instance to its end. Every request is answered, also an
    /// unreadable one.
    pub(super) async fn handle_request(&self, incoming: Incoming, user: &UserId, work: Work) {
        let _under_way = self.env.pending.begin(self.env.server_ms());
        let request = match Request::decode(&incoming.body, user) {
            Ok(request) => request,
            Err(error) => {
                // Answered, so that its sender need not wait. In a rolling update the sender may
                // run a later release.
                tracing::warn!(
                    %error,
                    remedy = "update this instance, if others are of a later release; else see who \
                              may publish to the subjects of peerd's instances",
                    "cannot decode an owner request: it is refused"
                );
                self.env.emit_any(owner_refusal(&incoming, &Failure::Internal.into()));
                return;
            }
        };
        let is_inquired = match &request {
            Request::Deliver(_)
            | Request::MaySend(_)
            | Request::FindRepeat(_)
            | Request::FollowLog(_)
            | Request::PeerPart(_)
            | Request::ReadStatus(_)
            | Request::WatchStatus(_)
            | Request::ShowStatus(_)
            | Request::NoteDelivered(_) => true,
            Request::Audit(_) | Request::WasBegun(_) | Request::Settle(_) => false,
        };
        if let Some(trace) = Trace::current() {
            trace.is_request(request.name(), work.ownership.partition);
        }
        if is_inquired
            && !incoming.reply_to.as_ref().is_none_or(|it| self.router.received.begin(it))
        {
            // It was already answered as not begun, or it arrived twice.
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
            Request::Settle(request) => self.answer_to(&incoming, request, user, &work).await,
            Request::PeerPart(request) => {
                let (parts, deadline) = (&self.parts, self.answer_by());
                let part = serve_peer_part(parts, request, &work.ownership, user, deadline);
                let served = Box::pin(part).await;
                self.env.emit_any(owner_answer(&incoming, encode_answer::<PeerPart>(&served)));
            }
            Request::ReadStatus(request) => {
                let (presences, deadline) = (&self.parts.presences, self.answer_by());
                let read = presences.serve_read(&work.ownership, request, deadline);
                let read = Box::pin(read).await.map_err(CallError::from);
                self.env.emit_any(owner_answer(&incoming, encode_answer::<ReadStatus>(&read)));
            }
            Request::WatchStatus(request) => {
                let (presences, deadline) = (&self.parts.presences, self.answer_by());
                let watched = presences.serve_watch(&work.ownership, request, deadline);
                let watched = Box::pin(watched).await.map_err(CallError::from);
                self.env.emit_any(owner_answer(&incoming, encode_answer::<WatchStatus>(&watched)));
            }
            Request::ShowStatus(request) => {
                let shown = self.parts.presences.serve_show(&work.ownership, request);
                let shown = Box::pin(shown).await.map_err(CallError::from);
                self.env.emit_any(owner_answer(&incoming, encode_answer::<ShowStatus>(&shown)));
            }
            Request::NoteDelivered(request) => {
                let (reports, deadline) = (&self.parts.delivery_reports, self.answer_by());
                let noted = Box::pin(reports.serve(&work.ownership, user, request, deadline)).await;
                self.env.emit_any(owner_answer(&incoming, encode_answer::<NoteDelivered>(&noted)));
            }
            Request::Audit(_) => {
                let ownership = work.ownership.clone();
                // A hand-over does not wait for it.
                drop(work);
                Box::pin(self.audit.answer_audit(&ownership, user, &incoming)).await;
            }
            Request::WasBegun(request) => {
                let begun = self.router.inquired(&work.ownership, &request.reply_to);
                self.env.emit_any(owner_answer(&incoming, WasBegun::encode_answer(&begun)));
            }
        }
    }

    async fn answer_to<R: Served>(
        &self,
        incoming: &Incoming,
        request: &R,
        user: &UserId,
        work: &Work,
    ) {
        let deadline = self.answer_by();
        let served = request.serve(&self.send_path, &work.ownership, user, deadline).await;
        self.env.emit_any(owner_answer(incoming, encode_answer::<R>(&served)));
    }

    /// Before the deadline of the requester, to which a later answer would be of no use.
    fn answer_by(&self) -> Instant {
        Instant::now() + self.env.options.call_deadline * 4 / 5
    }
}
