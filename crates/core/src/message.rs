//! A message as it is stored, and as its two users see it.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::LazyLock;

use hashbrown::DefaultHashBuilder;

use super::content::Content;
use super::id::{LocalMessageId, MessageId, OrderKey, Partition, UserId};

/// A message that a caller wants to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The content.
    pub content: Content,
    /// The caller's own ID for it, if any.
    pub local_id: Option<LocalMessageId>,
    /// Text that accompanies the message, at most 1 KB.
    pub extended_data: String,
}

impl Draft {
    /// Distinguishes a repeat from a reuse of its local message ID: equal for equal content, type
    /// and extended data. Only compared within one
    /// process, so it may differ between processes. The hash is a fast one: whoever finds two contents
    /// with the same one can only have messages of their own taken for repeats.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        fingerprint(&self.content, &self.extended_data)
    }
}

/// See [`Draft::fingerprint`].
#[must_use]
pub fn fingerprint(content: &Content, extended_data: &str) -> u64 {
    static KEY: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    let mut hasher = KEY.build_hasher();
    content.hash(&mut hasher);
    extended_data.hash(&mut hasher);
    hasher.finish()
}

/// The status of a message's read receipt, with the SDK's number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum ReceiptStatus {
    /// No receipt was requested.
    #[default]
    None = 0,
    /// Requested, not read yet.
    Processing = 1,
    /// Read.
    Done = 2,
}

impl ReceiptStatus {
    /// The status with the SDK's number.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::None,
            1 => Self::Processing,
            2 => Self::Done,
            _ => return None,
        })
    }
}

/// A message that peerd accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender.
    pub sender: UserId,
    /// The receiver.
    pub receiver: UserId,
    /// The partition of the receiver.
    pub partition: Partition,
    /// Its order key.
    pub key: OrderKey,
    /// 1, 2, 3 … in the sender's direction of the conversation; 0 for a Command.
    pub seq: u64,
    /// The time when the sender's owner accepted it, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// The sender's own ID for it, if any.
    pub local_id: Option<LocalMessageId>,
    /// The status of its read receipt.
    pub receipt: ReceiptStatus,
    /// Whether it counts as unread until read (`disableUnreadMessageCount` was not set).
    pub counts: bool,
    /// Text that accompanies the message.
    pub extended_data: String,
    /// The content.
    pub content: Content,
}

impl Message {
    /// The message ID.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        MessageId::new(self.key, self.partition)
    }

    /// The conversation's ID as `viewer` sees it: the other user.
    #[must_use]
    pub fn other(&self, viewer: &UserId) -> &UserId {
        if *viewer == self.sender { &self.receiver } else { &self.sender }
    }
}

/// The direction of a message from one user's point of view, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Direction {
    /// The user sent it.
    Send = 0,
    /// The user received it.
    Receive = 1,
}
