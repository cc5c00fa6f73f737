//! The fields that depend on a message's type, with the SDK's names.

use std::convert::Infallible;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::encoding::Binary;
use peerd_core::content::{Content, Excerpt, Media};

/// The largest number that every JSON reader represents exactly.
pub const NUMBER_MAX: u64 = (1 << 53) - 1;

/// The name of an object whose fields are written one by one: neither encoding shows it. An object is
/// written as a struct, and not as a map, since its names are known when this is compiled.
pub(super) const NAMED: &str = "";

/// Receives the fields of an object one by one.
trait Sink {
    type Error;

    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Self::Error>;

    /// Adds a text field, unless it has the default value (empty).
    fn optional_text(&mut self, name: &'static str, text: &str) -> Result<(), Self::Error> {
        if text.is_empty() { Ok(()) } else { self.field(name, text) }
    }

    /// Adds a number field, unless it has the default value (0).
    fn optional_number(
        &mut self,
        name: &'static str,
        number: impl Into<u64>,
    ) -> Result<(), Self::Error> {
        let number = number.into();
        if number == 0 { Ok(()) } else { self.field(name, &number) }
    }
}

/// Counts fields, because a `MessagePack` map begins with their number.
struct Count(usize);

impl Sink for Count {
    type Error = Infallible;

    fn field<T: Serialize + ?Sized>(&mut self, _: &'static str, _: &T) -> Result<(), Infallible> {
        self.0 += 1;
        Ok(())
    }
}

/// Writes fields.
struct Entries<'m, M>(&'m mut M);

impl<M: SerializeStruct> Sink for Entries<'_, M> {
    type Error = M::Error;

    fn field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), M::Error> {
        self.0.serialize_field(name, value)
    }
}

fn count(each: impl FnOnce(&mut Count) -> Result<(), Infallible>) -> usize {
    let mut count = Count(0);
    let Ok(()) = each(&mut count);
    count.0
}

/// The number of fields that [`write`] adds.
pub(super) fn field_count(content: &Content) -> usize {
    count(|count| fields(content, count))
}

/// Adds the content's fields, without `type`, to an object.
pub(super) fn write<M: SerializeStruct>(content: &Content, map: &mut M) -> Result<(), M::Error> {
    fields(content, &mut Entries(map))
}

/// Adds the content's fields: the required ones of its type, and the optional ones that are set.
fn fields<K: Sink>(content: &Content, sink: &mut K) -> Result<(), K::Error> {
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

impl Serialize for Info<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct(NAMED, 1 + field_count(self.0))?;
        map.serialize_field("type", &self.0.message_type().number())?;
        write(self.0, &mut map)?;
        map.end()
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

impl Serialize for ExcerptBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 1 + count(|count| excerpt_fields(self.0, count));
        let mut map = serializer.serialize_struct(NAMED, fields)?;
        map.serialize_field("type", &self.0.content.message_type().number())?;
        excerpt_fields(self.0, &mut Entries(&mut map))?;
        map.end()
    }
}
