//! `delete_message_reaction`: deletes the caller's reactions with one type to a message.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amending::Amending;
use super::reacting::{Reacted, ReactionType, visible};
use super::{Call, Command, Kind, Peer, WithPeer};
use crate::bus::Bus;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{MessageOfConversation, PeerType, User};

/// Deletes the caller's reactions with one type to a message.
pub struct DeleteMessageReaction;

/// The reactions to delete.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// Their type.
    pub reaction_type: ReactionType,
    /// The other user; required unless the message has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The message.
    pub message: MessageOfConversation,
}

impl Command for DeleteMessageReaction {
    const NAME: &'static str = "delete_message_reaction";
    const SUMMARY: &'static str = "Deletes the caller's reactions with one type to a message.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"reactionType":"👍","message":{"messageID":"2","conversationID":"bob","conversationType":0}}"#,
        r#"{"reactionType":"a","conversationID":"bob","conversationType":0,"message":{"messageID":"2"}}"#,
    ];
    type Request = Request;
    type Reply = Reacted;

    async fn run<S: Store, B: Bus>(
        Request { reaction_type, conversation_id, message, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Reacted, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let kind = visible(reaction_type)?;
        let operation = Operation::Unreact { kind: kind.clone() };
        let amending = Amending::of(call.parts);
        let amended = amending.amend::<Self>(&call, &other, id, &operation).await?;
        Ok(Reacted::new(amended.after, &kind))
    }
}

impl WithPeer for DeleteMessageReaction {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        Amending::of(peer.parts).serve(part, peer).await
    }
}
