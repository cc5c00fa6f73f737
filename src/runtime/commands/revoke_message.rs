//! `revoke_message`: removes a message that the caller sent, for both users.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amending::Amending;
use super::{Call, Command, Kind, Peer, WithPeer};
use crate::bus::Bus;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_core::content::Content;
use peerd_core::limits::REVOKE_EXTENDED_DATA_MAX_BYTES;
use peerd_core::message::Message;
use peerd_protocol::draft::PushBody;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{MessageOfConversation, PeerType, ShortText, User};
use peerd_protocol::reply::Sent;

/// Removes a message that the caller sent, for both users.
pub struct RevokeMessage;

/// The message to revoke.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The message.
    pub message: MessageOfConversation,
    /// Options.
    pub config: Option<Config>,
}

/// Options.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// Checked but not used: the receiver is not pushed about a revocation.
    pub push_config: Option<PushBody>,
    /// Text that accompanies the revocation.
    pub revoke_extended_data: Option<ShortText<REVOKE_EXTENDED_DATA_MAX_BYTES>>,
}

impl Command for RevokeMessage {
    const NAME: &'static str = "revoke_message";
    const SUMMARY: &'static str = "Removes a message that the caller sent, for both users.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"2","conversationID":"bob","conversationType":0},"config":{"revokeExtendedData":"e","pushConfig":{"title":"T"}}}"#,
        r#"{"conversationID":"bob","conversationType":0,"message":{"messageID":"2"}}"#,
    ];
    type Request = Request;
    type Reply = Sent;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message, config, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Sent, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let extended_data = config.and_then(|config| config.revoke_extended_data);
        let ShortText(extended_data) = extended_data.unwrap_or_default();
        let operation = Operation::Revoke { extended_data };
        let amending = Amending::of(call.parts);
        let amended = amending.amend::<Self>(&call, &other, id, &operation).await?;
        let mut message = Message::clone(&amended.after);
        // Only the caller gets the text of the message.
        if let Content::Text { message: text } = amended.before.content
            && let Some(annotations) = &mut message.annotations
            && let Some(revocation) = &mut annotations.revoked
        {
            revocation.original_text = text;
        }
        Ok(Sent { message: message.into(), is_duplicate: false })
    }
}

impl WithPeer for RevokeMessage {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        Amending::of(peer.parts).serve(part, peer).await
    }
}
