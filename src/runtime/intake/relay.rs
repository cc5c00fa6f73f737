//! Relays calls whose reply subject only the receiving connection may use: the instance that
//! received such a call sends a request of its own to the owner, and passes the answer to the
//! caller.
//!
//! This is the case for calls through a service import: the server made their reply subject, and
//! refuses it as the reply subject of a publish. All other calls are forwarded with the caller's
//! reply subject (`docs/decisions/0010-calls-are-forwarded-with-the-callers-reply-subject.md`).

use std::sync::Arc;

use tokio::time::{Instant, sleep};

use super::{HOPS_MAX, Intake};
use crate::bus::{Answer, AskError, Bus, Incoming, IsAnswer, Kind, Outgoing};
use crate::runtime::router::Route;
use crate::runtime::tuning::{NO_OWNER, RELAY_RETRY_DELAY};
use crate::runtime::users::{What, Work};
use crate::store::Store;
use peerd_core::id::Partition;
use peerd_protocol::encoding::{CONTENT_TYPE, Encoding};
use peerd_protocol::failure::Failure;
use peerd_protocol::subject::is_servers_reply;

/// Whether a call cannot be forwarded with its reply subject.
pub(super) fn is_relayed(incoming: &Incoming) -> bool {
    incoming.reply_to.as_deref().is_some_and(is_servers_reply)
}

impl<S: Store, B: Bus> Intake<S, B> {
    /// Requests the answer from the owner of a call's partition, and answers the caller. If this
    /// instance has become the owner meanwhile, returns the right to handle the call here.
    pub(super) async fn relay(
        self: &Arc<Self>,
        incoming: &Incoming,
        partition: Partition,
    ) -> Option<Work> {
        if let Err(rejection) = self.router.check_hop(incoming) {
            self.refuse(incoming, rejection);
            return None;
        }
        let until = Instant::now() + self.env.options.owner_wait;
        loop {
            match self.router.wait_for_owner(partition, What::Call, until).await {
                Route::Here(work) => return Some(work),
                Route::There if incoming.hops < HOPS_MAX => {}
                Route::There | Route::Nowhere => break,
            }
            let reply_to = Some(self.env.bus.inbox().into());
            let call = Incoming { reply_to, ..incoming.clone() };
            let call = self.router.passed_on(call, partition);
            // The owner may wait equally long before it begins.
            let deadline =
                Instant::now() + self.env.options.owner_wait + self.env.options.call_deadline;
            let is_answer: IsAnswer = Box::new(is_reply);
            match self.env.bus.ask(call, is_answer, deadline).await {
                Ok(Answer { headers, body }) => {
                    self.env.emit_any(incoming.reply_to.clone().map(|subject| {
                        let (encoding, kind) = (Encoding::default(), Kind::Relayed { headers });
                        Outgoing { subject, encoding, kind, body, permit: None }
                    }));
                    return None;
                }
                Err(AskError::Nobody) if Instant::now() + RELAY_RETRY_DELAY < until => {
                    sleep(RELAY_RETRY_DELAY).await;
                }
                Err(AskError::Nobody) => break,
                Err(AskError::Unknown) => {
                    self.refuse(incoming, Failure::OutcomeUnknown);
                    return None;
                }
            }
        }
        self.refuse(incoming, NO_OWNER);
        None
    }
}

/// Whether this is a reply of peerd: each names the encoding of its body.
fn is_reply(answer: &Answer) -> bool {
    answer.headers.iter().any(|(name, value)| {
        let is_ours = |encoding: Encoding| encoding.content_type() == value;
        name == CONTENT_TYPE && (is_ours(Encoding::Json) || is_ours(Encoding::MessagePack))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_of_a_foreign_client_is_no_reply_of_the_owner() {
        let answer = |name: &str, value: &str| {
            let headers = vec![(name.to_owned(), value.to_owned())];
            Answer { headers, body: "{}".into() }
        };
        assert!(is_reply(&answer("Content-Type", "application/json")));
        assert!(is_reply(&answer("Content-Type", "application/msgpack")));
        assert!(!is_reply(&answer("Content-Type", "text/plain")));
        assert!(!is_reply(&answer("X-Type", "application/json")));
        assert!(!is_reply(&Answer::default()));
    }
}
