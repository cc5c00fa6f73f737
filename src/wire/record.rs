//! The record of a message in the log: a MessagePack array, its version first. Records are for
//! ever: a new version is added beside the old ones, which stay readable.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::block;
use super::content::NUMBER_MAX;
use crate::domain::content::{Content, Excerpt, Media, Pixels};
use crate::domain::conversation::{Head, Mark, PagePointers};
use crate::domain::id::{LocalMessageId, OrderKey, Partition, UserId};
use crate::domain::message::{Message, ReceiptStatus};
use crate::domain::receive::{Placed, head};
use crate::domain::send::Push;

/// A stored record that cannot be read: another version's, or damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored {kind} cannot be read: {problem}")]
pub struct RecordError {
    /// What it should be.
    pub kind: &'static str,
    /// What is wrong. Never quotes the record.
    pub problem: String,
}

impl RecordError {
    pub(super) fn new(kind: &'static str, problem: impl Into<String>) -> Self {
        Self { kind, problem: problem.into() }
    }
}

/// A message read back from the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredMessage {
    /// The message.
    pub message: Message,
    /// How far its sender had sent with it.
    pub mark: Mark,
    /// Its page.
    pub page: PagePointers,
    /// Its offline push, if one was asked for.
    pub push: Option<Push>,
}

impl StoredMessage {
    /// The head that the message is, at its place in the stream.
    #[must_use]
    pub const fn head(&self, stream_seq: u64) -> Head {
        head(&self.message, self.mark, self.page, stream_seq)
    }
}

#[cfg(test)]
mod tests;

const KIND: &str = "message";
const FLAG_COUNTS: u8 = 1;
const FLAG_RECEIPT: u8 = 2;
/// Deepest nesting of a record: more than twice what four Combine messages in each other need, and
/// far from the end of a thread's stack.
const DEPTH_MAX: usize = 64;

/// Version 1. The fields are in the order of the array; texts are borrowed when writing.
#[derive(Serialize, Deserialize)]
struct V1<'a> {
    version: u8,
    key: u64,
    seq: u64,
    counted: u64,
    page_first: u64,
    page_previous: u64,
    timestamp_ms: u64,
    flags: u8,
    #[serde(borrow)]
    local_id: &'a str,
    #[serde(borrow)]
    extended_data: &'a str,
    content: ContentV1,
    push: Option<PushV1>,
}

/// The version of a record or entry.
pub(super) fn version(bytes: &[u8], kind: &'static str) -> Result<u8, RecordError> {
    // An array's header, then the version as a positive fixint.
    let version = match bytes {
        [0x90..=0x9f, version, ..] | [0xdc, _, _, version, ..] => *version,
        _ => return Err(RecordError::new(kind, "it has no version")),
    };
    if version > 0x7f { Err(RecordError::new(kind, "it has no version")) } else { Ok(version) }
}

/// Writes the record of a message.
pub fn encode(placed: &Placed, push: Option<&Push>) -> Result<Bytes, rmp_serde::encode::Error> {
    let Placed { message, mark, page, .. } = placed;
    let receipt = if message.receipt == ReceiptStatus::None { 0 } else { FLAG_RECEIPT };
    let record = V1 {
        version: 1,
        key: message.key.0,
        seq: mark.seq,
        counted: mark.counted,
        page_first: page.first,
        page_previous: page.previous,
        timestamp_ms: message.timestamp_ms,
        flags: receipt | if message.counts { FLAG_COUNTS } else { 0 },
        local_id: message.local_id.as_ref().map_or("", |id| id.as_str()),
        extended_data: &message.extended_data,
        content: ContentV1::from(&message.content),
        push: push.map(PushV1::from),
    };
    block::written(|out| rmp_serde::encode::write(out, &record))
}

/// Reads the record of a message. Who sent it to whom is in its subject.
pub fn decode(
    bytes: &[u8],
    sender: &UserId,
    receiver: &UserId,
    partition: Partition,
) -> Result<StoredMessage, RecordError> {
    let record = decode_v1(bytes)?;
    let local_id = match record.local_id {
        "" => None,
        id => {
            Some(LocalMessageId::stored(id).ok_or_else(|| RecordError::new(KIND, "its local ID"))?)
        }
    };
    let receipt = if record.flags & FLAG_RECEIPT == 0 {
        ReceiptStatus::None
    } else {
        ReceiptStatus::Processing
    };
    Ok(StoredMessage {
        message: Message {
            sender: sender.clone(),
            receiver: receiver.clone(),
            partition,
            key: OrderKey(record.key),
            seq: record.seq,
            timestamp_ms: record.timestamp_ms,
            local_id,
            receipt,
            counts: record.flags & FLAG_COUNTS != 0,
            extended_data: record.extended_data.to_owned(),
            content: record.content.into(),
        },
        mark: Mark { seq: record.seq, counted: record.counted },
        page: PagePointers { first: record.page_first, previous: record.page_previous },
        push: record.push.map(Push::from),
    })
}

fn decode_v1(bytes: &[u8]) -> Result<V1<'_>, RecordError> {
    match version(bytes, KIND)? {
        1 => {}
        other => return Err(RecordError::new(KIND, format!("its version {other} is unknown"))),
    }
    let record: V1<'_> =
        from_slice(bytes).map_err(|_| RecordError::new(KIND, "it is not a version 1 record"))?;
    let V1 { key, seq, counted, page_first, page_previous, timestamp_ms, .. } = record;
    check_numbers(KIND, &[key, seq, counted, page_first, page_previous, timestamp_ms])?;
    Ok(record)
}

/// Reads a value and nothing after it, to a bounded depth.
pub(super) fn from_slice<'de, T: Deserialize<'de>>(
    bytes: &'de [u8],
) -> Result<T, rmp_serde::decode::Error> {
    use rmp_serde::decode::Error;
    use serde::de::Error as _;
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(DEPTH_MAX);
    let value = T::deserialize(&mut deserializer)?;
    // The deserializer does not tell what is left; asked for more, it says that there is none.
    let is_all = matches!(<()>::deserialize(&mut deserializer), Err(Error::InvalidMarkerRead(_)));
    if is_all { Ok(value) } else { Err(Error::custom("there are bytes after its end")) }
}

/// Refuses numbers that no JSON reader holds exactly and no counter reaches: they can only come from
/// damage, and counting on from them would end beyond what a number can be.
pub(super) fn check_numbers(kind: &'static str, numbers: &[u64]) -> Result<(), RecordError> {
    let is_good = numbers.iter().all(|number| *number <= NUMBER_MAX);
    if is_good { Ok(()) } else { Err(RecordError::new(kind, "a number in it is too large")) }
}

/// The order key of a record.
pub fn key(bytes: &[u8]) -> Result<OrderKey, RecordError> {
    decode_v1(bytes).map(|record| OrderKey(record.key))
}

/// Content, by the number of its type.
#[derive(Serialize, Deserialize)]
pub(super) enum ContentV1 {
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

#[derive(Serialize, Deserialize)]
pub(super) struct MediaV1(String, String, u64, String);

#[derive(Serialize, Deserialize)]
pub(super) struct PixelsV1(u32, u32);

#[derive(Serialize, Deserialize)]
pub(super) struct ExcerptV1(String, String, u64, String, ContentV1);

#[derive(Serialize, Deserialize)]
pub(super) struct PushV1(String, String, String, String, String);

/// Bytes as `bin`, where serde's default is a list of numbers.
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
