//! Replies to calls, and refusals of incoming messages.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use super::commands::Called;
use super::env::Env;
use crate::bus::{Bus, Incoming, Kind, Outgoing};
use crate::store::Store;
use crate::wire::owner_request::encode_refusal;
use crate::wire::packed;
use peerd_core::rejection::Rejection;
use peerd_protocol::encoding::{Encode as _, Encoding};
use peerd_protocol::failure::{CallError, FailureBody};

/// Writes replies and refusals.
pub(super) struct Replies<S, B> {
    env: Arc<Env<S, B>>,
}

/// An encoded reply.
pub(super) struct Answer {
    pub(super) body: Bytes,
    pub(super) is_duplicate: bool,
}

impl<S: Store, B: Bus> Replies<S, B> {
    pub(super) const fn new(env: Arc<Env<S, B>>) -> Self {
        Self { env }
    }

    /// The subject of the answer. NATS does not check the reply subject of a request against the
    /// caller's permissions: peerd must not publish where the caller may not.
    fn reply_subject(&self, incoming: &Incoming) -> Option<ByteString> {
        incoming.reply_to.clone().filter(|subject| !self.env.subjects.is_reserved(subject))
    }

    pub(super) fn reply(&self, incoming: &Incoming, encoding: Encoding, answer: Answer) {
        let Some(subject) = self.reply_subject(incoming) else { return };
        let Answer { body, is_duplicate } = answer;
        let kind = if is_duplicate { Kind::Duplicate } else { Kind::Plain };
        self.env.emit(Outgoing { subject, encoding, kind, body, permit: None });
    }

    /// The refusal of a call, or of a request of another instance, for which nothing was done;
    /// `None` if no answer is expected.
    pub(super) fn refusal(
        &self,
        incoming: &Incoming,
        error: impl Into<CallError>,
    ) -> Option<Outgoing> {
        let error = error.into();
        if self.env.subjects.parse_ask(&incoming.subject).is_some() {
            self.reply_subject(incoming)?;
            return owner_refusal(incoming, &error);
        }
        let encoding = Encoding::of_request(incoming.content_type.as_deref(), &incoming.body);
        let encoding = encoding.unwrap_or_else(|_| Encoding::sniff(&incoming.body));
        self.env.counters.refused(Called::from_name(self.method(incoming)), &error);
        self.error(incoming, encoding, &error)
    }

    /// The method of a call, by its subject.
    fn method<'i>(&self, incoming: &'i Incoming) -> &'i str {
        let call = self.env.subjects.parse_call(&incoming.subject);
        call.map_or("", |call| call.method)
    }

    /// An error in answer to a call.
    pub(super) fn error(
        &self,
        incoming: &Incoming,
        encoding: Encoding,
        error: &CallError,
    ) -> Option<Outgoing> {
        let subject = self.reply_subject(incoming)?;
        let failure = FailureBody { error, method: self.method(incoming) };
        let kind = Kind::Error { code: error.code(), text: failure.text() };
        match encoding.encode(&failure) {
            Ok(body) => Some(Outgoing { subject, encoding, kind, body, permit: None }),
            Err(error) => {
                tracing::error!(%error, "an error could not be written");
                None
            }
        }
    }

    pub(super) fn reply_error(&self, incoming: &Incoming, encoding: Encoding, error: &CallError) {
        self.env.emit_any(self.error(incoming, encoding, error));
    }
}

/// The refusal of a body.
pub(super) fn body_too_large(most: usize) -> Rejection {
    Rejection::invalid("body", format!("must be {most} bytes or shorter"))
}

/// The refusal of a request of another instance; `None` if no answer is expected.
pub(super) fn owner_refusal(incoming: &Incoming, error: &CallError) -> Option<Outgoing> {
    owner_answer(incoming, encode_refusal(error))
}

/// The answer to a request of another instance; `None` if none is expected.
pub(super) fn owner_answer(
    incoming: &Incoming,
    body: Result<Bytes, packed::EncodeError>,
) -> Option<Outgoing> {
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
