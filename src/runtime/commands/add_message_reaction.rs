//! `add_message_reaction`: adds a reaction of the caller to a message.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amending::Amending;
use super::reacting::{Reacted, ReactionType, visible};
use super::{Call, Command, Kind, Peer, WithPeer};
use crate::bus::Bus;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_core::limits::REACTION_COUNT_MAX;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{MessageOfConversation, PeerType, UpTo, User};

/// Adds a reaction of the caller to a message.
pub struct AddMessageReaction;

/// The reaction to add.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The type of the reaction: any visible text on a line.
    pub reaction_type: ReactionType,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Config {
    /// How often to react. 0, the default, is once, and only if the caller has not yet reacted with
    /// this type.
    pub increase_count: Option<UpTo<REACTION_COUNT_MAX>>,
}

impl Command for AddMessageReaction {
    const NAME: &'static str = "add_message_reaction";
    const SUMMARY: &'static str = "Adds a reaction of the caller to a message.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"reactionType":"👍","message":{"messageID":"2","conversationID":"bob","conversationType":0},"config":{"increaseCount":1}}"#,
        r#"{"reactionType":"a","conversationID":"bob","conversationType":0,"message":{"messageID":"2"}}"#,
    ];
    type Request = Request;
    type Reply = Reacted;

    async fn run<S: Store, B: Bus>(
        Request { reaction_type, conversation_id, message, config, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Reacted, CallError> {
        let (other, id) = message.of(conversation_id)?;
        let kind = visible(reaction_type)?;
        let increase = config.unwrap_or_default().increase_count;
        let increase = increase.map_or(0, |UpTo(count)| count);
        let operation = Operation::React { kind: kind.clone(), increase };
        let amending = Amending::of(call.parts);
        let amended = amending.amend::<Self>(&call, &other, id, &operation).await?;
        Ok(Reacted::new(amended.after, &kind))
    }
}

impl WithPeer for AddMessageReaction {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        Amending::of(peer.parts).serve(part, peer).await
    }
}
