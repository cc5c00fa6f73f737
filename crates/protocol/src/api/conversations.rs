//! Conversations, and the replies with conversations.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Message;
use crate::object::PEER;
use peerd_core::id::UserId;

/// A conversation as its user sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conversation {
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// The name of the other user.
    pub conversation_name: String,
    /// The avatar of the other user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_avatar_url: Option<String>,
    /// 0, a conversation with a peer.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = [0]))]
    pub conversation_type: u8,
    /// Notify 1, `DoNotDisturb` 2.
    #[schemars(extend("enum" = [1, 2]))]
    pub notification_status: u8,
    /// The number of messages that the user has not read.
    pub unread_message_count: u64,
    /// The newest message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_message: Option<Message>,
    /// Sorts conversations: a larger one is later.
    pub order_key: u64,
    /// Whether the user pinned it.
    pub is_pinned: bool,
    /// When it was pinned, in milliseconds since 1970; 0 if it is not.
    pub pinned_time: u64,
    /// What the user began to write.
    pub draft: String,
    /// Always empty: peerd has no mentions.
    #[schemars(length(max = 0))]
    pub mentioned_info_list: Vec<serde_json::Value>,
    /// The marks of the user, 1 to 20.
    pub marks: Vec<u8>,
    /// The number of the last message that the user has read.
    pub read_message_seq: u64,
    /// True if the user marked it as unread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_marked_unread: Option<bool>,
}

/// A conversation, by its ID.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConversationId {
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
}

impl ConversationId {
    /// The conversation with this user.
    #[must_use]
    pub fn of(other: &UserId) -> Self {
        Self { conversation_id: other.as_str().to_owned(), conversation_type: PEER }
    }
}

/// The reply with one conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OneConversation {
    /// The conversation.
    pub conversation: Conversation,
}

/// The reply with a page of the conversation list.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Conversations {
    /// The page. One shorter than the count is not the end; an empty one is.
    pub conversation_list: Vec<Conversation>,
}

/// The reply with what changed since a revision.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// True if the list has all conversations, and others do not exist any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<bool>,
    /// The conversations that changed.
    pub conversation_list: Vec<Conversation>,
    /// True if the block list changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blacklist_changed: Option<bool>,
    /// The present revision.
    pub revision: u64,
}

/// The reply with the total unread count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TotalUnread {
    /// The total without muted conversations.
    pub unread_message_count: u64,
    /// The total of all conversations.
    pub unread_message_count_including_muted: u64,
    /// The revision of the user's conversations.
    pub revision: u64,
}

/// The reply to a change of marks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FailedConversations {
    /// The conversations that could not be changed.
    pub failed_conversation_infos: Vec<ConversationId>,
}
