//! A message as it is stored, and as its two users see it.

use std::hash::{BuildHasher as _, Hash as _, Hasher as _};
use std::sync::LazyLock;

use hashbrown::DefaultHashBuilder;

use super::content::{Content, MessageType};
use super::id::{Direction, LocalMessageId, MessageId, OrderKey, Partition, UserId};
use super::reaction::{REACTION_BYTES, Reaction};
use super::reply::{Original, Reference, RepliedPages, Reply};

/// A message that a caller wants to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The content.
    pub content: Content,
    /// The caller's own ID for it, if any.
    pub local_id: Option<LocalMessageId>,
    /// Text that accompanies the message, at most 1 KB.
    pub extended_data: String,
    /// If it is a reply: to what.
    pub reply: Option<Box<Reply>>,
}

impl Draft {
    /// Distinguishes a repeat from a reuse of its local message ID: equal for equal content, type,
    /// extended data and original. It is compared within one process only, and may differ between
    /// processes. The hash is fast and not secure: a sender who finds a collision can only make an own
    /// message look like a repeat.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let original = self.reply.as_ref().map(|reply| reply.to.key);
        fingerprint(&self.content, &self.extended_data, original)
    }
}

/// See [`Draft::fingerprint`].
#[must_use]
pub fn fingerprint(content: &Content, extended_data: &str, original: Option<OrderKey>) -> u64 {
    static KEY: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);
    let mut hasher = KEY.build_hasher();
    content.hash(&mut hasher);
    extended_data.hash(&mut hasher);
    if let Some(original) = original {
        original.hash(&mut hasher);
    }
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
    /// Handed to the receiver, not read yet. It is shown by a mark of the conversation, and never
    /// stored with a message.
    Delivered = 5,
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

/// A message was revoked by its sender: its content is gone for both users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The type that the message had.
    pub original_type: MessageType,
    /// The text that the message had; empty except in the reply to the caller who revoked it.
    pub original_text: String,
    /// Text that accompanies the revocation.
    pub extended_data: String,
}

/// A message is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pinned {
    /// Whether the sender of the message pinned it; otherwise its receiver did.
    pub by_sender: bool,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What a message shows beside its content: later changes, and the original of a reply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    /// The revocation, if the message was revoked: its content is an empty text then.
    pub revoked: Option<Revocation>,
    /// When the sender last edited it, in milliseconds since 1970; 0 for never.
    pub edited_ms: u64,
    /// The [`fingerprint`] of what was sent, if it was edited: a repeat of it is recognized.
    pub sent: Option<u64>,
    /// When its receiver confirmed this message alone as read, in milliseconds since 1970; 0 for
    /// never.
    pub read_ms: u64,
    /// The reactions to it, by the time of the first one of each type.
    pub reactions: Vec<Reaction>,
    /// Its pin, if it is pinned.
    pub pinned: Option<Pinned>,
    /// If it is a reply: to what.
    pub reply: Option<Reply>,
    /// Where replies to it can be.
    pub replied: RepliedPages,
    /// How many replies its tree has, if it is a root. It is counted when the message is shown.
    pub replied_count: u64,
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
    /// Later changes and the original of a reply; `None` for nearly all messages.
    pub annotations: Option<Box<Annotations>>,
}

impl Message {
    /// The type that bodies show, with the SDK's number.
    #[must_use]
    pub fn message_type(&self) -> MessageType {
        if self.revoked().is_some() { MessageType::Revoke } else { self.content.message_type() }
    }

    /// The revocation, if the message was revoked.
    #[must_use]
    pub fn revoked(&self) -> Option<&Revocation> {
        self.annotations.as_ref().and_then(|annotations| annotations.revoked.as_ref())
    }

    /// Distinguishes a repeat of the send from a reuse of its local message ID.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let sent = self.annotations.as_ref().and_then(|annotations| annotations.sent);
        let original = self.reply().map(|reply| reply.to.key);
        sent.unwrap_or_else(|| fingerprint(&self.content, &self.extended_data, original))
    }

    /// If it is a reply: to what.
    #[must_use]
    pub fn reply(&self) -> Option<&Reply> {
        self.annotations.as_ref().and_then(|annotations| annotations.reply.as_ref())
    }

    /// The root of the tree to which a reply of `by` to this message belongs; `None` if this message
    /// is the root itself.
    #[must_use]
    pub fn root_for(&self, by: &UserId) -> Option<Reference> {
        let root = *self.reply()?.root();
        Some(Reference { by_sender: root.by_sender == (self.sender == *by), ..root })
    }

    /// Sets the original that a reply shows; other messages stay as they are.
    pub fn set_original(&mut self, original: Original) {
        if let Some(annotations) = &mut self.annotations
            && let Some(reply) = &mut annotations.reply
        {
            reply.original = original;
        }
    }

    /// Whether it may have a tree of replies.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.replied().is_some() && self.reply().is_none()
    }

    /// How many replies its tree has.
    #[must_use]
    pub fn replied_count(&self) -> u64 {
        self.annotations.as_ref().map_or(0, |annotations| annotations.replied_count)
    }

    /// Where replies to it can be; `None` if there are none.
    #[must_use]
    pub fn replied(&self) -> Option<&RepliedPages> {
        let replied = self.annotations.as_ref().map(|annotations| &annotations.replied);
        replied.filter(|replied| !replied.is_empty())
    }

    /// When the sender last edited it, in milliseconds since 1970; 0 for never.
    #[must_use]
    pub fn edited_ms(&self) -> u64 {
        self.annotations.as_ref().map_or(0, |annotations| annotations.edited_ms)
    }

    /// When its receiver confirmed this message alone as read, in milliseconds since 1970; 0 for
    /// never.
    #[must_use]
    pub fn read_ms(&self) -> u64 {
        self.annotations.as_ref().map_or(0, |annotations| annotations.read_ms)
    }

    /// The reactions to it.
    #[must_use]
    pub fn reactions(&self) -> &[Reaction] {
        self.annotations.as_ref().map_or(&[], |annotations| &annotations.reactions)
    }

    /// Its pin, if it is pinned.
    #[must_use]
    pub fn pinned(&self) -> Option<Pinned> {
        self.annotations.as_ref().and_then(|annotations| annotations.pinned)
    }

    /// The approximate bytes of everything that its users set. JSON takes up to six times as many.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let reactions = self.reactions().len() * REACTION_BYTES;
        let original = self.reply().and_then(|reply| reply.original.content());
        let original = original.map_or(0, Content::size_bytes);
        self.content.size_bytes() + self.extended_data.len() + reactions + original
    }

    /// Its direction as one of its two users sees it.
    #[must_use]
    pub fn direction(&self, viewer: &UserId) -> Direction {
        if *viewer == self.sender { Direction::Send } else { Direction::Receive }
    }

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
