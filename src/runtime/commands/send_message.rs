//! `send_message`: sends a message into a conversation with a peer.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::send::{Send, SendOptions};
use peerd_protocol::draft::{MessageBody, SendConfigBody};
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{PeerType, User};
use peerd_protocol::reply::Sent;

/// The field with the receiver.
pub(super) const TO: &str = "toConversationID";

/// Sends a message into a conversation.
pub struct SendMessage;

/// The message to send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The conversation, whose ID is that of the other user.
    #[serde(rename = "toConversationID")]
    pub to_conversation_id: User,
    /// The message.
    pub message: MessageBody,
    /// Options.
    pub config: Option<SendConfigBody>,
}

impl From<Request> for Send {
    fn from(Request { to_conversation_id: User(to), message, config, .. }: Request) -> Self {
        let options = config.map(SendOptions::from).unwrap_or_default();
        Self { to, to_field: TO, draft: message.into(), options }
    }
}

impl Command for SendMessage {
    const NAME: &'static str = "send_message";
    const SUMMARY: &'static str = "Sends a message into a conversation.";
    const KIND: Kind = Kind::Live;
    const CHECKS_SESSION: bool = true;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"toConversationID":"bob","conversationType":0,"message":{"type":10,"messageInfoList":[{"type":1,"message":"a"},{"type":12,"fileDownloadUrl":"https://x/1","fileName":"n.bin","fileSize":8589934592,"fileUID":"u-1"}]}}"#,
    ];
    type Request = Request;
    type Reply = Sent;

    async fn run<S: Store, B: Bus>(
        request: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Sent, CallError> {
        parts.send_path.send(cell, Box::new(request.into()), deadline).await
    }
}
