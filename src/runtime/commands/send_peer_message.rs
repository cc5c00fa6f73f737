//! `send_peer_message`: sends a message to a user. The path of a send is in [`crate::runtime`]'s
//! `send.rs`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::send::{Send, SendOptions};
use peerd_protocol::draft::{MessageBody, SendConfigBody};
use peerd_protocol::failure::CallError;
use peerd_protocol::field::User;
use peerd_protocol::reply::Sent;

/// The field with the receiver.
pub(super) const TO: &str = "toUserID";

/// Sends a message to a user.
pub struct SendPeerMessage;

/// The message to send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The receiver.
    #[serde(rename = "toUserID")]
    pub to_user_id: User,
    /// The message.
    pub message: MessageBody,
    /// Options.
    pub config: Option<SendConfigBody>,
}

impl From<Request> for Send {
    fn from(Request { to_user_id: User(to), message, config }: Request) -> Self {
        let options = config.map(SendOptions::from).unwrap_or_default();
        Self { to, to_field: TO, draft: message.into(), options }
    }
}

impl Command for SendPeerMessage {
    const NAME: &'static str = "send_peer_message";
    const SUMMARY: &'static str = "Sends a message to a user.";
    const KIND: Kind = Kind::Live;
    const CHECKS_SESSION: bool = true;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"toUserID":"bob","message":{"type":1,"message":"Hello, Bob!","localMessageID":"l-1","extendedData":"e"},"config":{"priority":3,"hasReceipt":true,"isRetrySend":true,"disableUnreadMessageCount":true,"pushConfig":{"title":"T","content":"C","payload":"P","resourcesID":"R","threadID":"H","enableBadge":true,"badgeIncrement":1,"voIPConfig":{}}}}"#,
        r#"{"toUserID":"bob","message":{"type":2,"message":"AAH+/w=="}}"#,
        r#"{"toUserID":"bob","message":{"type":11,"fileDownloadUrl":"u","thumbnailDownloadUrl":"t","largeImageDownloadUrl":"l","originalImageWidth":4000,"originalImageHeight":3000,"largeImageWidth":2,"largeImageHeight":3,"thumbnailWidth":4,"thumbnailHeight":5}}"#,
        r#"{"toUserID":"bob","message":{"type":13,"fileDownloadUrl":"u","audioDuration":61}}"#,
        r#"{"toUserID":"bob","message":{"type":14,"fileDownloadUrl":"u","videoDuration":3601,"videoFirstFrameDownloadUrl":"f","videoFirstFrameWidth":640,"videoFirstFrameHeight":480}}"#,
        r#"{"toUserID":"bob","message":{"type":100,"title":"T","summary":"S","messageList":[{"type":1,"message":"one","messageID":"77","senderUserID":"carol","timestamp":1780000000000,"extendedData":"e"},{"type":100,"title":"","summary":"","messageList":[{"type":200,"message":"{}"}]}]}}"#,
        r#"{"toUserID":"bob","message":{"type":200,"message":"{}","subType":200,"searchedContent":"find me"}}"#,
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
