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
    /// The user's messages up to here were handed to the other.
    pub delivered: OrderKey,
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

    /// Sets the status of a message of this direction that is confirmed, or was delivered.
    pub fn show(&self, direction: Direction, message: &mut Message) {
        if let Some(status) = self.further(direction, message.key, message.receipt) {
            message.receipt = status;
        }
    }

    /// Sets the status of a shared message of this direction that is confirmed, or was delivered:
    /// only then it is copied.
    pub fn show_shared(&self, direction: Direction, message: &mut Arc<Message>) {
        if let Some(status) = self.further(direction, message.key, message.receipt) {
            Arc::make_mut(message).receipt = status;
        }
    }

    /// The status of a message of this direction, if it is a later one than the message shows. Only
    /// its sender sees that a message was delivered.
    fn further(
        &self,
        direction: Direction,
        key: OrderKey,
        shown: ReceiptStatus,
    ) -> Option<ReceiptStatus> {
        let is_delivered = match shown {
            ReceiptStatus::None | ReceiptStatus::Done => return None,
            ReceiptStatus::Delivered => true,
            ReceiptStatus::Processing => false,
        };
        if key <= self.of(direction) {
            return Some(ReceiptStatus::Done);
        }
        let is_reached = direction == Direction::Send && key <= self.delivered;
        (is_reached && !is_delivered).then_some(ReceiptStatus::Delivered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_sender_sees_that_a_message_was_delivered_and_read_is_more() {
        use Direction::{Receive, Send};
        use ReceiptStatus::{Delivered, Done, None, Processing};
        let shown = |(received, delivered, sent), direction, receipt| {
            let [received, delivered, sent] = [received, delivered, sent].map(OrderKey);
            let marks = ReceiptMarks { sent, received, delivered, ..ReceiptMarks::default() };
            marks.further(direction, OrderKey(5), receipt).unwrap_or(receipt)
        };
        assert_eq!(shown((0, 5, 0), Send, Processing), Delivered);
        assert_eq!(shown((0, 4, 0), Send, Processing), Processing);
        assert_eq!(shown((0, 5, 0), Receive, Processing), Processing);
        assert_eq!(shown((5, 5, 0), Send, Processing), Done);
        assert_eq!(shown((5, 9, 0), Send, Delivered), Done);
        assert_eq!(shown((0, 9, 5), Receive, Processing), Done);
        for (receipt, expected) in [(None, None), (Done, Done), (Delivered, Delivered)] {
            assert_eq!(shown((0, 9, 0), Send, receipt), expected);
        }
    }
}
