//! `delete_message_all_reactions`: deletes all reactions of the caller to a message.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amending::Amending;
use super::{Call, Command, Kind, Peer, WithPeer};
use crate::bus::Bus;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_protocol::api::Empty;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{MessageOfConversation, PeerType, User};

/// Deletes all reactions of the caller to a message.
pub struct DeleteMessageAllReactions;

/// The message.
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
}

impl Command for DeleteMessageAllReactions {
    const NAME: &'static str = "delete_message_all_reactions";
    const SUMMARY: &'static str = "Deletes all reactions of the caller to a message.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"messageID":"2","conversationID":"bob","conversationType":0}}"#,
        r#"{"conversationID":"bob","conversationType":0,"message":{"messageID":"2"}}"#,
    ];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let amending = Amending::of(call.parts);
        amending.amend::<Self>(&call, &other, id, &Operation::UnreactAll).await?;
        Ok(Empty {})
    }
}

impl WithPeer for DeleteMessageAllReactions {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        Amending::of(peer.parts).serve(part, peer).await
    }
}
