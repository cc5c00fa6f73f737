//! What goes out, as core NATS has it.

use async_nats::client::traits::Publisher as _;
use async_nats::message::OutboundMessage;
use async_nats::{HeaderMap, Subject};

use super::{Kind, Outgoing};
use crate::link::Connection;
use crate::wire::encoding::{
    CONTENT_TYPE, Encoding, PEER_DUPLICATE, PEER_HOPS, SERVICE_ERROR, SERVICE_ERROR_CODE,
};

/// Hands messages to a connection.
#[derive(Debug)]
pub(super) struct Exit {
    connection: Connection,
    /// The headers that most messages have, made once.
    json: HeaderMap,
    message_pack: HeaderMap,
}

impl Exit {
    /// What goes out over a connection.
    pub(super) fn new(connection: Connection) -> Self {
        let of = |encoding: Encoding| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, encoding.content_type());
            headers
        };
        let (json, message_pack) = (of(Encoding::Json), of(Encoding::MessagePack));
        Self { connection, json, message_pack }
    }

    /// Hands a message to the connection, once there is one, if its permit holds by then.
    pub(super) async fn send(&self, message: Outgoing) {
        // What the connection takes while it is down goes out when it is up again, however late.
        if message.permit.is_some() && !self.connection.link.is_up() {
            self.connection.link.up().await;
        }
        self.hand_over(message).await;
    }

    /// The same, but what needs a permit is lost where there is no connection, as is what was on its
    /// way when that was lost.
    pub(super) async fn send_now(&self, message: Outgoing) {
        if message.permit.is_none() || self.connection.link.is_up() {
            self.hand_over(message).await;
        }
    }

    async fn hand_over(&self, message: Outgoing) {
        if message.permit.as_ref().is_some_and(|permit| !permit.holds()) {
            let subject = message.subject;
            tracing::debug!(subject, "waited for too long: somebody else sees to it, or nobody");
            return;
        }
        let headers = self.headers(&message);
        let Outgoing { subject, kind, body, .. } = message;
        let reply = match kind {
            Kind::Routed { reply_to, .. } => reply_to.map(Subject::from),
            Kind::Plain | Kind::Duplicate | Kind::Error { .. } => None,
        };
        let (subject, headers) = (Subject::from(subject), Some(headers));
        let message = OutboundMessage { subject, reply, payload: body, headers };
        if let Err(error) = self.connection.client.publish_message(message).await {
            // Over the server's max_payload, or the connection was closed for good.
            tracing::warn!(%error, "a message could not go out");
        }
    }

    fn headers(&self, message: &Outgoing) -> HeaderMap {
        if let Kind::Routed { content_type, hops, .. } = &message.kind {
            let mut headers = HeaderMap::new();
            if let Some(content_type) = content_type {
                headers.insert(CONTENT_TYPE, content_type.as_str());
            }
            headers.insert(PEER_HOPS, hops.to_string());
            return headers;
        }
        let mut headers = match message.encoding {
            Encoding::Json => self.json.clone(),
            Encoding::MessagePack => self.message_pack.clone(),
        };
        match &message.kind {
            Kind::Plain | Kind::Routed { .. } => {}
            Kind::Duplicate => headers.insert(PEER_DUPLICATE, "true"),
            Kind::Error { code, text } => {
                headers.insert(SERVICE_ERROR, text.as_str());
                headers.insert(SERVICE_ERROR_CODE, code.to_string());
            }
        }
        headers
    }
}
