//! A message as its sender writes it: the fields of its type, and the fields of every message.

use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Deserializer, de};

use super::field::{AnyObject, Both, Bytes, Line, List, LocalId, ShortText};
use peerd_core::content::{Content, Excerpt, Media, Pixels};
use peerd_core::limits::{
    COMBINE_MESSAGES_MAX, EXTENDED_DATA_MAX_BYTES, MULTIPLE_ITEMS_MAX, PUSH_TEXT_MAX_BYTES,
    USER_NAME_MAX_BYTES,
};
use peerd_core::message::Draft;
use peerd_core::send::{Push, SendOptions};

/// A message to send.
pub type MessageBody = Both<ContentBody, MessageFields>;

/// Fields of every message besides its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MessageFields {
    /// The sender's own ID for the message, by which a repeat is recognized.
    #[serde(rename = "localMessageID")]
    local_message_id: Option<LocalId>,
    /// Data of the sender's application.
    extended_data: Option<String>,
}

/// The new content of a message that is edited, and the text that accompanies it.
pub type EditBody = Both<ContentBody, EditFields>;

/// Fields of an edited message besides its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EditFields {
    /// Data of the sender's application.
    extended_data: Option<String>,
}

/// The content of a message, by its `type`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(expecting = "a type that may be sent to a peer")]
#[schemars(tag = "type", transform = tags_are_numbers)]
pub enum ContentBody {
    /// Text.
    #[serde(rename = "1")]
    Text(TextBody),
    /// Command.
    #[serde(rename = "2")]
    Command(CommandBody),
    /// Multiple.
    #[serde(rename = "10")]
    Multiple(MultipleBody),
    /// Image.
    #[serde(rename = "11")]
    Image(Both<MediaBody, ImageBody>),
    /// File.
    #[serde(rename = "12")]
    File(MediaBody),
    /// Audio.
    #[serde(rename = "13")]
    Audio(Both<MediaBody, AudioBody>),
    /// Video.
    #[serde(rename = "14")]
    Video(Both<MediaBody, VideoBody>),
    /// Combine.
    #[serde(rename = "100")]
    Combine(CombineBody),
    /// Custom.
    #[serde(rename = "200")]
    Custom(CustomBody),
}

/// The derive declares the tag as text, but `type` is a number.
fn tags_are_numbers(schema: &mut Schema) {
    let Some(variants) = schema.get_mut("oneOf").and_then(|list| list.as_array_mut()) else {
        return;
    };
    for variant in variants {
        if let Some(tag) = variant.pointer_mut("/properties/type")
            && let Some(number) = tag["const"].as_str().and_then(|tag| tag.parse::<u16>().ok())
        {
            *tag = serde_json::json!({ "const": number });
        }
    }
}

/// A text.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct TextBody {
    message: String,
}

/// Bytes that are delivered live and not stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub struct CommandBody {
    message: Bytes,
}

/// Several contents in one message.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MultipleBody {
    message_info_list: List<ContentBody, MULTIPLE_ITEMS_MAX>,
}

/// A file, uploaded elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the SDK's")]
pub struct MediaBody {
    file_download_url: String,
    file_name: Option<String>,
    file_size: Option<u64>,
    #[serde(rename = "fileUID")]
    file_uid: Option<String>,
}

/// Fields of an image besides its file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageBody {
    thumbnail_download_url: Option<String>,
    large_image_download_url: Option<String>,
    original_image_width: Option<u32>,
    original_image_height: Option<u32>,
    large_image_width: Option<u32>,
    large_image_height: Option<u32>,
    thumbnail_width: Option<u32>,
    thumbnail_height: Option<u32>,
}

/// Fields of an audio message besides its file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AudioBody {
    audio_duration: Option<u32>,
}

/// Fields of a video besides its file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the names are the SDK's")]
pub struct VideoBody {
    video_duration: Option<u32>,
    video_first_frame_download_url: Option<String>,
    video_first_frame_width: Option<u32>,
    video_first_frame_height: Option<u32>,
}

/// Forwarded messages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CombineBody {
    title: Option<String>,
    summary: Option<String>,
    message_list: List<Both<ExcerptFields, ContentBody>, COMBINE_MESSAGES_MAX>,
}

/// Fields of a message inside a Combine message besides its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExcerptFields {
    #[serde(rename = "messageID")]
    message_id: Option<ShortText<USER_NAME_MAX_BYTES>>,
    #[serde(rename = "senderUserID")]
    sender_user_id: Option<ShortText<USER_NAME_MAX_BYTES>>,
    timestamp: Option<u64>,
    extended_data: Option<ShortText<EXTENDED_DATA_MAX_BYTES>>,
}

/// Content that the sender's application defines.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CustomBody {
    message: String,
    sub_type: Option<SubType>,
    searched_content: Option<String>,
}

/// The type of a custom content, for the sender's application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct SubType(#[schemars(range(max = 200))] u8);

impl<'de> Deserialize<'de> for SubType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u32::deserialize(deserializer)?;
        let number = u8::try_from(number);
        number.map(Self).map_err(|_| de::Error::custom("must be 0 to 200"))
    }
}

/// Options of a send.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SendConfigBody {
    /// 1, 2 or 3; peerd treats all the same.
    priority: Option<Priority>,
    push_config: Option<PushBody>,
    has_receipt: Option<bool>,
    is_retry_send: Option<bool>,
    disable_unread_message_count: Option<bool>,
}

/// The priority of a message: 1, 2 or 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(transparent)]
pub struct Priority(#[schemars(range(min = 1, max = 3))] u8);

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u64::deserialize(deserializer)?;
        let number = u8::try_from(number).ok().filter(|number| (1..=3).contains(number));
        number.map(Self).ok_or_else(|| de::Error::custom("must be 1, 2 or 3"))
    }
}

/// An offline push. `enableBadge`, `badgeIncrement` and `voIPConfig` are read for their types only:
/// the badge of a push is always the absolute total.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PushBody {
    enable_badge: Option<bool>,
    badge_increment: Option<u64>,
    #[serde(rename = "voIPConfig")]
    voip_config: Option<AnyObject>,
    title: Option<Line<PUSH_TEXT_MAX_BYTES>>,
    content: Option<ShortText<PUSH_TEXT_MAX_BYTES>>,
    payload: Option<ShortText<PUSH_TEXT_MAX_BYTES>>,
    #[serde(rename = "resourcesID")]
    resources_id: Option<Line<PUSH_TEXT_MAX_BYTES>>,
    #[serde(rename = "threadID")]
    thread_id: Option<Line<PUSH_TEXT_MAX_BYTES>>,
}

impl From<MessageBody> for Draft {
    fn from(Both(content, fields): MessageBody) -> Self {
        Self {
            content: content.into(),
            local_id: fields.local_message_id.map(|LocalId(id)| id),
            extended_data: fields.extended_data.unwrap_or_default(),
            reply: None,
        }
    }
}

impl From<EditBody> for Draft {
    fn from(Both(content, EditFields { extended_data }): EditBody) -> Self {
        let extended_data = extended_data.unwrap_or_default();
        Self { content: content.into(), local_id: None, extended_data, reply: None }
    }
}

impl From<ContentBody> for Content {
    fn from(body: ContentBody) -> Self {
        match body {
            ContentBody::Text(TextBody { message }) => Self::Text { message },
            ContentBody::Command(CommandBody { message: Bytes(message) }) => {
                Self::Command { message }
            }
            ContentBody::Multiple(MultipleBody { message_info_list: List(infos) }) => {
                Self::Multiple { infos: infos.into_iter().map(Self::from).collect() }
            }
            ContentBody::Image(Both(media, image)) => Self::Image {
                media: media.into(),
                thumbnail_url: image.thumbnail_download_url.unwrap_or_default(),
                large_url: image.large_image_download_url.unwrap_or_default(),
                original: pixels(image.original_image_width, image.original_image_height),
                large: pixels(image.large_image_width, image.large_image_height),
                thumbnail: pixels(image.thumbnail_width, image.thumbnail_height),
            },
            ContentBody::File(media) => Self::File { media: media.into() },
            ContentBody::Audio(Both(media, audio)) => Self::Audio {
                media: media.into(),
                duration_seconds: audio.audio_duration.unwrap_or_default(),
            },
            ContentBody::Video(Both(media, video)) => Self::Video {
                media: media.into(),
                duration_seconds: video.video_duration.unwrap_or_default(),
                first_frame_url: video.video_first_frame_download_url.unwrap_or_default(),
                first_frame: pixels(video.video_first_frame_width, video.video_first_frame_height),
            },
            ContentBody::Combine(CombineBody { title, summary, message_list: List(messages) }) => {
                Self::Combine {
                    title: title.unwrap_or_default(),
                    summary: summary.unwrap_or_default(),
                    messages: messages.into_iter().map(Excerpt::from).collect(),
                }
            }
            ContentBody::Custom(CustomBody { message, sub_type, searched_content }) => {
                Self::Custom {
                    message,
                    sub_type: sub_type.unwrap_or_default().0,
                    searched_content: searched_content.unwrap_or_default(),
                }
            }
        }
    }
}

fn pixels(width: Option<u32>, height: Option<u32>) -> Pixels {
    Pixels { width: width.unwrap_or_default(), height: height.unwrap_or_default() }
}

impl From<MediaBody> for Media {
    fn from(media: MediaBody) -> Self {
        Self {
            url: media.file_download_url,
            name: media.file_name.unwrap_or_default(),
            size: media.file_size.unwrap_or_default(),
            uid: media.file_uid.unwrap_or_default(),
        }
    }
}

impl From<Both<ExcerptFields, ContentBody>> for Excerpt {
    fn from(Both(fields, content): Both<ExcerptFields, ContentBody>) -> Self {
        let text = |text: Option<ShortText<USER_NAME_MAX_BYTES>>| text.unwrap_or_default().0;
        Self {
            message_id: text(fields.message_id),
            sender_user_id: text(fields.sender_user_id),
            timestamp_ms: fields.timestamp.unwrap_or_default(),
            extended_data: fields.extended_data.unwrap_or_default().0,
            content: content.into(),
        }
    }
}

impl From<SendConfigBody> for SendOptions {
    fn from(config: SendConfigBody) -> Self {
        Self {
            push: config.push_config.map(Push::from),
            has_receipt: config.has_receipt.unwrap_or_default(),
            is_retry: config.is_retry_send.unwrap_or_default(),
            not_counted: config.disable_unread_message_count.unwrap_or_default(),
            seq_max: None,
        }
    }
}

impl From<PushBody> for Push {
    fn from(push: PushBody) -> Self {
        Self {
            title: push.title.unwrap_or_default().0,
            content: push.content.unwrap_or_default().0,
            payload: push.payload.unwrap_or_default().0,
            resources_id: push.resources_id.unwrap_or_default().0,
            thread_id: push.thread_id.unwrap_or_default().0,
        }
    }
}
