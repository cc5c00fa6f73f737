//! Messages, and the replies with messages.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use super::UserId;

/// A message as one of its two users sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The message type: Text 1, Command 2, Multiple 10, Image 11, File 12, Audio 13, Video 14,
    /// Revoke 31, Combine 100, Custom 200.
    #[serde(rename = "type")]
    #[schemars(extend("enum" = [1, 2, 10, 11, 12, 13, 14, 31, 100, 200]))]
    pub message_type: u16,
    /// Unique over the whole system, for ever; decimal digits.
    #[serde(rename = "messageID")]
    #[schemars(pattern("^[0-9]{1,20}$"))]
    pub message_id: String,
    /// The sender's own ID of the message; empty if none was given.
    #[serde(rename = "localMessageID")]
    pub local_message_id: String,
    /// Counts 1, 2, 3 … the messages of this sender in this conversation; 0 for a Command.
    pub message_seq: u64,
    /// The sender.
    #[serde(rename = "senderUserID")]
    pub sender_user_id: String,
    /// The other user of the conversation.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    #[schemars(extend("enum" = [0]))]
    pub conversation_type: u8,
    /// Send 0 for the sender, Receive 1 for the receiver.
    #[schemars(extend("enum" = [0, 1]))]
    pub direction: u8,
    /// Success 1: the message was stored or, if it is a Command, delivered.
    #[schemars(extend("enum" = [1]))]
    pub sent_status: u8,
    /// When peerd accepted it, in milliseconds since 1970.
    pub timestamp: u64,
    /// Sorts messages: a larger one is later.
    pub order_key: u64,
    /// None 0, Processing 1, Done 2, Delivered 5.
    #[schemars(extend("enum" = [0, 1, 2, 5]))]
    pub receipt_status: u8,
    /// Travels with the message; empty if none was given.
    pub extended_data: String,
    /// Always false so far.
    pub is_server_message: bool,
    /// The fields of its type.
    #[serde(flatten)]
    pub content: Content,
    /// When the sender last edited it, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_time: Option<u64>,
    /// The sender, if it was edited.
    #[serde(rename = "editorUserID", skip_serializing_if = "Option::is_none")]
    pub editor_user_id: Option<String>,
    /// If it was revoked: 0, for both users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_type: Option<u8>,
    /// If it was revoked: 0, by its sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_status: Option<u8>,
    /// When it was revoked, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_timestamp: Option<u64>,
    /// The user who revoked it.
    #[serde(rename = "operatedUserID", skip_serializing_if = "Option::is_none")]
    pub operated_user_id: Option<String>,
    /// The message type that it had before it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_message_type: Option<u16>,
    /// The text of a revoked Text message, in the reply to the revocation only; otherwise empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_text_message_content: Option<String>,
    /// What the sender said when revoking it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoke_extended_data: Option<String>,
    /// The user who pinned it.
    #[serde(rename = "pinnedUserID", skip_serializing_if = "Option::is_none")]
    pub pinned_user_id: Option<String>,
    /// When it was pinned, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned_time: Option<u64>,
    /// True if the content is left out, because the message would be larger than the server
    /// accepts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_content_omitted: Option<bool>,
    /// The reactions to it, the oldest type first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reactions: Option<Vec<Reaction>>,
    /// The number of replies in the tree of which it is the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_replied_count: Option<u64>,
    /// The message to which it replies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replied_info: Option<RepliedInfo>,
}

/// The fields of a message that belong to its type. Those at their default are left out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// The text of a Text or a Custom message, the bytes of a Command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Payload>,
    /// The parts of a Multiple message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_info_list: Option<Vec<MessageInfo>>,
    /// The URL of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_download_url: Option<String>,
    /// The name of a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// The size of a file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_size: Option<u64>,
    /// The application's ID of a file.
    #[serde(rename = "fileUID", skip_serializing_if = "Option::is_none")]
    pub file_uid: Option<String>,
    /// The URL of an image's thumbnail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_download_url: Option<String>,
    /// The URL of an image in a larger size.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_image_download_url: Option<String>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_image_width: Option<u64>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_image_height: Option<u64>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_image_width: Option<u64>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub large_image_height: Option<u64>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_width: Option<u64>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thumbnail_height: Option<u64>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_duration: Option<u64>,
    /// In seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_duration: Option<u64>,
    /// The URL of a video's first frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_first_frame_download_url: Option<String>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_first_frame_width: Option<u64>,
    /// In pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video_first_frame_height: Option<u64>,
    /// The title of a Combine message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The summary of a Combine message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The messages inside a Combine message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_list: Option<Vec<CombinedMessage>>,
    /// The application's type of a Custom message, 0 to 200.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub_type: Option<u64>,
    /// The text by which a Custom message is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub searched_content: Option<String>,
}

/// A text, or the bytes of a Command: `bin` in `MessagePack`, base64 text in JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// A text; in JSON also bytes in base64, if the message is a Command.
    Text(String),
    /// Bytes, from `MessagePack`.
    Bytes(Vec<u8>),
}

impl Payload {
    /// The text. `None` if it came as bytes.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Bytes(_) => None,
        }
    }

    /// The bytes of a Command. `None` if it is a text that is not base64.
    #[must_use]
    pub fn bytes(&self) -> Option<Cow<'_, [u8]>> {
        match self {
            Self::Text(text) => STANDARD.decode(text).ok().map(Cow::Owned),
            Self::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
        }
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) if serializer.is_human_readable() => {
                serializer.serialize_str(&STANDARD.encode(bytes))
            }
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextOrBytes;

        impl Visitor<'_> for TextOrBytes {
            type Value = Payload;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or bytes")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Payload, E> {
                Ok(Payload::Text(text.to_owned()))
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Payload, E> {
                Ok(Payload::Bytes(bytes.to_owned()))
            }
        }

        deserializer.deserialize_any(TextOrBytes)
    }
}

impl JsonSchema for Payload {
    fn schema_name() -> Cow<'static, str> {
        "Payload".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }

    fn inline_schema() -> bool {
        true
    }
}

/// A part of a Multiple message, or the content of a message to which another one replies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageInfo {
    /// The message type. Revoke 31 if the message is not there any more.
    #[serde(rename = "type")]
    pub message_type: u16,
    /// The fields of the type.
    #[serde(flatten)]
    pub content: Content,
    /// True if there is a content for which the server has no room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_content_omitted: Option<bool>,
}

/// A message inside a Combine message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CombinedMessage {
    /// The message type.
    #[serde(rename = "type")]
    pub message_type: u16,
    /// The ID of the message.
    #[serde(rename = "messageID", skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// The sender of the message.
    #[serde(rename = "senderUserID", skip_serializing_if = "Option::is_none")]
    pub sender_user_id: Option<String>,
    /// The time of the message, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<u64>,
    /// Its extended data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub extended_data: Option<String>,
    /// The fields of the type.
    #[serde(flatten)]
    pub content: Content,
}

/// The reactions to a message with one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// The type: a text of the application, often an emoji.
    pub reaction_type: String,
    /// The other user of the conversation.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
    /// The message.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// The number of users who reacted.
    pub total_count: u64,
    /// Whether the user who sees it is among them.
    pub is_self_included: bool,
    /// Those users, the sender of the message first.
    pub user_list: Vec<UserId>,
    /// The number of reactions; a user may react several times.
    pub sum_count: u64,
}

/// The message to which another one replies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepliedInfo {
    /// Normal 0, Deleted 1, `NotFound` 2.
    #[schemars(extend("enum" = [0, 1, 2]))]
    pub state: u8,
    /// Its content.
    pub message_info: MessageInfo,
    /// Its sender.
    #[serde(rename = "senderUserID")]
    pub sender_user_id: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_time: u64,
    /// Its ID.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// Its number.
    pub message_seq: u64,
}

/// A read receipt of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptInfo {
    /// None 0, Processing 1, Done 2, Delivered 5.
    #[schemars(extend("enum" = [0, 1, 2, 5]))]
    pub status: u8,
    /// The message; that of a whole conversation is the last one that was read.
    #[serde(rename = "messageID")]
    pub message_id: String,
    /// The other user of the conversation.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
    /// How many users have read it. Shown to the sender only.
    pub read_member_count: u64,
    /// How many have not. Shown to the sender only.
    pub unread_member_count: u64,
    /// To how many it was delivered. Shown to the sender only.
    pub delivered_member_count: u64,
    /// Whether the user who sees the receipt made the change.
    pub is_self_operated: bool,
    /// When it was read, in milliseconds since 1970; 0 if it was not.
    pub read_time: u64,
}

/// The reply with one message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OneMessage {
    /// The message: stored, delivered, changed or read by the call.
    pub message: Message,
}

/// The reply with messages of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessagesOfConversation {
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
    /// The messages, ascending by order key. A page shorter than the count is not the end; an empty
    /// one is.
    pub message_list: Vec<Message>,
}

/// The reply with the pinned messages of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PinnedMessages {
    /// The messages, the one that was pinned last first.
    pub message_list: Vec<Message>,
}

/// The reply with the reactions of one type to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OneReaction {
    /// The reactions after the call.
    pub reaction: Reaction,
}

/// The reply with the users who reacted to a message with one type.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionUsers {
    /// The message.
    pub message: Message,
    /// The users of the page, with all their reactions.
    pub user_info_list: Vec<ReactionUser>,
    /// The type.
    pub reaction_type: String,
    /// Where the next page begins; 0 if there is none.
    pub next_flag: u64,
    /// The number of users on all pages.
    pub total_count: u64,
    /// The users of the page.
    pub user_list: Vec<UserId>,
}

/// A user who reacted to a message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReactionUser {
    /// The user.
    #[serde(rename = "userID")]
    pub user_id: String,
    /// All reactions of this user to the message.
    pub reactions: Vec<ReactionCount>,
}

/// How often a user reacted with one type.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReactionCount {
    /// The type.
    pub reaction_type: String,
    /// The number of reactions.
    pub sum_count: u64,
}

/// The reply with receipts of messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receipts {
    /// The receipts.
    pub infos: Vec<ReceiptInfo>,
    /// The messages that have none.
    #[serde(rename = "errorMessageIDs")]
    pub error_message_ids: Vec<String>,
}

/// The reply to a confirmation of single messages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfirmedMessages {
    /// The other user.
    #[serde(rename = "conversationID")]
    pub conversation_id: String,
    /// 0, a conversation with a peer.
    pub conversation_type: u8,
    /// The messages that could not be confirmed.
    #[serde(rename = "errorMessageIDs")]
    pub error_message_ids: Vec<String>,
}

/// The reply with replies to a message.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Replies {
    /// The page, ascending by order key.
    pub message_list: Vec<Message>,
    /// Where the next page begins; 0 if there is none.
    pub next_flag: u64,
    /// The message at the root of the tree.
    pub root_replied_info: RootRepliedInfo,
}

/// The message at the root of a tree of replies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RootRepliedInfo {
    /// Normal 0, Deleted 1, `NotFound` 2.
    #[schemars(extend("enum" = [0, 1, 2]))]
    pub state: u8,
    /// The message, if its state is Normal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// Its sender.
    #[serde(rename = "senderUserID")]
    pub sender_user_id: String,
    /// When it was sent, in milliseconds since 1970.
    pub sent_time: u64,
    /// The number of replies in the tree.
    pub replied_count: u64,
}
