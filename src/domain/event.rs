//! What a user is told.

use std::sync::Arc;

use super::conversation::{ConversationEvent, ConversationView};
use super::id::UserId;
use super::message::Message;
use super::user::UserInfo;

/// Where a user's conversations stand: rises with each change of them, and names the one before,
/// so that who misses an event notices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// After the change.
    pub current: u64,
    /// Before it.
    pub previous: u64,
}

/// Unread messages over all conversations of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Of the conversations that are not muted.
    pub unmuted: u64,
    /// Of all.
    pub all: u64,
}

/// What of a conversation was deleted, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeleteType {
    /// The listed messages.
    Messages = 0,
    /// All messages.
    Conversation = 1,
}

/// What happened to users of the block list, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlacklistAction {
    /// They were blocked.
    Added = 0,
    /// They are blocked no more.
    Removed = 1,
}

/// Something that a user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Messages from one other.
    PeerMessageReceived {
        /// The messages, oldest first.
        messages: Vec<Arc<Message>>,
        /// Who sent them.
        from: UserId,
        /// Whether they are replayed after an absence.
        offline: bool,
    },
    /// Conversations changed.
    ConversationChanged(Vec<(ConversationEvent, ConversationView)>),
    /// The total may have moved.
    TotalChanged(Totals),
    /// The user deleted messages.
    MessageDeleted {
        /// In which conversation.
        other: UserId,
        /// One by one, or all.
        delete_type: DeleteType,
        /// The messages, where they were named.
        messages: Vec<Arc<Message>>,
    },
    /// The user blocked others, or no longer does.
    BlacklistChanged {
        /// What happened to them.
        action: BlacklistAction,
        /// The others.
        users: Vec<UserInfo>,
    },
    /// A session ended because too many came after it.
    KickedOut {
        /// The session.
        session_id: String,
    },
}

impl Event {
    /// Messages and conversations that it shows.
    #[must_use]
    pub const fn entries(&self) -> usize {
        match self {
            Self::PeerMessageReceived { messages, .. } | Self::MessageDeleted { messages, .. } => {
                messages.len()
            }
            Self::ConversationChanged(changes) => changes.len(),
            Self::TotalChanged(_) | Self::BlacklistChanged { .. } | Self::KickedOut { .. } => 0,
        }
    }
}

/// Events of one change, in the order in which the user is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Where the user's conversations stand after them.
    pub revision: Revision,
    /// The events.
    pub events: Vec<Event>,
}

impl Told {
    /// Messages and conversations that the events show.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.events.iter().map(Event::entries).sum()
    }
}
