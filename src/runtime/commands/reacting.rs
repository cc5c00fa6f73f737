//! What the methods that change reactions to messages have in common.

use std::sync::Arc;

use serde::Serialize;

use peerd_core::message::Message;
use peerd_core::reaction::Reaction;
use peerd_core::rejection::Rejection;
use peerd_core::text::is_blank;
use peerd_protocol::field::Line;
use peerd_protocol::reaction::{ReactionBody, with_kind};
use peerd_protocol::reply::{Reply, Shown};

use peerd_core::limits::REACTION_TYPE_MAX_BYTES;

/// The type of a reaction.
pub(super) type ReactionType = Line<REACTION_TYPE_MAX_BYTES>;

/// The text of a type, which must be visible.
pub(super) fn visible(Line(kind): ReactionType) -> Result<String, Rejection> {
    if is_blank(&kind) {
        return Err(Rejection::invalid("reactionType", "must not be blank"));
    }
    Ok(kind)
}

/// The reactions to a message with the type of the call.
pub struct Reacted {
    message: Arc<Message>,
    reaction: Reaction,
}

impl Reacted {
    pub(super) fn new(message: Arc<Message>, kind: &str) -> Self {
        Self { reaction: with_kind(&message, kind), message }
    }
}

impl Reply for Reacted {
    fn body<'a>(&'a self, Shown { viewer, .. }: Shown<'a>) -> impl Serialize + 'a {
        #[derive(Serialize)]
        struct Body<'a> {
            reaction: ReactionBody<'a>,
        }
        let Self { message, reaction } = self;
        Body { reaction: ReactionBody { message, reaction, viewer } }
    }
}
