//! Reactions in bodies.

use serde::Serialize;
use serde::ser::{SerializeSeq as _, Serializer};

use super::object::{PEER, Sink, Text};
use peerd_core::id::{Direction, UserId};
use peerd_core::message::Message;
use peerd_core::reaction::{Reaction, ReactionChange};

/// A user, by the ID.
#[derive(Serialize)]
struct UserBody<'a> {
    #[serde(rename = "userID")]
    user_id: &'a str,
}

/// The `action` of a change: reactions were added.
const ADDED: u8 = 0;
/// Reactions were deleted.
const DELETED: u8 = 1;

/// The users who reacted with one type: the sender of the message first.
fn users<'a>(message: &'a Message, reaction: &Reaction) -> impl Iterator<Item = &'a UserId> {
    let sender = (reaction.by_sender > 0).then_some(&message.sender);
    let receiver = (reaction.by_receiver > 0).then_some(&message.receiver);
    sender.into_iter().chain(receiver)
}

/// The reactions to a message with one type, as shown to `viewer`.
pub struct ReactionBody<'a> {
    /// The message.
    pub message: &'a Message,
    /// The reactions.
    pub reaction: &'a Reaction,
    /// The user who sees them.
    pub viewer: &'a UserId,
}

impl Serialize for ReactionBody<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            reaction_type: &'a str,
            #[serde(rename = "conversationID")]
            conversation_id: &'a str,
            conversation_type: u8,
            #[serde(rename = "messageID")]
            message_id: Text,
            total_count: usize,
            is_self_included: bool,
            user_list: Vec<UserBody<'a>>,
            sum_count: u64,
        }
        let Self { message, reaction, viewer } = *self;
        let user_list: Vec<_> =
            users(message, reaction).map(|id| UserBody { user_id: id.as_str() }).collect();
        Body {
            reaction_type: &reaction.kind,
            conversation_id: message.other(viewer).as_str(),
            conversation_type: PEER,
            message_id: Text(message.id().number()),
            total_count: user_list.len(),
            is_self_included: reaction.by(message.direction(viewer)) > 0,
            user_list,
            sum_count: reaction.sum(),
        }
        .serialize(serializer)
    }
}

/// All reactions to a message, as shown to `viewer`.
pub(super) struct Reactions<'a> {
    pub(super) message: &'a Message,
    pub(super) viewer: &'a UserId,
}

impl Serialize for Reactions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, viewer } = *self;
        let bodies = message.reactions().iter();
        serializer.collect_seq(bodies.map(|reaction| ReactionBody { message, reaction, viewer }))
    }
}

/// Adds the reactions to a message, if there are any.
pub(super) fn reactions_of<K: Sink>(
    message: &Message,
    viewer: &UserId,
    sink: &mut K,
) -> Result<(), K::Error> {
    if message.reactions().is_empty() {
        return Ok(());
    }
    sink.field("reactions", &Reactions { message, viewer })
}

/// The reactions to a message with one type; with no users if nobody reacted.
#[must_use]
pub fn with_kind(message: &Message, kind: &str) -> Reaction {
    let found = message.reactions().iter().find(|reaction| reaction.kind == kind);
    found.cloned().unwrap_or_else(|| Reaction { kind: kind.to_owned(), ..Reaction::default() })
}

/// The reactions with the types of a change.
pub(super) struct Changed<'a> {
    pub(super) message: &'a Message,
    pub(super) change: &'a ReactionChange,
    pub(super) viewer: &'a UserId,
}

impl Serialize for Changed<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, change, viewer } = *self;
        let mut seq = serializer.serialize_seq(Some(change.kinds.len()))?;
        for kind in &change.kinds {
            let reaction = &with_kind(message, kind);
            seq.serialize_element(&ReactionBody { message, reaction, viewer })?;
        }
        seq.end()
    }
}

/// The changes that a user made: `userChangeInfoList`.
pub(super) struct UserChanges<'a> {
    pub(super) message: &'a Message,
    pub(super) change: &'a ReactionChange,
}

impl Serialize for UserChanges<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Body<'a> {
            #[serde(rename = "userID")]
            user_id: &'a str,
            reaction_type: &'a str,
            action: u8,
            sum_count: u64,
        }
        let Self { message, change: ReactionChange { by, kinds, is_added } } = *self;
        serializer.collect_seq(kinds.iter().map(|kind| Body {
            user_id: by.as_str(),
            reaction_type: kind,
            action: if *is_added { ADDED } else { DELETED },
            sum_count: with_kind(message, kind).sum(),
        }))
    }
}

/// A page of the users who reacted to a message with one type, with all their reactions to it.
pub struct ReactionUsers<'a> {
    /// The message.
    pub message: &'a Message,
    /// The users of the page, by the direction that the message has for them.
    pub page: &'a [Direction],
}

/// The same page, with nothing but the IDs of the users.
pub struct UserIds<'a> {
    /// The message.
    pub message: &'a Message,
    /// The users of the page, by the direction that the message has for them.
    pub page: &'a [Direction],
}

const fn user_of(message: &Message, direction: Direction) -> &UserId {
    match direction {
        Direction::Send => &message.sender,
        Direction::Receive => &message.receiver,
    }
}

impl Serialize for UserIds<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { message, page } = *self;
        let users = page.iter().map(|direction| user_of(message, *direction));
        serializer.collect_seq(users.map(|id| UserBody { user_id: id.as_str() }))
    }
}

impl Serialize for ReactionUsers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Simple<'a> {
            reaction_type: &'a str,
            sum_count: u64,
        }
        #[derive(Serialize)]
        struct Full<'a> {
            #[serde(rename = "userID")]
            user_id: &'a str,
            reactions: Vec<Simple<'a>>,
        }
        let Self { message, page } = *self;
        serializer.collect_seq(page.iter().map(|direction| {
            let user = user_of(message, *direction);
            let own = message.reactions().iter().filter(|reaction| reaction.by(*direction) > 0);
            let reactions = own.map(|reaction| Simple {
                reaction_type: &reaction.kind,
                sum_count: reaction.by(*direction),
            });
            Full { user_id: user.as_str(), reactions: reactions.collect() }
        }))
    }
}
