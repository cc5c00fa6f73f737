//! The events that are published to a user.

use std::sync::Arc;

use smallvec::SmallVec;

use super::conversation::{ConversationEvent, ConversationView};
use super::id::{OrderKey, UserId};
use super::message::Message;
use super::pins::PinInfo;
use super::privacy::Privacy;
use super::reaction::ReactionChange;
use super::receipt::ReceiptInfo;
use super::user_info::{FullUserInfo, UserInfo};
use super::user_status::UserStatus;

/// The revision of a user's conversations. It rises with each change of them and names the previous
/// one, so that a client notices a missed event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revision {
    /// The revision after the change.
    pub current: u64,
    /// The revision before it.
    pub previous: u64,
}

/// Unread messages over all conversations of a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// In the conversations that are not muted.
    pub unmuted: u64,
    /// In all conversations.
    pub all: u64,
}

/// The extent of a deletion, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum DeleteType {
    /// The listed messages.
    Messages = 0,
    /// All messages.
    Conversation = 1,
    /// All messages of all conversations.
    AllConversations = 2,
}

/// How the block list changed, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BlacklistAction {
    /// The users were blocked.
    Added = 0,
    /// The users were unblocked.
    Removed = 1,
}

/// An event for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Messages from one other user arrived.
    PeerMessageReceived {
        /// The messages, oldest first.
        messages: Messages,
        /// The sender.
        from: UserId,
        /// Whether they are replayed after the user was offline.
        offline: bool,
    },
    /// Conversations changed.
    ConversationChanged(Changes),
    /// The total may have changed.
    TotalChanged(Totals),
    /// The user deleted messages.
    MessageDeleted {
        /// The other user of the conversation.
        other: UserId,
        /// Single messages, or all.
        delete_type: DeleteType,
        /// The deleted messages, if the call named them.
        messages: Messages,
    },
    /// The user deleted all messages of all conversations.
    AllMessagesDeleted,
    /// The user deleted all conversations.
    ConversationsAllDeleted {
        /// How many there were.
        count: usize,
    },
    /// Messages were revoked.
    MessagesRevoked(Messages),
    /// Messages were edited.
    MessagesEdited(Messages),
    /// The originals of these replies were edited, revoked or deleted.
    RepliedInfoChanged(Messages),
    /// Messages were confirmed as read, all up to the one in the receipt.
    ConversationReceiptChanged(ReceiptInfo),
    /// These messages were confirmed as read.
    ReceiptsChanged(Messages),
    /// Messages of the user were delivered.
    MessagesDelivered(Vec<ReceiptInfo>),
    /// Reactions to a message changed.
    ReactionsChanged {
        /// The message with the reactions after the change.
        message: Arc<Message>,
        /// The change.
        change: ReactionChange,
    },
    /// Messages were pinned, or are no longer pinned.
    PinsChanged(Vec<PinInfo>),
    /// The user blocked or unblocked others.
    BlacklistChanged {
        /// How the list changed.
        action: BlacklistAction,
        /// The other users.
        users: Vec<UserInfo>,
    },
    /// The user's own profile changed.
    UserInfoUpdated(FullUserInfo),
    /// The user's privacy settings changed.
    UserRuleUpdated(Privacy),
    /// The status of users changed: the user's own, or of those whose status the user follows.
    UserStatusUpdated(Vec<UserStatus>),
    /// A session ended because too many newer ones began.
    KickedOut {
        /// The session's ID.
        session_id: String,
    },
}

impl Event {
    /// The number of messages and conversations that the event shows.
    #[must_use]
    pub fn entries(&self) -> usize {
        match self {
            Self::PeerMessageReceived { messages, .. } | Self::MessageDeleted { messages, .. } => {
                messages.len()
            }
            Self::MessagesRevoked(messages)
            | Self::MessagesEdited(messages)
            | Self::RepliedInfoChanged(messages) => messages.len(),
            Self::ConversationChanged(changes) => changes.len(),
            Self::PinsChanged(infos) => infos.len(),
            Self::ReactionsChanged { .. } => 1,
            Self::TotalChanged(_)
            | Self::ConversationReceiptChanged(_)
            | Self::ReceiptsChanged(_)
            | Self::MessagesDelivered(_)
            | Self::BlacklistChanged { .. }
            | Self::UserInfoUpdated(_)
            | Self::UserRuleUpdated(_)
            | Self::UserStatusUpdated(_)
            | Self::AllMessagesDeleted
            | Self::ConversationsAllDeleted { .. }
            | Self::KickedOut { .. } => 0,
        }
    }

    /// Whether the event says that the original of the reply with this key changed.
    #[must_use]
    pub fn is_about_reply(&self, key: OrderKey) -> bool {
        let Self::RepliedInfoChanged(replies) = self else { return false };
        replies.iter().any(|reply| reply.key == key)
    }
}

/// Messages in an event. A single one needs no allocation.
pub type Messages = SmallVec<[Arc<Message>; 1]>;

/// Conversations in an event. A single one needs no allocation.
pub type Changes = SmallVec<[(ConversationEvent, ConversationView); 1]>;

/// Several events. As many as a message has at one side need no allocation.
pub type Events = SmallVec<[Event; 3]>;

/// The events of one change, in the order of publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The revision of the user's conversations after the change.
    pub revision: Revision,
    /// The events.
    pub events: Events,
}

impl Publication {
    /// The number of messages and conversations that the events show.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.events.iter().map(Event::entries).sum()
    }
}
