//! Read receipts in bodies.

use serde::Serialize;

use super::object::{PEER, Text};
use peerd_core::message::ReceiptStatus;
use peerd_core::receipt::ReceiptInfo;

/// A `ZIMMessageReceiptInfo`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody<'a> {
    status: u8,
    #[serde(rename = "messageID")]
    message_id: Text,
    #[serde(rename = "conversationID")]
    conversation_id: &'a str,
    conversation_type: u8,
    /// The numbers of members are shown to the sender only.
    read_member_count: u8,
    unread_member_count: u8,
    delivered_member_count: u8,
    is_self_operated: bool,
    read_time: u64,
}

impl<'a> ReceiptBody<'a> {
    /// The body of a receipt.
    #[must_use]
    pub fn of(receipt: &'a ReceiptInfo) -> Self {
        let is_read = receipt.status == ReceiptStatus::Done;
        let is_delivered = receipt.status == ReceiptStatus::Delivered;
        Self {
            status: receipt.status as u8,
            message_id: Text(receipt.message.number()),
            conversation_id: receipt.other.as_str(),
            conversation_type: PEER,
            read_member_count: u8::from(receipt.is_sender && is_read),
            unread_member_count: u8::from(receipt.is_sender && !is_read),
            delivered_member_count: u8::from(receipt.is_sender && is_delivered),
            is_self_operated: receipt.is_self_operated,
            read_time: receipt.read_ms,
        }
    }
}
