//! The compact form of content and offline pushes, which stored records and requests between
//! instances have. It is here because an accepted message must fit in this form too
//! ([`crate::size`]).

use serde::{Deserialize, Serialize, Serializer};

use peerd_core::content::{Content, Excerpt, Media, Pixels};
use peerd_core::send::Push;

/// Content, by the number of its type.
#[derive(Serialize, Deserialize)]
#[expect(missing_docs, reason = "each is the variant of `Content` with its name")]
pub enum ContentV1 {
    #[serde(rename = "1")]
    Text(String),
    #[serde(rename = "2")]
    Command(#[serde(with = "bytes_v1")] Vec<u8>),
    #[serde(rename = "10")]
    Multiple(Vec<ContentV1>),
    #[serde(rename = "11")]
    Image(MediaV1, String, String, PixelsV1, PixelsV1, PixelsV1),
    #[serde(rename = "12")]
    File(MediaV1),
    #[serde(rename = "13")]
    Audio(MediaV1, u32),
    #[serde(rename = "14")]
    Video(MediaV1, u32, String, PixelsV1),
    #[serde(rename = "100")]
    Combine(String, String, Vec<ExcerptV1>),
    #[serde(rename = "200")]
    Custom(String, u8, String),
}

/// Content that is written as [`ContentV1`], text without a copy.
pub struct BorrowedV1<'a>(pub &'a Content);

impl Serialize for BorrowedV1<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Content::Text { message } => {
                serializer.serialize_newtype_variant("ContentV1", 0, "1", message)
            }
            Content::Command { .. }
            | Content::Multiple { .. }
            | Content::Image { .. }
            | Content::File { .. }
            | Content::Audio { .. }
            | Content::Video { .. }
            | Content::Combine { .. }
            | Content::Custom { .. } => ContentV1::from(self.0).serialize(serializer),
        }
    }
}

/// A file.
#[derive(Serialize, Deserialize)]
pub struct MediaV1(String, String, u64, String);

/// A width and a height.
#[derive(Serialize, Deserialize)]
pub struct PixelsV1(u32, u32);

/// A message of a combined message.
#[derive(Serialize, Deserialize)]
pub struct ExcerptV1(String, String, u64, String, ContentV1);

/// An offline push.
#[derive(Serialize, Deserialize)]
pub struct PushV1(String, String, String, String, String);

/// Bytes as `bin` instead of serde's default, a list of numbers.
mod bytes_v1 {
    use serde::de::{Error, Visitor};

    pub(super) fn serialize<S: serde::Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

impl From<&Media> for MediaV1 {
    fn from(media: &Media) -> Self {
        Self(media.url.clone(), media.name.clone(), media.size, media.uid.clone())
    }
}

impl From<MediaV1> for Media {
    fn from(MediaV1(url, name, size, uid): MediaV1) -> Self {
        Self { url, name, size, uid }
    }
}

impl From<Pixels> for PixelsV1 {
    fn from(pixels: Pixels) -> Self {
        Self(pixels.width, pixels.height)
    }
}

impl From<PixelsV1> for Pixels {
    fn from(PixelsV1(width, height): PixelsV1) -> Self {
        Self { width, height }
    }
}

impl From<&Push> for PushV1 {
    fn from(push: &Push) -> Self {
        Self(
            push.title.clone(),
            push.content.clone(),
            push.payload.clone(),
            push.resources_id.clone(),
            push.thread_id.clone(),
        )
    }
}

impl From<PushV1> for Push {
    fn from(PushV1(title, content, payload, resources_id, thread_id): PushV1) -> Self {
        Self { title, content, payload, resources_id, thread_id }
    }
}

impl From<&Content> for ContentV1 {
    fn from(content: &Content) -> Self {
        match content {
            Content::Text { message } => Self::Text(message.clone()),
            Content::Command { message } => Self::Command(message.clone()),
            Content::Multiple { infos } => Self::Multiple(infos.iter().map(Self::from).collect()),
            Content::Image { media, thumbnail_url, large_url, original, large, thumbnail } => {
                Self::Image(
                    media.into(),
                    thumbnail_url.clone(),
                    large_url.clone(),
                    (*original).into(),
                    (*large).into(),
                    (*thumbnail).into(),
                )
            }
            Content::File { media } => Self::File(media.into()),
            Content::Audio { media, duration_seconds } => {
                Self::Audio(media.into(), *duration_seconds)
            }
            Content::Video { media, duration_seconds, first_frame_url, first_frame } => {
                let (url, frame) = (first_frame_url.clone(), (*first_frame).into());
                Self::Video(media.into(), *duration_seconds, url, frame)
            }
            Content::Combine { title, summary, messages } => Self::Combine(
                title.clone(),
                summary.clone(),
                messages.iter().map(ExcerptV1::from).collect(),
            ),
            Content::Custom { message, sub_type, searched_content } => {
                Self::Custom(message.clone(), *sub_type, searched_content.clone())
            }
        }
    }
}

impl From<ContentV1> for Content {
    fn from(content: ContentV1) -> Self {
        match content {
            ContentV1::Text(message) => Self::Text { message },
            ContentV1::Command(message) => Self::Command { message },
            ContentV1::Multiple(infos) => {
                Self::Multiple { infos: infos.into_iter().map(Self::from).collect() }
            }
            ContentV1::Image(media, thumbnail_url, large_url, original, large, thumbnail) => {
                Self::Image {
                    media: media.into(),
                    thumbnail_url,
                    large_url,
                    original: original.into(),
                    large: large.into(),
                    thumbnail: thumbnail.into(),
                }
            }
            ContentV1::File(media) => Self::File { media: media.into() },
            ContentV1::Audio(media, duration_seconds) => {
                Self::Audio { media: media.into(), duration_seconds }
            }
            ContentV1::Video(media, duration_seconds, first_frame_url, first_frame) => {
                Self::Video {
                    media: media.into(),
                    duration_seconds,
                    first_frame_url,
                    first_frame: first_frame.into(),
                }
            }
            ContentV1::Combine(title, summary, messages) => Self::Combine {
                title,
                summary,
                messages: messages.into_iter().map(Excerpt::from).collect(),
            },
            ContentV1::Custom(message, sub_type, searched_content) => {
                Self::Custom { message, sub_type, searched_content }
            }
        }
    }
}

impl From<&Excerpt> for ExcerptV1 {
    fn from(excerpt: &Excerpt) -> Self {
        Self(
            excerpt.message_id.clone(),
            excerpt.sender_user_id.clone(),
            excerpt.timestamp_ms,
            excerpt.extended_data.clone(),
            ContentV1::from(&excerpt.content),
        )
    }
}

impl From<ExcerptV1> for Excerpt {
    fn from(excerpt: ExcerptV1) -> Self {
        let ExcerptV1(message_id, sender_user_id, timestamp_ms, extended_data, content) = excerpt;
        Self { message_id, sender_user_id, timestamp_ms, extended_data, content: content.into() }
    }
}
