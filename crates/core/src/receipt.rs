//! Read receipts: how far they were sent in a conversation, and the one of a message as it is shown.

use std::sync::Arc;

use super::id::{Direction, MessageId, OrderKey, UserId};
use super::message::{Message, ReceiptStatus};

/// How far read receipts were sent in a conversation. Each position only moves forward.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiptMarks {
    /// The user has confirmed the other's messages up to here, and the other knows.
    pub sent: OrderKey,
    /// The user has begun to confirm the other's messages up to here. Beyond `sent`, it is not
    /// known whether the other knows.
    pub begun: OrderKey,
    /// The other has confirmed the user's messages up to here.
    pub received: OrderKey,
}

/// The state of one message's read receipt, as one of its two users sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiptInfo {
    /// The message.
    pub message: MessageId,
    /// The other user of the conversation.
    pub other: UserId,
    /// The status.
    pub status: ReceiptStatus,
    /// Whether the user who sees this sent the message.
    pub is_sender: bool,
    /// Whether the user who sees this read the message, in one of the sessions.
    pub is_self_operated: bool,
    /// When it was read, in milliseconds since 1970; 0 if that is not known.
    pub read_ms: u64,
}

impl ReceiptInfo {
    /// The receipt of a message as `viewer` sees it.
    #[must_use]
    pub fn of(message: &Message, viewer: &UserId) -> Self {
        let is_sender = message.sender == *viewer;
        Self {
            message: message.id(),
            other: message.other(viewer).clone(),
            status: message.receipt,
            is_sender,
            is_self_operated: false,
            read_ms: message.read_ms(),
        }
    }
}

impl ReceiptMarks {
    /// The position up to which a direction is confirmed.
    #[must_use]
    pub const fn of(&self, direction: Direction) -> OrderKey {
        match direction {
            Direction::Send => self.received,
            Direction::Receive => self.sent,
        }
    }

    /// The position up to which a receipt has begun, if the other user's owner may not know of it.
    #[must_use]
    pub fn unfinished(&self) -> Option<OrderKey> {
        (self.begun > self.sent).then_some(self.begun)
    }

    /// Sets the status of a message of this direction that is confirmed.
    pub fn show(&self, direction: Direction, message: &mut Message) {
        if self.confirms(direction, message) {
            message.receipt = ReceiptStatus::Done;
        }
    }

    /// Sets the status of a shared message of this direction that is confirmed: only then it is
    /// copied.
    pub fn show_shared(&self, direction: Direction, message: &mut Arc<Message>) {
        if self.confirms(direction, message) {
            self.show(direction, Arc::make_mut(message));
        }
    }

    /// Whether a message of this direction is confirmed, and does not show it yet.
    fn confirms(&self, direction: Direction, message: &Message) -> bool {
        message.receipt == ReceiptStatus::Processing && message.key <= self.of(direction)
    }
}
