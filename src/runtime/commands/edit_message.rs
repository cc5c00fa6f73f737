//! `edit_message`: replaces the content of a message that the caller sent.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amending::Amending;
use super::{Call, Command, Kind, Peer, WithPeer};
use crate::bus::Bus;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_core::send::{Send, SendOptions};
use peerd_protocol::draft::EditBody;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{AnyObject, Both, MessageOfConversation, PeerType, User};
use peerd_protocol::reply::Sent;

/// Replaces the content of a message that the caller sent.
pub struct EditMessage;

/// The message with its new content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The message: its ID, and its new content and extended data.
    pub message: Both<MessageOfConversation, EditBody>,
    /// Options, of which the SDK has none.
    pub config: Option<AnyObject>,
    /// The `editedTime` that the caller knows; 0 if the message was not edited.
    pub expected_edited_time: Option<u64>,
}

impl Command for EditMessage {
    const NAME: &'static str = "edit_message";
    const SUMMARY: &'static str = "Replaces the content of a message that the caller sent.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"2","conversationID":"bob","conversationType":0,"type":1,"message":"Hello again","extendedData":"e"},"config":{},"expectedEditedTime":0}"#,
        r#"{"conversationID":"bob","conversationType":0,"message":{"messageID":"2","type":200,"message":"{}","subType":1}}"#,
    ];
    type Request = Request;
    type Reply = Sent;

    async fn run<S: Store, B: Bus>(
        request: Request,
        call: Call<'_, S, B>,
    ) -> Result<Sent, CallError> {
        let Both(named, body) = request.message;
        let (other, id) = named.of(request.conversation_id)?;
        let (to, to_field) = (other.clone(), "conversationID");
        let send = Send { to, to_field, draft: body.into(), options: SendOptions::default() };
        send.validate(&call.cell.id, call.parts.env.limits())?;
        call.parts.env.room().check(&send)?;
        let (content, extended_data) = (send.draft.content, send.draft.extended_data);
        let expected_edited_ms = request.expected_edited_time;
        let operation = Operation::Edit { content, extended_data, expected_edited_ms };
        let amending = Amending::of(call.parts);
        let amended = amending.amend::<Self>(&call, &other, id, &operation).await?;
        Ok(Sent { message: amended.after, is_duplicate: false })
    }
}

impl WithPeer for EditMessage {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        Amending::of(peer.parts).serve(part, peer).await
    }
}
