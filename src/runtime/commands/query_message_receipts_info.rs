//! `query_message_receipts_info`: reads the status of messages' read receipts.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Call, Command, Kind};
use crate::bus::Bus;
use crate::runtime::history::Reader;
use crate::store::Store;
use peerd_core::id::MessageId;
use peerd_core::limits::RECEIPTS_QUERY_MAX;
use peerd_core::message::ReceiptStatus;
use peerd_core::receipt::ReceiptInfo;
use peerd_protocol::failure::{CallError, Failure};
use peerd_protocol::field::{List, MessageOfConversation, PeerType, User};
use peerd_protocol::receipt::ReceiptBody;
use peerd_protocol::reply::{Reply, Shown};

/// Reads the status of messages' read receipts.
pub struct QueryMessageReceiptsInfo;

/// The messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// In the conversation with this user, unless the messages name it.
    #[serde(rename = "conversationID")]
    pub conversation_id: Option<User>,
    /// 0, a conversation with a peer.
    pub conversation_type: Option<PeerType>,
    /// The messages; duplicates count once.
    pub message_list: List<MessageOfConversation, RECEIPTS_QUERY_MAX>,
}

/// The receipts of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipts {
    /// Of the messages that have one.
    pub infos: Vec<ReceiptInfo>,
    /// The other messages.
    pub error_ids: Vec<MessageId>,
}

impl Reply for Receipts {
    fn body<'a>(&'a self, _: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Body<'a> {
            infos: Vec<ReceiptBody<'a>>,
            #[serde(rename = "errorMessageIDs")]
            error_message_ids: Vec<String>,
        }
        Body {
            infos: self.infos.iter().map(ReceiptBody::of).collect(),
            error_message_ids: self.error_ids.iter().map(MessageId::to_string).collect(),
        }
    }
}

impl Command for QueryMessageReceiptsInfo {
    const NAME: &'static str = "query_message_receipts_info";
    const SUMMARY: &'static str = "Reads the status of messages' read receipts.";
    const KIND: Kind = Kind::Read;
    const EXAMPLES: &'static [&'static str] = &[
        r#"{"conversationID":"bob","conversationType":0,"messageList":[{"messageID":"2"},{"messageID":"1"},{"messageID":"2"}]}"#,
    ];
    type Request = Request;
    type Reply = Receipts;

    async fn run<S: Store, B: Bus>(
        Request { conversation_id, message_list: List(list), .. }: Request,
        Call { parts, cell, deadline, .. }: Call<'_, S, B>,
    ) -> Result<Receipts, CallError> {
        let (other, ids) = MessageOfConversation::of_list(list, conversation_id)?;
        let wanted: Vec<_> = ids.iter().map(|id| (id.key(), id.partition())).collect();
        let known = cell.lock().conversations.get(&other).cloned().unwrap_or_default();
        let mut reader = Reader::new(&parts.history, cell, &other, &known, deadline);
        let found = reader.find_seen(&wanted).await.map_err(Failure::from)?;
        let (mut infos, mut error_ids) = (Vec::new(), Vec::new());
        for id in ids {
            let messages = found.iter().map(|(_, found)| &found.stored.message);
            let mut named = messages.filter(|message| message.id() == id);
            match named.find(|message| message.receipt != ReceiptStatus::None) {
                Some(message) => infos.push(ReceiptInfo::of(message, &cell.id)),
                None => error_ids.push(id),
            }
        }
        Ok(Receipts { infos, error_ids })
    }
}
