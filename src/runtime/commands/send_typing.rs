//! `send_typing`: shows the other user of a conversation whether the caller is typing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind, Peer, WithPeer, not_own};
use crate::bus::Bus;
use crate::store::Store;
use peerd_core::privacy::Hidden;
use peerd_protocol::api::Empty;
use peerd_protocol::event::LiveEvent;
use peerd_protocol::failure::CallError;
use peerd_protocol::field::{PeerType, User};

/// Shows the other user whether the caller is typing.
pub struct SendTyping;

/// Whether the caller is typing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The conversation with this user.
    #[serde(rename = "conversationID")]
    pub conversation_id: User,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// Whether the caller is typing.
    pub is_typing: bool,
}

/// The event `typing`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Typing<'a> {
    #[serde(rename = "fromUserID")]
    from_user_id: &'a str,
    is_typing: bool,
}

impl LiveEvent for Typing<'_> {
    const NAME: &'static str = "typing";
}

impl Command for SendTyping {
    const NAME: &'static str = "send_typing";
    const SUMMARY: &'static str = "Shows the other user whether the caller is typing.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] =
        &[r#"{"conversationID":"bob","conversationType":0,"isTyping":true}"#];
    type Request = Request;
    type Reply = Empty;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id: User(other), is_typing, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Empty, CallError> {
        not_own(&other, call.cell)?;
        let now_us = call.parts.env.clock.now().steady_us;
        let is_due = {
            let mut user = call.cell.lock();
            !user.account.privacy.hides(Hidden::Typing) && user.typing_sent.take(&other, now_us)
        };
        if is_due {
            let sent = call.at_peer::<Self>(&other, &is_typing).await;
            if sent.is_err() {
                call.cell.lock().typing_sent.give_back(&other);
            }
            sent?;
        }
        Ok(Empty {})
    }
}

impl WithPeer for SendTyping {
    /// Whether the caller is typing.
    type Part = bool;
    type Answer = ();

    async fn at_peer<S: Store, B: Bus>(
        is_typing: bool,
        Peer { parts, cell, from, .. }: Peer<'_, S, B>,
    ) -> Result<(), CallError> {
        let user = cell.lock();
        // A user who hides typing does not see it of others.
        if !user.blocked.contains(from) && !user.account.privacy.hides(Hidden::Typing) {
            let typing = Typing { from_user_id: from.as_str(), is_typing };
            parts.publisher.publish_live(cell, &user, &typing);
        }
        Ok(())
    }
}
