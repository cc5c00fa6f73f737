//! A call from intake to reply.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::Instant;

use super::cell::UserCell;
use super::node::Node;
use super::owner_request;
use super::replay::ReplayFrom;
use super::route::NO_OWNER;
use super::session::{LoggedIn, LoginCall};
use super::tenure::{Tenure, Work};
use crate::bus::{Bus, Incoming, Kind, Outgoing};
use crate::domain::event::Totals;
use crate::domain::id::UserId;
use crate::domain::rejection::Rejection;
use crate::store::Store;
use crate::wire::encoding::Encoding;
use crate::wire::failure::{CallError, Failure, FailureBody};
use crate::wire::fit::{self, Unfit};
use crate::wire::reply::Reply;
use crate::wire::request::{Called, Method, Request};

/// How long a replay may take, in call deadlines.
const REPLAY_DEADLINES: u32 = 4;

/// What a call comes to.
struct Outcome {
    reply: Reply,
    /// A login whose replay is still to come.
    replay: Option<Replay>,
}

struct Replay {
    cell: Arc<UserCell>,
    from: ReplayFrom,
}

impl<S: Store, B: Bus> Node<S, B> {
    /// Handles a call of a partition that this instance owns, to its end.
    pub(super) async fn handle_call(
        self: &Arc<Self>,
        incoming: Incoming,
        user: &UserId,
        called: Called,
        work: Work,
    ) {
        let began = Instant::now();
        let _under_way = self.pending.begin(self.server_ms());
        let encoding = Encoding::of_request(incoming.content_type.as_deref(), &incoming.body);
        let written = encoding.clone().unwrap_or_else(|_| Encoding::sniff(&incoming.body));
        let deadline = began + self.options.call_deadline;
        let tenure = &work.tenure;
        let method = match called {
            Called::Method(method) => Ok(Some(method)),
            Called::Unsupported => Ok(None),
            Called::Unknown => Err(self.unknown_method(&incoming)),
        };
        let result = match method {
            Ok(method) => {
                let performed =
                    self.perform(tenure, user, method, encoding, &incoming.body, deadline);
                // A fault in one call is that call's alone.
                AssertUnwindSafe(performed).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(method = method.map(Method::name), "a call panicked");
                    Err(Failure::Internal.into())
                })
            }
            Err(rejection) => Err(rejection.into()),
        };
        // What was decided is of no use if somebody else has decided since. A message that was sent
        // is stored, whoever owns what now.
        let is_sent = matches!(&result, Ok(Outcome { reply: Reply::Sent { .. }, .. }));
        let result = match result {
            Ok(outcome) if !is_sent && !tenure.may_act() => Err(if outcome.reply.is_read() {
                NO_OWNER.into()
            } else {
                // It was stored, and the next owner may have read before that.
                Failure::OutcomeUnknown.into()
            }),
            result => result,
        };
        let error = result.as_ref().err().map(|error| (error.code(), error.reason()));
        self.counters.count(began.elapsed(), error);
        match result {
            Ok(outcome) => {
                self.reply(&incoming, written, &outcome.reply, user);
                if let Some(replay) = outcome.replay {
                    Box::pin(self.finish_login(replay)).await;
                }
            }
            Err(error) => self.reply_error(&incoming, written, &error),
        }
    }

    /// What follows the reply to a login. Only then is the user taken to have heard of everything.
    async fn finish_login(&self, Replay { cell, from }: Replay) {
        let deadline = Instant::now() + self.options.call_deadline * REPLAY_DEADLINES;
        match self.replay(&cell, from, deadline).await {
            Ok(()) => {
                {
                    let mut user = cell.lock();
                    user.replay_due_ms = user.replay_due_ms.filter(|due_ms| !from.covers(*due_ms));
                }
                self.store_heard(&cell).await;
            }
            Err(error) => tracing::warn!(%error, "a replay ended early, the next login has it"),
        }
    }

    fn unknown_method(&self, incoming: &Incoming) -> Rejection {
        let call = self.subjects.parse_call(&incoming.subject);
        Method::unknown(call.map_or("", |call| call.method))
    }

    /// Where the answer goes. NATS does not check the reply subject of a request against the
    /// caller's permissions: who may not publish there must not have peerd do it.
    fn reply_subject(&self, incoming: &Incoming) -> Option<String> {
        incoming.reply_to.clone().filter(|subject| !self.subjects.is_reserved(subject))
    }

    /// Performs a call; `None` is a method that is not offered, which is said to who is logged in.
    async fn perform(
        self: &Arc<Self>,
        tenure: &Arc<Tenure>,
        user: &UserId,
        method: Option<Method>,
        encoding: Result<Encoding, Rejection>,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Outcome, CallError> {
        let cell = self.user(tenure, user, deadline).await?;
        let request = self.read_request(method, encoding.clone(), body);
        let request = match request {
            Ok(Request::Send(send)) => {
                // Which notes the call with all else that it does to its sender's state.
                let reply = self.send(&cell, send, deadline).await?;
                return Ok(Outcome { reply, replay: None });
            }
            request => request,
        };
        if method != Some(Method::Login) {
            self.hear(&cell)?;
        }
        let (request, encoding) = (request?, encoding?);
        // All else in boxes: a call's state has room for the largest that is not in one.
        if let Request::Login { name, platform, device_id, replay_after } = request {
            let login = LoginCall { name, platform, device_id, replay_after, encoding };
            let LoggedIn { reply, replay_from } =
                Box::pin(self.login(&cell, login, deadline)).await?;
            let replay = replay_from.map(|from| Replay { cell, from });
            return Ok(Outcome { reply, replay });
        }
        let reply = Box::pin(self.answer(&cell, request, deadline)).await?;
        Ok(Outcome { reply, replay: None })
    }

    /// Reads the body of a call; `None` is a method that is not offered.
    fn read_request(
        &self,
        method: Option<Method>,
        encoding: Result<Encoding, Rejection>,
        body: &Bytes,
    ) -> Result<Request, Rejection> {
        let method = method.ok_or(Rejection::UnsupportedMethod)?;
        // A larger one could not have been passed on: whoever took the call, the answer is the same.
        let most = self.options.body_bytes.min(self.room().body);
        if body.len() > most {
            return Err(body_too_large(most));
        }
        Request::parse(method, encoding?, body, self.limits().user_id_bytes)
    }

    /// The answer to any request but a send and a login.
    async fn answer(
        self: &Arc<Self>,
        cell: &Arc<UserCell>,
        request: Request,
        deadline: Instant,
    ) -> Result<Reply, CallError> {
        match request {
            Request::Login { .. } | Request::Send(_) => Err(Failure::Internal.into()),
            Request::Logout { session_id } => {
                self.logout(cell, session_id.as_deref(), deadline).await
            }
            Request::Heartbeat => Ok(Reply::Heard { server_time_ms: self.clock.wall_ms() }),
            Request::History(query) => self.history(cell, query, deadline).await,
            Request::DeleteMessages { other, messages } => {
                self.delete_messages(cell, other, &messages, deadline).await
            }
            Request::DeleteAll(other) => self.delete_all(cell, other, deadline).await,
            Request::List(query) => self.list(cell, query, deadline).await,
            Request::Conversation(other) => self.conversation(cell, other, deadline).await,
            Request::ClearUnread(other) => self.clear_unread(cell, other, deadline).await,
            Request::ClearAllUnread => self.clear_all_unread(cell, deadline).await,
            Request::TotalUnread { is_any } => {
                let user = cell.lock();
                let totals = if is_any { user.totals } else { Totals::default() };
                Ok(Reply::Totals { totals, revision: user.revision.current })
            }
            Request::SetNotification { other, status } => {
                self.set_notification(cell, other, status, deadline).await
            }
            Request::Block(others) => self.block(cell, &others, deadline).await,
            Request::Unblock(others) => self.unblock(cell, &others, deadline).await,
            Request::Blacklist(query) => self.blacklist(cell, query, deadline).await,
            Request::IsBlocked(other) => Ok(Reply::IsBlocked(cell.lock().blocked.contains(&other))),
        }
    }

    fn reply(&self, incoming: &Incoming, encoding: Encoding, reply: &Reply, viewer: &UserId) {
        let Some(subject) = self.reply_subject(incoming) else { return };
        let is_duplicate = matches!(reply, Reply::Sent { is_duplicate: true, .. });
        let kind = if is_duplicate { Kind::Duplicate } else { Kind::Plain };
        match fit::reply(reply, encoding, viewer, self.room()) {
            Ok(body) => self.emit(Outgoing { subject, encoding, kind, body, permit: None }),
            Err(Unfit::TooLarge) => {
                self.reply_error(incoming, encoding, &Failure::TooLarge.into());
            }
            Err(Unfit::Encode(error)) => {
                tracing::error!(%error, "a reply could not be written");
                self.reply_error(incoming, encoding, &Failure::Internal.into());
            }
        }
    }

    /// The refusal of a call, or of a request of another instance, for which nothing was done; `None`
    /// where nobody is to be answered.
    pub(super) fn refusal(
        &self,
        incoming: &Incoming,
        error: impl Into<CallError>,
    ) -> Option<Outgoing> {
        let error = error.into();
        if self.subjects.parse_ask(&incoming.subject).is_some() {
            self.reply_subject(incoming)?;
            return owner_request::refusal(incoming, &error);
        }
        let encoding = Encoding::of_request(incoming.content_type.as_deref(), &incoming.body);
        let encoding = encoding.unwrap_or_else(|_| Encoding::sniff(&incoming.body));
        self.counters.count(std::time::Duration::ZERO, Some((error.code(), error.reason())));
        self.error(incoming, encoding, &error)
    }

    /// An error in answer to a call.
    fn error(
        &self,
        incoming: &Incoming,
        encoding: Encoding,
        error: &CallError,
    ) -> Option<Outgoing> {
        let subject = self.reply_subject(incoming)?;
        let kind = Kind::Error { code: error.code(), text: error.to_string() };
        match encoding.encode(&FailureBody(error)) {
            Ok(body) => Some(Outgoing { subject, encoding, kind, body, permit: None }),
            Err(error) => {
                tracing::error!(%error, "an error could not be written");
                None
            }
        }
    }

    fn reply_error(&self, incoming: &Incoming, encoding: Encoding, error: &CallError) {
        self.emit_any(self.error(incoming, encoding, error));
    }
}

/// The refusal of a body.
pub(super) fn body_too_large(most: usize) -> Rejection {
    Rejection::invalid("body", format!("must be {most} bytes or shorter"))
}
