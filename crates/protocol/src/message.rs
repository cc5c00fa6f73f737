//! Messages and conversations in bodies.

use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};

use super::encoding::Encoding;
use super::object::{self, IS_CONTENT_OMITTED, Object, PEER, Sink, Text};
use super::reaction::reactions_of;
use super::replied::replied_info;
use super::{content, size};
use peerd_core::conversation::ConversationView;
use peerd_core::id::{Direction, UserId};
use peerd_core::marks::ConversationMarks;
use peerd_core::message::{Message, Pinned};

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
    /// Whether there is room for the content, and for that of the original of a reply.
    fn has_room(&self, is_json: bool) -> (bool, bool) {
        let Some(most) = self.content_max else { return (true, true) };
        let encoding = encoding(is_json);
        let own = size::content_bytes(self.message, encoding);
        let both = own.saturating_add(size::original_bytes(self.message, encoding));
        (own <= most, both <= most)
    }
}

const fn encoding(is_json: bool) -> Encoding {
    if is_json { Encoding::Json } else { Encoding::MessagePack }
}

impl Serialize for MessageBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (has_content, has_original) = self.has_room(serializer.is_human_readable());
        let shown = Shown { body: self, is_shortened: !has_content, has_original };
        object::serialize(&shown, serializer)
    }
}

/// A message with or without its content.
struct Shown<'a> {
    body: &'a MessageBody<'a>,
    is_shortened: bool,
    /// Whether a reply shows the content of its original.
    has_original: bool,
}

impl Object for Shown<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        let Self { body: MessageBody { message, viewer, .. }, is_shortened, has_original } = *self;
        let own = *viewer == &message.sender;
        let direction = if own { Direction::Send } else { Direction::Receive };
        let local_id = message.local_id.as_ref().map_or("", |id| id.as_str());
        let extended_data = if is_shortened { "" } else { message.extended_data.as_str() };
        sink.field("type", &message.message_type().number())?;
        sink.field("messageID", &Text(message.id().number()))?;
        sink.field("localMessageID", local_id)?;
        sink.field("messageSeq", &message.seq)?;
        sink.field("senderUserID", message.sender.as_str())?;
        sink.field("conversationID", message.other(viewer).as_str())?;
        sink.field("conversationType", &PEER)?;
        sink.field("direction", &(direction as u8))?;
        sink.field("sentStatus", &SUCCESS)?;
        sink.field("timestamp", &message.timestamp_ms)?;
        sink.field("orderKey", &message.key.0)?;
        sink.field("receiptStatus", &(message.receipt as u8))?;
        sink.field("extendedData", extended_data)?;
        sink.field("isServerMessage", &false)?;
        if let Some(Pinned { by_sender, at_ms }) = message.pinned() {
            let user = if by_sender { &message.sender } else { &message.receiver };
            sink.field("pinnedUserID", user.as_str())?;
            sink.field("pinnedTime", &at_ms)?;
        }
        if is_shortened {
            sink.field(IS_CONTENT_OMITTED, &true)?;
        } else {
            content::fields_of(message, sink)?;
            reactions_of(message, viewer, sink)?;
        }
        if message.replied_count() > 0 {
            sink.field("rootRepliedCount", &message.replied_count())?;
        }
        replied_info(message, has_original, sink)
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
        // If there is not room for both, the draft comes first: it is shown nowhere else.
        let draft = self.view.draft.as_deref().unwrap_or_default();
        let draft_bytes = size::text_bytes(draft, encoding(serializer.is_human_readable()));
        let content_max = self.content_max.map(|most| most.saturating_sub(draft_bytes));
        object::serialize(&ConversationFields(Self { content_max, ..*self }), serializer)
    }
}

/// A conversation whose last message has as much content as there is room for.
struct ConversationFields<'a>(ConversationBody<'a>);

impl Object for ConversationFields<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        const NONE: [u8; 0] = [];
        let ConversationBody { view, viewer, content_max } = self.0;
        sink.field("conversationID", view.id.as_str())?;
        sink.field("conversationName", &*view.name)?;
        if let Some(url) = &view.avatar_url {
            sink.field("conversationAvatarUrl", &**url)?;
        }
        sink.field("type", &PEER)?;
        sink.field("notificationStatus", &(view.notification as u8))?;
        sink.field("unreadMessageCount", &view.unread)?;
        if let Some(message) = &view.last_message {
            let message = MessageBody { message, viewer, content_max };
            sink.field("lastMessage", &message)?;
        }
        sink.field("orderKey", &view.order_key.0)?;
        sink.field("isPinned", &(view.pinned_ms > 0))?;
        sink.field("pinnedTime", &view.pinned_ms)?;
        sink.field("draft", view.draft.as_deref().unwrap_or_default())?;
        sink.field("mentionedInfoList", &NONE)?;
        sink.field("marks", &Marks(view.marks))?;
        sink.field("readMessageSeq", &view.read_seq)?;
        if view.is_marked_unread {
            sink.field("isMarkedUnread", &true)?;
        }
        Ok(())
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
