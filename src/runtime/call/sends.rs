//! Sends are handled without a task as far as they need not wait: where the call is taken in, and
//! where the acknowledgement is read.

use std::panic::{AssertUnwindSafe, catch_unwind};

use futures::FutureExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;
use tracing::{Instrument as _, Span};

use super::{Called, Calls, Method, span_of};
use crate::bus::{Bus, Incoming};
use crate::clock::Now;
use crate::runtime::commands::encode_reply;
use crate::runtime::pending::OwnedUnderWay;
use crate::runtime::send::{Beginning, Direct, Rest};
use crate::runtime::tuning::INLINE_BODY_BYTES_MAX;
use crate::runtime::users::Work;
use crate::store::{Appended, Store};
use peerd_core::id::UserId;
use peerd_protocol::encoding::Encoding;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::reply::Sent;

/// An accepted call for a partition that this instance owns.
pub(in crate::runtime) struct Taken {
    pub(in crate::runtime) incoming: Incoming,
    pub(in crate::runtime) work: Work,
    pub(in crate::runtime) permit: OwnedSemaphorePermit,
}

/// A send in progress.
struct SendCall {
    taken: Taken,
    method: Method,
    sender: UserId,
    encoding: Encoding,
    began: Instant,
    span: Span,
    under_way: OwnedUnderWay,
}

impl<S: Store, B: Bus> Calls<S, B> {
    /// Takes a send of a user in memory, at a time that was just read. Returns every other call.
    pub(in crate::runtime) fn take_send(
        &self,
        taken: Taken,
        user: &UserId,
        method: Method,
        now: Now,
    ) -> Option<Taken> {
        let Some(decode) = method.send_decoder() else { return Some(taken) };
        if taken.incoming.body.len() > INLINE_BODY_BYTES_MAX {
            return Some(taken);
        }
        let env = &self.parts.env;
        let Taken { incoming, work, .. } = &taken;
        let Some(sender) = self.parts.users.ready(&work.ownership, user) else {
            return Some(taken);
        };
        // A body that cannot be decoded is refused in a task, as for every other method.
        let encoding = Encoding::of_request(incoming.content_type.as_deref(), &incoming.body);
        let Ok(encoding) = encoding else { return Some(taken) };
        let most = env.limits().user_id_bytes;
        let Ok(send) = decode(encoding, &incoming.body, most) else { return Some(taken) };
        let span = span_of(Called::Method(method), &work.ownership, user);
        let began = env.clock.instant(now);
        let deadline = began + env.options.call_deadline;
        let under_way = env.pending.clone().begin_owned(env.server_ms_at(now.steady_us));
        let user = user.clone();
        let call = SendCall { taken, method, sender: user, encoding, began, span, under_way };
        let admit = || self.parts.send_path.begin(&sender, Box::new(send), now, deadline);
        // A fault in one call is that call's alone.
        match catch_unwind(AssertUnwindSafe(|| call.span.in_scope(admit))) {
            Err(_) => self.panicked(call),
            Ok(Beginning::Refused(error)) => self.answer(call, Err(error)),
            Ok(Beginning::Waits(rest)) => self.resume(call, rest),
            Ok(Beginning::Append(direct, append, until)) => {
                // In a box: it is moved several times on its way to the acknowledgement.
                let (calls, pending) = (self.clone(), Box::new((call, direct)));
                env.store.append_then(append, until, move |appended| {
                    let (call, direct) = *pending;
                    calls.appended(call, direct, appended);
                });
            }
        }
        None
    }

    fn appended(&self, call: SendCall, direct: Direct, appended: Appended) {
        let commit = || self.parts.send_path.commit(direct, appended);
        match catch_unwind(AssertUnwindSafe(|| call.span.in_scope(commit))) {
            Err(_) => self.panicked(call),
            Ok(Ok(sent)) => self.answer(call, Ok(sent)),
            Ok(Err(rest)) => self.resume(call, *rest),
        }
    }

    /// Continues in a task.
    fn resume(&self, call: SendCall, rest: Rest) {
        let calls = self.clone();
        let deadline = call.began + self.parts.env.options.call_deadline;
        self.parts.env.tasks.spawn(Box::pin(async move {
            let resumed = calls.parts.send_path.resume(rest, deadline);
            let resumed = resumed.instrument(call.span.clone());
            match AssertUnwindSafe(resumed).catch_unwind().await {
                Ok(sent) => calls.answer(call, sent),
                Err(_) => calls.panicked(call),
            }
        }));
    }

    fn panicked(&self, call: SendCall) {
        tracing::error!("a send panicked");
        self.answer(call, Err(Failure::Internal.into()));
    }

    /// Answers the caller. The reply stands after a lost lease, because the message is stored.
    fn answer(&self, call: SendCall, sent: Result<Sent, CallError>) {
        let SendCall { taken, method, sender, encoding, began, span, under_way } = call;
        let Taken { incoming, work, permit } = taken;
        let room = self.parts.env.room();
        let answer = sent.and_then(|sent| encode_reply(sent, encoding, &sender, room));
        self.count(Called::Method(method), began, &span, answer.as_ref().err());
        match answer {
            Ok(answer) => self.parts.replies.reply(&incoming, encoding, answer),
            Err(error) => self.parts.replies.reply_error(&incoming, encoding, &error),
        }
        drop((under_way, work, permit));
    }
}
