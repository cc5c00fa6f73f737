//! A call from intake to reply.

mod sends;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::time::Instant;
use tracing::{Instrument as _, Span, field};

use super::commands::counters::label;
use super::commands::send_conversation_message_receipt_read as receipts;
use super::commands::{self, Call, Called, Method};
use super::parts::Parts;
use super::replay::ReplayFrom;
use super::replies::{Answer, body_too_large};
use super::tuning::{NO_OWNER, REPLAY_DEADLINES};
use super::users::{Ownership, UserCell, Work};
use crate::bus::{Bus, Incoming};
use crate::store::Store;
use crate::trace::Trace;
use peerd_core::id::UserId;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::{CallError, Failure};

/// The result of a call that succeeded.
struct Outcome {
    answer: Answer,
    /// A login whose replay is still to come.
    replay: Option<Replay>,
}

struct Replay {
    cell: Arc<UserCell>,
    from: ReplayFrom,
}

pub(super) use self::sends::Taken;

/// Handles calls of partitions that this instance owns.
pub(super) struct Calls<S, B> {
    parts: Arc<Parts<S, B>>,
}

impl<S, B> Clone for Calls<S, B> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone() }
    }
}

impl<S: Store, B: Bus> Calls<S, B> {
    pub(super) const fn new(parts: Arc<Parts<S, B>>) -> Self {
        Self { parts }
    }

    /// Handles a call of a partition that this instance owns, to its end.
    pub(super) async fn handle_call(
        &self,
        incoming: Incoming,
        user: &UserId,
        called: Called,
        work: Work,
    ) {
        let began = Instant::now();
        let _under_way = self.parts.env.pending.begin(self.parts.env.server_ms());
        let encoding = Encoding::of_request(incoming.content_type.as_deref(), &incoming.body);
        let written = encoding.clone().unwrap_or_else(|_| Encoding::sniff(&incoming.body));
        let deadline = began + self.parts.env.options.call_deadline;
        let ownership = &work.ownership;
        let method = match called {
            Called::Method(method) => Ok(Some(method)),
            Called::Unsupported => Ok(None),
            Called::Unknown => Err(self.unknown_method(&incoming)),
        };
        let span = span_of(called, ownership, user);
        let result = match method {
            Ok(method) => {
                let performed =
                    self.perform(ownership, user, method, encoding, &incoming.body, deadline);
                let performed = performed.instrument(span.clone());
                // A fault in one call is that call's alone.
                AssertUnwindSafe(performed).catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(method = label(called), "a call panicked");
                    Err(Failure::Internal.into())
                })
            }
            Err(rejection) => Err(rejection.into()),
        };
        let result = match called {
            // Another owner may have decided since.
            Called::Method(method) if result.is_ok() && !ownership.may_act() => {
                lost_lease(method.kind()).map_or(result, |failure| Err(failure.into()))
            }
            Called::Method(_) | Called::Unsupported | Called::Unknown => result,
        };
        self.count(called, began, &span, result.as_ref().err());
        match result {
            Ok(Outcome { answer, replay }) => {
                self.parts.replies.reply(&incoming, written, answer);
                if let Some(replay) = replay {
                    Box::pin(self.finish_login(replay)).await;
                }
            }
            Err(error) => self.parts.replies.reply_error(&incoming, written, &error),
        }
    }

    /// Counts a call, and notes in its span how it ended.
    fn count(&self, called: Called, began: Instant, span: &Span, error: Option<&CallError>) {
        let duration = began.elapsed();
        self.parts.env.counters.answered(called, duration, error);
        span.record("outcome", error.map_or("ok", CallError::reason));
        // By the convention, a server's span failed if the server did.
        if matches!(error, Some(CallError::Failed(_))) {
            span.record("otel.status_code", "ERROR");
        }
        span.record("duration", field::debug(duration));
    }

    /// Replays messages after the reply to a login. Only then does the user count as having
    /// received everything.
    async fn finish_login(&self, Replay { cell, from }: Replay) {
        let deadline = Instant::now() + self.parts.env.options.call_deadline * REPLAY_DEADLINES;
        match self.parts.replays.replay(&cell, from, deadline).await {
            Ok(()) => {
                {
                    let mut user = cell.lock();
                    user.replay_due_ms = user.replay_due_ms.filter(|due_ms| !from.covers(*due_ms));
                }
                self.parts.sessions.store_last_seen(&cell).await;
            }
            Err(error) => tracing::warn!(%error, "a replay ended early, the next login has it"),
        }
    }

    fn unknown_method(&self, incoming: &Incoming) -> Rejection {
        let call = self.parts.env.subjects.parse_call(&incoming.subject);
        Method::unknown(call.map_or("", |call| call.method))
    }

    /// Performs a call. `None` is a method that peerd does not offer: only a caller who is logged
    /// in is answered so.
    async fn perform(
        &self,
        ownership: &Arc<Ownership>,
        user: &UserId,
        method: Option<Method>,
        encoding: Result<Encoding, Rejection>,
        body: &Bytes,
        deadline: Instant,
    ) -> Result<Outcome, CallError> {
        let cell = self.parts.ageing.user(ownership, user, deadline).await?;
        receipts::resume(&self.parts, &cell);
        let checks_session = method.is_some_and(Method::checks_session);
        if !checks_session && method.is_none_or(Method::needs_session) {
            self.parts.sessions.note_last_seen(&cell)?;
        }
        let Some(method) = method else { return Err(Rejection::UnsupportedMethod.into()) };
        // A larger body could not have been forwarded: the answer is the same on every instance.
        let most = self.parts.env.options.body_bytes.min(self.parts.env.room().body);
        let encoding = if body.len() > most { Err(body_too_large(most)) } else { encoding };
        let encoding = match encoding {
            Ok(encoding) => encoding,
            Err(rejection) => {
                if checks_session {
                    self.parts.sessions.note_last_seen(&cell)?;
                }
                return Err(rejection.into());
            }
        };
        let mut replay_from = None;
        let called = Call {
            parts: &self.parts,
            cell: &cell,
            encoding,
            deadline,
            replay_from: &mut replay_from,
        };
        let answer = method.perform(body, called).await?;
        self.parts.delivery_reports.resume(&cell);
        let replay = replay_from.map(|from| Replay { cell, from });
        Ok(Outcome { answer, replay })
    }
}

/// The failure that replaces the reply to a call if the instance lost its lease while it ran;
/// `None` if the reply stands.
const fn lost_lease(kind: commands::Kind) -> Option<Failure> {
    match kind {
        commands::Kind::Read => Some(NO_OWNER),
        commands::Kind::Change | commands::Kind::Session => Some(Failure::OutcomeUnknown),
        commands::Kind::Live => None,
    }
}

/// The span of a call: that of its trace, or one for the log at level debug, which release builds
/// compile out. It has the user as a hash only, and never any content.
fn span_of(called: Called, ownership: &Ownership, user: &UserId) -> Span {
    if let Some(trace) = Trace::current() {
        trace.is_request(label(called), ownership.partition);
        trace.span().record("user", field::display(format_args!("{:016x}", hash_of(user))));
        return trace.span().clone();
    }
    tracing::debug_span!(
        "call",
        method = label(called),
        partition = ownership.partition.0,
        user = field::display(format_args!("{:016x}", hash_of(user))),
        outcome = field::Empty,
        duration = field::Empty,
    )
}

fn hash_of(user: &UserId) -> u64 {
    let mut hasher = DefaultHasher::new();
    user.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
