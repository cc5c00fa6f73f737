//! The encoded sizes of a message, and whether they fit the server's `max_payload`.
//!
//! The encoded size of a message differs by form: JSON turns a control character into six bytes and
//! three bytes into four, and a record has fields that the message lacked. An accepted message must
//! fit in every form that it may ever take.

use serde::Serialize;
use serde::ser::Serializer;

use super::object::{self, Object, Sink};
use super::packed::{ContentV1, PushV1};
use crate::content;
use crate::encoding::{Encode as _, Encoding};
use crate::reaction::reactions_of;
use crate::replied::Lite;
use peerd_core::content::Content;
use peerd_core::id::LocalMessageId;
use peerd_core::message::{Draft, Message};
use peerd_core::rejection::Rejection;
use peerd_core::send::{Push, Send};

/// The size of a NATS message beside its body: the headers, which count, and their framing.
const HEADERS_BYTES: usize = 1024;
/// The most bytes around the part of a message that its sender sets, in any form: the message's
/// other fields, the conversation that shows it, and the event or reply that shows the
/// conversation, with the longest IDs, name and avatar. A test measures it. It also covers the
/// header and numbers of a record and of a delivery from owner to owner, which are smaller.
pub(super) const AROUND_BYTES: usize = 4096;
/// The most bytes that JSON turns one byte into.
const JSON_ESCAPED: usize = 6;
/// An upper bound for the JSON size of one part of a message beyond what [`Content::size_bytes`]
/// counts: its field names, its numbers, `searchedContent`.
const JSON_PART_BYTES: usize = 640;
/// The same bound for a record.
const RECORD_PART_BYTES: usize = 192;
/// The number of events of one change for which there is always room, whatever they show.
const FEW_ENTRIES: usize = 1024;
/// The most events of one change with more entries than that.
const EVENTS_OF_A_CHANGE: usize = 2048;
/// The number of texts in a push.
const PUSH_TEXTS: usize = 5;

/// The room for outgoing messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The most bytes of a body.
    pub body: usize,
    /// The most bytes that a sender may set of one message, so that a body that shows it fits.
    pub content: usize,
}

impl Room {
    /// The room under a server's `max_payload`.
    #[must_use]
    pub const fn of(max_payload: usize) -> Self {
        let body = max_payload.saturating_sub(HEADERS_BYTES);
        Self { body, content: body.saturating_sub(AROUND_BYTES) }
    }

    /// The most bytes of content that each of `entries` messages may show in the events of one
    /// change, so that there is room for all events; `None` for a few entries, which are shown
    /// whole.
    #[must_use]
    pub const fn content_of(self, entries: usize) -> Option<usize> {
        if entries <= FEW_ENTRIES {
            return None;
        }
        // In the worst case, each event is half full.
        let each = self.body.saturating_mul(EVENTS_OF_A_CHANGE) / 2 / entries;
        let content = each.saturating_sub(AROUND_BYTES);
        Some(if content < self.content { content } else { self.content })
    }

    /// The `max_payload` that leaves this much room for the content of a message.
    #[must_use]
    pub const fn max_payload_for(content: usize) -> usize {
        content + AROUND_BYTES + HEADERS_BYTES
    }

    /// An upper bound for the encoded size of content with `size_bytes`.
    #[must_use]
    pub const fn largest_form(size_bytes: usize) -> usize {
        size_bytes * JSON_ESCAPED + JSON_PART_BYTES
    }

    /// Rejects a text of a conversation that would not fit into a body that shows it.
    pub fn check_text(self, field: &str, text: &str) -> Result<(), Rejection> {
        if text.len() * JSON_ESCAPED > self.content {
            self.fits(field, "as JSON", text_bytes(text, Encoding::Json))?;
        }
        Ok(())
    }

    /// Rejects a message that does not fit in one of its forms.
    pub fn check(self, send: &Send) -> Result<(), Rejection> {
        let Send { draft, options, .. } = send;
        if json_at_most(draft) > self.content {
            let own = Own::of(draft);
            self.fits("message", "as JSON", own.bytes(Encoding::Json))?;
            self.fits("message", "as MessagePack", own.bytes(Encoding::MessagePack))?;
        }
        let push = options.push.as_ref();
        if let Some(push) = push
            && push_texts(push) * JSON_ESCAPED > self.content
        {
            self.fits("config.pushConfig", "as JSON", counted(&push_fields(push), Encoding::Json))?;
        }
        if record_at_most(draft, push) > self.content {
            let size = record_bytes(draft, push);
            self.fits("message", "with its push, as it is stored", size)?;
        }
        Ok(())
    }

    /// Checks that there is room for a message whose largest form takes `needed_bytes`, as counted
    /// by [`needed_by`].
    pub fn has(self, needed_bytes: u64) -> Result<(), Rejection> {
        let needed = usize::try_from(needed_bytes).unwrap_or(usize::MAX);
        self.fits("message", "in its largest form", needed)
    }

    fn fits(self, field: &str, form: &str, size: usize) -> Result<(), Rejection> {
        if size <= self.content {
            return Ok(());
        }
        let most = self.content;
        let problem =
            format!("is {size} bytes long {form}, {most} fit the max_payload of the nats-server");
        Err(Rejection::invalid(field, problem))
    }
}

/// The bytes that a message takes in its largest form. [`Room::check`] refuses exactly the messages
/// that need more than there is.
#[must_use]
pub fn needed_by(send: &Send) -> u64 {
    let Send { draft, options, .. } = send;
    let (own, push) = (Own::of(draft), options.push.as_ref());
    let forms = [
        own.bytes(Encoding::Json),
        own.bytes(Encoding::MessagePack),
        push.map_or(0, |push| counted(&push_fields(push), Encoding::Json)),
        record_bytes(draft, push),
    ];
    forms.into_iter().max().map_or(0, |most| u64::try_from(most).unwrap_or(u64::MAX))
}

/// The encoded size of the part of a message that its users set.
pub(super) fn content_bytes(message: &Message, encoding: Encoding) -> usize {
    let Message { extended_data, local_id, .. } = message;
    let content = OwnContent::Message(message);
    Own { content, extended_data, local_id: local_id.as_ref() }.bytes(encoding)
}

/// The encoded size of the content of the original that a reply shows.
pub(super) fn original_bytes(message: &Message, encoding: Encoding) -> usize {
    let original = message.reply().and_then(|reply| reply.original.content());
    original.map_or(0, |content| counted(&Lite(content), encoding))
}

/// The size of a text, in an encoding.
pub(super) fn text_bytes(text: &str, encoding: Encoding) -> usize {
    if text.is_empty() { 0 } else { counted(&text, encoding) }
}

/// A cheap upper bound: nearly every message is far below any server's `max_payload`.
fn json_at_most(draft: &Draft) -> usize {
    let local_id = draft.local_id.as_ref().map_or(0, |id| id.as_str().len());
    let texts = draft.content.size_bytes() + draft.extended_data.len() + local_id;
    texts * JSON_ESCAPED + draft.content.parts() * JSON_PART_BYTES
}

/// The same bound for a record, and for a message between owners.
fn record_at_most(draft: &Draft, push: Option<&Push>) -> usize {
    let local_id = draft.local_id.as_ref().map_or(0, |id| id.as_str().len());
    let texts = draft.content.size_bytes() + draft.extended_data.len() + local_id;
    texts + push.map_or(0, push_texts) + draft.content.parts() * RECORD_PART_BYTES
}

/// The size of the part of a record that the sender sets.
fn record_bytes(draft: &Draft, push: Option<&Push>) -> usize {
    let record = (
        draft.local_id.as_ref().map(LocalMessageId::as_str),
        &draft.extended_data,
        ContentV1::from(&draft.content),
        push.map(PushV1::from),
    );
    counted(&record, Encoding::MessagePack)
}

fn push_fields(push: &Push) -> [&str; PUSH_TEXTS] {
    let Push { title, content, payload, resources_id, thread_id } = push;
    [title, content, payload, resources_id, thread_id]
}

fn push_texts(push: &Push) -> usize {
    push_fields(push).iter().map(|text| text.len()).sum()
}

/// The content of a draft, or of a message with its later changes.
enum OwnContent<'a> {
    Draft(&'a Content),
    Message(&'a Message),
}

/// The part of a message that its sender sets.
struct Own<'a> {
    content: OwnContent<'a>,
    extended_data: &'a str,
    local_id: Option<&'a LocalMessageId>,
}

impl<'a> Own<'a> {
    fn of(draft: &'a Draft) -> Self {
        let Draft { content, extended_data, local_id, reply: _ } = draft;
        let content = OwnContent::Draft(content);
        Self { content, extended_data, local_id: local_id.as_ref() }
    }

    fn bytes(&self, encoding: Encoding) -> usize {
        counted(self, encoding)
    }
}

impl Object for Own<'_> {
    fn fields<K: Sink>(&self, sink: &mut K) -> Result<(), K::Error> {
        sink.field("localMessageID", self.local_id.map_or("", LocalMessageId::as_str))?;
        sink.field("extendedData", self.extended_data)?;
        match self.content {
            OwnContent::Draft(content) => content::fields(content, sink),
            OwnContent::Message(message) => {
                content::fields_of(message, sink)?;
                // The longer ID is that of the conversation.
                let ids = [&message.sender, &message.receiver];
                let viewer = ids.into_iter().min_by_key(|id| id.as_str().len());
                viewer.map_or(Ok(()), |viewer| reactions_of(message, viewer, sink))
            }
        }
    }
}

impl Serialize for Own<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        object::serialize(self, serializer)
    }
}

/// The encoded size of a body; the maximum for a body that cannot be encoded, so that it fits
/// nowhere.
pub(super) fn counted(body: &impl Serialize, encoding: Encoding) -> usize {
    encoding.measure(body).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
