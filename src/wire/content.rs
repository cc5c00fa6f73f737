//! The fields of a message's own type, with the SDK's names.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::encoding::Binary;
use super::fields::Object;
use crate::domain::content::{Content, Excerpt, Media, MessageType, Pixels};
use crate::domain::limits::{
    COMBINE_MESSAGES_MAX, EXTENDED_DATA_MAX_BYTES, MULTIPLE_ITEMS_MAX, USER_NAME_MAX_BYTES,
};
use crate::domain::rejection::Rejection;

/// Largest number that every JSON reader holds exactly.
pub(super) const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Reads the content that an object with a `type` holds. `is_json` says how bytes are written.
pub fn parse(object: Object<'_>, is_json: bool) -> Result<Content, Rejection> {
    let number = object.required_number("type", u64::from(u16::MAX))?;
    let Some(message_type) = MessageType::from_number(number) else {
        return Err(object.invalid("type", "is not a type that may be sent to a peer"));
    };
    Ok(match message_type {
        MessageType::Text => Content::Text { message: owned(object, "message")? },
        MessageType::Command => {
            Content::Command { message: object.required_bytes("message", is_json)? }
        }
        MessageType::Multiple => Content::Multiple {
            infos: object.required_list("messageInfoList", MULTIPLE_ITEMS_MAX, |info| {
                parse(info, is_json)
            })?,
        },
        MessageType::Image => parse_image(object)?,
        MessageType::File => Content::File { media: parse_media(object)? },
        MessageType::Audio => Content::Audio {
            media: parse_media(object)?,
            duration_seconds: object.small_number("audioDuration")?,
        },
        MessageType::Video => Content::Video {
            media: parse_media(object)?,
            duration_seconds: object.small_number("videoDuration")?,
            first_frame_url: text(object, "videoFirstFrameDownloadUrl")?,
            first_frame: pixels(object, "videoFirstFrameWidth", "videoFirstFrameHeight")?,
        },
        MessageType::Combine => Content::Combine {
            title: text(object, "title")?,
            summary: text(object, "summary")?,
            messages: object.required_list("messageList", COMBINE_MESSAGES_MAX, |excerpt| {
                parse_excerpt(excerpt, is_json)
            })?,
        },
        MessageType::Custom => Content::Custom {
            message: owned(object, "message")?,
            sub_type: parse_sub_type(object)?,
            searched_content: text(object, "searchedContent")?,
        },
    })
}

fn parse_sub_type(object: Object<'_>) -> Result<u8, Rejection> {
    let number = object.number("subType", u64::from(u32::MAX))?.unwrap_or_default();
    u8::try_from(number).map_err(|_| object.invalid("subType", "must be 0 to 200"))
}

fn parse_image(object: Object<'_>) -> Result<Content, Rejection> {
    Ok(Content::Image {
        media: parse_media(object)?,
        thumbnail_url: text(object, "thumbnailDownloadUrl")?,
        large_url: text(object, "largeImageDownloadUrl")?,
        original: pixels(object, "originalImageWidth", "originalImageHeight")?,
        large: pixels(object, "largeImageWidth", "largeImageHeight")?,
        thumbnail: pixels(object, "thumbnailWidth", "thumbnailHeight")?,
    })
}

fn parse_media(object: Object<'_>) -> Result<Media, Rejection> {
    Ok(Media {
        url: owned(object, "fileDownloadUrl")?,
        name: text(object, "fileName")?,
        size: object.number("fileSize", NUMBER_MAX)?.unwrap_or_default(),
        uid: text(object, "fileUID")?,
    })
}

fn parse_excerpt(object: Object<'_>, is_json: bool) -> Result<Excerpt, Rejection> {
    Ok(Excerpt {
        message_id: object.short_text("messageID", USER_NAME_MAX_BYTES)?,
        sender_user_id: object.short_text("senderUserID", USER_NAME_MAX_BYTES)?,
        timestamp_ms: object.number("timestamp", NUMBER_MAX)?.unwrap_or_default(),
        extended_data: object.short_text("extendedData", EXTENDED_DATA_MAX_BYTES)?,
        content: parse(object, is_json)?,
    })
}

fn owned(object: Object<'_>, name: &str) -> Result<String, Rejection> {
    object.required_text(name).map(str::to_owned)
}

fn text(object: Object<'_>, name: &str) -> Result<String, Rejection> {
    object.text(name).map(|text| text.unwrap_or_default().to_owned())
}

fn pixels(object: Object<'_>, width: &str, height: &str) -> Result<Pixels, Rejection> {
    Ok(Pixels { width: object.small_number(width)?, height: object.small_number(height)? })
}

/// How many fields [`write`] adds.
pub(super) const fn field_count(content: &Content) -> usize {
    match content {
        Content::Text { .. } | Content::Command { .. } | Content::Multiple { .. } => 1,
        Content::Image { .. } => 4 + 8,
        Content::File { .. } => 4,
        Content::Audio { .. } => 4 + 1,
        Content::Video { .. } => 4 + 4,
        Content::Combine { .. } | Content::Custom { .. } => 3,
    }
}

/// Adds the content's fields, without `type`, to an object.
pub(super) fn write<M: SerializeMap>(content: &Content, map: &mut M) -> Result<(), M::Error> {
    match content {
        Content::Text { message } => map.serialize_entry("message", message),
        Content::Command { message } => map.serialize_entry("message", &Binary(message)),
        Content::Multiple { infos } => {
            let infos: Vec<_> = infos.iter().map(Info).collect();
            map.serialize_entry("messageInfoList", &infos)
        }
        Content::Image { media, thumbnail_url, large_url, original, large, thumbnail } => {
            write_media(media, map)?;
            map.serialize_entry("thumbnailDownloadUrl", thumbnail_url)?;
            map.serialize_entry("largeImageDownloadUrl", large_url)?;
            write_pixels(*original, "originalImageWidth", "originalImageHeight", map)?;
            write_pixels(*large, "largeImageWidth", "largeImageHeight", map)?;
            write_pixels(*thumbnail, "thumbnailWidth", "thumbnailHeight", map)
        }
        Content::File { media } => write_media(media, map),
        Content::Audio { media, duration_seconds } => {
            write_media(media, map)?;
            map.serialize_entry("audioDuration", duration_seconds)
        }
        Content::Video { media, duration_seconds, first_frame_url, first_frame } => {
            write_media(media, map)?;
            map.serialize_entry("videoDuration", duration_seconds)?;
            map.serialize_entry("videoFirstFrameDownloadUrl", first_frame_url)?;
            write_pixels(*first_frame, "videoFirstFrameWidth", "videoFirstFrameHeight", map)
        }
        Content::Combine { title, summary, messages } => {
            let messages: Vec<_> = messages.iter().map(ExcerptBody).collect();
            map.serialize_entry("title", title)?;
            map.serialize_entry("summary", summary)?;
            map.serialize_entry("messageList", &messages)
        }
        Content::Custom { message, sub_type, searched_content } => {
            map.serialize_entry("message", message)?;
            map.serialize_entry("subType", sub_type)?;
            map.serialize_entry("searchedContent", searched_content)
        }
    }
}

fn write_media<M: SerializeMap>(media: &Media, map: &mut M) -> Result<(), M::Error> {
    map.serialize_entry("fileDownloadUrl", &media.url)?;
    map.serialize_entry("fileName", &media.name)?;
    map.serialize_entry("fileSize", &media.size)?;
    map.serialize_entry("fileUID", &media.uid)
}

fn write_pixels<M: SerializeMap>(
    pixels: Pixels,
    width: &str,
    height: &str,
    map: &mut M,
) -> Result<(), M::Error> {
    map.serialize_entry(width, &pixels.width)?;
    map.serialize_entry(height, &pixels.height)
}

/// A part of a Multiple message.
struct Info<'a>(&'a Content);

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + field_count(self.0)))?;
        map.serialize_entry("type", &self.0.message_type().number())?;
        write(self.0, &mut map)?;
        map.end()
    }
}

/// A message inside a Combine message.
struct ExcerptBody<'a>(&'a Excerpt);

impl Serialize for ExcerptBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Excerpt { message_id, sender_user_id, timestamp_ms, extended_data, content } = self.0;
        let mut map = serializer.serialize_map(Some(5 + field_count(content)))?;
        map.serialize_entry("type", &content.message_type().number())?;
        map.serialize_entry("messageID", message_id)?;
        map.serialize_entry("senderUserID", sender_user_id)?;
        map.serialize_entry("timestamp", timestamp_ms)?;
        map.serialize_entry("extendedData", extended_data)?;
        write(content, &mut map)?;
        map.end()
    }
}
