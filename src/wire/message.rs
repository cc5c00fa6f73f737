//! A message and a conversation as bodies show them.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::content;
use crate::domain::conversation::ConversationView;
use crate::domain::id::UserId;
use crate::domain::message::{Direction, Message};

/// `conversationType` of a conversation with a peer: the only one there is.
pub const PEER: u8 = 0;
/// `sentStatus` of a message that was stored or delivered.
const SUCCESS: u8 = 1;

/// A message as `viewer`, its sender or receiver, sees it.
pub struct MessageBody<'a> {
    /// The message.
    pub message: &'a Message,
    /// Who sees it.
    pub viewer: &'a UserId,
}

impl Serialize for MessageBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, viewer } = self;
        let own = *viewer == &message.sender;
        let direction = if own { Direction::Send } else { Direction::Receive };
        let local_id = message.local_id.as_ref().map_or("", |id| id.as_str());
        let fields = 14 + content::field_count(&message.content);
        let mut map = serializer.serialize_map(Some(fields))?;
        map.serialize_entry("type", &message.content.message_type().number())?;
        map.serialize_entry("messageID", &Text(message.id()))?;
        map.serialize_entry("localMessageID", local_id)?;
        map.serialize_entry("messageSeq", &message.seq)?;
        map.serialize_entry("senderUserID", message.sender.as_str())?;
        map.serialize_entry("conversationID", message.other(viewer).as_str())?;
        map.serialize_entry("conversationType", &PEER)?;
        map.serialize_entry("direction", &(direction as u8))?;
        map.serialize_entry("sentStatus", &SUCCESS)?;
        map.serialize_entry("timestamp", &message.timestamp_ms)?;
        map.serialize_entry("orderKey", &message.key.0)?;
        map.serialize_entry("receiptStatus", &(message.receipt as u8))?;
        map.serialize_entry("extendedData", &message.extended_data)?;
        map.serialize_entry("isServerMessage", &false)?;
        content::write(&message.content, &mut map)?;
        map.end()
    }
}

/// A number that bodies show as text.
pub(super) struct Text<T>(pub(super) T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // Not `collect_str`: rmp-serde would write its text piece by piece into a buffer anyway.
        serializer.serialize_str(&self.0.to_string())
    }
}

/// A conversation as its user, `viewer`, sees it.
pub struct ConversationBody<'a> {
    /// The conversation.
    pub view: &'a ConversationView,
    /// Whose it is.
    pub viewer: &'a UserId,
}

impl Serialize for ConversationBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NONE: [u8; 0] = [];
        let Self { view, viewer } = self;
        let fields = 12 + usize::from(view.last_message.is_some());
        let mut map = serializer.serialize_map(Some(fields))?;
        map.serialize_entry("conversationID", view.id.as_str())?;
        map.serialize_entry("conversationName", &view.name)?;
        map.serialize_entry("type", &PEER)?;
        map.serialize_entry("notificationStatus", &(view.notification as u8))?;
        map.serialize_entry("unreadMessageCount", &view.unread)?;
        if let Some(message) = &view.last_message {
            map.serialize_entry("lastMessage", &MessageBody { message, viewer })?;
        }
        map.serialize_entry("orderKey", &view.order_key.0)?;
        map.serialize_entry("isPinned", &(view.pinned_ms > 0))?;
        map.serialize_entry("pinnedTime", &view.pinned_ms)?;
        map.serialize_entry("draft", "")?;
        map.serialize_entry("mentionedInfoList", &NONE)?;
        map.serialize_entry("marks", &NONE)?;
        map.serialize_entry("readMessageSeq", &view.read_seq)?;
        map.end()
    }
}
