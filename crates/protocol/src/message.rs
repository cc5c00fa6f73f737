//! Messages and conversations in bodies.

use serde::Serialize;
use serde::ser::{SerializeSeq as _, SerializeStruct, Serializer};

use super::content::NAMED;
use super::encoding::Encoding;
use super::{content, size};
use peerd_core::conversation::ConversationView;
use peerd_core::id::UserId;
use peerd_core::marks::ConversationMarks;
use peerd_core::message::{Direction, Message};

/// The `conversationType` of a conversation with a peer, the only type.
pub const PEER: u8 = 0;
/// The field that marks a message or an event without its content, which would be larger than the
/// server accepts.
pub const IS_CONTENT_OMITTED: &str = "isContentOmitted";
/// The `sentStatus` of a message that was stored or delivered.
const SUCCESS: u8 = 1;

/// A message as shown to `viewer`, its sender or its receiver.
pub struct MessageBody<'a> {
    /// The message.
    pub message: &'a Message,
    /// The user who sees it.
    pub viewer: &'a UserId,
    /// The most bytes that the sender may have set; beyond that, the message is shown without its
    /// content.
    pub content_max: Option<usize>,
}

impl MessageBody<'_> {
    fn is_shortened(&self, is_json: bool) -> bool {
        let encoding = encoding(is_json);
        self.content_max.is_some_and(|most| size::content_bytes(self.message, encoding) > most)
    }
}

const fn encoding(is_json: bool) -> Encoding {
    if is_json { Encoding::Json } else { Encoding::MessagePack }
}

impl Serialize for MessageBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, viewer, .. } = self;
        let is_shortened = self.is_shortened(serializer.is_human_readable());
        let own = *viewer == &message.sender;
        let direction = if own { Direction::Send } else { Direction::Receive };
        let local_id = message.local_id.as_ref().map_or("", |id| id.as_str());
        let own_fields = if is_shortened { 1 } else { content::field_count(&message.content) };
        let extended_data = if is_shortened { "" } else { message.extended_data.as_str() };
        let mut map = serializer.serialize_struct(NAMED, 14 + own_fields)?;
        map.serialize_field("type", &message.content.message_type().number())?;
        map.serialize_field("messageID", &Text(message.id().number()))?;
        map.serialize_field("localMessageID", local_id)?;
        map.serialize_field("messageSeq", &message.seq)?;
        map.serialize_field("senderUserID", message.sender.as_str())?;
        map.serialize_field("conversationID", message.other(viewer).as_str())?;
        map.serialize_field("conversationType", &PEER)?;
        map.serialize_field("direction", &(direction as u8))?;
        map.serialize_field("sentStatus", &SUCCESS)?;
        map.serialize_field("timestamp", &message.timestamp_ms)?;
        map.serialize_field("orderKey", &message.key.0)?;
        map.serialize_field("receiptStatus", &(message.receipt as u8))?;
        map.serialize_field("extendedData", extended_data)?;
        map.serialize_field("isServerMessage", &false)?;
        if is_shortened {
            map.serialize_field(IS_CONTENT_OMITTED, &true)?;
        } else {
            content::write(&message.content, &mut map)?;
        }
        map.end()
    }
}

/// A number that bodies show as a string.
pub(super) struct Text(pub(super) u64);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `collect_str` would allocate: rmp-serde collects the text in a buffer of its own.
        serializer.serialize_str(itoa::Buffer::new().format(self.0))
    }
}

/// A conversation as shown to its user, `viewer`.
pub struct ConversationBody<'a> {
    /// The conversation.
    pub view: &'a ConversationView,
    /// The user who owns it.
    pub viewer: &'a UserId,
    /// See [`MessageBody::content_max`].
    pub content_max: Option<usize>,
}

impl Serialize for ConversationBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NONE: [u8; 0] = [];
        let Self { view, viewer, content_max } = *self;
        let draft = view.draft.as_deref().unwrap_or_default();
        // Where there is not room for all, the draft comes first: it is shown nowhere else.
        let encoding = encoding(serializer.is_human_readable());
        let content_max =
            content_max.map(|most| most.saturating_sub(size::text_bytes(draft, encoding)));
        let fields = 12 + usize::from(view.last_message.is_some());
        let mut map = serializer.serialize_struct(NAMED, fields)?;
        map.serialize_field("conversationID", view.id.as_str())?;
        map.serialize_field("conversationName", &*view.name)?;
        map.serialize_field("type", &PEER)?;
        map.serialize_field("notificationStatus", &(view.notification as u8))?;
        map.serialize_field("unreadMessageCount", &view.unread)?;
        if let Some(message) = &view.last_message {
            let message = MessageBody { message, viewer, content_max };
            map.serialize_field("lastMessage", &message)?;
        }
        map.serialize_field("orderKey", &view.order_key.0)?;
        map.serialize_field("isPinned", &(view.pinned_ms > 0))?;
        map.serialize_field("pinnedTime", &view.pinned_ms)?;
        map.serialize_field("draft", draft)?;
        map.serialize_field("mentionedInfoList", &NONE)?;
        map.serialize_field("marks", &Marks(view.marks))?;
        map.serialize_field("readMessageSeq", &view.read_seq)?;
        map.end()
    }
}

/// The marks of a conversation: a list of their numbers.
struct Marks(ConversationMarks);

impl Serialize for Marks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let numbers = self.0.numbers();
        let mut seq = serializer.serialize_seq(Some(numbers.clone().count()))?;
        for number in numbers {
            seq.serialize_element(&number)?;
        }
        seq.end()
    }
}
