//! The original of a reply in bodies.

use serde::Serialize;
use serde::ser::Serializer;

use super::content;
use super::object::{self, Object, Sink};
use super::object::{IS_CONTENT_OMITTED, Text};
use peerd_core::content::{Content, MessageType};
use peerd_core::message::Message;
use peerd_core::reply::{Original, Reference, Reply};

/// The `state` of an original that the user sees.
pub(super) const NORMAL: u8 = 0;
/// Of one that was revoked, or deleted by the user.
pub(super) const DELETED: u8 = 1;
/// Of one that is not there.
pub(super) const NOT_FOUND: u8 = 2;

/// Adds the original of a reply. Without room for it, its content is left out.
pub(super) fn replied_info<K: Sink>(
    message: &Message,
    has_room: bool,
    sink: &mut K,
) -> Result<(), K::Error> {
    match message.reply() {
        None => Ok(()),
        Some(reply) => sink.field("repliedInfo", &RepliedInfo { message, reply, has_room }),
    }
}

/// The original of a reply.
struct RepliedInfo<'a> {
    message: &'a Message,
    reply: &'a Reply,
    has_room: bool,
}

impl Object for RepliedInfo<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        let Self { message, reply: Reply { to, original, .. }, has_room } = *self;
        let Reference { by_sender, seq, timestamp_ms, .. } = to;
        let sender = if *by_sender { &message.sender } else { &message.receiver };
        let state = match original {
            Original::Normal(_) => NORMAL,
            Original::Deleted | Original::Revoked => DELETED,
            Original::NotFound => NOT_FOUND,
        };
        sink.field("state", &state)?;
        match original {
            Original::Normal(content) if has_room => sink.field("messageInfo", &Lite(content))?,
            Original::Normal(content) => {
                let (kind, is_omitted) = (content.message_type().number(), true);
                sink.field("messageInfo", &TypeOnly { kind, is_omitted })?;
            }
            // The only type of the SDK without a content.
            Original::Revoked | Original::Deleted | Original::NotFound => {
                let kind = MessageType::Revoke.number();
                sink.field("messageInfo", &TypeOnly { kind, is_omitted: false })?;
            }
        }
        sink.field("senderUserID", sender.as_str())?;
        sink.field("sentTime", timestamp_ms)?;
        sink.field("messageID", &Text(to.id().number()))?;
        sink.field("messageSeq", seq)
    }
}

impl Serialize for RepliedInfo<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

/// The content of an original: that of a Combine message without the messages inside it.
pub(super) struct Lite<'a>(pub(super) &'a Content);

impl Object for Lite<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("type", &self.0.message_type().number())?;
        if let Content::Combine { title, summary, .. } = self.0 {
            sink.field("title", title)?;
            sink.field("summary", summary)
        } else {
            content::fields(self.0, sink)
        }
    }
}

impl Serialize for Lite<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

/// An original without its content.
struct TypeOnly {
    kind: u16,
    /// Whether there is a content, and no room for it.
    is_omitted: bool,
}

impl Object for TypeOnly {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("type", &self.kind)?;
        if self.is_omitted {
            sink.field(IS_CONTENT_OMITTED, &true)?;
        }
        Ok(())
    }
}

impl Serialize for TypeOnly {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}
