//! `reply_message`: sends a message that replies to an earlier one of the conversation. Its path is
//! that of every send; before it, the original is read, and notes that it has replies.

use schemars::JsonSchema;
use serde::Deserialize;

use super::amending::Amending;
use super::{Call, Command, Kind, Peer, WithPeer, not_in_conversation};
use crate::bus::Bus;
use crate::failpoint::{self, Fault};
use crate::runtime::history::{Reader, Root, reference_to};
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::id::{Direction, MessageId, UserId};
use peerd_core::rejection::Rejection;
use peerd_core::reply::{Original, Reference, Reply, last_seq};
use peerd_core::send::{Send, SendOptions};
use peerd_protocol::draft::{MessageBody, SendConfigBody};
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{MessageOfConversation, PeerType, User};
use peerd_protocol::reply::Sent;

/// Sends a message that replies to an earlier one.
pub struct ReplyMessage;

/// The message to send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The message.
    pub message: MessageBody,
    /// The message that it replies to.
    pub to_original_message: MessageOfConversation,
    /// The other user; required unless the original has it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// Options.
    pub config: Option<SendConfigBody>,
}

/// The field with the original.
const ORIGINAL: &str = "toOriginalMessage.messageID";

impl Command for ReplyMessage {
    const NAME: &'static str = "reply_message";
    const SUMMARY: &'static str = "Sends a message that replies to an earlier one.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"message":{"type":1,"message":"Yes!","localMessageID":"l-2","extendedData":"e"},"toOriginalMessage":{"messageID":"2","conversationID":"bob","conversationType":0},"config":{"priority":3,"hasReceipt":true,"isRetrySend":true,"disableUnreadMessageCount":true,"pushConfig":{"title":"T"}}}"#,
        r#"{"message":{"type":200,"message":"{}"},"toOriginalMessage":{"messageID":"2"},"conversationID":"bob","conversationType":0}"#,
    ];
    type Request = Request;
    type Reply = Sent;

    async fn run<S: Store, B: Bus>(
        Request { message, to_original_message, conversation_id, config, .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Sent, CallError> {
        let (to, id) = to_original_message.of_original(conversation_id)?;
        let options = config.map(SendOptions::from).unwrap_or_default();
        let (to_field, draft) = ("conversationID", message.into());
        let mut outgoing = Box::new(Send { to, to_field, draft, options });
        // Only a repeat may be sent so.
        outgoing.draft.reply = Some(Box::new(unread(id)));
        outgoing.options.seq_max = Some(0);
        let (parts, user, deadline) = (call.parts, call.cell, call.deadline);
        outgoing.validate(&user.id, parts.env.limits())?;
        parts.env.room().check(&outgoing)?;
        let refusal = prepare(&call, &mut outgoing, id).await?;
        let other = outgoing.to.clone();
        // Without an entry nothing was ever sent, so it is no repeat, and leaves no trace.
        let refusal = match refusal {
            Some(refusal) if !user.lock().basis(&other).has_entry => return Err(refusal.into()),
            refusal => refusal,
        };
        let mut sent = match (parts.send_path.send(user, outgoing, deadline).await, refusal) {
            (Err(CallError::Rejected(_)), Some(refusal)) => return Err(refusal.into()),
            (answer, _) => answer?,
        };
        if sent.is_duplicate {
            let known = user.lock().conversations.get(&other).cloned().unwrap_or_default();
            let list = std::slice::from_mut(&mut sent.message);
            let shown = parts.history.show_originals(user, (&other, &known), list, deadline).await;
            shown.map_err(Failure::from)?;
        }
        Ok(sent)
    }
}

/// Reads the original, which notes that a reply may follow. Returns the refusal of a message that
/// must not be sent, unless it is a repeat.
async fn prepare<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    outgoing: &mut Send,
    id: MessageId,
) -> Result<Option<Rejection>, CallError> {
    let (user, now_us) = (call.cell, call.parts.env.clock.now().steady_us);
    // Meanwhile the message has its slot, so that nobody writes more notes than messages.
    let taken = user.lock().admit(true, now_us, call.parts.env.limits());
    let (place, prepared) = match taken {
        Ok(place) => (Some(place), note(call, &outgoing.to, id).await),
        Err(refusal) => (None, Err(refusal.into())),
    };
    if let Some(place) = place {
        user.lock().readmit(true, place);
    }
    match prepared {
        Ok((reply, after)) => {
            outgoing.draft.reply = Some(Box::new(reply));
            outgoing.options.seq_max = Some(last_seq(after));
            Ok(None)
        }
        Err(CallError::Rejected(refusal)) if outgoing.draft.local_id.is_some() => Ok(Some(refusal)),
        Err(error) => Err(error),
    }
}

/// Reads the original, which notes that a reply may follow the caller's message with this
/// `messageSeq`, and so does the root of its tree.
async fn note<S: Store, B: Bus>(
    call: &Call<'_, S, B>,
    other: &UserId,
    id: MessageId,
) -> Result<(Reply, u64), CallError> {
    let (known, after) = {
        let user = call.cell.lock();
        let known = user.conversations.get(other).cloned().unwrap_or_default();
        (known, user.basis(other).sent_seq)
    };
    let (parts, seen) = (call.parts, (other, &known));
    let mut reader = Reader::new(&parts.history, call.cell, other, &known, call.deadline);
    let found = reader.find_seen(&[(id.key(), id.partition())]).await.map_err(Failure::from)?;
    let found = found.into_iter().next().ok_or_else(|| not_in_conversation(ORIGINAL))?;
    let to = reference_to(found.0, &found.1);
    let message = &found.1.stored.message;
    let root = message.root_for(&call.cell.id);
    let root = root.filter(|_| !failpoint::is(Fault::ForgottenRoot));
    let original = Original::Normal(message.content.clone());
    let amending = Amending::of(parts);
    amending.note_reply::<ReplyMessage>(call, seen, found, (after, true)).await?;
    if let Some(root) = &root {
        let at = (root.direction(Direction::Send), root);
        let found = parts.history.root(call.cell, seen, at, call.deadline).await;
        if let Some(Root { direction, found, .. }) = found.map_err(Failure::from)? {
            let found = (direction, found);
            amending.note_reply::<ReplyMessage>(call, seen, found, (after, false)).await?;
        }
    }
    Ok((Reply { to, root, original }, after))
}

/// A reply to a message of which nothing but the ID is known.
const fn unread(id: MessageId) -> Reply {
    let to = Reference {
        by_sender: false,
        key: id.key(),
        partition: id.partition(),
        seq: 0,
        stream_seq: 0,
        timestamp_ms: 0,
    };
    Reply { to, root: None, original: Original::NotFound }
}

impl WithPeer for ReplyMessage {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        Amending::of(peer.parts).serve(part, peer).await
    }
}

#[cfg(test)]
mod tests;
