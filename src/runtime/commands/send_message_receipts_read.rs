//! `send_message_receipts_read`: confirms that the caller has read single messages.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::amending::Amending;
use super::send_conversation_message_receipt_read::hides;
use super::{Call, Command, Kind, Peer, WithPeer, not_own};
use crate::bus::Bus;
use crate::failpoint::Fault;
use crate::runtime::history::Reader;
use crate::runtime::injected;
use crate::store::Store;
use crate::wire::amend::{AmendAnswer, AmendPart};
use peerd_core::amend::Operation;
use peerd_core::id::{Direction, MessageId, UserId};
use peerd_core::limits::RECEIPTS_BATCH_MAX;
use peerd_core::message::ReceiptStatus;
use peerd_core::rejection::Rejection;
use peerd_protocol::api::ConfirmedMessages;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{MessageOfConversation, PeerType, User};
use peerd_protocol::object::PEER;
use peerd_protocol::reply::{Reply, Shown};

/// Confirms that the caller has read single messages.
pub struct SendMessageReceiptsRead;

/// The messages that were read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// In the conversation with this user, unless the messages name it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The messages; duplicates count once.
    pub message_list: Messages,
}

/// Messages, of which more than the maximum are refused with a code of their own.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Messages(pub Vec<MessageOfConversation>);

impl JsonSchema for Messages {
    fn schema_name() -> Cow<'static, str> {
        Cow::Borrowed("ReadMessages")
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<MessageOfConversation>();
        json_schema!({
            "type": "array", "items": items, "minItems": 1, "maxItems": RECEIPTS_BATCH_MAX
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// The messages were confirmed, except these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The other user.
    pub other: UserId,
    /// Messages that the caller cannot confirm.
    pub error_ids: Vec<MessageId>,
}

impl Reply for Confirmed {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        ConfirmedMessages {
            conversation_id: self.other.as_str().to_owned(),
            conversation_type: PEER,
            error_message_ids: self.error_ids.iter().map(MessageId::to_string).collect(),
        }
    }
}

impl Command for SendMessageReceiptsRead {
    const NAME: &'static str = "send_message_receipts_read";
    const SUMMARY: &'static str = "Confirms that the caller has read single messages.";
    const KIND: Kind = Kind::Live;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"conversationID":"bob","conversationType":0,"messageList":[{"messageID":"2"},{"messageID":"1"},{"messageID":"2"}]}"#,
    ];
    type Request = Request;
    type Reply = Confirmed;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message_list: Messages(list), .. }: Request,
        call: Call<'_, S, B>,
    ) -> Result<Confirmed, CallError> {
        if list.is_empty() {
            return Err(Rejection::invalid("messageList", "must not be empty").into());
        }
        if list.len() > RECEIPTS_BATCH_MAX {
            return Err(Rejection::TooManyReceipts.into());
        }
        let (other, ids) = MessageOfConversation::of_list(list, conversation_id)?;
        not_own(&other, call.cell)?;
        let (known, is_hiding) = {
            let user = call.cell.lock();
            (user.conversations.get(&other).cloned().unwrap_or_default(), hides(&user))
        };
        let wanted: Vec<_> = ids.iter().map(|id| (id.key(), id.partition())).collect();
        let mut reader = Reader::new(&call.parts.history, call.cell, &other, &known, call.deadline);
        let mut found = reader.find_seen(&wanted).await.map_err(Failure::from)?;
        found.retain(|(direction, found)| {
            let message = &found.stored.message;
            let has_receipt = message.receipt != ReceiptStatus::None && message.revoked().is_none();
            *direction == Direction::Receive && has_receipt
        });
        let is_found = |id: &MessageId| found.iter().any(|(_, found)| found.key() == id.key());
        let error_ids = ids.iter().filter(|id| !is_found(id)).copied().collect();
        // Those that are confirmed already stay as they are.
        found.retain(|(_, found)| found.stored.message.receipt == ReceiptStatus::Processing);
        if !found.is_empty() && !is_hiding {
            let now_us = call.parts.env.clock.now().steady_us;
            call.cell.lock().admit_receipt(now_us)?;
            let found = found.into_iter().map(|(_, found)| found).collect();
            let amending = Amending::of(call.parts);
            match amending.amend_received::<Self>(&call, &other, found, &Operation::Read).await {
                // The author is not sent receipts.
                Ok(_) | Err(CallError::Rejected(Rejection::NotPermitted)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Confirmed { other, error_ids })
    }
}

impl WithPeer for SendMessageReceiptsRead {
    type Part = AmendPart;
    type Answer = AmendAnswer;

    async fn at_peer<S: Store, B: Bus>(
        part: AmendPart,
        peer: Peer<'_, S, B>,
    ) -> Result<AmendAnswer, CallError> {
        if matches!(part, AmendPart::Announce(_)) {
            // Both at the same moment: the author may unblock the reader meanwhile.
            let user = peer.cell.lock();
            injected::unless_blocked(Fault::BlockedReacts, user.refuse_blocked(peer.from))?;
            if hides(&user) {
                return Err(Rejection::NotPermitted.into());
            }
        }
        Amending::of(peer.parts).serve(part, peer).await
    }
}
