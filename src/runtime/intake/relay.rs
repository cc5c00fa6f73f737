//! Calls whose reply subject only the connection may use that received them: the instance that has
//! such a call asks its owner by a request of its own, and answers the caller with what it is
//! answered.
//!
//! So it is with calls through a service import: their reply subject is the server's, and nobody may
//! name it when publishing. All others are passed on with the caller's reply subject
//! (`docs/decisions/0010-calls-are-passed-on-with-the-callers-reply-subject.md`).

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{HOPS_MAX, Intake};
use crate::bus::{Answer, AskError, Bus, Incoming, IsAnswer, Kind, Outgoing};
use crate::runtime::retry::NO_OWNER;
use crate::runtime::router::Route;
use crate::runtime::users::{What, Work};
use crate::store::Store;
use peerd_core::id::Partition;
use peerd_protocol::encoding::{CONTENT_TYPE, Encoding};
use peerd_protocol::failure::Failure;
use peerd_protocol::subject::is_servers_reply;

/// Wait before it is tried again where the server had nobody to give the call to.
const AGAIN: Duration = Duration::from_millis(20);

/// Whether a call cannot be passed on with its reply subject.
pub(super) fn is_relayed(incoming: &Incoming) -> bool {
    incoming.reply_to.as_deref().is_some_and(is_servers_reply)
}

impl<S: Store, B: Bus> Intake<S, B> {
    /// Has the owner of a call's partition answer it, and answers the caller. Answers the right to
    /// handle it here, where this instance has come to own the partition.
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
            // The owner may wait as long before it begins.
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
                Err(AskError::Nobody) if Instant::now() + AGAIN < until => sleep(AGAIN).await,
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

/// Whether that is a reply of peerd's, each of which says how its body is written.
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
