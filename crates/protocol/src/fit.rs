//! Bodies that fit the server's `max_payload`. A page is cut, an event is split, and a message that
//! is too large by itself is shown without its content, so that every call gets a reply and every
//! change an event.

use std::sync::Arc;

use bytes::Bytes;

use super::entry_size::{Sizes, how_many};
use super::size::Room;
use crate::encoding::{Encode as _, EncodeError, Encoding};
use crate::event::{Bundle, EventBody, Omitted};
use crate::reply::{Reply, Shown};
use peerd_core::event::Event;
use peerd_core::id::UserId;
use peerd_core::message::Message;
use peerd_core::pins::PinInfo;

/// The bytes of an event or a page around its list: names, IDs, revisions.
const AROUND_LIST_BYTES: usize = 768;
/// The bytes of an event around each of its conversations or messages.
const AROUND_ENTRY_BYTES: usize = 64;

/// A body that cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// It cannot be encoded.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// It is larger than the server accepts, even shortened.
    #[error("a body is larger than the server's max_payload allows")]
    TooLarge,
}

/// The body of a reply. A page that does not fit is cut at its far end: the caller continues from
/// its last entry, and an empty page is the end.
pub fn reply(
    mut reply: impl Reply,
    encoding: Encoding,
    viewer: &UserId,
    room: Room,
) -> Result<Bytes, Unfit> {
    let body = encoding.encode(&reply.body(Shown { viewer, content_max: None }))?;
    if body.len() <= room.body {
        return Ok(body);
    }
    let sizes = Sizes { encoding, viewer, content_max: room.content };
    reply.cut(sizes, room.body.saturating_sub(AROUND_LIST_BYTES));
    let shown = Shown { viewer, content_max: Some(room.content) };
    within(encoding.encode(&reply.body(shown))?, room)
}

/// The bodies of an event, in order: one, or several with the same revision if its list does not
/// fit into one. An event that does not fit at all is published without content.
pub fn event(
    body: &EventBody<'_>,
    encoding: Encoding,
    room: Room,
    mut each: impl FnMut(Bytes),
) -> Result<(), EncodeError> {
    let whole = encoding.encode(body)?;
    if whole.len() <= room.body {
        each(whole);
        return Ok(());
    }
    let EventBody { event, revision, viewer, content_max } = *body;
    let content_max = content_max.unwrap_or(room.content).min(room.content);
    let sizes = Sizes { encoding, viewer, content_max };
    for part in parts(event, sizes, room.body.saturating_sub(AROUND_LIST_BYTES)) {
        let part = EventBody { event: &part, revision, viewer, content_max: Some(content_max) };
        match within(encoding.encode(&part)?, room) {
            Ok(body) => each(body),
            Err(Unfit::TooLarge) => each(encoding.encode(&Omitted { revision })?),
            Err(Unfit::Encode(error)) => return Err(error),
        }
    }
    Ok(())
}

/// The body of a bundle; `None` where it does not fit: then each event has a body of its own.
pub fn bundle(
    bundle: &Bundle<'_>,
    encoding: Encoding,
    room: Room,
) -> Result<Option<Bytes>, EncodeError> {
    Ok(within(encoding.encode(bundle)?, room).ok())
}

fn within(body: Bytes, room: Room) -> Result<Bytes, Unfit> {
    if body.len() <= room.body { Ok(body) } else { Err(Unfit::TooLarge) }
}

/// Splits an event into several, each with a part of its list.
fn parts(event: &Event, sizes: Sizes<'_>, most: usize) -> Vec<Event> {
    match event {
        Event::PeerMessageReceived { messages, from, offline } => {
            let part = |messages: &[Arc<Message>]| Event::PeerMessageReceived {
                messages: messages.into(),
                from: from.clone(),
                offline: *offline,
            };
            split(messages, |message| sizes.message(message), most).map(part).collect()
        }
        Event::MessageDeleted { other, delete_type, messages } => {
            let part = |messages: &[Arc<Message>]| Event::MessageDeleted {
                other: other.clone(),
                delete_type: *delete_type,
                messages: messages.into(),
            };
            split(messages, |message| sizes.message(message), most).map(part).collect()
        }
        Event::MessagesRevoked(messages) => {
            let parts = split(messages, |message| sizes.message(message), most);
            parts.map(|messages| Event::MessagesRevoked(messages.into())).collect()
        }
        Event::MessagesEdited(messages) => {
            let parts = split(messages, |message| sizes.message(message), most);
            parts.map(|messages| Event::MessagesEdited(messages.into())).collect()
        }
        Event::PinsChanged(infos) => {
            let size = |info: &PinInfo| sizes.message(&info.message) + AROUND_ENTRY_BYTES;
            split(infos, size, most).map(|infos| Event::PinsChanged(infos.to_vec())).collect()
        }
        Event::RepliedInfoChanged(messages) => {
            let parts = split(messages, |message| sizes.message(message), most);
            parts.map(|messages| Event::RepliedInfoChanged(messages.into())).collect()
        }
        Event::ConversationChanged(changes) => {
            let parts = split(changes, |(_, view)| sizes.view(view) + AROUND_ENTRY_BYTES, most);
            parts.map(|changes| Event::ConversationChanged(changes.into())).collect()
        }
        Event::BlacklistChanged { action, users } => {
            let parts = split(users, Sizes::user, most);
            parts
                .map(|users| Event::BlacklistChanged { action: *action, users: users.to_vec() })
                .collect()
        }
        Event::UserStatusUpdated(statuses) => {
            let parts = split(statuses, Sizes::status, most);
            parts.map(|statuses| Event::UserStatusUpdated(statuses.to_vec())).collect()
        }
        Event::MessagesDelivered(receipts) => {
            let parts = split(receipts, Sizes::receipt, most);
            parts.map(|receipts| Event::MessagesDelivered(receipts.to_vec())).collect()
        }
        Event::TotalChanged(_)
        | Event::ReactionsChanged { .. }
        | Event::UserInfoUpdated(_)
        | Event::ConversationReceiptChanged(_)
        | Event::ReceiptsChanged(_)
        | Event::UserRuleUpdated(_)
        | Event::AllMessagesDeleted
        | Event::ConversationsAllDeleted { .. }
        | Event::KickedOut { .. } => vec![event.clone()],
    }
}

/// Splits a list into pieces of at most `most` bytes, or of one entry.
fn split<T>(mut list: &[T], size: impl Fn(&T) -> usize, most: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let length = how_many(list.iter().map(&size), most);
        let (piece, rest) = list.split_at(length);
        list = rest;
        (!piece.is_empty()).then_some(piece)
    })
}
