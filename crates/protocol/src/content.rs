//! The fields that depend on a message's type, with the SDK's names.

use serde::Serialize;
use serde::ser::Serializer;

use super::encoding::Binary;
use super::object::{self, Object, Sink};
use peerd_core::content::{Content, Excerpt, Media};
use peerd_core::message::{Message, Revocation};

/// The `revokeType` of a revocation for both users, the only type.
const TWO_WAY: u8 = 0;
/// The `revokeStatus` of a message that its sender revoked.
const SELF_REVOKE: u8 = 0;

/// Adds the fields of the message's content, and those of its later changes.
pub(super) fn fields_of<K: Sink>(message: &Message, sink: &mut K) -> Result<(), K::Error> {
    if let Some(revocation) = message.revoked() {
        return revocation_fields(message, revocation, sink);
    }
    fields(&message.content, sink)?;
    match message.edited_ms() {
        0 => Ok(()),
        edited_ms => {
            sink.field("editedTime", &edited_ms)?;
            sink.field("editorUserID", message.sender.as_str())
        }
    }
}

/// The fields of a message that its sender revoked.
fn revocation_fields<K: Sink>(
    message: &Message,
    revocation: &Revocation,
    sink: &mut K,
) -> Result<(), K::Error> {
    let Revocation { at_ms, original_type, original_text, extended_data } = revocation;
    sink.field("revokeType", &TWO_WAY)?;
    sink.field("revokeStatus", &SELF_REVOKE)?;
    sink.field("revokeTimestamp", at_ms)?;
    sink.field("operatedUserID", message.sender.as_str())?;
    sink.field("originalMessageType", &original_type.number())?;
    sink.field("originalTextMessageContent", original_text)?;
    sink.field("revokeExtendedData", extended_data)
}

/// Adds the content's fields: the required ones of its type, and the optional ones that are set.
pub(super) fn fields<K: Sink>(content: &Content, sink: &mut K) -> Result<(), K::Error> {
    match content {
        Content::Text { message } => sink.field("message", message),
        Content::Command { message } => sink.field("message", &Binary(message)),
        Content::Multiple { infos } => sink.field("messageInfoList", &Infos(infos)),
        Content::Image { media, thumbnail_url, large_url, original, large, thumbnail } => {
            media_fields(media, sink)?;
            sink.optional_text("thumbnailDownloadUrl", thumbnail_url)?;
            sink.optional_text("largeImageDownloadUrl", large_url)?;
            sink.optional_number("originalImageWidth", original.width)?;
            sink.optional_number("originalImageHeight", original.height)?;
            sink.optional_number("largeImageWidth", large.width)?;
            sink.optional_number("largeImageHeight", large.height)?;
            sink.optional_number("thumbnailWidth", thumbnail.width)?;
            sink.optional_number("thumbnailHeight", thumbnail.height)
        }
        Content::File { media } => media_fields(media, sink),
        Content::Audio { media, duration_seconds } => {
            media_fields(media, sink)?;
            sink.optional_number("audioDuration", *duration_seconds)
        }
        Content::Video { media, duration_seconds, first_frame_url, first_frame } => {
            media_fields(media, sink)?;
            sink.optional_number("videoDuration", *duration_seconds)?;
            sink.optional_text("videoFirstFrameDownloadUrl", first_frame_url)?;
            sink.optional_number("videoFirstFrameWidth", first_frame.width)?;
            sink.optional_number("videoFirstFrameHeight", first_frame.height)
        }
        Content::Combine { title, summary, messages } => {
            sink.optional_text("title", title)?;
            sink.optional_text("summary", summary)?;
            sink.field("messageList", &Excerpts(messages))
        }
        Content::Custom { message, sub_type, searched_content } => {
            sink.field("message", message)?;
            sink.optional_number("subType", *sub_type)?;
            sink.optional_text("searchedContent", searched_content)
        }
    }
}

fn media_fields<K: Sink>(media: &Media, sink: &mut K) -> Result<(), K::Error> {
    sink.field("fileDownloadUrl", &media.url)?;
    sink.optional_text("fileName", &media.name)?;
    sink.optional_number("fileSize", media.size)?;
    sink.optional_text("fileUID", &media.uid)
}

fn excerpt_fields<K: Sink>(excerpt: &Excerpt, sink: &mut K) -> Result<(), K::Error> {
    let Excerpt { message_id, sender_user_id, timestamp_ms, extended_data, content } = excerpt;
    sink.optional_text("messageID", message_id)?;
    sink.optional_text("senderUserID", sender_user_id)?;
    sink.optional_number("timestamp", *timestamp_ms)?;
    sink.optional_text("extendedData", extended_data)?;
    fields(content, sink)
}

/// The parts of a Multiple message.
struct Infos<'a>(&'a [Content]);

impl Serialize for Infos<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(Info))
    }
}

/// A part of a Multiple message.
pub(super) struct Info<'a>(pub(super) &'a Content);

impl Object for Info<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("type", &self.0.message_type().number())?;
        fields(self.0, sink)
    }
}

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

/// The messages inside a Combine message.
struct Excerpts<'a>(&'a [Excerpt]);

impl Serialize for Excerpts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ExcerptBody))
    }
}

/// A message inside a Combine message.
struct ExcerptBody<'a>(&'a Excerpt);

impl Object for ExcerptBody<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("type", &self.0.content.message_type().number())?;
        excerpt_fields(self.0, sink)
    }
}

impl Serialize for ExcerptBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}
